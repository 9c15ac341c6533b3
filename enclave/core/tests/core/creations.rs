//! Refusals of `CreateRecord`.

use strongroom_proto::contents::Share;
use strongroom_proto::enclave::v1::{CreateRecord, request::Body as Ask, response::Body as Answer};
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::{CREDENTIAL_ID_BYTES_MAX, MESSAGE_BYTES_MAX, SHARE_BYTES_MAX};
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{Curve, Intent, Pair, Policy, Reason, RolePart, SecretKind};

use crate::acts::{PASSKEY_ONLY, act, action, creation, info, part, sealed_message, share, sign_creation, two_shares};
use crate::device::{Passkey, honest, seal};
use crate::world::{Case, World, told};

/// A creation of these shares, whose intent was changed before anything was sealed and signed.
fn request(world: &World, passkey: &Passkey, shares: &[Share], change: impl FnOnce(&mut Intent)) -> CreateRecord {
    let mut intent = creation(world, "wallet-1", passkey);
    change(&mut intent);
    let message = sealed_message(world, &intent, shares);
    sign_creation(world, intent, message, passkey, &honest())
}

fn created(world: &World, name: &str, request: CreateRecord) {
    let answer = world.drive(Ask::CreateRecord(request));
    assert!(matches!(answer, Answer::Moved(_)), "{name}: {}", told(&answer));
}

fn pairs(ids: &[&str]) -> Vec<Pair> {
    ids.iter().map(|id| Pair { id: (*id).into(), curve: Curve::Ed25519.into() }).collect()
}

fn custodian(intent: &mut Intent, part: RolePart) {
    intent.custodian = Some(part);
    action(intent).custodian_policy = Some(PASSKEY_ONLY);
}

