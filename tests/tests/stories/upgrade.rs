//! Upgrades as `deploy/UPGRADE.md` has them: a new image takes over from the old one while users work and nobody is refused; and in the
//! security order, where the old image is not to be trusted any more, it is shut out first.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use strongroom_host::keys;
use strongroom_host::rows::KekRow;
use strongroom_host::store::{SqliteStore, Store};
use strongroom_proto::enclave::v1::{GetIdentity, GetView, KekRef, request, response};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{
    KekState, PrepareResponse, Reason, Role, RoleAttestation, RolePreparation, SignedStatement, SignedView,
};
use strongroom_sdk::Error;
use strongroom_sdk::device::now;
use strongroom_sdk::prepare::{Question, check};
use strongroom_sdk::view::Asked;
use strongroom_tests::frames::Frames;
use strongroom_tests::hostile::{loot, refused};
use strongroom_tests::rotation::list;
use strongroom_tests::stack::fleet::{Fleet, Release, Slot, publish};
use strongroom_tests::stack::roles::BOTH;
use strongroom_tests::stack::{Stack, path_text, value};
use strongroom_tests::user::{User, tenant, trust};

use crate::rounds;

mod load;

use load::Load;

/// Where a story that hangs ends.
const STORY_MAX: Duration = Duration::from_mins(10);
const NONCE: [u8; 32] = [7; 32];
/// How often the enclave that is in use is killed in each role's turn.
const KILLS_IN_USE: usize = 2;

async fn stack_of(roles: &[Role]) -> (tempfile::TempDir, Stack, Fleet) {
    let folder = tempfile::Builder::new().prefix("strongroom-test-").tempdir().unwrap();
    let mut stack = Stack::start_with(folder.path(), roles).await.unwrap();
    let fleet = Fleet::beside(&mut stack).await.unwrap();
    (folder, stack, fleet)
}

/// The release of a role's enclave, as a device is shown it.
async fn shown(user: &User, role: Role) -> u64 {
    user.prepare().await.unwrap().role(role).unwrap().attested.identity.manifest.release
}

