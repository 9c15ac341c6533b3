//! Backups that the device encrypts itself, with the custodian's record that the tenant makes beside them.

use std::sync::Mutex;

use strongroom_proto::intent as wire;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ClientCiphertext, GenerationState, Receipt, Storage};

use prost::Message;

use super::host::{Fault, Host, Tamper, alone_of, alone_view};
use super::*;
use crate::ciphertext::{Ciphertexts, Known, NewPassword, PASSWORD, Password, encrypt, open};
use crate::exchange::{OwnCiphertexts, SentAlone};
use crate::intent::{Alone, CustodianPolicy};
use crate::kept::{Folder, Kind};
use crate::tenant::custodian::Service;
use crate::testing::{WALLET, operational_key, sign_receipt_as, verified_statement_of_both};

/// What is done to the question, and to the answer.
type Asked = fn(&mut OwnCiphertexts);
type Told = fn(&mut SentAlone);

/// A tenant's backend that makes the custodian's record, with what it does wrong before and after.
#[derive(Debug)]
struct Desk {
    prepared: Prepared,
    client: Client,
    own: Asked,
    sent: Told,
    asked: Mutex<Vec<OwnCiphertexts>>,
}

impl TenantBackend for Desk {
    fn consent<'a>(&'a self, _: &'a [u8]) -> Consent<'a> {
        Box::pin(async { Err(Error::CustodianNeeded) })
    }

    fn send_alone(&self, own: OwnCiphertexts) -> Answer<'_, SentAlone> {
        Box::pin(self.answer(own))
    }
}

impl Desk {
    async fn answer(&self, mut own: OwnCiphertexts) -> Result<SentAlone, Error> {
        self.asked.lock().unwrap().push(own.clone());
        (self.own)(&mut own);
        let service = Service::new(&self.prepared, &verified_statement_of_both())?;
        let shares = vec![share("b", 6), share("a", 4)];
        let whole = if own.record_id.is_empty() {
            let (backup, method) = ("new".to_owned(), own.method.clone());
            service.create_alone(&Alone { backup, method, pairs: pairs(), policy: CustodianPolicy::TENANT }, shares)?
        } else {
            let record_id = self.prepared.backups()?[0].id();
            service.put_alone(record_id, &pairs(), shares)?
        };
        let ready = whole.with_device(own)?.sign(&operational_key())?;
        let (_, sent) = ready.send(&self.client, &self.prepared).await?;
        let mut told = ready.told(sent);
        (self.sent)(&mut told);
        Ok(told)
    }
}

struct World {
    device: Device,
    desk: Arc<Desk>,
    prepared: Prepared,
    host: Host,
}

async fn world(own: Asked, sent: Told, fault: Option<Fault>) -> World {
    let (client, prepared, host) = alone_of(Tamper::Nothing, fault, |_| {}).await;
    let asked = Mutex::default();
    let desk = Arc::new(Desk { prepared: prepared.clone(), client: client.clone(), own, sent, asked });
    let device = Device::new(client, crate::testing::tenant(), Trust::aws());
    let device = device.with_backend(Arc::clone(&desk) as Arc<dyn TenantBackend>);
    World { device, desk, prepared, host }
}

async fn right() -> World {
    world(|_| {}, |_| {}, None).await
}

fn opaque(text: &str) -> Ciphertexts {
    let of = |pair: Pair| (pair.clone(), format!("{text} {}", pair.id).into_bytes());
    Ciphertexts::new(pairs().into_iter().map(of).collect()).unwrap()
}

/// The service as it shows itself once generation 2 is the active one.
fn after_the_put() -> Prepared {
    let mut record = alone_view();
    let mut second = record.generations[0].clone();
    record.generations[0].state = GenerationState::Former.into();
    (second.generation, second.put_intent_hash) = (2, vec![14; 32]);
    record.generations.push(second);
    (record.highest_generation, record.version) = (2, record.version + 1);
    Prepared::of_both(Vec::new(), vec![record])
}

fn text(error: Result<Acted, Error>) -> String {
    error.unwrap_err().to_string()
}