const SIGNED: &[Case<Intent>] = &[
    (
        "record_id and head",
        |i| (part(i).record_id, part(i).head) = (vec![1; 32], vec![1; 32]),
        Reason::BadRequest,
        "intent.record_id",
    ),
    ("record_id alone", |i| part(i).record_id = vec![1; 32], Reason::BadRequest, "one without the other"),
    ("recipient", |i| part(i).recipient = vec![1; 32], Reason::BadRequest, "intent.recipient"),
    (
        "custodian's record",
        |i| custodian(i, RolePart { record_id: vec![1; 32], head: vec![1; 32], ..RolePart::default() }),
        Reason::BadRequest,
        "starts from no record",
    ),
    (
        "custodian's recipient",
        |i| custodian(i, RolePart { recipient: vec![1; 32], ..RolePart::default() }),
        Reason::BadRequest,
        "releases nothing",
    ),
    (
        "custodian without policy",
        |i| i.custodian = Some(RolePart::default()),
        Reason::BadRequest,
        "create_backup.custodian_policy",
    ),
    (
        "policy without custodian",
        |i| action(i).custodian_policy = Some(PASSKEY_ONLY),
        Reason::BadRequest,
        "create_backup.custodian_policy",
    ),
    ("no policy", |i| action(i).client_policy = None, Reason::BadRequest, "create_backup.client_policy"),
    (
        "empty policy",
        |i| action(i).client_policy = Some(Policy::default()),
        Reason::PolicyDenied,
        "create_backup.client_policy",
    ),
    (
        "no passkey in the client role",
        |i| action(i).client_policy = Some(Policy { tenant_signature: true, ..Policy::default() }),
        Reason::PolicyDenied,
        "client_policy.passkey",
    ),
    (
        "delay alone",
        |i| action(i).client_policy = Some(Policy { delay_seconds: 9, ..Policy::default() }),
        Reason::PolicyDenied,
        "client_policy",
    ),
    (
        "long delay",
        |i| action(i).client_policy = Some(Policy { delay_seconds: 30 * 24 * 3600 + 1, ..PASSKEY_ONLY }),
        Reason::PolicyDenied,
        "at most 2592000",
    ),
    (
        "newest head alone",
        |i| action(i).client_policy = Some(Policy { newest_head: true, ..PASSKEY_ONLY }),
        Reason::PolicyDenied,
        "newest_head",
    ),
    (
        "custodian's policy",
        |i| {
            custodian(i, RolePart::default());
            action(i).custodian_policy = Some(Policy { newest_head: true, ..PASSKEY_ONLY });
        },
        Reason::PolicyDenied,
        "create_backup.custodian_policy.newest_head",
    ),
    ("no wallet", |i| i.wallet.clear(), Reason::BadRequest, "intent.wallet"),
    ("wallet's form", |i| i.wallet = "w w".into(), Reason::BadRequest, "intent.wallet"),
    ("long wallet", |i| i.wallet = "w".repeat(65), Reason::BadRequest, "intent.wallet"),
    ("no backup", |i| action(i).backup.clear(), Reason::BadRequest, "create_backup.backup"),
    ("backup's form", |i| action(i).backup = "a b".into(), Reason::BadRequest, "create_backup.backup"),
    ("long backup", |i| action(i).backup = "b".repeat(65), Reason::BadRequest, "create_backup.backup"),
    ("no method", |i| action(i).method.clear(), Reason::BadRequest, "create_backup.method"),
    ("method's form", |i| action(i).method = "passkey".into(), Reason::BadRequest, "create_backup.method"),
    ("long method", |i| action(i).method = "M".repeat(33), Reason::BadRequest, "create_backup.method"),
    ("generation 0", |i| action(i).generation = 0, Reason::BadRequest, "create_backup.generation"),
    ("generation 2", |i| action(i).generation = 2, Reason::BadRequest, "create_backup.generation"),
    ("no pairs", |i| action(i).pairs.clear(), Reason::BadRequest, "create_backup.pairs"),
    (
        "five pairs",
        |i| action(i).pairs = pairs(&["a", "b", "c", "d", "e"]),
        Reason::BadRequest,
        "create_backup.pairs: 5",
    ),
    ("unsorted pairs", |i| action(i).pairs.swap(0, 1), Reason::BadRequest, "create_backup.pairs: not sorted"),
    ("pair twice", |i| action(i).pairs = pairs(&["ed", "ed"]), Reason::BadRequest, "create_backup.pairs: not sorted"),
    ("pair's form", |i| action(i).pairs[0].id = "e/d".into(), Reason::BadRequest, "create_backup.pairs.id"),
    ("no pair id", |i| action(i).pairs[0].id.clear(), Reason::BadRequest, "create_backup.pairs.id"),
    ("long pair", |i| action(i).pairs[1].id = "p".repeat(65), Reason::BadRequest, "create_backup.pairs.id"),
    ("other pairs", |i| action(i).pairs[1].id = "k2".into(), Reason::BadRequest, "message: other pairs"),
    ("fewer pairs", |i| action(i).pairs.truncate(1), Reason::BadRequest, "message: other pairs"),
    ("no credential", |i| action(i).credential = None, Reason::BadRequest, "create_backup.credential"),
    ("no credential id", |i| credential(i).id.clear(), Reason::BadRequest, "create_backup.credential.id"),
    (
        "long credential id",
        |i| credential(i).id = vec![1; CREDENTIAL_ID_BYTES_MAX + 1],
        Reason::BadRequest,
        "create_backup.credential.id",
    ),
    ("long label", |i| credential(i).label = "l".repeat(65), Reason::BadRequest, "create_backup.credential.label"),
    ("label's form", |i| credential(i).label = "a\nb".into(), Reason::BadRequest, "create_backup.credential.label"),
    ("other key hash", |i| credential(i).key_hash[0] ^= 1, Reason::ProofRejected, "credential"),
    ("no key hash", |i| credential(i).key_hash.clear(), Reason::ProofRejected, "credential"),
    ("other credential", |i| credential(i).id[0] ^= 1, Reason::ProofRejected, "credential"),
    ("escrow of long keys", |i| action(i).secret = SecretKind::Key.into(), Reason::BadRequest, "32 bytes"),
];

#[test]
fn a_creation_whose_signed_intent_breaks_a_rule_is_refused() {
    let world = World::new(0x20);
    let passkey = Passkey::eddsa(9);
    for (name, change, reason, detail) in SIGNED {
        let request = request(&world, &passkey, &two_shares(), change);
        world.refused(name, Ask::CreateRecord(request), *reason, detail);
    }
    created(&world, "honest", request(&world, &passkey, &two_shares(), |_| {}));
}

fn credential(intent: &mut Intent) -> &mut strongroom_proto::v1::CredentialRef {
    action(intent).credential.as_mut().unwrap()
}

