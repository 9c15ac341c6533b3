use prost::Message;
use strongroom_proto::signed;
use strongroom_proto::v1::{
    ActKind, CapsuleCiphertext, CapsuleGeneration as GenerationPart, CapsuleKek, CapsuleRole as RolePart, CapsuleSeal,
    ClientCiphertext, Event, GenerationRef, Identity, OpenAct, OpenActKind, Receipt, SignedReceipt, StoredShare,
};

use super::*;
use crate::identity::{Vouched, check, manifest_pcr16};
use crate::testing::{
    NOW_MS, WALLET, identity_of, manifest_of, pairs, root, sign_receipt_as, stages, statement_of_both, tenant,
};

mod corruptions;

const RECORD: [u8; 32] = [10; 32];
/// Of the creation, the put, and the put's of another history.
const PUTS: [[u8; 32]; 3] = [[21; 32], [22; 32], [23; 32]];

/// What genuine documents would vouch for: these identities and no other.
fn vouched(attestation: &RoleAttestation, statement: &VerifiedStatement) -> Result<RoleIdentity, Error> {
    let of = |role| [1, 2].map(|epoch| Identity { epoch, ..identity_of(role) }.encode_to_vec());
    let [known, others] = [of(Role::Client), of(Role::Custodian)];
    if !known.iter().chain(&others).chain([&other_kek()]).any(|it| *it == attestation.identity) {
        return Err(Error::malformed("attestation document", "user_data"));
    }
    let hash = signed::identity_hash(&attestation.identity);
    let fields =
        Identity::decode(attestation.identity.as_slice()).map_err(|error| Error::malformed("identity", error))?;
    let pcr16 = manifest_pcr16(&fields.manifest);
    let vouched = Vouched { user_data: Some(&hash.0), public_key: None, nonce: None, pcr16: Some(&pcr16) };
    let identity = check(&attestation.identity, &vouched, None, false)?;
    identity.check_statement(statement, attestation.role())?;
    Ok(identity)
}

fn verified(capsule: &Capsule) -> Result<VerifiedCapsule, Error> {
    let question = Question { tenant: tenant(), trust: &Trust::aws() };
    verify_with(&capsule.encode_to_vec(), &question, &vouched)
}

fn put_ref(generation: u64) -> GenerationRef {
    let put = PUTS[usize::try_from(generation).unwrap() - 1];
    GenerationRef { generation, put_intent_hash: put.to_vec() }
}

/// The receipt of a step, in an epoch; `hashes` of what it stored.
fn receipt(role: Role, (version, kind, generation): (u64, ActKind, u64), epoch: u64, hashes: Vec<Vec<u8>>) -> Receipt {
    let intent_hash = put_ref(generation).put_intent_hash;
    let event = Event { version, kind: kind.into(), intent_hash: intent_hash.clone(), generation, ..Event::default() };
    let (active, pending) = match kind {
        ActKind::PutShares => (put_ref(1), Some(put_ref(2))),
        _ => (put_ref(generation), None),
    };
    Receipt {
        tenant: tenant().0.to_vec(),
        wallet: WALLET.to_owned(),
        role: role.into(),
        record_id: RECORD.to_vec(),
        version,
        head: vec![1; 32],
        event: event.encode_to_vec(),
        active: Some(active),
        pending,
        intent_hash,
        identity_hash: vec![1; 32],
        sealed_hashes: hashes,
        epoch,
        time_ms: NOW_MS,
        stages: Some(stages()),
        resealed_hashes: Vec::new(),
    }
}

fn sealed(role: Role, generation: u64) -> Vec<StoredShare> {
    let of = |pair: Pair| {
        let sealed = format!("{role:?} {generation} {}", pair.id).into_bytes();
        StoredShare { pair: pair.id, generation, sealed }
    };
    pairs().into_iter().map(of).collect()
}

fn hashes(shares: &[StoredShare]) -> Vec<Vec<u8>> {
    shares.iter().map(|share| ContentHash::of(&share.sealed).0.to_vec()).collect()
}

fn sign(receipt: &Receipt) -> SignedReceipt {
    sign_receipt_as(receipt.role(), receipt.encode_to_vec())
}

fn generation(role: Role, generation: u64, kind: ActKind) -> GenerationPart {
    let shares = sealed(role, generation);
    let put = receipt(role, (generation, kind, generation), generation, hashes(&shares));
    GenerationPart { generation, pairs: pairs(), epoch: generation, shares, put: Some(sign(&put)), seals: Vec::new() }
}

