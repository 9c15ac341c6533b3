//! Audits of exports that a real software NSM and real keys made, and that somebody then changed.

#[path = "audit/kit.rs"]
mod kit;

use kit::{Kit, decode};
use prost::Message;
use strongroom_proto::v1::{ActKind, AuditExport, SignedReceipt};
use strongroom_sdk::Trust;
use strongroom_sdk::attestation::Root;
use strongroom_sdk::audit::{Audit, Merge, Question, verify};

/// What an auditor is given.
struct Given {
    export: AuditExport,
    newest: Vec<SignedReceipt>,
}

fn audit(kit: &Kit, given: &Given) -> Audit {
    let trust = Trust::development(Root::development(kit.root_der()));
    verify(&given.export, &Question { tenant: kit.tenant(), trust: &trust, newest: &given.newest })
}

fn texts(audit: &Audit) -> Vec<String> {
    audit.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_genuine_history_holds_up_to_the_newest_receipt() {
    let kit = Kit::new();
    let export = kit.export();
    let last = export.receipts[5].clone();
    for (newest, confirmed) in
        [(vec![], None), (vec![last.clone()], Some(6)), (vec![export.receipts[2].clone()], Some(3))]
    {
        let audit = audit(&kit, &Given { export: export.clone(), newest });
        assert_eq!(texts(&audit), Vec::<String>::new());
        let [history] = audit.histories.as_slice() else { panic!("one history") };
        assert_eq!((history.acts.len(), history.confirmed, audit.statements.as_slice()), (6, confirmed, &[1, 2][..]));
        assert_eq!(history.head.0, *decode(&last).head);
    }
    let stated = Kit::sign(&Kit::stated(&decode(&last)));
    let given = Given {
        export: AuditExport { receipts: [export.receipts.clone(), vec![stated]].concat(), ..export },
        newest: vec![],
    };
    assert_eq!(
        texts(&audit(&kit, &given)),
        Vec::<String>::new(),
        "a receipt that moved nothing is a statement of state"
    );
}

#[test]
fn a_dropped_tail_is_seen_only_with_a_receipt_of_it() {
    let kit = Kit::new();
    let whole = kit.export();
    let mut cut = whole.clone();
    cut.receipts.truncate(4);
    let silent = audit(&kit, &Given { export: cut.clone(), newest: vec![] });
    assert_eq!((texts(&silent), silent.histories[0].confirmed), (vec![], None));
    let seen = audit(&kit, &Given { export: cut, newest: vec![whole.receipts[5].clone()] });
    assert_eq!(texts(&seen).len(), 1);
    assert!(texts(&seen)[0].contains("the export ends at version 4, and newest receipt 1 (client, version 6) shows"));
}

#[test]
fn pages_are_put_together_once() {
    let kit = Kit::new();
    let whole = kit.export();
    let mut merge = Merge::default();
    for receipts in whole.receipts.chunks(4) {
        merge.add(AuditExport { receipts: receipts.to_vec(), ..whole.clone() });
    }
    assert_eq!(merge.finish(), whole);
}

type Change = fn(&Kit, &mut Given);

/// Changes that nobody with a receipt key made.
const EDITS: &[(&str, Change, &str)] = &[
    ("one bit of a receipt", |_, g| *g.export.receipts[2].receipt.last_mut().unwrap() ^= 1, "receipt 3"),
    (
        "one bit of a signature",
        |_, g| g.export.receipts[2].signature[0] ^= 1,
        "receipt 3 (client, version 3): the signature is wrong",
    ),
    (
        "a field with its old signature",
        |_, g| {
            let mut receipt = decode(&g.export.receipts[3]);
            receipt.time_ms += 1;
            g.export.receipts[3].receipt = receipt.encode_to_vec();
        },
        "receipt 4 (client, version 4): the signature is wrong",
    ),
    ("a receipt left out", |_, g| drop(g.export.receipts.remove(2)), "the client role: version 3 is missing"),
    (
        "two receipts left out",
        |_, g| drop(g.export.receipts.drain(1..3)),
        "the client role: versions 2 to 3 are missing",
    ),
    ("the creation left out", |_, g| drop(g.export.receipts.remove(0)), "the client role: version 1 is missing"),
    (
        "two receipts swapped",
        |_, g| g.export.receipts.swap(2, 3),
        "stands after version 4: receipts were put in another order",
    ),
    (
        "a receipt twice",
        |_, g| {
            let it = g.export.receipts[2].clone();
            g.export.receipts.insert(3, it);
        },
        "has this version already",
    ),
    ("every receipt left out", |_, g| g.export.receipts.clear(), "there is no history"),
    (
        "an older prefix",
        |_, g| {
            g.newest = vec![g.export.receipts.pop().unwrap()];
        },
        "it is an older prefix",
    ),
    (
        "a newest receipt that was changed",
        |_, g| {
            g.newest = vec![g.export.receipts[5].clone()];
            g.newest[0].signature[0] ^= 1;
        },
        "newest receipt 1 (client, version 6): the signature is wrong",
    ),
    ("no statement", |_, g| g.export.statements.clear(), "no statement names epoch 1"),
    ("a statement left out", |_, g| drop(g.export.statements.remove(1)), "no statement names epoch 2"),
    (
        "statements swapped",
        |_, g| g.export.statements.swap(0, 1),
        "statement 2 has serial 1, not higher than the one before it",
    ),
    (
        "one bit of a statement's signature",
        |_, g| g.export.statements[1].signature[0] ^= 1,
        "statement 2: the statement's signature is wrong",
    ),
    (
        "another tenant's statement",
        |_, g| g.export.statements[0] = Kit::new().export().statements[0].clone(),
        "statement 1: the statement is of tenant",
    ),
    (
        "an attestation left out",
        |_, g| drop(g.export.attestations.remove(1)),
        "no attestation of epoch 2 that holds has the identity",
    ),
    (
        "one bit of a document",
        |_, g| *g.export.attestations[0].document.last_mut().unwrap() ^= 1,
        "attestation 1: the attestation document is refused",
    ),
    (
        "an identity beside another's document",
        |_, g| {
            g.export.attestations[0].identity = g.export.attestations[1].identity.clone();
        },
        "attestation 1:",
    ),
    (
        "a document of another root",
        |_, g| g.export.attestations[0] = Kit::new().export().attestations[0].clone(),
        "attestation 1: the attestation document is refused",
    ),
    (
        "another wallet's receipt",
        |_, g| {
            let mut receipt = decode(&g.export.receipts[4]);
            "other".clone_into(&mut receipt.wallet);
            g.export.receipts[4] = Kit::sign(&receipt);
        },
        "wallet is other, not w1",
    ),
];

/// Changes by somebody who has a receipt key, or a host that ran an enclave on two histories.
const SIGNED: &[(&str, Change, &str)] = &[
    (
        "a fork",
        |k, g| {
            let before = decode(&g.export.receipts[3]);
            let other = k.next(&before, ActKind::RenamePasskey, 99);
            g.export.receipts.insert(5, Kit::sign(&other));
        },
        "FORK of the client role at version 5: the enclave signed head",
    ),
    (
        "a fork that a receipt from elsewhere shows",
        |k, g| {
            let before = decode(&g.export.receipts[3]);
            g.newest = vec![Kit::sign(&k.next(&before, ActKind::RenamePasskey, 99))];
        },
        "FORK of the client role at version 5",
    ),
    (
        "a fork that a statement of state shows",
        |_, g| {
            let mut stated = Kit::stated(&decode(&g.export.receipts[5]));
            stated.head = vec![7; 32];
            g.export.receipts.push(Kit::sign(&stated));
        },
        "FORK of the client role at version 6",
    ),
    (
        "a head that does not follow",
        |_, g| {
            let mut receipt = decode(&g.export.receipts[5]);
            receipt.head = vec![7; 32];
            g.export.receipts[5] = Kit::sign(&receipt);
        },
        "receipt 6 (client, version 6): its head 0707",
    ),
    (
        "a first head that is not of the record id",
        |_, g| {
            for signed in &mut g.export.receipts {
                let mut receipt = decode(signed);
                receipt.record_id = vec![8; 32];
                *signed = Kit::sign(&receipt);
            }
        },
        "receipt 1 (client, version 1): its head",
    ),
    (
        "a version that is not the event's",
        |_, g| Kit::alter(g, 5, |r, _| r.version = 7),
        "the event's version is 6, not 7",
    ),
    (
        "an intent that is not the event's",
        |_, g| Kit::alter(g, 3, |r, _| r.intent_hash = vec![1; 32]),
        "the event's intent is",
    ),
    ("a time that is not the event's", |_, g| Kit::alter(g, 3, |r, _| r.time_ms += 1), "the event's time is"),
    ("another record", |_, g| Kit::alter(g, 3, |r, _| r.record_id[0] ^= 1), "record_id is"),
    ("another tenant", |_, g| Kit::alter(g, 3, |r, _| r.tenant[0] ^= 1), "receipt 4 (client, version 4): tenant is"),
    (
        "an epoch's receipt under another identity",
        |_, g| Kit::alter(g, 3, |r, _| r.identity_hash = vec![1; 32]),
        "no attestation of epoch 2 that holds has the identity 0101",
    ),
    ("an epoch that no statement names", |_, g| Kit::alter(g, 3, |r, _| r.epoch = 3), "no statement names epoch 3"),
    (
        "a statement that the export has not",
        |_, g| Kit::alter(g, 3, |_, e| e.statement_serial = 9),
        "the statement in force is 9",
    ),
    (
        "a tenant's key that no statement names",
        |_, g| Kit::alter(g, 3, |_, e| e.tenant_key = vec![1; 32]),
        "the tenant's key is 0101",
    ),
    ("an act of no known kind", |_, g| Kit::alter(g, 3, |_, e| e.kind = 77), "its event is of no known kind"),
    (
        "a second creation",
        |_, g| Kit::alter(g, 5, |_, e| e.kind = ActKind::CreateBackup.into()),
        "a creation at version 1 and nowhere else",
    ),
    (
        "a generation that a rename moves",
        |_, g| Kit::alter(g, 4, |r, _| r.active.as_mut().unwrap().generation = 9),
        "moved only by puts",
    ),
    (
        "a put that names another's generation",
        |_, g| Kit::alter(g, 1, |r, _| r.active.as_mut().unwrap().put_intent_hash = vec![3; 32]),
        "the generation that it put is",
    ),
    (
        "a field that the release does not know",
        |_, g| {
            let mut bytes = g.export.receipts[3].receipt.clone();
            bytes.extend([0xf8, 0x07, 1]);
            g.export.receipts[3] = Kit::sign_bytes(bytes, 2);
        },
        "no receipt: not in canonical encoding",
    ),
    (
        "an epoch that a later statement changes",
        |k, g| g.export.statements[1] = k.statement_with_other_keys(),
        "statement 2 drops or changes epoch 1 of the client role",
    ),
    (
        "two statements of one serial",
        |k, g| g.export.statements.push(k.second_statement_two()),
        "the tenant signed two different statements with serial 2",
    ),
];

#[test]
fn every_change_is_found() {
    let kit = Kit::new();
    let missed = EDITS.iter().chain(SIGNED).filter_map(|(name, change, expect)| {
        let mut given = Given { export: kit.export(), newest: Vec::new() };
        change(&kit, &mut given);
        let found = texts(&audit(&kit, &given));
        (!found.iter().any(|text| text.contains(expect))).then(|| format!("{name}: {found:?}"))
    });
    assert_eq!(missed.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_fork_is_proven_with_both_heads() {
    let kit = Kit::new();
    let export = kit.export();
    let other = kit.next(&decode(&export.receipts[3]), ActKind::RenamePasskey, 99);
    let heads = [hex::encode(decode(&export.receipts[4]).head), hex::encode(&other.head)];
    let found = texts(&audit(&kit, &Given { export, newest: vec![Kit::sign(&other)] }));
    assert_eq!(found.len(), 1);
    assert!(heads.iter().all(|head| found[0].contains(head)), "{found:?}");
}
