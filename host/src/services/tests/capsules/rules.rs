//! What an import refuses. Whatever it refuses leaves the store as it was.

use strongroom_proto::v1::{CapsuleKek, GenerationRef, Manifest, OpenAct, Receipt, SignedStatement, Statement};

use super::*;
use crate::rows::{WalletRow, decode};
use crate::services::tests::core::identity;
use crate::store::{Expect, Write};

/// Takes the last one away.
fn cut<T>(list: &mut Vec<T>) {
    list.pop().unwrap();
}

type Change = fn(&mut Capsule, &Caller);

fn receipt(signed: &mut Option<SignedReceipt>, change: impl FnOnce(&mut Receipt)) {
    let signed = signed.as_mut().unwrap();
    let mut receipt = Receipt::decode(signed.receipt.as_slice()).unwrap();
    change(&mut receipt);
    signed.receipt = receipt.encode_to_vec();
}

fn newest(capsule: &mut Capsule, change: impl FnOnce(&mut Receipt)) {
    receipt(&mut capsule.roles[0].receipt, change);
}

fn put_of_second(capsule: &mut Capsule, change: impl FnOnce(&mut Receipt)) {
    receipt(&mut capsule.roles[0].generations[1].put, change);
}

fn statement(capsule: &mut Capsule, caller: &Caller, change: impl FnOnce(&mut Statement)) {
    let mut statement = Statement::decode(capsule.statement.as_ref().unwrap().statement.as_slice()).unwrap();
    change(&mut statement);
    capsule.statement = Some(caller.sign(&statement));
}

