//! Rules of every intent: form, encoding, tenant, wallet, time, parts, and what the action says of them.

use prost::Message;
use strongroom_proto::enclave::v1::{Recover, request::Body as Ask, response::Body as Answer};
use strongroom_proto::limits::INTENT_BYTES_MAX;
use strongroom_proto::v1::{Act, Intent, Reason, RecoverAction, RehearseAction, RolePart, intent::Action};

use crate::acts::{Backup, MINUTES_15, act, action, back_up, creation, part, recover, recovery, rehearsal, rehearse};
use crate::device::{Passkey, Recipient, honest};
use crate::world::{Case, START, World, told};

struct Stage {
    world: World,
    backup: Backup,
    recipient: Recipient,
}

fn stage(seed: u64) -> Stage {
    let world = World::new(seed);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    Stage { world, backup, recipient: Recipient::new(1) }
}

impl Stage {
    fn intent(&self) -> Intent {
        recovery(&self.world, &self.backup, &self.recipient)
    }

    /// A recovery whose passkey signed this intent.
    fn request(&self, intent: &Intent) -> Recover {
        let act = act(intent, &self.backup.passkey, &honest());
        recover(&self.world, act, &self.backup, &self.recipient)
    }

    /// A recovery whose passkey signed these bytes.
    fn request_of_bytes(&self, intent: Vec<u8>) -> Recover {
        let assertions = vec![self.backup.passkey.assert(&intent, &honest())];
        let act = Act { intent, assertions, tenant_signature: None };
        recover(&self.world, act, &self.backup, &self.recipient)
    }

    /// The honest recovery goes through: what was refused before left nothing behind.
    fn honest_passes(&self) {
        let answer = self.world.drive(Ask::Recover(self.request(&self.intent())));
        assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
    }
}

const SIGNED: &[Case<Intent>] = &[
    ("wrong tenant", |i| i.tenant = vec![9; 32], Reason::BadRequest, "intent.tenant"),
    ("no tenant", |i| i.tenant.clear(), Reason::BadRequest, "intent.tenant"),
    ("no wallet", |i| i.wallet.clear(), Reason::BadRequest, "intent.wallet"),
    ("wallet's form", |i| i.wallet = "a/b".into(), Reason::BadRequest, "intent.wallet"),
    ("long wallet", |i| i.wallet = "w".repeat(65), Reason::BadRequest, "intent.wallet"),
    ("another wallet", |i| i.wallet = "wallet-2".into(), Reason::BadRequest, "intent.wallet"),
    ("nonce of 31", |i| i.nonce.truncate(31), Reason::BadRequest, "intent.nonce"),
    ("nonce of 33", |i| i.nonce.push(0), Reason::BadRequest, "intent.nonce"),
    ("no nonce", |i| i.nonce.clear(), Reason::BadRequest, "intent.nonce"),
    ("no serial", |i| i.statement_serial = 0, Reason::BadRequest, "intent.statement_serial"),
    ("newer statement", |i| i.statement_serial = 6, Reason::StatementStale, "statement 6"),
    ("no time", |i| i.not_after_ms = 0, Reason::IntentExpired, "intent.not_after_ms"),
    ("past", |i| i.not_after_ms = START - 1, Reason::IntentExpired, "not_after_ms: 1 ms ago"),
    ("now", |i| i.not_after_ms = START, Reason::IntentExpired, "intent.not_after_ms"),
    ("too far", |i| i.not_after_ms = START + MINUTES_15 + 1, Reason::BadRequest, "intent.not_after_ms"),
    ("for ever", |i| i.not_after_ms = u64::MAX, Reason::BadRequest, "intent.not_after_ms"),
    ("role not named", |i| i.client = None, Reason::BadRequest, "ROLE_CLIENT"),
    ("only the other role", |i| i.custodian = i.client.take(), Reason::BadRequest, "ROLE_CLIENT"),
    ("no record", |i| part(i).record_id.clear(), Reason::BadRequest, "intent.record_id"),
    ("no head", |i| part(i).head.clear(), Reason::BadRequest, "intent.head"),
    (
        "no subject",
        |i| *part(i) = RolePart { recipient: part(i).recipient.clone(), ..RolePart::default() },
        Reason::BadRequest,
        "intent.record_id: missing",
    ),
    ("record_id of 31", |i| part(i).record_id.truncate(31), Reason::BadRequest, "intent.record_id"),
    ("head of 33", |i| part(i).head.push(0), Reason::BadRequest, "intent.head"),
    ("another record", |i| part(i).record_id[0] ^= 1, Reason::BadRequest, "intent.record_id"),
    ("another head", |i| part(i).head[31] ^= 1, Reason::RecordStale, "intent.head"),
    ("a message", |i| part(i).message_hash = vec![1; 32], Reason::BadRequest, "intent.message_hash"),
    ("message of 31", |i| part(i).message_hash = vec![1; 31], Reason::BadRequest, "intent.message_hash"),
    ("no recipient", |i| part(i).recipient.clear(), Reason::BadRequest, "intent.recipient"),
    ("recipient of 31", |i| part(i).recipient.truncate(31), Reason::BadRequest, "intent.recipient"),
    ("other recipient", |i| part(i).recipient[0] ^= 1, Reason::RecipientNotAllowed, "recipient_key"),
    (
        "other role's record_id",
        |i| i.custodian = Some(RolePart { record_id: vec![1], ..RolePart::default() }),
        Reason::BadRequest,
        "one without the other",
    ),
    (
        "other role's recipient",
        |i| i.custodian = Some(RolePart { recipient: vec![1; 33], ..RolePart::default() }),
        Reason::BadRequest,
        "intent.recipient",
    ),
    ("no action", |i| i.action = None, Reason::BadRequest, "intent.action"),
    (
        "rehearsal",
        |i| i.action = Some(Action::Rehearse(RehearseAction { generation: 1 })),
        Reason::BadRequest,
        "intent.action",
    ),
    (
        "generation 0",
        |i| i.action = Some(Action::Recover(RecoverAction { generation: 0, eject: false })),
        Reason::NoValidBackup,
        "generation 0",
    ),
    (
        "generation 2",
        |i| i.action = Some(Action::Recover(RecoverAction { generation: 2, eject: false })),
        Reason::NoValidBackup,
        "generation 2",
    ),
];

