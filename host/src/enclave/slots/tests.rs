mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strongroom_proto::enclave::v1::{self as frames, CreateKek, GetView, KekCreated, KekRef, Need, View};
use strongroom_proto::v1::SignedView;

use super::super::SET_BACK;
use super::*;
use crate::config::{ENCLAVES_PER_ROLE_MAX, EnclaveConfig};
use crate::testing::{FakeEnclave, Reaction, pcr16, refusal, slot_config, slot_socket, write_manifest};

const LONG: Duration = Duration::from_secs(20);
/// Longest wait for an answer in these tests.
const CALL_MAX: Duration = Duration::from_millis(300);

/// One slot: its release, what its enclave lacks, and what it does with a request.
struct Slot {
    release: u64,
    lacks: Option<&'static str>,
    does: Does,
}

#[derive(Clone, Copy)]
enum Does {
    Answer,
    Ignore,
    HangUp,
    Refuse(Reason),
}

const fn slot(release: u64, lacks: Option<&'static str>, does: Does) -> Slot {
    Slot { release, lacks, does }
}

struct World {
    dir: tempfile::TempDir,
    fakes: Vec<FakeEnclave>,
    enclaves: Vec<Enclave>,
}

impl World {
    async fn new(slots: &[Slot]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut fakes, mut enclaves) = (Vec::new(), Vec::new());
        for (number, slot) in slots.iter().enumerate() {
            let fake = FakeEnclave::start(&slot_socket(dir.path(), number), behaviour(number, slot.does));
            fake.process.lock().unwrap().lacks = slot.lacks;
            fakes.push(fake);
            let enclave = Enclave::start_with(&slot_config(dir.path(), number, slot.release), CALL_MAX);
            known(&enclave, slot.lacks.is_none()).await;
            enclaves.push(enclave);
        }
        Self { dir, fakes, enclaves }
    }

    fn slots(&self) -> Slots<'_> {
        Slots::of(Role::Client, &self.enclaves).unwrap()
    }

    /// How often each was asked.
    fn asked(&self) -> Vec<usize> {
        self.fakes.iter().map(|fake| fake.process.lock().unwrap().asked).collect()
    }
}

/// Answers `CreateKek` with the slot's number in the place of the wrapped KEK.
fn behaviour(number: usize, does: Does) -> impl Fn(&request::Body) -> Reaction + Send + Sync + 'static {
    move |_| match does {
        Does::Answer => Reaction::Say(answer(number)),
        Does::Ignore => Reaction::Ignore,
        Does::HangUp => Reaction::HangUp,
        Does::Refuse(reason) => Reaction::Say(refusal(reason, 7)),
    }
}

fn answer(number: usize) -> response::Body {
    response::Body::KekCreated(KekCreated { epoch: 1, wrapped: vec![u8::try_from(number).unwrap()] })
}

/// Waits until the enclave has said how it is, and what its PCR16 is.
async fn known(enclave: &Enclave, is_ready: bool) {
    let is = |health: &Option<frames::Health>| health.as_ref().is_some_and(|it| it.missing.is_empty() == is_ready);
    tokio::time::timeout(LONG, enclave.health().wait_for(is)).await.unwrap().unwrap();
}