async fn until_shown(user: &User, role: Role, release: &Release) {
    while shown(user, role).await != u64::from(release.number) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a device makes of an answer that it was given for [`NONCE`], where it has seen statements up to this serial.
fn judged(stack: &Stack, response: &PrepareResponse, serial: u64) -> Result<(), Error> {
    let (tenant, trust) = (tenant(stack).unwrap(), trust(stack).unwrap());
    let asked = Asked { wallet: "probe", nonce: &NONCE, at: now() };
    check(response, &Question { tenant, serial, asked, trust: &trust }).map(drop)
}

/// A tenant's wrapped KEK.
async fn kek(stack: &Stack, role: Role, epoch: u64) -> KekRef {
    let store = SqliteStore::open(&stack.database()).unwrap();
    let row = store.get(keys::kek(&tenant(stack).unwrap(), role, epoch)).await.unwrap().unwrap();
    let wrapped = KekRow::decode(row.as_slice()).unwrap().wrapped;
    KekRef { epoch, sha256: ContentHash::of(&wrapped).0.to_vec(), wrapped }
}

fn identity(stack: &Stack, kek: &KekRef) -> request::Body {
    let tenant = tenant(stack).unwrap().0.to_vec();
    request::Body::GetIdentity(GetIdentity { tenant, kek: Some(kek.clone()), nonce: Vec::new() })
}

/// An enclave that the key policy does not admit has no key, whatever it is asked.
async fn gets_nothing(stack: &Stack, frames: &mut Frames, role: Role, epoch: u64) {
    let refusal = refused(frames, identity(stack, &kek(stack, role, epoch).await)).unwrap();
    assert_eq!(refusal.reason, Reason::KmsUnavailable, "{}", refusal.detail);
    assert!(refusal.detail.contains("does not admit"), "{}", refusal.detail);
}

/// What a host kept of the old image is refused by devices: its documents under the new statement, and the old statement by those that
/// have seen the new one.
fn is_refused_by_devices(stack: &Stack, before: &PrepareResponse, statement: &SignedStatement, serial: u64) {
    judged(stack, before, 0).unwrap();
    let swapped = PrepareResponse { statement: Some(statement.clone()), ..before.clone() };
    let refused = judged(stack, &swapped, 0).unwrap_err();
    assert!(matches!(refused, Error::Attestation(_)), "{refused}");
    let refused = judged(stack, before, serial).unwrap_err();
    assert!(matches!(refused, Error::StatementTooOld { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_takes_over_under_load_and_no_request_fails() {
    tokio::time::timeout(STORY_MAX, rolling()).await.unwrap();
}

async fn rolling() {
    let (_folder, stack, mut fleet) = stack_of(BOTH).await;
    let stack = Arc::new(stack);
    let probe = User::new(&stack, "probe").await.unwrap();
    probe.backup("main", [b"one", b"two"]).await.unwrap();
    let load = Load::start(&stack).await;
    let (mut old, mut slot, mut kills) = (Release::of_stack(&stack).unwrap(), Slot::A, 0);
    for _ in 0..rounds(1, 5) {
        let new = old.after(&stack).unwrap();
        kills += roll(&stack, &mut fleet, (&load, &probe), (slot, &old), &new).await;
        assert_eq!(probe.recover().await.unwrap(), [b"one", b"two"]);
        (old, slot) = (new, slot.other());
    }
    // What the former releases signed is judged by their own documents, which the host has kept.
    let intents = super::kills::audit(&stack, &probe, &[]).await;
    assert_eq!(intents.len(), old.number as usize, "a backup, and a recovery after each upgrade");
    let (requests, failures) = load.finish().await;
    println!(
        "upgrade: {requests} requests, {} failed; {kills} enclaves killed; two-role drafts wait while a statement changes",
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Has the release that runs in a slot replaced by the next one in the other slot, each role in turn. Gives how many enclaves were killed.
async fn roll(
    stack: &Stack,
    fleet: &mut Fleet,
    (load, probe): (&Load, &User),
    (slot, old): (Slot, &Release),
    new: &Release,
) -> usize {
    let before = probe.client.prepare(&probe.wallet, &NONCE).await.unwrap();
    // The key administrator admits both releases.
    let mut policies = Vec::new();
    for role in BOTH {
        policies.push((*role, fleet.admit(stack, *role, &[old, new]).await.unwrap()));
    }
    let given = |count: usize| policies[..count].iter().map(|(role, path)| (*role, path.as_path())).collect::<Vec<_>>();
    for (number, role) in BOTH.iter().enumerate() {
        // The operator starts the new one; tenants whose statements do not list it are served by the old one.
        let place = (slot.other(), *role);
        fleet.start(stack, place, new).unwrap();
        fleet.until_ready(stack, place).await.unwrap();
        load.goes_on().await;
        assert_eq!(shown(probe, *role).await, u64::from(old.number));
        // The tenant lists both.
        let held = load.statements.write().await;
        publish(stack, &[old, new], &given(number + 1), &["--keep"]).unwrap();
        drop(held);
        until_shown(probe, *role, new).await;
        load.goes_on().await;
        // The new one dies with requests in flight, and comes again: the old one answers until then. So a step back is harmless, too.
        for _ in 0..KILLS_IN_USE {
            fleet.kill(stack, place).unwrap();
            load.goes_on().await;
            assert_eq!(shown(probe, *role).await, u64::from(old.number));
            fleet.start(stack, place, new).unwrap();
            until_shown(probe, *role, new).await;
            load.goes_on().await;
        }
        // The operator stops the old one, in the hardest way.
        fleet.kill(stack, (slot, *role)).unwrap();
        load.goes_on().await;
    }
    // Key administrator and tenant strike the old release off their lists.
    for role in BOTH {
        fleet.admit(stack, *role, &[new]).await.unwrap();
    }
    let held = load.statements.write().await;
    let serial = publish(stack, &[new], &[], &[]).unwrap();
    drop(held);
    load.goes_on().await;
    // Somebody starts the old image again: nobody is hurt, and it gets nothing.
    let statement = probe.client.get_statement().await.unwrap().unwrap();
    is_refused_by_devices(stack, &before, &statement, serial);
    for role in BOTH {
        fleet.start(stack, (slot, *role), old).unwrap();
        fleet.until_ready(stack, (slot, *role)).await.unwrap();
        gets_nothing(stack, &mut fleet.frames(stack, (slot, *role)).unwrap(), *role, 1).await;
        load.goes_on().await;
        assert_eq!(shown(probe, *role).await, u64::from(new.number));
        fleet.kill(stack, (slot, *role)).unwrap();
    }
    load.goes_on().await;
    (KILLS_IN_USE + 2) * BOTH.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_security_order_the_old_image_is_shut_out_first_and_gets_nothing() {
    tokio::time::timeout(STORY_MAX, emergency()).await.unwrap();
}

async fn emergency() {
    const CLIENT: Role = Role::Client;
    let (_folder, stack, mut fleet) = stack_of(&[CLIENT]).await;
    let (old, probe) = (Release::of_stack(&stack).unwrap(), User::new(&stack, "probe").await.unwrap());
    let new = old.after(&stack).unwrap();
    probe.backup("main", [b"one", b"two"]).await.unwrap();
    let before = probe.client.prepare(&probe.wallet, &NONCE).await.unwrap();
    let stolen = loot(&stack.database(), tenant(&stack).unwrap(), "probe").await.unwrap();

    let policy = fleet.admit(&stack, CLIENT, &[&new]).await.unwrap();
    fleet.kill(&stack, (Slot::A, CLIENT)).unwrap();
    println!(
        "security order: 1. the key policy admits the new image alone, and the old enclave is stopped: nobody is served"
    );
    fleet.start(&stack, (Slot::B, CLIENT), &new).unwrap();
    fleet.until_ready(&stack, (Slot::B, CLIENT)).await.unwrap();
    let unlisted = unlisted(&probe).await;
    assert!(matches!(unlisted, Error::Attestation(_)), "{unlisted}");
    publish(&stack, &[&new], &[(CLIENT, &policy)], &[]).unwrap();
    assert_eq!(probe.recover().await.unwrap(), [b"one", b"two"]);
    println!("security order: 2. the statement lists the new image alone: users recover again");

    let admin = stack.admin_socket();
    let id = stack.tenant().unwrap();
    let named = ["--tenant", &id, "--socket", path_text(&admin).unwrap()];
    let printed = stack.strongroom(&[&["operator", "rotate-kek", "--role", "client"], &named[..]].concat()).unwrap();
    assert_eq!(value(&printed, "epoch").unwrap(), "2");
    publish(&stack, &[&new], &[(CLIENT, &policy)], &["--lowest-epoch", "1"]).unwrap();
    println!("security order: 3. the KEK is rotated, and the statement names epoch 2");
    while list(&stack).await.unwrap().iter().any(|kek| kek.epoch == 1 && kek.state() != KekState::Retired) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let printed = stack.strongroom(&[&["operator", "list-keks"], &named[..]].concat()).unwrap();
    println!("security order: 4. everything is sealed again; strongroom operator list-keks says:\n{printed}");
    let serial = publish(&stack, &[&new], &[(CLIENT, &policy)], &[]).unwrap();
    println!("security order: 5. the lowest epoch is 2");

    // The old image, and whoever keeps what it said.
    fleet.start(&stack, (Slot::A, CLIENT), &old).unwrap();
    fleet.until_ready(&stack, (Slot::A, CLIENT)).await.unwrap();
    let mut of_old = fleet.frames(&stack, (Slot::A, CLIENT)).unwrap();
    for epoch in [1, 2] {
        gets_nothing(&stack, &mut of_old, CLIENT, epoch).await;
    }
    let statement = probe.client.get_statement().await.unwrap().unwrap();
    is_refused_by_devices(&stack, &before, &statement, serial);

    // What lies in the store now opens under epoch 2 alone.
    let now = loot(&stack.database(), tenant(&stack).unwrap(), "probe").await.unwrap();
    assert_eq!((stolen.records[0].epoch, now.records[0].epoch), (1, 2));
    assert!(now.shares[0].iter().all(|share| share.epoch == 2) && !now.shares[0].is_empty());
    let mut of_new = fleet.frames(&stack, (Slot::B, CLIENT)).unwrap();
    let first = kek(&stack, CLIENT, 1).await;
    let under_first = request::Body::GetView(GetView { kek: Some(first.clone()), ..now.view("probe", &NONCE) });
    let refusal = refused(&mut of_new, under_first).unwrap();
    assert_eq!(refusal.reason, Reason::BadRequest, "{}", refusal.detail);

    // Not so what was taken before: a statement limits sealing, never opening. Devices do not take the old epoch for the service.
    let view = of_new.ask(request::Body::GetView(stolen.view("probe", &NONCE))).unwrap();
    let proven = of_new.ask(identity(&stack, &first)).unwrap();
    let (response::Body::View(view), response::Body::IdentityProven(proven)) = (view, proven) else {
        panic!("no view")
    };
    let view: Option<SignedView> = view.view;
    let attestation = RoleAttestation { role: CLIENT.into(), identity: proven.identity, document: proven.document };
    let role = RolePreparation { role: CLIENT.into(), attestation: Some(attestation), view };
    let of_epoch_1 = PrepareResponse { statement: Some(statement), roles: vec![role] };
    let judged = judged(&stack, &of_epoch_1, 0).unwrap_err();
    assert!(matches!(judged, Error::EpochTooOld { epoch: 1, lowest: 2, .. }), "{judged}");
    assert_eq!(probe.recover().await.unwrap(), [b"one", b"two"]);
    println!("security order: the old image gets no key, devices refuse its documents and epoch 1, and users recover");
}

/// What a device says while its tenant's statement does not list the image that runs.
async fn unlisted(user: &User) -> Error {
    loop {
        match user.device.prepare(&user.wallet).await {
            // The host has not seen yet that the new enclave is ready.
            Err(Error::Refused(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => return error,
            Ok(_) => panic!("the device takes an image that its statement does not list"),
        }
    }
}