#[test]
fn a_recovery_whose_signed_intent_breaks_a_rule_is_refused() {
    let stage = stage(0x10);
    for (name, change, reason, detail) in SIGNED {
        let mut intent = stage.intent();
        change(&mut intent);
        stage.world.refused(name, Ask::Recover(stage.request(&intent)), *reason, detail);
    }
    stage.honest_passes();
}

#[test]
fn a_time_at_its_limit_passes() {
    let stage = stage(0x11);
    for not_after_ms in [START + 1, START + MINUTES_15] {
        let intent = Intent { not_after_ms, ..stage.intent() };
        let answer = stage.world.drive(Ask::Recover(stage.request(&intent)));
        assert!(matches!(answer, Answer::Moved(_)), "{not_after_ms}: {}", told(&answer));
    }
}

#[test]
fn an_intent_has_one_encoding() {
    let stage = stage(0x12);
    let good = stage.intent().encode_to_vec();
    let not_canonical = "intent: not in canonical encoding";
    let changed = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let field = |tag: u8, body: &[u8]| [&[tag, u8::try_from(body.len()).unwrap()], body].concat();
    let action = field(0x8a, &[]).len();
    assert_eq!(action, 2);
    let tenant = field(0x0a, &stage.world.tenant_id());
    let wallet = field(0x12, b"wallet-1");
    let serial = [0x18, 5];
    // Tag 17 (recover), length-delimited, generation 1.
    let recover_action = [0x8a, 0x01, 2, 0x08, 1];
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("unknown field", [&good[..], &[0xf8, 0x07, 1]].concat(), not_canonical),
        (
            "unknown field in a part",
            {
                let mut intent = stage.intent();
                let part = part(&mut intent).encode_to_vec();
                changed(&field2(0x22, &part), &field2(0x22, &[&part[..], &[0x78, 1]].concat()))
            },
            not_canonical,
        ),
        ("unknown action", changed(&recover_action, &[0xa2, 0x02, 2, 0x08, 1]), not_canonical),
        ("tenant twice", [&tenant[..], &good].concat(), not_canonical),
        ("order", changed(&[&wallet[..], &serial].concat(), &[&serial[..], &wallet].concat()), not_canonical),
        ("two actions", [&good[..], &[0x92, 0x01, 2, 0x08, 1]].concat(), not_canonical),
        ("action twice", [&good[..], &recover_action].concat(), not_canonical),
        ("long number", changed(&serial, &[0x18, 0x85, 0x00]), not_canonical),
        ("explicit default", changed(&serial, &[0x18, 5, 0x18, 0]), not_canonical),
        ("serial twice", changed(&serial, &[0x18, 4, 0x18, 5]), not_canonical),
        ("part in two halves", [&good[..], &field(0x22, &[])].concat(), not_canonical),
        ("wrong wire type", changed(&serial, &field(0x1a, &[5])), "intent: malformed"),
        ("truncated", good[..good.len() - 1].to_vec(), "intent: malformed"),
        ("not UTF-8", changed(b"wallet-1", b"wallet-\xff"), "intent: malformed"),
        ("empty", Vec::new(), "intent.tenant"),
        ("too long", vec![0; INTENT_BYTES_MAX + 1], "intent: longer than 4096"),
    ];
    for (name, bytes, detail) in cases {
        assert_ne!(*bytes, good, "{name}");
        stage.world.refused(name, Ask::Recover(stage.request_of_bytes(bytes.clone())), Reason::BadRequest, detail);
    }
    stage.honest_passes();
}

