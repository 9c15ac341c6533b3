use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex as StdMutex;

use strongroom_proto::enclave::v1::{CreateKek, GetView, KekCreated, KekRef, Need, View, request};
use strongroom_proto::v1::{Manifest, SignedView};

use super::*;
use crate::config::CredentialSource;
use crate::testing::imds::{Fault, Imds, Key, answer};
use crate::testing::{FakeEnclave, Reaction, enclave_config, refusal, write_credentials};

const LONG: Duration = Duration::from_secs(20);

fn create_kek(epoch: u64) -> request::Body {
    request::Body::CreateKek(CreateKek { tenant: vec![1; 32], epoch })
}

/// Answers a `CreateKek` with the epoch that it named.
fn echo(ask: &request::Body) -> Reaction {
    match ask {
        request::Body::CreateKek(ask) => {
            Reaction::Say(response::Body::KekCreated(KekCreated { epoch: ask.epoch, wrapped: vec![7] }))
        }
        _ => Reaction::Say(refusal(Reason::BadRequest, 0)),
    }
}

async fn ready(enclave: &Enclave) {
    let ready = |health: &Option<frames::Health>| health.as_ref().is_some_and(|health| health.missing.is_empty());
    tokio::time::timeout(LONG, enclave.health().wait_for(ready)).await.unwrap().unwrap();
}

/// As a call that finds this enclave alone.
async fn call(enclave: &Enclave, body: request::Body, known: &Known<'_>) -> Result<response::Body, Error> {
    enclave.ask(&mut frames::Request { body: Some(body) }, known).await
}

