//! Several devices, several passkeys, and policies: what a user does with a backup after it was made.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::contents::Share;
use strongroom_proto::id::{IntentHash, TenantId};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    Act, ActRequest, Curve, Freshness, OpenActKind, Pair, ReleaseRecoveryRequest, Role, SignedReceipt, TenantSignature,
};
use strongroom_sdk::Error;
use strongroom_sdk::device::{Acted, Consent, Device, Pace, TenantBackend, choose, now};
use strongroom_sdk::intent::{self, ClientPolicy, Delay, Newcomer, TenantConsent};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::receipt::newest;
use strongroom_sdk::seal::RecipientKey;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::{Expected, ExpectedAct, Folder, RecordAct, consent};
use strongroom_tests::stack::{RP_ID, Stack, path_text};
use strongroom_tests::user::{User, shares, tenant, trust};

use crate::stack;

/// Longest wait for what the host carries out by itself.
const CARRY_OUT_WAIT_MAX: Duration = Duration::from_mins(1);

/// The delay of a policy: room for what must come before it has passed, on a busy machine.
const DELAY_SECONDS: u32 = 4;

/// The tenant's backend: it keeps receipts, and signs what its user asked for, from the newest head that it knows.
#[derive(Debug)]
struct Backend {
    key: SigningKey,
    tenant: TenantId,
    wallet: String,
    statement: VerifiedStatement,
    receipts: Mutex<Vec<SignedReceipt>>,
}

impl Backend {
    fn of(stack: &Stack, wallet: &str) -> Arc<Self> {
        let folder = Folder::new(&stack.folder().join("tenant/keys"));
        let tenant = tenant(stack).unwrap();
        let key = SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, || unreachable!());
        Arc::new(Self {
            key: key.unwrap(),
            tenant,
            wallet: wallet.to_owned(),
            statement: folder.statement(tenant).unwrap().unwrap(),
            receipts: Mutex::default(),
        })
    }

    fn keep(&self, acted: &Acted) {
        self.receipts.lock().unwrap().push(acted.signed().clone());
    }

    fn sign(&self, bytes: &[u8]) -> Result<TenantSignature, Error> {
        let receipts = self.receipts.lock().unwrap();
        let known = newest(&receipts, &self.statement, Role::Client)?;
        let fields = strongroom_proto::intent::decode(bytes).unwrap();
        let act = match fields.action.as_ref().unwrap() {
            Action::Recover(_) => RecordAct::Recover,
            Action::StartRecovery(_) => RecordAct::StartRecovery,
            Action::PutShares(_) => RecordAct::PutShares,
            Action::ChangePolicy(it) => {
                RecordAct::ChangePolicy { client: it.client_policy, custodian: it.custodian_policy }
            }
            Action::CarryOut(it) => {
                RecordAct::CarryOut { kind: it.kind(), started_by: IntentHash::from_slice(&it.intent_hash).unwrap() }
            }
            other => panic!("nobody asked for {other:?}"),
        };
        let expected = Expected {
            tenant: self.tenant,
            wallet: &self.wallet,
            act: ExpectedAct::OnRecord { record_id: known.as_ref().unwrap().record_id, act },
            statement_serial: self.statement.serial(),
            newest: known.as_slice(),
            now: now(),
        };
        consent(&self.key, bytes, &expected)
    }
}

impl TenantBackend for Backend {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(async move { self.sign(intent) })
    }
}

fn with_backend(stack: &Stack, user: &User, backend: &Arc<Backend>) -> Device {
    Device::new(user.client.clone(), tenant(stack).unwrap(), trust(stack).unwrap()).with_backend(backend.clone())
}

fn pairs() -> Vec<Pair> {
    [("eth-main", Curve::Secp256k1), ("sol-main", Curve::Ed25519)]
        .map(|(id, curve)| Pair { id: id.to_owned(), curve: curve.into() })
        .into()
}

fn exposed(shares: &[Share]) -> Vec<&[u8]> {
    shares.iter().map(|share| share.bytes.expose()).collect()
}

fn delayed(tenant: TenantConsent) -> ClientPolicy {
    ClientPolicy { tenant, delay: Delay::from_seconds(DELAY_SECONDS).unwrap() }
}

/// Until what started to wait just now is due, and the host has looked for it.
async fn until_due() {
    tokio::time::sleep(Duration::from_secs(u64::from(DELAY_SECONDS)) + Duration::from_millis(1500)).await;
}

fn labels(prepared: &Prepared) -> Vec<&str> {
    choose(prepared, None).unwrap().credentials.iter().map(|credential| credential.label.as_str()).collect()
}