/// A field whose body may be longer than 127 bytes.
fn field2(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    [out, body.to_vec()].concat()
}

#[test]
fn an_intent_at_its_longest_is_read() {
    let stage = stage(0x13);
    let mut intent = stage.intent();
    intent.nonce = Vec::new();
    let room = INTENT_BYTES_MAX - intent.encoded_len() - 3;
    intent.nonce = vec![1; room];
    assert_eq!(intent.encoded_len(), INTENT_BYTES_MAX);
    stage.world.refused("longest", Ask::Recover(stage.request(&intent)), Reason::BadRequest, "intent.nonce");
}

#[test]
fn an_intent_for_one_act_is_not_used_for_another() {
    let Stage { world, backup, recipient } = stage(0x14);
    let signed = |intent: &Intent| act(intent, &backup.passkey, &honest());
    let recovery = recovery(&world, &backup, &recipient);
    let rehearsal_intent = rehearsal(&world, &backup);
    let mut with_recipient = rehearsal(&world, &backup);
    part(&mut with_recipient).recipient = recipient.hash();
    let creation = creation(&world, "wallet-1", &backup.passkey);
    for (name, ask, detail) in [
        ("rehearsal", Ask::Recover(recover(&world, signed(&rehearsal_intent), &backup, &recipient)), "intent.action"),
        (
            "creation",
            Ask::Recover(recover(&world, signed(&creation), &backup, &recipient)),
            "intent.record_id: missing",
        ),
        ("recovery", Ask::Rehearse(rehearse(&world, signed(&recovery), &backup)), "intent.action: not rehearse"),
        ("creation", Ask::Rehearse(rehearse(&world, signed(&creation), &backup)), "intent.record_id: missing"),
        ("recipient", Ask::Rehearse(rehearse(&world, signed(&with_recipient), &backup)), "intent.recipient"),
    ] {
        world.refused(name, ask, Reason::BadRequest, detail);
    }
    for act in [signed(&recovery), signed(&rehearsal_intent)] {
        let mut request =
            crate::acts::sign_creation(&world, creation.clone(), vec![0; 1200], &backup.passkey, &honest());
        request.act = Some(act);
        world.refused("creation", Ask::CreateRecord(request), Reason::BadRequest, "intent.action: not create_backup");
    }
}

#[test]
fn a_rehearsal_keeps_the_rules_of_a_release() {
    let Stage { world, backup, .. } = stage(0x15);
    let cases: &[Case<Intent>] = &[
        ("another head", |i| part(i).head[0] ^= 1, Reason::RecordStale, "intent.head"),
        ("past", |i| i.not_after_ms = START, Reason::IntentExpired, "intent.not_after_ms"),
        ("a message", |i| part(i).message_hash = vec![1; 32], Reason::BadRequest, "intent.message_hash"),
        (
            "generation 2",
            |i| i.action = Some(Action::Rehearse(RehearseAction { generation: 2 })),
            Reason::NoValidBackup,
            "generation 2",
        ),
    ];
    for (name, change, reason, detail) in cases {
        let mut intent = rehearsal(&world, &backup);
        change(&mut intent);
        let request = rehearse(&world, act(&intent, &backup.passkey, &honest()), &backup);
        world.refused(name, Ask::Rehearse(request), *reason, detail);
    }
    let stranger = act(&rehearsal(&world, &backup), &Passkey::eddsa(8), &honest());
    world.refused(
        "stranger",
        Ask::Rehearse(rehearse(&world, stranger, &backup)),
        Reason::ProofRejected,
        "assertion.credential_id",
    );
    let mut unsigned = act(&rehearsal(&world, &backup), &backup.passkey, &honest());
    unsigned.assertions.clear();
    let request = rehearse(&world, unsigned, &backup);
    world.refused("unsigned", Ask::Rehearse(request), Reason::PolicyDenied, "act.assertions");
}

#[test]
fn unknown_enum_values_of_a_creation_are_refused() {
    type Change = fn(&mut Intent);
    let world = World::new(0x16);
    let passkey = Passkey::eddsa(9);
    let cases: [(Change, &str); 5] = [
        (|i| action(i).secret = 3, "create_backup.secret"),
        (|i| action(i).secret = 0, "create_backup.secret"),
        (|i| action(i).secret = -1, "create_backup.secret"),
        (|i| action(i).pairs[0].curve = 3, "create_backup.pairs.curve"),
        (|i| action(i).pairs[1].curve = 0, "create_backup.pairs.curve"),
    ];
    for (change, detail) in cases {
        let mut intent = creation(&world, "wallet-1", &passkey);
        change(&mut intent);
        let message = crate::acts::sealed_message(&world, &intent, &crate::acts::two_shares());
        let request = crate::acts::sign_creation(&world, intent, message, &passkey, &honest());
        world.refused(detail, Ask::CreateRecord(request), Reason::BadRequest, detail);
    }
}