fn part(role: Role) -> RolePart {
    let attestation = |epoch: u64| RoleAttestation {
        role: role.into(),
        identity: Identity { epoch, ..identity_of(role) }.encode_to_vec(),
        document: vec![7; 30],
    };
    RolePart {
        role: role.into(),
        manifest: manifest_of(role).encode_to_vec(),
        keks: [1, 2].map(|epoch| CapsuleKek { epoch, wrapped: vec![9; 100] }).into(),
        epoch: 2,
        record: vec![8; 500],
        receipt: Some(sign(&receipt(role, (3, ActKind::Commit, 2), 2, Vec::new()))),
        generations: vec![generation(role, 1, ActKind::CreateBackup), generation(role, 2, ActKind::PutShares)],
        open_acts: vec![OpenAct {
            kind: OpenActKind::Delete.into(),
            intent_hash: vec![5; 32],
            not_before_ms: NOW_MS,
            expires_ms: NOW_MS + 1,
            ..OpenAct::default()
        }],
        attestations: [1, 2].map(attestation).into(),
    }
}

fn capsule() -> Capsule {
    Capsule {
        format: 1,
        statement: Some(crate::statement::sign(&statement_of_both(), &root()).unwrap()),
        wallet: WALLET.to_owned(),
        backup: "main".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share.into(),
        storage: Storage::Managed.into(),
        pairs: pairs(),
        record_id: RECORD.to_vec(),
        roles: vec![part(Role::Client), part(Role::Custodian)],
        ciphertexts: Vec::new(),
        made_in: vec![Role::Client.into(), Role::Custodian.into()],
    }
}

/// A receipt with other fields, signed again by the epoch's key: what a forger with that key could do.
fn again(signed: &mut Option<SignedReceipt>, change: impl FnOnce(&mut Receipt)) {
    let mut receipt = Receipt::decode(signed.as_ref().unwrap().receipt.as_slice()).unwrap();
    change(&mut receipt);
    *signed = Some(sign(&receipt));
}

fn event(receipt: &mut Receipt, change: impl FnOnce(&mut Event)) {
    let mut event = Event::decode(receipt.event.as_slice()).unwrap();
    change(&mut event);
    receipt.event = event.encode_to_vec();
}

type Change = fn(&mut Capsule);

const EACH: &str = "has not one or two hashes of each pair";
const ORDER: &str = "its ciphertexts are not one of each pair of each generation";
const PLACE: &str = "not where its storage says, or too long";

#[track_caller]
fn refuse(good: &Capsule, cases: &[(Change, &str)]) {
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut capsule = good.clone();
        change(&mut capsule);
        let error = verified(&capsule).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {expect}: {error}");
    }
}

#[test]
fn a_whole_capsule_says_what_it_holds() {
    let held = verified(&capsule()).unwrap();
    assert_eq!((held.wallet.as_str(), held.backup.as_str(), held.record_id.0), (WALLET, "main", RECORD));
    let [client, custodian] = held.roles.as_slice() else { panic!("two roles") };
    assert_eq!((client.role, custodian.role), (Role::Client, Role::Custodian));
    assert_eq!((client.version, client.active, client.pending, client.epoch), (3, 2, None, 2));
    assert_eq!(client.epochs, [1, 2]);
    assert!(client.generations.iter().all(|it| it.has_shares && it.is_receipted));
    assert_eq!((client.manifest.release, client.open_acts.len(), held.ciphertexts.len()), (7, 1, 0));

    // The generation that waits, before its commit.
    let mut waiting = capsule();
    for role in &mut waiting.roles {
        role.receipt.clone_from(&role.generations[1].put);
    }
    let held = verified(&waiting).unwrap();
    assert_eq!((held.roles[0].active, held.roles[0].pending, held.roles[0].version), (1, Some(2), 2));

    // Sealed anew under a later epoch: no receipt names the bytes, and that is said.
    let mut resealed = capsule();
    resealed.roles[0].generations[0].epoch = 2;
    resealed.roles[0].generations[0].shares[0].sealed = b"anew".to_vec();
    resealed.roles[0].keks.remove(0);
    resealed.roles[0].attestations.remove(0);
    let held = verified(&resealed).unwrap();
    assert!(!held.roles[0].generations[0].is_receipted && held.roles[0].generations[1].is_receipted);
}

fn other_release() -> Vec<u8> {
    strongroom_proto::v1::Manifest { release: 8, ..manifest_of(Role::Client) }.encode_to_vec()
}

fn other_kek() -> Vec<u8> {
    Identity { epoch: 1, kek_id: vec![1; 32], ..identity_of(Role::Client) }.encode_to_vec()
}