#[test]
fn a_creation_at_its_limits_passes() {
    let world = World::new(0x21);
    let mut passkey = Passkey::eddsa(9);
    passkey.id = vec![7; CREDENTIAL_ID_BYTES_MAX];
    let four: Vec<Share> = ["a", "b", "c", "d"].map(|pair| share(pair, b"s")).into();
    let change = |i: &mut Intent| {
        i.wallet = "w".repeat(64);
        let action = action(i);
        action.backup = "b".repeat(64);
        action.method = "M".repeat(32);
        action.pairs = pairs(&["a", "b", "c", "d"]);
        action.credential.as_mut().unwrap().label = "l".repeat(64);
        action.client_policy =
            Some(Policy { passkey: true, tenant_signature: true, newest_head: true, delay_seconds: 0 });
    };
    created(&world, "longest texts", request(&world, &passkey, &four, change));
    let change = |i: &mut Intent| {
        custodian(i, RolePart { message_hash: vec![3; 32], ..RolePart::default() });
        action(i).custodian_policy = Some(Policy { tenant_signature: true, ..Policy::default() });
    };
    created(&world, "both roles", request(&world, &passkey, &two_shares(), change));
}

#[test]
fn shares_end_at_their_limit() {
    let world = World::new(0x22);
    let passkey = Passkey::eddsa(9);
    let one = |i: &mut Intent| action(i).pairs.truncate(1);
    let escrow = |i: &mut Intent| {
        action(i).pairs.truncate(1);
        action(i).secret = SecretKind::Key.into();
    };
    created(&world, "longest", request(&world, &passkey, &[share("ed", &vec![1; SHARE_BYTES_MAX])], one));
    created(&world, "shortest", request(&world, &passkey, &[share("ed", b"1")], one));
    created(&world, "key", request(&world, &passkey, &[share("ed", &[1; 32])], escrow));
    for len in [31, 33] {
        let request = request(&world, &passkey, &[share("ed", &vec![1; len])], escrow);
        world.refused("key", Ask::CreateRecord(request), Reason::BadRequest, "message: a key in escrow is 32 bytes");
    }
    for len in [0, SHARE_BYTES_MAX + 1] {
        let request = raw_request(&world, &passkey, &one_share(len));
        world.refused(
            "length",
            Ask::CreateRecord(request),
            Reason::ShareTooLarge,
            "message: a share is not 1 byte to 256 KiB",
        );
    }
    let contents = one_share(5);
    for (contents, detail) in [
        ([&contents[..], b"x"].concat(), "message: shorter or longer"),
        (contents[..contents.len() - 1].to_vec(), "message: shorter or longer"),
        ([strongroom_proto::prefix::RELEASE, &contents[20..]].concat(), "message: sealed for another use"),
        (Vec::new(), "message: sealed for another use"),
    ] {
        let request = raw_request(&world, &passkey, &contents);
        world.refused(detail, Ask::CreateRecord(request), Reason::BadRequest, detail);
    }
}

/// One share of the pair `ed`, without the checks of `contents`.
fn one_share(len: usize) -> Vec<u8> {
    let mut out = [strongroom_proto::prefix::SHARES, &[1, 0, 2], b"ed"].concat();
    out.extend_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    out.resize(out.len() + len, 5);
    out
}

/// A creation of the pair `ed` whose message holds these bytes.
fn raw_request(world: &World, passkey: &Passkey, contents: &[u8]) -> CreateRecord {
    let mut intent = creation(world, "wallet-1", passkey);
    action(&mut intent).pairs.truncate(1);
    let record_id = strongroom_proto::intent::record_id(&intent).0;
    let info = info(Direction::Request, &world.epoch, &record_id);
    let message = {
        let mut random = world.fake.random.borrow_mut();
        seal(&mut random, &world.epoch.identity.channel_key, &info, contents)
    };
    sign_creation(world, intent, message, passkey, &honest())
}

