use strongroom_core::KekContext;
use strongroom_proto::enclave::v1::SetCredentials;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Role;
use tokio::sync::Notify;

use super::*;
use crate::clock::Clock;

/// Answers when told to, and counts.
#[derive(Clone, Default)]
struct Fake(Arc<State>);

#[derive(Default)]
struct State {
    calls: std::sync::atomic::AtomicUsize,
    checks: std::sync::atomic::AtomicUsize,
    /// Every check fails as long as this holds.
    refuses: AtomicBool,
    go: Notify,
}

impl Calls for Fake {
    /// Fails once, and as long as it is told to.
    async fn check_key(&self) -> Result<(), KmsError> {
        match self.0.checks.fetch_add(1, Ordering::SeqCst) {
            earlier if earlier == 0 || self.0.refuses.load(Ordering::SeqCst) => {
                Err(KmsError::Denied("AccessDeniedException"))
            }
            _ => Ok(()),
        }
    }

    async fn call(&self, call: &KmsCall) -> Answer {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.0.go.notified().await;
        match call {
            KmsCall::Generate(_) => Err(KmsError::Denied("AccessDeniedException")),
            KmsCall::Unwrap { wrapped, .. } => {
                Ok(KekReply { wrapped: wrapped.clone(), kek: Secret::new(vec![wrapped[0]; 32]) })
            }
        }
    }
}

fn context(epoch: u64) -> KekContext {
    KekContext { tenant: TenantId([1; 32]), role: Role::Client, epoch }
}

fn unwrap(epoch: u64, byte: u8) -> KmsCall {
    KmsCall::Unwrap { context: context(epoch), wrapped: vec![byte; 40] }
}

fn credentials() -> CredentialStore {
    let store = CredentialStore::new(Clock::default());
    store
        .set(SetCredentials { access_key_id: "id".into(), secret_access_key: "s".into(), ..SetCredentials::default() })
        .unwrap();
    store
}

async fn started(fake: &Fake) -> KmsService {
    let service = spawn(fake.clone(), credentials(), Log::to(|_| {})).unwrap();
    while !service.is_ready() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    service
}

async fn until(count: usize, calls: &std::sync::atomic::AtomicUsize) {
    while calls.load(Ordering::SeqCst) < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_failed_check_says_why_until_one_passes() {
    let fake = Fake::default();
    fake.0.refuses.store(true, Ordering::SeqCst);
    let service = spawn(fake.clone(), credentials(), Log::to(|_| {})).unwrap();
    until(2, &fake.0.checks).await;
    assert!(!service.is_ready());
    assert_eq!(service.failure(), Some(KmsError::Denied("AccessDeniedException")));
    fake.0.refuses.store(false, Ordering::SeqCst);
    while !service.is_ready() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(service.failure(), None);
}

#[tokio::test]
async fn no_call_is_made_before_the_key_is_checked_and_the_check_waits_for_credentials() {
    let fake = Fake::default();
    let store = CredentialStore::new(Clock::default());
    let service = spawn(fake.clone(), store.clone(), Log::to(|_| {})).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.0.checks.load(Ordering::SeqCst), 0);
    assert_eq!(service.call(unwrap(1, 1)).await.unwrap_err(), KmsError::Unavailable("the key was not checked yet"));
    store
        .set(SetCredentials { access_key_id: "id".into(), secret_access_key: "s".into(), ..SetCredentials::default() })
        .unwrap();
    until(2, &fake.0.checks).await;
}

#[tokio::test]
async fn equal_unwraps_share_one_call_and_others_do_not() {
    let fake = Fake::default();
    let service = started(&fake).await;
    let ask = |call: KmsCall| {
        let service = service.clone();
        tokio::spawn(async move { service.call(call).await.map(|reply| reply.kek.expose().to_vec()) })
    };
    let same: Vec<_> = (0..5).map(|_| ask(unwrap(1, 7))).collect();
    let (epoch, bytes, made, made_too) =
        (ask(unwrap(2, 7)), ask(unwrap(1, 8)), ask(KmsCall::Generate(context(1))), ask(KmsCall::Generate(context(1))));
    until(5, &fake.0.calls).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.0.calls.load(Ordering::SeqCst), 5, "one for the five, one for each other");
    fake.0.go.notify_waiters();
    for task in same {
        assert_eq!(task.await.unwrap().unwrap(), [7; 32]);
    }
    assert_eq!(epoch.await.unwrap().unwrap(), [7; 32]);
    assert_eq!(bytes.await.unwrap().unwrap(), [8; 32]);
    assert_eq!(made.await.unwrap(), Err(KmsError::Denied("AccessDeniedException")));
    assert!(made_too.await.unwrap().is_err());
}

#[tokio::test]
async fn calls_past_the_queue_are_refused_at_once() {
    let fake = Fake::default();
    let service = started(&fake).await;
    let mut waiting = Vec::new();
    // The calls in progress, one that waits for its slot, and the queue.
    for epoch in 0..(CALLS_MAX + 1 + QUEUE_MAX) as u64 {
        let service = service.clone();
        waiting.push(tokio::spawn(async move { service.call(unwrap(epoch, 1)).await }));
        if epoch < (CALLS_MAX + 1) as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.0.calls.load(Ordering::SeqCst), CALLS_MAX);
    assert_eq!(service.call(unwrap(999, 1)).await.unwrap_err(), KmsError::Overloaded);
    for task in waiting {
        while !task.is_finished() {
            fake.0.go.notify_waiters();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(task.await.unwrap().is_ok());
    }
}

#[test]
fn those_who_share_a_call_end_at_their_limit() {
    let in_flight = InFlight::default();
    let call = unwrap(1, 1);
    let ask = || {
        let (answer, answered) = oneshot::channel();
        (join(&in_flight, &call, answer).is_none(), answered)
    };
    assert!(!ask().0, "nothing to share yet");
    in_flight.borrow_mut().insert(call.clone(), Vec::new());
    let mut waiting: Vec<_> = (0..WAITERS_MAX).map(|_| ask()).collect();
    assert!(waiting.iter_mut().all(|(joined, answered)| *joined && answered.try_recv().is_err()));
    let (_, mut refused) = ask();
    assert_eq!(refused.try_recv().unwrap().unwrap_err(), KmsError::Overloaded);
}