async fn ask(enclave: &Enclave, epoch: u64) -> Result<u64, Error> {
    match call(enclave, create_kek(epoch), &Known::default()).await? {
        response::Body::KekCreated(created) => Ok(created.epoch),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_enclave_is_booted_once_supplied_and_asked_by_many() {
    let dir = tempfile::tempdir().unwrap();
    let config = enclave_config(dir.path(), 3);
    let enclave = Arc::new(Enclave::start(&config));
    assert!(matches!(ask(&enclave, 1).await, Err(Error::EnclaveUnavailable(_))), "nobody is there yet");
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), echo);
    ready(&enclave).await;
    let calls = (0..500).map(|epoch| {
        let enclave = Arc::clone(&enclave);
        tokio::spawn(async move { assert_eq!(ask(&enclave, epoch).await.unwrap(), epoch) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    let process = fake.process.lock().unwrap();
    assert_eq!((process.boots, process.asked), (1, 500));
    assert_eq!(process.credentials, ["AK1"]);
}

#[tokio::test]
async fn what_an_enclave_needs_is_sent_once() {
    let dir = tempfile::tempdir().unwrap();
    let has: StdMutex<HashSet<Vec<u8>>> = StdMutex::default();
    let _fake = FakeEnclave::start(&dir.path().join("enclave.sock"), move |ask| {
        let request::Body::GetView(view) = ask else { return Reaction::HangUp };
        let kek = view.kek.as_ref().unwrap();
        if !kek.wrapped.is_empty() {
            assert_eq!(kek.wrapped, b"wrapped");
            has.lock().unwrap().insert(kek.sha256.clone());
        }
        let known = has.lock().unwrap().contains(&kek.sha256) && view.wallet != "insatiable";
        let view = response::Body::View(View { view: Some(SignedView::default()) });
        let need = response::Body::Need(Need { statement: view_needs_statement(ask), kek: true, other_kek: false });
        Reaction::Say(if known { view } else { need })
    });
    let enclave = Enclave::start(&enclave_config(dir.path(), 1));
    ready(&enclave).await;
    let known = Known { wrapped: b"wrapped".to_vec(), ..Known::default() };
    let view = |wallet: &str| {
        let kek = KekRef { epoch: 1, sha256: vec![1], wrapped: Vec::new() };
        request::Body::GetView(GetView { kek: Some(kek), wallet: wallet.to_owned(), ..Default::default() })
    };
    for _ in 0..2 {
        assert!(matches!(call(&enclave, view("w"), &known).await, Ok(response::Body::View(_))));
    }
    for wallet in ["insatiable", "needs-a-statement"] {
        let refused = call(&enclave, view(wallet), &Known::default()).await;
        assert!(matches!(refused, Err(Error::Internal(_)) | Ok(response::Body::View(_))), "{wallet}: {refused:?}");
    }
    assert!(matches!(call(&enclave, view("insatiable"), &known).await, Err(Error::Internal(_))));
}

/// A view names no statement, so that an enclave which needs one makes no sense.
fn view_needs_statement(ask: &request::Body) -> bool {
    matches!(ask, request::Body::GetView(view) if view.wallet == "needs-a-statement")
}

#[tokio::test]
async fn refusals_carry_reason_detail_and_retry() {
    let dir = tempfile::tempdir().unwrap();
    let _fake =
        FakeEnclave::start(&dir.path().join("enclave.sock"), |_| Reaction::Say(refusal(Reason::KmsThrottled, 77)));
    let enclave = Enclave::start(&enclave_config(dir.path(), 1));
    ready(&enclave).await;
    match ask(&enclave, 1).await {
        Err(Error::Enclave { reason: Reason::KmsThrottled, detail, retry_after_ms: 77 }) => {
            assert_eq!(detail, "refused by the fake");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_enclave_that_is_silent_hangs_up_or_talks_nonsense_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let _fake = FakeEnclave::start(&dir.path().join("enclave.sock"), |ask| match ask {
        request::Body::CreateKek(ask) if ask.epoch == 1 => Reaction::Ignore,
        request::Body::CreateKek(ask) if ask.epoch == 2 => Reaction::HangUp,
        request::Body::CreateKek(ask) if ask.epoch == 3 => Reaction::Raw(vec![0xff; 12]),
        request::Body::CreateKek(ask) if ask.epoch == 4 => {
            Reaction::Raw([&[0, 0, 0, 1][..], &[0; 8], &[0xff]].concat())
        }
        ask => echo(ask),
    });
    let config = enclave_config(dir.path(), 1);
    let enclave = Enclave::start_with(&config, Duration::from_millis(200));
    for epoch in 1..=4 {
        ready(&enclave).await;
        assert!(matches!(ask(&enclave, epoch).await, Err(Error::EnclaveUnavailable(_))), "{epoch}");
        // The next call finds a connection again.
        let again = async {
            while ask(&enclave, 9).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, again).await.unwrap();
    }
    assert_eq!(enclave.connects(), 4, "one connection at first, and one after each of three losses");
}

#[tokio::test]
async fn work_past_the_limits_is_shed_before_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), |_| Reaction::Ignore);
    let config = enclave_config(dir.path(), 1);
    let enclave = Arc::new(Enclave::start_with(&config, Duration::from_secs(1)));
    ready(&enclave).await;
    let spawn = |body: request::Body| {
        let enclave = Arc::clone(&enclave);
        tokio::spawn(async move { call(&enclave, body, &Known::default()).await.err().unwrap() })
    };
    let large = |len: usize| request::Body::CreateKek(CreateKek { tenant: vec![0; len], epoch: 0 });
    assert!(matches!(spawn(large(FRAME_BYTES_MAX)).await.unwrap(), Error::Internal(_)), "longer than a frame");
    let by_bytes: Vec<_> =
        (0..IN_FLIGHT_BYTES_MAX / FRAME_BYTES_MAX + 2).map(|_| spawn(large(FRAME_BYTES_MAX - 64))).collect();
    let mut shed = 0;
    let held = by_bytes.len();
    for call in by_bytes {
        match call.await.unwrap() {
            Error::Overloaded(_) => shed += 1,
            Error::EnclaveUnavailable(_) => {}
            other => panic!("{other}"),
        }
    }
    assert!(shed > 0 && shed < held, "{shed} of {held}");
    // The wait is over, and the keeper frees the room of what was never answered.
    let freed = async {
        while enclave.shared.bytes.available_permits() < IN_FLIGHT_BYTES_MAX {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, freed).await.unwrap();
    let asked = fake.process.lock().unwrap().asked;
    let by_count: Vec<_> = (0..IN_FLIGHT_MAX + 5).map(|_| spawn(create_kek(1))).collect();
    let mut shed = 0;
    for call in by_count {
        shed += usize::from(matches!(call.await.unwrap(), Error::Overloaded(_)));
    }
    assert_eq!(shed, 5);
    assert_eq!(fake.process.lock().unwrap().asked - asked, IN_FLIGHT_MAX, "what was shed was never sent");
}

#[tokio::test]
async fn a_restarted_enclave_is_booted_and_supplied_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = enclave_config(dir.path(), 2);
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), echo);
    let enclave = Enclave::start(&config);
    ready(&enclave).await;
    let connects = enclave.connects();
    drop(fake);
    let gone = |health: &Option<frames::Health>| health.is_none();
    tokio::time::timeout(LONG, enclave.health().wait_for(gone)).await.unwrap().unwrap();
    assert!(matches!(ask(&enclave, 1).await, Err(Error::EnclaveUnavailable(_))));
    write_credentials(&dir.path().join("credentials.toml"), "AK2");
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), echo);
    ready(&enclave).await;
    assert_eq!(ask(&enclave, 5).await.unwrap(), 5);
    assert!(enclave.connects() > connects);
    let process = fake.process.lock().unwrap();
    assert_eq!((process.boots, process.credentials.as_slice()), (1, &["AK2".to_owned()][..]));
}