/// Each with the field that the refusal names.
const BROKEN: &[(&str, Change)] = &[
    ("format", |it, _| it.format = 0),
    ("format", |it, _| it.format = 2),
    ("statement", |it, _| it.statement = None),
    ("statement.statement", |it, _| it.statement.as_mut().unwrap().statement.extend([0xf8, 0x7f, 1])),
    ("statement.statement", |it, _| it.statement.as_mut().unwrap().statement = vec![0xff]),
    ("statement.signature", |it, _| it.statement.as_mut().unwrap().signature[0] ^= 1),
    ("statement.signature", |it, caller| {
        let other = it.statement.as_mut().unwrap();
        let mut statement = Statement::decode(other.statement.as_slice()).unwrap();
        statement.serial = 7;
        *other = SignedStatement { statement: statement.encode_to_vec(), ..caller.statement(1) };
    }),
    ("roles.role", |it, caller| statement(it, caller, |statement| statement.custodian = None)),
    ("wallet", |it, _| it.wallet = "w/w".to_owned()),
    ("wallet", |it, _| it.wallet.clear()),
    ("roles.receipt", |it, _| it.wallet = "other".to_owned()),
    ("backup", |it, _| it.backup = "b\0".to_owned()),
    ("method", |it, _| it.method = "passkey".to_owned()),
    ("secret", |it, _| it.secret = 0),
    ("secret", |it, _| it.secret = 9),
    ("storage", |it, _| it.storage = 0),
    ("storage", |it, _| it.storage = 3),
    ("pairs", |it, _| it.pairs.clear()),
    ("pairs", |it, _| it.pairs.reverse()),
    ("pairs", |it, _| it.pairs[0].curve = 7),
    ("pairs", |it, _| it.pairs[1].id = "p1".to_owned()),
    ("record_id", |it, _| cut(&mut it.record_id)),
    ("roles.receipt", |it, _| it.record_id[0] ^= 1),
    ("roles", |it, _| it.roles.reverse()),
    ("roles", |it, _| it.roles.clear()),
    ("roles", |it, _| it.roles.push(it.roles[1].clone())),
    ("made_in", |it, _| cut(&mut it.roles)),
    ("made_in", |it, _| cut(&mut it.made_in)),
    ("roles.role", |it, _| {
        it.roles[1].role = 7;
        it.made_in[1] = 7;
    }),
    ("roles.manifest", |it, _| it.roles[0].manifest.clear()),
    ("roles.manifest", |it, _| it.roles[0].manifest.push(0)),
    ("roles.manifest", |it, _| it.roles[0].manifest = Manifest { role: 2, ..Manifest::default() }.encode_to_vec()),
    ("roles.keks", |it, _| it.roles[0].keks.clear()),
    ("roles.keks", |it, _| it.roles[0].keks = vec![it.roles[0].keks[0].clone(); 2]),
    ("roles.keks.epoch", |it, _| it.roles[0].keks[0].epoch = 0),
    ("roles.keks.epoch", |it, _| it.roles[0].keks.push(CapsuleKek { epoch: 2, wrapped: vec![1] })),
    ("roles.keks.wrapped", |it, _| it.roles[0].keks[0].wrapped.clear()),
    ("roles.keks.wrapped", |it, _| it.roles[0].keks[0].wrapped = vec![0; 6145]),
    ("roles.keks", |it, caller| {
        // One that nothing lies under would take the place of the true one.
        statement(it, caller, |statement| {
            let epoch = strongroom_proto::v1::Epoch { epoch: 2, ..Default::default() };
            statement.client.as_mut().unwrap().epochs.push(epoch);
        });
        it.roles[0].keks.push(CapsuleKek { epoch: 2, wrapped: vec![1] });
        let mut second = it.roles[0].attestations[0].clone();
        second.identity = identity(&caller.tenant, Role::Client, 2);
        it.roles[0].attestations.push(second);
    }),
    ("roles.keks", |it, _| it.roles[0].epoch = 2),
    ("roles.keks", |it, _| it.roles[1].generations[0].epoch = 2),
    ("roles.record", |it, _| it.roles[0].record.clear()),
    ("roles.record", |it, _| it.roles[0].record = vec![0; 512 * 1024 + 1]),
    ("roles.receipt", |it, _| it.roles[0].receipt = None),
    ("roles.receipt", |it, _| it.roles[0].receipt = it.roles[1].receipt.clone()),
    ("roles.receipt", |it, _| cut(&mut it.roles[0].receipt.as_mut().unwrap().signature)),
    ("roles.receipt", |it, _| it.roles[0].receipt.as_mut().unwrap().receipt.extend([0xf8, 0x7f, 1])),
    ("roles.receipt", |it, _| newest(it, |receipt| receipt.tenant[0] ^= 1)),
    ("roles.receipt", |it, _| newest(it, |receipt| receipt.wallet = "other".to_owned())),
    ("roles.receipt", |it, _| newest(it, |receipt| receipt.record_id[0] ^= 1)),
    ("roles.receipt", |it, _| newest(it, |receipt| receipt.version = 0)),
    ("roles.generations", |it, _| newest(it, |receipt| receipt.active = None)),
    ("roles.generations", |it, _| {
        newest(it, |receipt| receipt.pending = Some(GenerationRef { generation: 3, ..GenerationRef::default() }));
    }),
    ("roles.generations.put", |it, _| newest(it, |receipt| receipt.version = 1)),
    ("roles.generations", |it, _| it.roles[0].generations.clear()),
    ("roles.generations", |it, _| cut(&mut it.roles[0].generations)),
    ("roles.generations", |it, _| drop(it.roles[0].generations.remove(0))),
    ("roles.generations", |it, _| it.roles[0].generations.reverse()),
    ("roles.generations", |it, _| it.roles[0].generations = vec![it.roles[0].generations[0].clone(); 9]),
    ("roles.generations.put", |it, _| it.roles[0].generations[1].generation = 3),
    ("roles.generations.put", |it, _| it.roles[0].generations[1].put = None),
    ("roles.generations.put", |it, _| it.roles[0].generations[1].put = it.roles[1].generations[1].put.clone()),
    ("roles.generations.put", |it, _| it.roles[0].generations[1].put = it.roles[0].generations[0].put.clone()),
    ("roles.generations.put", |it, _| put_of_second(it, |receipt| receipt.version = 99)),
    ("roles.generations.put", |it, _| put_of_second(it, |receipt| receipt.version = 1)),
    ("roles.generations.put", |it, _| {
        let version = Receipt::decode(it.roles[0].receipt.as_ref().unwrap().receipt.as_slice()).unwrap().version;
        put_of_second(it, |receipt| receipt.version = version);
    }),
    ("roles.generations.put", |it, _| {
        // Of versions that fall while the generations rise.
        receipt(&mut it.roles[0].generations[0].put, |receipt| receipt.version = 3);
        put_of_second(it, |receipt| receipt.version = 2);
    }),
    ("roles.generations.pairs", |it, _| it.roles[0].generations[0].pairs.reverse()),
    ("roles.generations.shares", |it, _| cut(&mut it.roles[0].generations[0].pairs)),
    ("roles.generations.shares", |it, _| cut(&mut it.roles[0].generations[0].shares)),
    ("roles.generations.shares", |it, _| it.roles[1].generations[0].shares.clear()),
    ("roles.generations.shares", |it, _| it.roles[0].generations[0].shares.reverse()),
    ("roles.generations.shares", |it, _| it.roles[0].generations[0].shares[0].generation = 2),
    ("roles.generations.shares", |it, _| it.roles[0].generations[0].shares[1].pair = "p9".to_owned()),
    ("roles.generations.shares", |it, _| it.storage = Storage::SelfManaged.into()),
    ("roles.generations.shares.sealed", |it, _| it.roles[0].generations[0].shares[0].sealed.clear()),
    ("roles.generations.shares.sealed", |it, _| {
        it.roles[0].generations[0].shares[0].sealed = vec![0; strongroom_proto::limits::SEALED_SHARE_BYTES_MAX + 1];
    }),
    ("roles.generations.seals", |it, _| {
        let seal = strongroom_proto::v1::CapsuleSeal { pair: "p1".to_owned(), sha256: vec![0; 32], epoch: 1 };
        it.roles[0].generations[0].seals.push(seal);
    }),
    ("roles.open_acts.kind", |it, _| it.roles[0].open_acts[0].kind = 0),
    ("roles.open_acts.kind", |it, _| it.roles[0].open_acts[0].kind = 9),
    ("roles.open_acts", |it, _| it.roles[0].open_acts = vec![it.roles[0].open_acts[0].clone(); 2]),
    ("roles.open_acts.intent_hash", |it, _| cut(&mut it.roles[0].open_acts[0].intent_hash)),
    ("roles.open_acts.expires_ms", |it, _| it.roles[0].open_acts[0].expires_ms = 0),
    ("roles.attestations", |it, _| it.roles[0].attestations.clear()),
    ("roles.attestations", |it, _| it.roles[0].attestations[0] = it.roles[1].attestations[0].clone()),
    ("roles.attestations", |it, caller| {
        it.roles[0].attestations[0].identity = identity(&caller.tenant, Role::Client, 2);
    }),
    ("roles.attestations.identity", |it, _| it.roles[0].attestations[0].identity.push(0)),
    ("roles.attestations.document", |it, _| it.roles[0].attestations[0].document = vec![0; 16 * 1024 + 1]),
    ("client_ciphertexts", |it, _| it.secret = 2),
    ("ciphertexts", |it, _| {
        let of = |ciphertext| strongroom_proto::v1::CapsuleCiphertext { generation: 3, ciphertext: Some(ciphertext) };
        it.ciphertexts = sealed_with("x").into_iter().map(of).collect();
    }),
];