#[tokio::test]
async fn shares_under_a_password_come_back_from_the_host_with_the_password_alone() {
    let World { device, desk, prepared, host } = right().await;
    let own = Own::next(&prepared, None).unwrap();
    assert_eq!((own.generation(), own.belongs().method, own.belongs().backup), (2, PASSWORD, "pw"));
    let known = Known { wallet: WALLET, backup: "pw", rp_id: "wallet.example" };
    let text = "violin granite otter 88 lampshade";
    let password = NewPassword::new(Password::new(text.to_owned()).unwrap(), &known).unwrap();
    let made = encrypt(&own.belongs(), &pairs(), &[share("a", 3), share("b", 5)], &password).unwrap();
    let done = device.store_own(&own, &made).await.unwrap();
    assert_eq!((done.receipts().count(), done.receipt().generation), (1, 2));
    // The enclaves and the tenant's backend see neither share nor password.
    let asked = desk.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.generation, asked.ciphertexts.as_slice()), (2, made.to_wire(Storage::Managed).as_slice()));
    assert_eq!(host.kept.has(), made.to_wire(Storage::Managed));
    assert!(host.kept.reports().is_empty());

    // As another device sees it afterwards: generation 2 is active.
    let after = after_the_put();
    let (own, generation) = Own::opening(&after, Some("pw"), None).unwrap();
    let fetched = device.fetch_own(&own, generation).await.unwrap();
    let shares = open(&own.belongs(), &fetched, &Password::new(text.to_owned()).unwrap()).unwrap();
    assert_eq!(shares.iter().map(|it| it.bytes.expose().len()).collect::<Vec<_>>(), [3, 5]);
    // A host that gives those of one generation as another's gives nothing that opens.
    let (first, generation) = Own::opening(&prepared, None, Some(1)).unwrap();
    let old = device.fetch_own(&first, generation).await.unwrap();
    assert!(matches!(open(&first.belongs(), &old, &Password::new(text.to_owned()).unwrap()), Err(Error::Password)));
}