const GIVEN: &[Case<CreateRecord>] = &[
    ("no act", |r| r.act = None, Reason::BadRequest, "act: missing"),
    ("no statement", |r| r.statement = None, Reason::BadRequest, "statement: missing"),
    ("no kek", |r| r.kek = None, Reason::BadRequest, "kek: missing"),
    ("no tenant", |r| r.tenant.clear(), Reason::BadRequest, "tenant: not 32 bytes"),
    ("no credential", |r| r.credential = None, Reason::BadRequest, "credential: missing"),
    (
        "credential's key",
        |r| r.credential.as_mut().unwrap().public_key = Passkey::es256().cose(),
        Reason::ProofRejected,
        "credential: not the one",
    ),
    (
        "credential's id",
        |r| r.credential.as_mut().unwrap().id.push(0),
        Reason::ProofRejected,
        "credential: not the one",
    ),
    ("altered message", |r| r.message[1130] ^= 1, Reason::CiphertextHashMismatch, "message"),
    ("altered encapsulation", |r| r.message[0] ^= 1, Reason::CiphertextHashMismatch, "message"),
    ("no message", |r| r.message.clear(), Reason::CiphertextHashMismatch, "message"),
    ("longest message", |r| r.message.resize(MESSAGE_BYTES_MAX, 0), Reason::CiphertextHashMismatch, "message"),
    ("message too long", |r| r.message.resize(MESSAGE_BYTES_MAX + 1, 0), Reason::ShareTooLarge, "message"),
    ("no assertion", |r| r.act.as_mut().unwrap().assertions.clear(), Reason::PolicyDenied, "act.assertions"),
    (
        "two assertions",
        |r| {
            let assertions = &mut r.act.as_mut().unwrap().assertions;
            assertions.push(assertions[0].clone());
        },
        Reason::BadRequest,
        "act.assertions",
    ),
    (
        "other credential's assertion",
        |r| r.act.as_mut().unwrap().assertions[0].credential_id.push(1),
        Reason::ProofRejected,
        "assertion.credential_id",
    ),
];

#[test]
fn a_creation_that_the_host_changed_is_refused() {
    let world = World::new(0x23);
    let passkey = Passkey::eddsa(9);
    for (name, change, reason, detail) in GIVEN {
        let mut request = request(&world, &passkey, &two_shares(), |_| {});
        change(&mut request);
        world.refused(name, Ask::CreateRecord(request), *reason, detail);
    }
}

#[test]
fn a_message_that_the_intent_names_must_still_open() {
    let world = World::new(0x24);
    let passkey = Passkey::eddsa(9);
    for (len, name) in [(0, "empty"), (1119, "no whole encapsulated key"), (1120, "no tag"), (1200, "no ciphertext")] {
        let intent = creation(&world, "wallet-1", &passkey);
        let request = sign_creation(&world, intent, vec![1; len], &passkey, &honest());
        world.refused(name, Ask::CreateRecord(request), Reason::DecryptFailed, "message: not sealed");
    }
    let mut intent = creation(&world, "wallet-1", &passkey);
    let message = sealed_message(&world, &intent, &two_shares());
    let other = ContentHash::of(b"other").0.to_vec();
    for (name, hash, reason) in
        [("no hash", vec![], Reason::BadRequest), ("other hash", other, Reason::CiphertextHashMismatch)]
    {
        let mut request = sign_creation(&world, intent.clone(), message.clone(), &passkey, &honest());
        part(&mut intent).message_hash = hash;
        request.act = Some(act(&intent, &passkey, &honest()));
        world.refused(name, Ask::CreateRecord(request), reason, "message");
    }
}

#[test]
fn a_credential_key_that_nobody_can_verify_with_is_refused() {
    let world = World::new(0x25);
    let passkey = Passkey::es256();
    let good = passkey.cose();
    let mut other_alg = good.clone();
    other_alg[4] = 0x27;
    for (name, cose) in [
        ("empty", vec![]),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("trailing byte", [&good[..], &[0]].concat()),
        ("other algorithm", other_alg),
        ("too long", vec![0; 1025]),
    ] {
        let mut intent = creation(&world, "wallet-1", &passkey);
        credential(&mut intent).key_hash = ContentHash::of(&cose).0.to_vec();
        let message = sealed_message(&world, &intent, &two_shares());
        let mut request = sign_creation(&world, intent, message, &passkey, &honest());
        request.credential.as_mut().unwrap().public_key = cose;
        world.refused(name, Ask::CreateRecord(request), Reason::BadRequest, "credential.public_key");
    }
    let mut off_curve = good.clone();
    off_curve[50] ^= 1;
    let mut intent = creation(&world, "wallet-1", &passkey);
    credential(&mut intent).key_hash = ContentHash::of(&off_curve).0.to_vec();
    let message = sealed_message(&world, &intent, &two_shares());
    let mut request = sign_creation(&world, intent, message, &passkey, &honest());
    request.credential.as_mut().unwrap().public_key = off_curve;
    world.refused("no point", Ask::CreateRecord(request), Reason::ProofRejected, "assertion.signature");
}