fn field(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().metadata["field"].clone()
}

#[tokio::test]
async fn whatever_a_capsule_lacks_or_contradicts_is_named_and_nothing_is_written() {
    let (host, caller) = busy_host().await;
    let good = capsule(&host, &caller, "b").await;
    let (other, _) = beside(&host).await;
    let before = all_rows(&other);
    for (number, (named, change)) in BROKEN.iter().enumerate() {
        let mut broken = good.clone();
        change(&mut broken, &caller);
        assert_ne!(broken, good, "{number} {named}");
        let status = refused(imported(&other, &broken.encode_to_vec()).await, Code::InvalidArgument, "BAD_REQUEST");
        assert_eq!(field(&status), *named, "{number}: {}", status.message());
        assert_eq!(all_rows(&other), before, "{number} {named}");
    }
    imported(&other, &good.encode_to_vec()).await.unwrap();
}

#[tokio::test]
async fn ciphertexts_are_whole_in_order_and_what_their_hash_says() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    drive(&host, &caller, "drive", Storage::Managed).await;
    let good = capsule(&host, &caller, "drive").await;
    let (other, _) = beside(&host).await;
    let before = all_rows(&other);
    let table: &[(&str, &str, Change)] = &[
        ("ciphertexts", "BAD_REQUEST", |it, _| cut(&mut it.ciphertexts)),
        ("ciphertexts", "BAD_REQUEST", |it, _| it.ciphertexts.reverse()),
        ("ciphertexts", "BAD_REQUEST", |it, _| it.ciphertexts[0].generation = 2),
        ("client_ciphertexts", "BAD_REQUEST", |it, _| it.ciphertexts.clear()),
        ("ciphertexts.ciphertext", "BAD_REQUEST", |it, _| it.ciphertexts[0].ciphertext = None),
        ("ciphertexts.ciphertext.sha256", "BAD_REQUEST", |it, _| {
            it.ciphertexts[0].ciphertext.as_mut().unwrap().sha256.pop();
        }),
        ("ciphertexts.ciphertext", "CIPHERTEXT_HASH_MISMATCH", |it, _| {
            it.ciphertexts[0].ciphertext.as_mut().unwrap().ciphertext[0] ^= 1;
        }),
        ("client_ciphertexts.ciphertext", "BAD_REQUEST", |it, _| {
            it.ciphertexts[1].ciphertext.as_mut().unwrap().ciphertext.clear();
        }),
        ("client_ciphertexts.ciphertext", "BAD_REQUEST", |it, _| it.storage = Storage::SelfManaged.into()),
        ("ciphertexts.ciphertext.ciphertext", "BAD_REQUEST", |it, _| {
            let ciphertext = vec![0; strongroom_proto::limits::CIPHERTEXT_BYTES_MAX + 1];
            it.ciphertexts[0].ciphertext.as_mut().unwrap().ciphertext = ciphertext;
        }),
    ];
    for (number, (named, reason, change)) in table.iter().enumerate() {
        let mut broken = good.clone();
        change(&mut broken, &caller);
        let status = refused(imported(&other, &broken.encode_to_vec()).await, Code::InvalidArgument, reason);
        if *reason == "BAD_REQUEST" {
            assert_eq!(field(&status), *named, "{number}: {}", status.message());
        }
        assert_eq!(all_rows(&other), before, "{number} {named}");
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_registered_is_unknown() {
    let (host, caller) = host_of_both().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let other = Host::start_beside(&host).await;
    other.registered(2).await;
    let before = all_rows(&other);
    refused(imported(&other, &bytes).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(all_rows(&other), before);
}

#[tokio::test]
async fn nothing_is_restored_over_what_is_there() {
    let (host, caller) = host_of_both().await;
    let old = exported(&host, &caller, "w", "b").await.unwrap();
    usual_in(&host, &caller, "RenamePasskey", "rename").await.unwrap();
    let new = capsule(&host, &caller, "b").await;
    let (other, there) = beside(&host).await;
    let already = async |host: &Host, bytes: &[u8], what: &str| {
        let before = all_rows(host);
        let status = refused(imported(host, bytes).await, Code::AlreadyExists, "ALREADY_EXISTS");
        assert!(status.message().contains(what), "{status:?}");
        assert_eq!(all_rows(host), before);
    };
    // Where it came from, and where it was taken in: neither older nor newer, nor the same once more.
    already(&host, &old, "backup").await;
    imported(&other, &new.encode_to_vec()).await.unwrap();
    already(&other, &old, "backup").await;
    already(&other, &new.encode_to_vec(), "backup").await;
    // The same record under another name of the backup.
    already(&other, &Capsule { backup: "renamed".to_owned(), ..new.clone() }.encode_to_vec(), "record").await;
    // Another record, whose epoch would get another KEK.
    make(&host, &caller, BOTH, "c").await;
    let mut forged = capsule(&host, &caller, "c").await;
    forged.roles[1].keks[0].wrapped = b"another".to_vec();
    already(&other, &forged.encode_to_vec(), "KEK").await;
    assert_eq!(shown(&other, &there, "b").await.receipts.iter().map(version).collect::<Vec<_>>(), [2, 2]);
    imported(&other, &exported(&host, &caller, "w", "c").await.unwrap()).await.unwrap();
    assert_eq!(recovered(&other, &there, BOTH, "c", "r", 1).await[0].len(), 1200);
}

#[tokio::test]
async fn a_statement_takes_the_place_of_older_ones_alone() {
    for (stored, brought, expect) in [(None, 1, 1), (Some(1), 3, 3), (Some(3), 1, 3), (Some(2), 2, 2)] {
        let (host, caller) = host_of_both().await;
        for serial in 2..=brought {
            let put = PutStatementRequest { statement: Some(caller.statement(serial)) };
            TenantServiceClient::new(host.api.clone()).put_statement(caller.says(put)).await.unwrap();
        }
        let bytes = exported(&host, &caller, "w", "b").await.unwrap();
        let (other, there) = beside(&host).await;
        let mut tenants = TenantServiceClient::new(other.api.clone());
        if let Some(serial) = stored {
            let put = PutStatementRequest { statement: Some(caller.statement(serial)) };
            tenants.put_statement(there.says(put)).await.unwrap();
        }
        imported(&other, &bytes).await.unwrap();
        let found = tenants.get_statement(there.says(GetStatementRequest {})).await.unwrap().into_inner();
        assert_eq!(found.statement, Some(caller.statement(expect)), "{stored:?} {brought}");
        assert_eq!(recovered(&other, &there, BOTH, "b", "r", 1).await[0].len(), 1200);
    }
}

#[tokio::test]
async fn a_wallet_has_no_more_places_for_capsules() {
    let (host, caller) = host_of_both().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    for (backups, fits) in [(RECORDS_MAX - 1, true), (RECORDS_MAX, false)] {
        let (other, there) = beside(&host).await;
        let mut wallets = WalletServiceClient::new(other.api.clone());
        wallets.create_wallet(there.says(CreateWalletRequest { wallet: "w".to_owned() })).await.unwrap();
        let app = app(&other).await;
        let tenant = super::super::rotation::tenant(&there);
        let key = keys::wallet(&tenant, &keys::Name::parse("wallet", "w").unwrap());
        let stored = app.store.get(key.clone()).await.unwrap().unwrap();
        let row = WalletRow { backups: u32::try_from(backups).unwrap(), ejected_ms: 7, ..decode(&stored).unwrap() };
        let put = Some(row.encode_to_vec());
        let write = Write { key: key.clone(), expect: Expect::unchanged(Some(&stored)), put };
        app.store.commit(vec![write]).await.unwrap();
        let before = all_rows(&other);
        match imported(&other, &bytes).await {
            Ok(_) => {
                let row: WalletRow = decode(&app.store.get(key).await.unwrap().unwrap()).unwrap();
                assert_eq!((fits, row.backups as usize, row.ejected_ms), (true, RECORDS_MAX, 7));
            }
            refusal => {
                assert!(!fits);
                refused(refusal, Code::FailedPrecondition, "STATE_INVALID");
                assert_eq!(all_rows(&other), before);
            }
        }
    }
}

#[tokio::test]
async fn imports_of_several_backups_at_once_all_take_their_place() {
    let (host, caller) = host_of_both().await;
    for number in 1..12 {
        make(&host, &caller, BOTH, &format!("b{number}")).await;
    }
    let (other, there) = beside(&host).await;
    for number in (0..12).step_by(2) {
        let names = [number, number + 1].map(|it| if it == 0 { "b".to_owned() } else { format!("b{it}") });
        let one = exported(&host, &caller, "w", &names[0]).await.unwrap();
        let two = exported(&host, &caller, "w", &names[1]).await.unwrap();
        let (one, two) = tokio::join!(imported(&other, &one), imported(&other, &two));
        one.unwrap();
        two.unwrap();
        for backup in names {
            assert_eq!(recovered(&other, &there, BOTH, &backup, &backup, 1).await[0].len(), 1200);
        }
    }
    let row = all_rows(&other).into_iter().find(|(key, _)| key[0] == 5).unwrap().1;
    assert_eq!(decode::<WalletRow>(&row).unwrap().backups, 12);
}

#[tokio::test]
async fn what_a_capsule_says_of_open_acts_is_a_hint_and_no_more() {
    let (host, caller) = host_of_both().await;
    let mut lying = capsule(&host, &caller, "b").await;
    let kind = OpenActKind::Delete.into();
    let (intent_hash, not_before_ms, expires_ms) = (vec![9; 32], 1, u64::MAX);
    lying.roles[0].open_acts = vec![OpenAct { kind, intent_hash, not_before_ms, expires_ms, ..OpenAct::default() }];
    let (other, there) = beside(&host).await;
    imported(&other, &lying.encode_to_vec()).await.unwrap();
    due::once(&app(&other).await, now_ms()).await.unwrap();
    assert_eq!(shown(&other, &there, "b").await.state(), BackupState::Active, "the enclave knows of no deletion");
    assert_eq!(recovered(&other, &there, BOTH, "b", "r", 1).await[0].len(), 1200);
}