#[tokio::test]
async fn a_new_backup_of_an_app_is_stored_beside_the_custodians_record() {
    let World { device, desk, prepared, host } = right().await;
    let own = Own::new(&prepared, "new", "GDRIVE").unwrap();
    device.store_own(&own, &opaque("app")).await.unwrap();
    assert_eq!(host.kept.has(), opaque("app").to_wire(Storage::Managed));
    let calls = host.calls.lock().unwrap();
    let request = strongroom_proto::v1::CreateBackupRequest::decode(calls[0].as_slice()).unwrap();
    assert_eq!((request.storage(), request.credential, request.client_message.len()), (Storage::Managed, None, 0));
    let fields = wire::decode(&request.act.unwrap().intent).unwrap();
    let Some(Action::CreateBackup(action)) = fields.action else { panic!("a creation") };
    assert_eq!((action.method.as_str(), fields.client, action.credential), ("GDRIVE", None, None));
    assert!(desk.asked.lock().unwrap()[0].record_id.is_empty());

    for (backup, method, expect) in [
        ("pw", "GDRIVE", "has a backup pw already"),
        ("a/b", "GDRIVE", "backup: not 1 to 64 bytes"),
        ("new", "gdrive", "method: not 1 to 32 bytes"),
    ] {
        let error = Own::new(&prepared, backup, method).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn an_owner_keeps_his_ciphertexts_and_the_host_has_their_hashes() {
    let World { device, prepared, host, .. } = right().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let device = device.with_keeper(Arc::new(folder.clone()));
    let own = Own::next(&prepared, None).unwrap();
    let done = device.store_own(&own, &opaque("own")).await.unwrap();
    assert!(host.kept.has().iter().all(|it| it.ciphertext.is_empty() && it.sha256.len() == 32));
    assert_eq!(host.kept.reports(), [(2, true, PASSWORD.to_owned())]);
    assert!(folder.newest(Kind::Ciphertexts, &done.receipt().record_id, 2).unwrap().is_some());

    let after = after_the_put();
    let (own, generation) = Own::opening(&after, None, None).unwrap();
    assert_eq!(device.fetch_own(&own, generation).await.unwrap(), opaque("own"));
    host.kept.back(|it| it[0].sha256[0] ^= 1);
    assert!(device.fetch_own(&own, generation).await.unwrap_err().to_string().contains("SHA-256 is"));
    let (first, generation) = Own::opening(&prepared, None, Some(1)).unwrap();
    assert!(device.fetch_own(&first, generation).await.unwrap_err().to_string().contains("nothing of generation 1"));
}

#[tokio::test]
async fn a_host_that_does_not_give_back_what_it_was_given_is_found_out_at_once() {
    let cases: [fn(&mut Vec<ClientCiphertext>); 5] = [
        Vec::clear,
        |it| it.reverse(),
        |it| it[0].ciphertext.push(0),
        |it| it[1].sha256[0] ^= 1,
        |it| it[1].ciphertext.clear(),
    ];
    for (index, back) in cases.into_iter().enumerate() {
        let World { device, prepared, host, .. } = right().await;
        host.kept.back(back);
        let error = text(device.store_own(&Own::next(&prepared, None).unwrap(), &opaque("x")).await);
        assert!(error.contains("does not give back the ciphertexts"), "{index}: {error}");
    }
}

#[tokio::test]
async fn the_backend_sends_only_what_the_device_made_for_this_very_act() {
    let cases: [(Asked, &str); 13] = [
        (|it| it.wallet.push('x'), "intent's wallet is"),
        (|it| it.record_id[0] ^= 1, "intent's record_id is"),
        (|it| it.generation = 3, "intent's generation is 2, but the tenant expects 3"),
        (|it| _ = it.pairs.pop(), "pairs are not those of the custodian's shares"),
        (|it| it.pairs[0].curve = 2, "pairs are not those of the custodian's shares"),
        (|it| _ = it.ciphertexts.pop(), "list of ciphertexts is a, not a, b"),
        (|it| it.ciphertexts.reverse(), "list of ciphertexts is b, a"),
        (|it| it.ciphertexts[0].ciphertext.push(0), "ciphertext's SHA-256 is"),
        (|it| it.ciphertexts[0].sha256[0] ^= 1, "ciphertext's SHA-256 is"),
        (|it| it.ciphertexts[0].sha256.clear(), "SHA-256 has 0 bytes"),
        (|it| it.ciphertexts[0].ciphertext.clear(), "that of pair a has 0 bytes"),
        (|it| it.ciphertexts[0].ciphertext = vec![0; 263_169], "that of pair a has 263169 bytes"),
        (|it| it.storage = Storage::SelfManaged.into(), "its owner is to keep it"),
    ];
    for (own, expect) in cases {
        let World { device, prepared, host, .. } = world(own, |_| {}, None).await;
        let error = text(device.store_own(&Own::next(&prepared, None).unwrap(), &opaque("x")).await);
        assert!(error.contains(expect), "{expect}: {error}");
        assert!(host.calls.lock().unwrap().is_empty(), "nothing is sent: {expect}");
    }
    for (own, expect) in [
        (
            (|it| it.backup = "other".to_owned()) as fn(&mut OwnCiphertexts),
            "intent's backup is new, but the tenant expects other",
        ),
        (|it| it.method = "ICLOUD".to_owned(), "intent's method is"),
    ] {
        let World { device, prepared, .. } = world(own, |_| {}, None).await;
        let made = Own::new(&prepared, "new", "GDRIVE").unwrap();
        let done = device.store_own(&made, &opaque("x")).await;
        // The desk makes what the message says, so that another method is found out by the device.
        let error = text(done);
        assert!(error.contains(expect) || error.contains("method is ICLOUD, not GDRIVE"), "{error}");
    }
}

/// The intent changed, and signed again by the tenant: what a backend that is not right could do.
fn resigned(sent: &mut SentAlone, change: impl FnOnce(&mut strongroom_proto::v1::Intent)) {
    let mut fields = wire::decode(&sent.intent).unwrap();
    change(&mut fields);
    sent.intent = fields.encode_to_vec();
    sent.tenant_signature = Some(operational_key().sign_intent(&sent.intent).unwrap());
}

#[tokio::test]
async fn the_device_checks_what_the_backend_signed_and_what_the_enclave_receipted() {
    let cases: [(Told, &str); 18] = [
        (|it| receipted(it, |r| r.record_id[0] ^= 1), "receipt's record_id is"),
        (|it| receipted(it, |r| r.intent_hash[0] ^= 1), "receipt's intent_hash is"),
        (|it| receipted(it, |r| r.active = None), "active generation is none"),
        (|it| receipted(it, |r| r.role = 1), "it has not one receipt of the custodian role"),
        (|it| it.receipts.clear(), "it has not one receipt of the custodian role"),
        (|it| it.receipts.push(it.receipts[0].clone()), "it has not one receipt of the custodian role"),
        (|it| it.receipts[0].signature[0] ^= 1, "receipt's signature is wrong"),
        (|it| it.tenant_signature = None, "it has no tenant signature"),
        (|it| it.tenant_signature.as_mut().unwrap().signature[0] ^= 1, "tenant's consent's signature is wrong"),
        (|it| it.tenant_signature.as_mut().unwrap().key[0] ^= 1, "no operational key of the statement"),
        (|it| it.intent.push(0), "backend's intent is malformed"),
        (|it| resigned(it, |i| i.wallet.push('x')), "intent's wallet is"),
        (|it| resigned(it, |i| i.client.clone_from(&i.custodian)), "names the client role"),
        (|it| resigned(it, |i| i.custodian.as_mut().unwrap().head = vec![1; 32]), "backend's intent's head is"),
        (|it| resigned(it, |i| i.custodian.as_mut().unwrap().message_hash.clear()), "message_hash has 0 bytes"),
        (|it| resigned(it, |i| i.custodian.as_mut().unwrap().recipient = vec![1; 32]), "intent's recipient is"),
        (|it| resigned(it, |i| put(i).generation = 3), "backend's intent's generation is 3, not 2"),
        (|it| resigned(it, |i| _ = put(i).pairs.pop()), "its pairs are not those of the ciphertexts"),
    ];
    for (sent, expect) in cases {
        let World { device, prepared, .. } = world(|_| {}, sent, None).await;
        let error = text(device.store_own(&Own::next(&prepared, None).unwrap(), &opaque("x")).await);
        assert!(error.contains(expect), "{expect}: {error}");
    }
    let faults: [(Fault, &str); 4] = [
        (|r, _| r.record_id[0] ^= 1, "receipt's record_id is"),
        (|r, _| r.intent_hash[0] ^= 1, "receipt's intent_hash is"),
        (|_, e| e.generation = 1, "event's generation is 1, not 2"),
        (|_, e| e.tenant_key.clear(), "event's tenant_key is"),
    ];
    for (fault, expect) in faults {
        let World { device, prepared, .. } = world(|_| {}, |_| {}, Some(fault)).await;
        let error = text(device.store_own(&Own::next(&prepared, None).unwrap(), &opaque("x")).await);
        assert!(error.contains(expect), "{expect}: {error}");
    }
}

/// The receipt changed, and signed again with the enclave's key: what the backend was told is not what the device is told.
fn receipted(sent: &mut SentAlone, change: impl FnOnce(&mut Receipt)) {
    let mut receipt = Receipt::decode(sent.receipts[0].receipt.as_slice()).unwrap();
    change(&mut receipt);
    sent.receipts[0] = sign_receipt_as(Role::Custodian, receipt.encode_to_vec());
}

fn put(intent: &mut strongroom_proto::v1::Intent) -> &mut strongroom_proto::v1::PutSharesAction {
    match &mut intent.action {
        Some(Action::PutShares(action)) => action,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_backend_and_for_other_backups_nothing_is_sent() {
    let (client, prepared, host) = alone_of(Tamper::Nothing, None, |_| {}).await;
    let device = Device::new(client, crate::testing::tenant(), Trust::aws());
    let own = Own::next(&prepared, None).unwrap();
    assert!(matches!(device.store_own(&own, &opaque("x")).await, Err(Error::CustodianNeeded)));
    let of_client = Prepared::of(vec![record_view()]);
    for result in [Own::next(&of_client, None).map(|_| ()), Own::opening(&of_client, None, None).map(|_| ())] {
        assert!(result.unwrap_err().to_string().contains("has its client share in an enclave"));
    }
    let refused = device.fetch_escrowed(&of_client, None, None).await.unwrap_err().to_string();
    assert!(refused.contains("has a share in the enclave, and no ciphertext"), "{refused}");
    let gone = Own::opening(&prepared, None, Some(7)).map(|_| ()).unwrap_err();
    assert_eq!(gone.reason(), Some("NO_VALID_BACKUP"));
    assert!(host.calls.lock().unwrap().is_empty());
}