/// Waits until a fake has been given these credentials last.
async fn given(fake: &FakeEnclave, id: &str) {
    let given = async {
        while fake.process.lock().unwrap().credentials.last().is_none_or(|last| last != id) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, given).await.unwrap();
}

fn of_instance(dir: &std::path::Path, imds: &Imds) -> EnclaveConfig {
    let credentials = CredentialSource::InstanceRole { role: "role".to_owned(), imds: imds.address() };
    EnclaveConfig { credentials, ..enclave_config(dir, 2) }
}

fn instance_key(id: &str, lives: i64) -> Key {
    Key { id: id.to_owned(), secret: "s".to_owned(), token: "t".to_owned(), lives }
}

#[tokio::test]
async fn the_instances_credentials_are_renewed_before_they_end_and_given_to_a_restarted_enclave() {
    let dir = tempfile::tempdir().unwrap();
    let imds = Imds::start("role", instance_key("AS1", 11)).unwrap();
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), echo);
    let enclave = Enclave::start(&of_instance(dir.path(), &imds));
    ready(&enclave).await;
    given(&fake, "AS1").await;
    imds.rotate(instance_key("AS2", 3600));
    given(&fake, "AS2").await;
    // One that has them no longer, such as by its own clock, is not made to wait for the next minute.
    fake.process.lock().unwrap().credentials.clear();
    given(&fake, "AS2").await;
    assert_eq!(fake.process.lock().unwrap().boots, 1);
    drop(fake);
    let asked = imds.asked().len();
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), echo);
    given(&fake, "AS2").await;
    ready(&enclave).await;
    assert_eq!(imds.asked().len(), asked + 2, "asked once for the restarted one, with a token");
}

#[tokio::test]
async fn an_instance_without_its_role_and_a_refused_push_are_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let imds = Imds::start("role", instance_key("AS1", 3600)).unwrap();
    imds.fail("GET", [Fault::Raw(answer("404 Not Found", "", ""))]);
    let fake = FakeEnclave::start(&dir.path().join("enclave.sock"), echo);
    fake.process.lock().unwrap().refuses = 1;
    let enclave = Enclave::start(&of_instance(dir.path(), &imds));
    let lacks = |health: &Option<frames::Health>| health.as_ref().is_some_and(|it| it.missing == ["credentials"]);
    tokio::time::timeout(LONG, enclave.health().wait_for(lacks)).await.unwrap().unwrap();
    let looked = async {
        while fake.process.lock().unwrap().looks < 16 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, looked).await.unwrap();
    let (asked, looks) = (imds.asked().len(), fake.process.lock().unwrap().looks);
    assert!(3 * asked < looks, "asked {asked} times in {looks} looks at an enclave that lacks them");
    ready(&enclave).await;
    let process = fake.process.lock().unwrap();
    assert_eq!((process.refuses, process.credentials.as_slice()), (0, &["AS1".to_owned()][..]));
    let asked = imds.asked();
    assert_eq!(asked.len(), 6, "no role, refused, taken: {asked:?}");
}

#[tokio::test]
async fn files_that_are_wrong_are_named_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let good = enclave_config(dir.path(), 1);
    let refuse = |content: &[u8], expect: &str| {
        std::fs::write(&good.manifest, content).unwrap();
        let error = Enclave::check(&good).err().unwrap().to_string();
        assert!(error.contains(expect), "{error}");
    };
    refuse(&vec![0; 8 * 1024 + 1], "8193 bytes");
    refuse(b"nonsense", "canonically encoded");
    refuse(b"", "ROLE_UNSPECIFIED");
    let custodian = Manifest { role: Role::Custodian.into(), ..Default::default() };
    refuse(&custodian.encode_to_vec(), "ROLE_CUSTODIAN");
    std::fs::remove_file(&good.manifest).unwrap();
    assert!(Enclave::check(&good).err().unwrap().to_string().contains("read manifest"));
    let good = enclave_config(dir.path(), 1);
    std::fs::set_permissions(dir.path().join("credentials.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Enclave::check(&good).err().unwrap().to_string().contains("mode 644"));
}