/// Waits until the host has carried out what waited.
async fn settled(user: &User, kind: OpenActKind) -> Prepared {
    let started = Instant::now();
    loop {
        let prepared = user.prepare().await.unwrap();
        if choose(&prepared, None).unwrap().open_act(kind).is_none() {
            return prepared;
        }
        assert!(started.elapsed() < CARRY_OUT_WAIT_MAX, "the host did not carry out what was due");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A phone with a backup, and a tablet whose passkey was added to it.
async fn phone_and_tablet(stack: &Stack) -> (User, User) {
    let phone = User::new(stack, "w").await.unwrap();
    phone.backup("main", [b"one", b"two"]).await.unwrap();
    let tablet = User::returning(stack, "w", Passkey::create(RP_ID).unwrap()).await.unwrap();
    let newcomer = Newcomer::new(tablet.passkey.registration(), "a tablet").unwrap();
    let prepared = phone.prepare().await.unwrap();
    let addition = phone.device.begin_adding(&prepared, None, &newcomer, &mut phone.asked()).await.unwrap();
    let prepared = tablet.prepare().await.unwrap();
    let own = tablet.passkey.registration();
    tablet.device.finish_adding(&prepared, &addition, &own, &mut tablet.asked()).await.unwrap();
    (phone, tablet)
}

#[tokio::test]
async fn a_second_passkey_is_added_renamed_recovers_and_outlives_the_first() {
    let (_folder, stack) = stack().await;
    let (phone, tablet) = phone_and_tablet(&stack).await;
    let prepared = phone.prepare().await.unwrap();
    assert_eq!(labels(&prepared), ["a phone", "a tablet"]);
    let id = tablet.passkey.credential_id();
    phone.device.rename_passkey(&prepared, None, id, "old tablet", &mut phone.asked()).await.unwrap();
    assert_eq!(labels(&phone.prepare().await.unwrap()), ["a phone", "old tablet"]);
    assert_eq!(tablet.recover().await.unwrap(), [b"one", b"two"]);

    let prepared = tablet.prepare().await.unwrap();
    tablet.device.change_policy(&prepared, None, delayed(TenantConsent::NotNeeded), &mut tablet.asked()).await.unwrap();
    let remove = async || {
        let prepared = tablet.prepare().await.unwrap();
        let (phone, pace) = (phone.passkey.credential_id(), Pace::AsThePolicySays);
        tablet.device.remove_passkey(&prepared, None, phone, pace, &mut tablet.asked()).await.unwrap()
    };
    assert!(remove().await.receipt().not_before_ms > 0);
    // The one who is to be removed sees it and cancels, if he comes in time.
    let prepared = phone.prepare().await.unwrap();
    phone.device.cancel(&prepared, None, OpenActKind::PasskeyRemoval, &mut phone.asked()).await.unwrap();
    until_due().await;
    assert_eq!(labels(&phone.prepare().await.unwrap()), ["a phone", "old tablet"], "cancelled is not carried out");

    remove().await;
    let prepared = settled(&tablet, OpenActKind::PasskeyRemoval).await;
    assert_eq!(labels(&prepared), ["old tablet"]);
    let pace = Pace::AsThePolicySays;
    let last = tablet.device.remove_passkey(&prepared, None, id, pace, &mut tablet.asked()).await.unwrap_err();
    assert_eq!(last.reason(), Some("LAST_PASSKEY"), "{last}");
    let record = choose(&prepared, None).unwrap();
    let intent = intent::remove_passkey(&prepared.base(Role::Client).unwrap(), record, &record.credentials[0]).unwrap();
    let request = ActRequest { request_id: "last".to_owned(), act: Some(tablet.sign(&intent).unwrap()) };
    let last = tablet.client.remove_passkey(&request).await.unwrap_err();
    assert_eq!(last.reason(), Some("LAST_PASSKEY"), "the enclave says so too: {last}");
    let gone = phone.device.rename_passkey(&prepared, None, id, "x", &mut phone.asked()).await.unwrap_err();
    assert!(matches!(gone, Error::WrongPasskey { .. }), "{gone}");
}

#[tokio::test]
async fn a_new_generation_is_put_from_the_second_device_and_both_open() {
    let (_folder, stack) = stack().await;
    let (phone, tablet) = phone_and_tablet(&stack).await;
    let prepared = tablet.prepare().await.unwrap();
    let new = shares([b"three", b"four"]);
    let put = tablet.device.put(&prepared, None, &pairs(), new, &mut tablet.asked()).await.unwrap();
    assert_eq!(put.receipt().generation, 2);
    for (generation, expect) in
        [(None, [&b"three"[..], b"four"]), (Some(2), [b"three", b"four"]), (Some(1), [b"one", b"two"])]
    {
        let prepared = phone.prepare().await.unwrap();
        let released = phone.device.recover_generation(&prepared, None, generation, &mut phone.asked()).await.unwrap();
        assert_eq!(exposed(&released.shares), expect);
    }
    let prepared = phone.prepare().await.unwrap();
    let none = phone.device.recover_generation(&prepared, None, Some(3), &mut phone.asked()).await.unwrap_err();
    assert_eq!(none.reason(), Some("NO_VALID_BACKUP"), "{none}");
}

#[tokio::test]
async fn the_tenant_vouches_for_the_newest_head() {
    let (_folder, stack) = stack().await;
    let (phone, _tablet) = phone_and_tablet(&stack).await;
    let backend = Backend::of(&stack, "w");
    let prepared = phone.prepare().await.unwrap();
    let wanted = ClientPolicy { tenant: TenantConsent::NewestHead, ..ClientPolicy::PASSKEY };
    let changed = phone.device.change_policy(&prepared, None, wanted, &mut phone.asked()).await.unwrap();
    let prepared = phone.prepare().await.unwrap();
    let alone = phone.device.recover(&prepared, None, &mut phone.asked()).await.unwrap_err();
    assert!(matches!(alone, Error::TenantNeeded { .. }), "{alone}");

    let device = with_backend(&stack, &phone, &backend);
    backend.keep(&changed);
    let recovered = device.recover(&prepared, None, &mut phone.asked()).await.unwrap();
    assert_eq!(exposed(&recovered.shares), [b"one", b"two"]);
    assert_eq!(recovered.acted.receipt().stages.freshness(), Freshness::CallerReceipt);
    // The backend did not hear of that recovery: the head that the device names is another than the newest that it knows.
    let prepared = phone.prepare().await.unwrap();
    let unknown = device.recover(&prepared, None, &mut phone.asked()).await.unwrap_err();
    assert!(matches!(unknown, Error::NotExpected { field: "head", .. }), "{unknown}");
    backend.receipts.lock().unwrap().push(recovered.acted.signed().clone());
    device.recover(&prepared, None, &mut phone.asked()).await.unwrap();
}

#[tokio::test]
async fn a_recovery_waits_for_its_time_and_goes_to_its_recipient_alone() {
    let (_folder, stack) = stack().await;
    let (phone, tablet) = phone_and_tablet(&stack).await;
    let backend = Backend::of(&stack, "w");
    let wanted = delayed(TenantConsent::NewestHead);
    let prepared = phone.prepare().await.unwrap();
    backend.keep(&phone.device.change_policy(&prepared, None, wanted, &mut phone.asked()).await.unwrap());
    let device = with_backend(&stack, &phone, &backend);
    let prepared = phone.prepare().await.unwrap();
    let at_once = device.recover(&prepared, None, &mut phone.asked()).await.unwrap_err();
    assert_eq!(at_once.reason(), Some("RECOVERY_DELAYED"), "{at_once}");

    let (key, stranger) = (RecipientKey::generate().unwrap(), RecipientKey::generate().unwrap());
    let started = device.start_recovery(&prepared, None, None, &key, &mut phone.asked()).await.unwrap();
    backend.keep(&started);
    let prepared = phone.prepare().await.unwrap();
    let early = release(&phone, &prepared, &backend, &key).await.unwrap_err();
    assert_eq!(early.reason(), Some("RECOVERY_DELAYED"), "{early}");

    until_due().await;
    let prepared = phone.prepare().await.unwrap();
    let other = release(&phone, &prepared, &backend, &stranger).await.unwrap_err();
    assert_eq!(other.reason(), Some("RECIPIENT_NOT_ALLOWED"), "{other}");
    let other = device.release_recovery(&prepared, None, &stranger).await.unwrap_err();
    assert_eq!(other.reason(), Some("RECIPIENT_NOT_ALLOWED"), "{other}");
    let alone = phone.device.release_recovery(&prepared, None, &key).await.unwrap_err();
    assert!(matches!(alone, Error::TenantNeeded { .. }), "{alone}");
    let released = device.release_recovery(&prepared, None, &key).await.unwrap();
    assert_eq!(exposed(&released.shares), [b"one", b"two"]);
    assert_eq!(released.acted.receipt().stages.freshness(), Freshness::CallerReceipt);
    backend.receipts.lock().unwrap().push(released.acted.signed().clone());

    let prepared = phone.prepare().await.unwrap();
    let again = device.start_recovery(&prepared, None, None, &key, &mut phone.asked()).await.unwrap();
    backend.keep(&again);
    let prepared = tablet.prepare().await.unwrap();
    let kind = OpenActKind::Recovery;
    backend.keep(&tablet.device.cancel(&prepared, None, kind, &mut tablet.asked()).await.unwrap());
    let prepared = phone.prepare().await.unwrap();
    let gone = device.release_recovery(&prepared, None, &key).await.unwrap_err();
    assert_eq!(gone.reason(), Some("STATE_INVALID"), "{gone}");
}

/// Asks the host for a release past the device's own checks, with the tenant's second signature.
async fn release(user: &User, prepared: &Prepared, backend: &Backend, key: &RecipientKey) -> Result<(), Error> {
    let record = choose(prepared, None).unwrap();
    let open = record.open_act(OpenActKind::Recovery).unwrap();
    let intent = intent::carry_out(&prepared.base(Role::Client).unwrap(), record, open).unwrap();
    let signature = backend.sign(&intent.bytes).unwrap();
    let request = ReleaseRecoveryRequest {
        request_id: hex::encode(intent.hash),
        wallet: "w".to_owned(),
        backup: "main".to_owned(),
        recovery: open.intent.0.to_vec(),
        client_recipient_key: key.public_key().to_vec(),
        act: Some(Act { intent: intent.bytes, assertions: Vec::new(), tenant_signature: Some(signature) }),
        ..ReleaseRecoveryRequest::default()
    };
    user.client.release_recovery(&request).await.map(|_| ())
}

#[tokio::test]
async fn a_deletion_has_its_grace_and_can_be_cancelled() {
    let (_folder, stack) = stack().await;
    let (phone, tablet) = phone_and_tablet(&stack).await;
    let prepared = phone.prepare().await.unwrap();
    let before = now().unix_ms();
    let deleted = phone.device.delete(&prepared, None, &mut phone.asked()).await.unwrap();
    let week = strongroom_proto::limits::GRACE_MS;
    assert!(deleted.receipt().not_before_ms.abs_diff(before + week) < 60_000, "seven days from now");
    let prepared = tablet.prepare().await.unwrap();
    let early = tablet.device.carry_out(&prepared, None, OpenActKind::Delete).await.unwrap_err();
    assert_eq!(early.reason(), Some("RECOVERY_DELAYED"), "{early}");
    assert_eq!(tablet.recover().await.unwrap(), [b"one", b"two"], "until then everything opens");
    let prepared = tablet.prepare().await.unwrap();
    tablet.device.cancel(&prepared, None, OpenActKind::Delete, &mut tablet.asked()).await.unwrap();
    assert!(choose(&phone.prepare().await.unwrap(), None).unwrap().open_acts.is_empty());
}

#[tokio::test]
async fn the_history_is_exported_and_holds_offline() {
    let (folder, stack) = stack().await;
    let (phone, tablet) = phone_and_tablet(&stack).await;
    let prepared = tablet.prepare().await.unwrap();
    let new = shares([b"three", b"four"]);
    let put = tablet.device.put(&prepared, None, &pairs(), new, &mut tablet.asked()).await.unwrap();
    let (export, newest) = (folder.path().join("w.audit"), folder.path().join("put.receipt"));
    std::fs::write(&newest, put.signed().encode_to_vec()).unwrap();
    let (export, newest) = (path_text(&export).unwrap(), path_text(&newest).unwrap());
    let key = stack.api_key_file();
    let (host, tenant) = (stack.api().unwrap(), stack.tenant().unwrap());
    let reach = ["--host", &host, "--api-key-file", path_text(&key).unwrap(), "--wallet", "w"];
    stack.strongroom(&[&["audit", "export", "--out", export], &reach[..]].concat()).unwrap();
    let verify = ["audit", "verify", export, "--tenant", &tenant];
    let printed = stack.strongroom(&[&verify[..], &["--newest", newest]].concat()).unwrap();
    assert!(printed.contains("nothing is missing up to version 3"), "{printed}");
    for act in ["1 at", "create backup", "2 at", "add passkey", "3 at", "put shares"] {
        assert!(printed.contains(act), "{act}: {printed}");
    }
    // A recovery later, the export of before is a prefix, and the receipt of the recovery shows it.
    let prepared = phone.prepare().await.unwrap();
    let recovered = phone.device.recover(&prepared, None, &mut phone.asked()).await.unwrap();
    let later = folder.path().join("recovery.receipt");
    std::fs::write(&later, recovered.acted.signed().encode_to_vec()).unwrap();
    stack.strongroom(&verify).unwrap();
    let seen = stack.strongroom(&[&verify[..], &["--newest", path_text(&later).unwrap()]].concat()).unwrap_err();
    assert!(seen.to_string().contains("it is an older prefix"), "{seen}");
}