async fn ask(slots: Slots<'_>) -> Result<usize, Error> {
    let body = request::Body::CreateKek(CreateKek { tenant: vec![1; 32], epoch: 1 });
    match slots.ask(body, &Known::default()).await? {
        response::Body::KekCreated(created) => Ok(created.wrapped[0].into()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_newest_ready_release_that_the_statement_lists_is_asked() {
    use Does::Answer;
    const KMS: Option<&str> = Some("kms");
    let old_and_new = || vec![slot(1, None, Answer), slot(2, None, Answer)];
    for (slots, listed, expect) in [
        (old_and_new(), &[][..], 1),
        (old_and_new(), &[1], 0),
        (old_and_new(), &[2], 1),
        (old_and_new(), &[1, 2], 1),
        (old_and_new(), &[3], 1),
        (vec![slot(2, None, Answer), slot(1, None, Answer)], &[1, 2], 0),
        (vec![slot(2, None, Answer), slot(2, None, Answer)], &[2], 0),
        (vec![slot(1, None, Answer), slot(2, KMS, Answer)], &[1, 2], 0),
        (vec![slot(1, None, Answer), slot(2, KMS, Answer)], &[2], 0),
        (vec![slot(1, KMS, Answer), slot(2, KMS, Answer)], &[1], 0),
        (vec![slot(3, None, Answer), slot(1, None, Answer), slot(2, None, Answer)], &[1, 2], 2),
    ] {
        let world = World::new(&slots).await;
        let listed: Vec<Vec<u8>> = listed.iter().map(|release| pcr16(*release)).collect();
        let found = ask(world.slots().listed_by(&listed)).await.unwrap();
        let releases: Vec<_> = slots.iter().map(|it| (it.release, it.lacks)).collect();
        assert_eq!(found, expect, "{releases:?}, of which {} are listed", listed.len());
        assert_eq!(world.asked().iter().sum::<usize>(), 1);
    }
}

#[tokio::test]
async fn only_what_is_lost_or_says_that_it_cannot_work_is_passed_over() {
    let refuse = |reason| Does::Refuse(reason);
    for (does, goes_on) in [
        (Does::HangUp, true),
        (refuse(Reason::EnclaveUnavailable), true),
        (refuse(Reason::KmsUnavailable), true),
        (refuse(Reason::Overloaded), true),
        (Does::Ignore, false),
        (refuse(Reason::KmsThrottled), false),
        (refuse(Reason::RateLimited), false),
        (refuse(Reason::BadRequest), false),
        (refuse(Reason::DecryptFailed), false),
        (refuse(Reason::RecordStale), false),
        (refuse(Reason::ProofRejected), false),
        (refuse(Reason::PolicyDenied), false),
        (refuse(Reason::InternalError), false),
    ] {
        let world = World::new(&[slot(2, None, does), slot(1, None, Does::Answer)]).await;
        let found = ask(world.slots()).await;
        assert_eq!(world.asked(), [1, usize::from(goes_on)], "{found:?}");
        match (does, found) {
            (_, Ok(by)) => assert!(goes_on && by == 1),
            (Does::Ignore, Err(Error::EnclaveUnavailable(why))) => assert_eq!(why, TIMED_OUT),
            (Does::Refuse(expect), Err(Error::Enclave { reason, retry_after_ms: 7, .. })) => {
                assert!(!goes_on && reason == expect, "{reason:?}");
            }
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn each_is_asked_at_most_once_and_the_first_ones_words_are_told() {
    let slots: Vec<Slot> = (0..ENCLAVES_PER_ROLE_MAX as u64)
        .map(|release| {
            slot(
                release + 1,
                None,
                Does::Refuse(if release == 3 { Reason::KmsUnavailable } else { Reason::Overloaded }),
            )
        })
        .collect();
    let world = World::new(&slots).await;
    let found = ask(world.slots()).await;
    assert!(matches!(found, Err(Error::Enclave { reason: Reason::KmsUnavailable, .. })), "{found:?}");
    assert_eq!(world.asked(), [1; ENCLAVES_PER_ROLE_MAX]);
}

#[tokio::test]
async fn one_that_is_not_ready_is_asked_only_where_none_is() {
    let lacking = || slot(2, Some("clock"), Does::Refuse(Reason::EnclaveUnavailable));
    let world = World::new(&[lacking(), slot(1, None, Does::HangUp)]).await;
    assert!(matches!(ask(world.slots()).await, Err(Error::EnclaveUnavailable(_))));
    assert_eq!(world.asked(), [0, 1]);
    let world = World::new(&[lacking(), lacking()]).await;
    let found = ask(world.slots()).await;
    assert!(matches!(found, Err(Error::Enclave { reason: Reason::EnclaveUnavailable, .. })), "{found:?}");
    assert_eq!(world.asked(), [1, 0]);
}

#[tokio::test]
async fn one_that_cannot_work_is_asked_after_the_others_for_a_while() {
    let world = World::new(&[slot(2, None, Does::Refuse(Reason::KmsUnavailable)), slot(1, None, Does::Answer)]).await;
    let listed = [pcr16(2), pcr16(1)];
    for _ in 0..5 {
        assert_eq!(ask(world.slots().listed_by(&listed)).await.unwrap(), 1);
    }
    assert_eq!(world.asked(), [1, 5], "it was asked again, and every time is a call to KMS");
    let before = SET_BACK.checked_add(Duration::from_millis(1)).and_then(|ago| Instant::now().checked_sub(ago));
    *world.enclaves[0].shared.set_back() = Some(before.unwrap());
    assert_eq!(ask(world.slots().listed_by(&listed)).await.unwrap(), 1);
    assert_eq!(world.asked(), [2, 6], "and asked again after that");
    // A full queue passes; nothing is held against it.
    let world = World::new(&[slot(2, None, Does::Refuse(Reason::Overloaded)), slot(1, None, Does::Answer)]).await;
    for _ in 0..3 {
        assert_eq!(ask(world.slots()).await.unwrap(), 1);
    }
    assert_eq!(world.asked(), [3, 3]);
}

#[tokio::test]
async fn one_that_the_statement_lists_comes_first_though_another_tenant_met_its_fault() {
    let dir = tempfile::tempdir().unwrap();
    let (mut fakes, mut enclaves) = (Vec::new(), Vec::new());
    for number in 0..2 {
        fakes.push(FakeEnclave::start(&slot_socket(dir.path(), number), move |ask| match ask {
            request::Body::CreateKek(ask) if ask.epoch == 9 => Reaction::Say(refusal(Reason::KmsUnavailable, 0)),
            _ => Reaction::Say(answer(number)),
        }));
        let enclave = Enclave::start(&slot_config(dir.path(), number, 1 + number as u64));
        known(&enclave, true).await;
        enclaves.push(enclave);
    }
    let slots = Slots::of(Role::Client, &enclaves).unwrap();
    let fault = request::Body::CreateKek(CreateKek { tenant: vec![2; 32], epoch: 9 });
    for (listed, expect) in [(&[1][..], 0), (&[2], 1), (&[], 1), (&[1, 2], 1)] {
        let pcr16s: Vec<Vec<u8>> = listed.iter().map(|release| pcr16(*release)).collect();
        let slots = slots.listed_by(&pcr16s);
        // The other tenant lists both, so that the fault of either sets both back.
        *enclaves[0].shared.set_back() = None;
        *enclaves[1].shared.set_back() = None;
        slots.ask(fault.clone(), &Known::default()).await.unwrap_err();
        assert!(enclaves.iter().all(Enclave::is_set_back));
        assert_eq!(ask(slots).await.unwrap(), expect, "{listed:?}, both set back");
        for other in 0..2 {
            *enclaves[other].shared.set_back() = Some(Instant::now());
            *enclaves[1 - other].shared.set_back() = None;
            let expect = if listed.len() == 1 { expect } else { 1 - other };
            assert_eq!(ask(slots).await.unwrap(), expect, "{listed:?}, {other} set back");
            assert_eq!(slots.first().unwrap().slot, expect);
        }
    }
}

#[tokio::test]
async fn one_that_does_not_answer_in_time_is_asked_after_the_others_for_a_while() {
    let world = World::new(&[slot(2, None, Does::Ignore), slot(1, None, Does::Answer)]).await;
    let (both, first) = ([pcr16(1), pcr16(2)], [pcr16(2)]);
    let found = ask(world.slots().listed_by(&both)).await;
    assert!(matches!(found, Err(Error::EnclaveUnavailable(TIMED_OUT))), "{found:?}");
    assert_eq!(world.asked(), [1, 0], "whoever waited once does not wait again");
    for _ in 0..3 {
        assert_eq!(ask(world.slots().listed_by(&both)).await.unwrap(), 1);
    }
    assert_eq!(world.asked(), [1, 3]);
    let found = ask(world.slots().listed_by(&first)).await;
    assert!(matches!(found, Err(Error::EnclaveUnavailable(TIMED_OUT))), "nobody else may answer him: {found:?}");
    assert_eq!(world.asked(), [2, 3]);
}

#[tokio::test]
async fn no_document_is_asked_of_an_unlisted_enclave_while_a_listed_one_is_ready() {
    const KMS: Does = Does::Refuse(Reason::KmsUnavailable);
    const FULL: Does = Does::Refuse(Reason::Overloaded);
    let identity = || request::Body::GetIdentity(frames::GetIdentity::default());
    let answered = |found: &Result<(Answerer, response::Body), Error>| found.as_ref().ok().map(|(by, _)| by.slot);
    for (does, lacks, listed, document, asked) in [
        (KMS, None, &[1][..], None, [1, 0]),
        (FULL, None, &[1], None, [1, 0]),
        (Does::HangUp, None, &[3], Some(1), [0, 1]),
        (KMS, None, &[1, 2], Some(1), [0, 1]),
        (KMS, Some("kms"), &[1], Some(1), [0, 1]),
        (KMS, None, &[], Some(1), [0, 1]),
        (Does::Answer, None, &[1], Some(0), [1, 0]),
    ] {
        let world = World::new(&[slot(1, lacks, does), slot(2, None, Does::Answer)]).await;
        let listed: Vec<Vec<u8>> = listed.iter().map(|release| pcr16(*release)).collect();
        let found = world.slots().listed_by(&listed).ask_any(identity(), &Known::default()).await;
        assert_eq!((answered(&found), world.asked()), (document, asked.to_vec()), "{found:?}");
    }
    // Any other frame goes on: nothing is lost by the attempt.
    let world = World::new(&[slot(1, None, KMS), slot(2, None, Does::Answer)]).await;
    assert_eq!(ask(world.slots().listed_by(&[pcr16(1)])).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_in_flight_when_an_enclave_dies_is_answered_by_the_other() {
    const CALLS: usize = 200;
    let mut world = World::new(&[slot(2, None, Does::Ignore), slot(1, None, Does::Answer)]).await;
    let enclaves = Arc::new(std::mem::take(&mut world.enclaves));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let enclaves = Arc::clone(&enclaves);
        calls.spawn(async move { ask(Slots::of(Role::Client, &enclaves).unwrap()).await });
    }
    while world.asked()[0] < CALLS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(world.fakes.remove(0));
    while let Some(found) = calls.join_next().await {
        assert_eq!(found.unwrap().unwrap(), 1);
    }
    assert_eq!(world.asked(), [CALLS]);
    // And what comes after it.
    assert_eq!(ask(Slots::of(Role::Client, &enclaves).unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn each_enclave_is_supplied_with_what_it_lacks_itself() {
    let dir = tempfile::tempdir().unwrap();
    let given = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    // The first one has the KEK and is lost; the second one has never seen it.
    let (mut fakes, mut enclaves) = (Vec::new(), Vec::new());
    for number in 0..2 {
        let given = Arc::clone(&given);
        fakes.push(FakeEnclave::start(&slot_socket(dir.path(), number), move |ask| {
            let request::Body::GetView(view) = ask else { return Reaction::Ignore };
            if !view.kek.as_ref().unwrap().wrapped.is_empty() {
                given[number].fetch_add(1, Ordering::Relaxed);
                return Reaction::Say(response::Body::View(View { view: Some(SignedView::default()) }));
            }
            let need = Need { kek: true, ..Need::default() };
            if number == 0 { Reaction::HangUp } else { Reaction::Say(response::Body::Need(need)) }
        }));
        let enclave = Enclave::start(&slot_config(dir.path(), number, 2 - number as u64));
        known(&enclave, true).await;
        enclaves.push(enclave);
    }
    let body = GetView { kek: Some(KekRef { epoch: 1, ..KekRef::default() }), ..GetView::default() };
    let wrapped = Known { wrapped: b"wrapped".to_vec(), ..Known::default() };
    let slots = Slots::of(Role::Client, &enclaves).unwrap();
    let answered = slots.ask_any(request::Body::GetView(body), &wrapped).await;
    let (by, answer) = answered.unwrap();
    assert!(matches!(answer, response::Body::View(_)) && by.slot == 1, "{by:?}");
    let counts = [given[0].load(Ordering::Relaxed), given[1].load(Ordering::Relaxed)];
    assert_eq!(counts, [0, 1], "the KEK goes to whoever needs it");
    assert_eq!(fakes[1].process.lock().unwrap().asked, 2);
}

/// What an enclave in a slot says that it lacks, once it has said so.
async fn until_it_lacks(enclave: &Enclave, what: &[&str]) {
    let is = |health: &Option<frames::Health>| health.as_ref().is_some_and(|health| health.missing == what);
    tokio::time::timeout(LONG, enclave.health().wait_for(is)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_slot_is_filled_while_the_host_runs_and_its_manifest_is_read_then() {
    let dir = tempfile::tempdir().unwrap();
    let config: EnclaveConfig = slot_config(dir.path(), 0, 5);
    std::fs::remove_file(&config.manifest).unwrap();
    let enclaves = [Enclave::start(&config)];
    let slots = Slots::of(Role::Client, &enclaves).unwrap();
    assert!(matches!(ask(slots).await, Err(Error::EnclaveUnavailable(NOT_CONNECTED))) && slots.first().is_none());
    let fake = FakeEnclave::start(&slot_socket(dir.path(), 0), behaviour(0, Does::Answer));
    until_it_lacks(&enclaves[0], &["manifest", "credentials"]).await;
    for wrong in [&b"nonsense"[..], &[0; 9000], &[8, 2]] {
        std::fs::write(&config.manifest, wrong).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        until_it_lacks(&enclaves[0], &["manifest", "credentials"]).await;
    }
    assert_eq!(fake.process.lock().unwrap().boots, 0, "a wrong manifest is given to nobody: PCR16 would be spent");
    write_manifest(&config.manifest, Role::Client, 5);
    until_it_lacks(&enclaves[0], &[]).await;
    assert_eq!((ask(slots).await.unwrap(), enclaves[0].pcr16()), (0, Some(pcr16(5))));
    assert_eq!(fake.process.lock().unwrap().boots, 1);
}
