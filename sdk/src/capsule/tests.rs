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

fn sign(receipt: &Receipt) -> Option<SignedReceipt> {
    Some(sign_receipt_as(receipt.role(), receipt.encode_to_vec()))
}

fn generation(role: Role, generation: u64, kind: ActKind) -> GenerationPart {
    let shares = sealed(role, generation);
    let put = receipt(role, (generation, kind, generation), generation, hashes(&shares));
    GenerationPart { generation, pairs: pairs(), epoch: generation, shares, put: sign(&put), seals: Vec::new() }
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
        receipt: sign(&receipt(role, (3, ActKind::Commit, 2), 2, Vec::new())),
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
    *signed = sign(&receipt);
}

fn event(receipt: &mut Receipt, change: impl FnOnce(&mut Event)) {
    let mut event = Event::decode(receipt.event.as_slice()).unwrap();
    change(&mut event);
    receipt.event = event.encode_to_vec();
}

type Change = fn(&mut Capsule);

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

#[test]
fn a_corrupted_head_is_refused() {
    refuse(
        &capsule(),
        &[
            (|it| it.format = 2, "capsule's format is 2, not 1"),
            (|it| it.statement = None, "it has no statement"),
            (|it| it.statement.as_mut().unwrap().signature[0] ^= 1, "the statement's signature is wrong"),
            (|it| it.statement.as_mut().unwrap().statement.push(0), "tenant statement is malformed"),
            (|it| it.wallet = "a/b".to_owned(), "its wallet has not the form"),
            (|it| it.wallet = "wallet-2".to_owned(), "receipt's wallet is"),
            (|it| it.backup.clear(), "its backup has not the form"),
            (|it| it.method = "passkey".to_owned(), "its method has not the form"),
            (|it| it.secret = 0, "its secret has not the form"),
            (|it| it.storage = 0, "its storage has not the form"),
            (|it| it.pairs.reverse(), "its pairs are not 1 to 4"),
            (|it| it.pairs.clear(), "its pairs are not 1 to 4"),
            (|it| it.pairs[0].curve = 9, "its pairs are not 1 to 4"),
            (|it| it.record_id.clear(), "record_id has 0 bytes"),
            (|it| it.record_id[0] ^= 1, "receipt's record_id is"),
            (|it| it.roles.clear(), "its roles are not client, custodian or both"),
            (|it| it.roles.reverse(), "its roles are not client, custodian or both"),
            (|it| it.roles[1] = it.roles[0].clone(), "its roles are not client, custodian or both"),
            (|it| it.roles[0].role = 9, "its roles are not client, custodian or both"),
            (|it| it.made_in.clear(), "it was cut short, or lacks a role"),
            (|it| _ = it.made_in.pop(), "it was cut short, or lacks a role"),
            (|it| _ = it.roles.pop(), "it was cut short, or lacks a role"),
        ],
    );
    let foreign = TenantId([1; 32]);
    let question = Question { tenant: foreign, trust: &Trust::aws() };
    let error = verify_with(&capsule().encode_to_vec(), &question, &vouched).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::ForeignStatement { .. }), "{error}");
}

#[test]
fn a_corrupted_role_is_refused() {
    refuse(
        &capsule(),
        &[
            (|it| it.roles[0].manifest.push(0), "the manifest is malformed"),
            (|it| it.roles[0].manifest = manifest_of(Role::Custodian).encode_to_vec(), "manifest's role is custodian"),
            (|it| it.roles[0].manifest = other_release(), "its manifest is none that the statement accepts"),
            (|it| it.roles[0].keks.clear(), "its KEKs are not in the order"),
            (|it| it.roles[0].keks.reverse(), "its KEKs are not in the order"),
            (|it| it.roles[0].keks[0].wrapped.clear(), "a wrapped KEK has not 1 to 6144 bytes"),
            (|it| it.roles[0].keks[0].wrapped = vec![0; 6145], "a wrapped KEK has not 1 to 6144 bytes"),
            (|it| it.roles[0].keks[1].epoch = 3, "does not name epoch 3 of the client role"),
            (|it| _ = it.roles[0].attestations.pop(), "it has not one attestation document for each epoch"),
            (
                |it| it.roles[0].attestations[0] = it.roles[0].attestations[1].clone(),
                "it has not one attestation document",
            ),
            (|it| it.roles[0].attestations = it.roles[1].attestations.clone(), "attestation's role is custodian"),
            (|it| it.roles[0].attestations[0].identity.push(0), "attestation document is malformed: user_data"),
            (|it| it.roles[0].attestations[0].identity = other_kek(), "identity's kek_id is"),
            (|it| it.roles[0].record.clear(), "the client role's record has not 1 to 524288 bytes"),
            (|it| it.roles[0].record = vec![0; 524_289], "the client role's record has not 1 to 524288 bytes"),
        ],
    );
    refuse(
        &capsule(),
        &[
            (|it| it.roles[1].receipt = None, "a receipt is missing"),
            (|it| it.roles[1].receipt.as_mut().unwrap().signature[0] ^= 1, "receipt's signature is wrong"),
            (|it| it.roles[1].receipt = it.roles[0].receipt.clone(), "receipt's role is client, not custodian"),
            (|it| again(&mut it.roles[0].receipt, |r| r.tenant[0] ^= 1), "receipt's tenant is"),
            (|it| again(&mut it.roles[0].receipt, |r| r.active = None), "names no active generation"),
            (|it| again(&mut it.roles[0].receipt, |r| r.active = Some(put_ref(3))), "generation 3, which the newest"),
            (|it| again(&mut it.roles[0].receipt, |r| r.pending = Some(put_ref(3))), "generation 3, which the newest"),
            (
                |it| again(&mut it.roles[0].receipt, |r| r.active.as_mut().unwrap().put_intent_hash = vec![9; 32]),
                "generation 2, which the newest receipt names, is missing",
            ),
            (|it| again(&mut it.roles[0].receipt, |r| r.version = 0), "the put of generation 1 is out of its order"),
            (|it| again(&mut it.roles[0].receipt, |r| r.version = 2), "two receipts of one version differ"),
            (|it| it.roles[0].open_acts[0].kind = 0, "what waits is not one of each kind"),
            (|it| it.roles[0].open_acts[0].intent_hash.clear(), "what waits is not one of each kind"),
            (
                |it| it.roles[0].open_acts = vec![it.roles[0].open_acts[0].clone(); 2],
                "what waits is not one of each kind",
            ),
        ],
    );
}

fn other_release() -> Vec<u8> {
    strongroom_proto::v1::Manifest { release: 8, ..manifest_of(Role::Client) }.encode_to_vec()
}

fn other_kek() -> Vec<u8> {
    Identity { epoch: 1, kek_id: vec![1; 32], ..identity_of(Role::Client) }.encode_to_vec()
}

#[test]
fn a_corrupted_generation_is_refused() {
    refuse(
        &capsule(),
        &[
            (|it| it.roles[0].generations.clear(), "the client role's generations are not in order"),
            (|it| it.roles[0].generations.reverse(), "the client role's generations are not in order"),
            (
                |it| it.roles[0].generations = vec![it.roles[0].generations[0].clone(); 9],
                "generations are not in order",
            ),
            (|it| _ = it.roles[0].generations.pop(), "generation 2, which the newest receipt names, is missing"),
            (|it| it.roles[0].generations[1].generation = 3, "receipt of a put's generation is 2, not 3"),
            (|it| it.roles[0].generations[1].pairs.reverse(), "its pairs are not 1 to 4"),
            (|it| _ = it.roles[0].generations[1].pairs.pop(), "receipt of a put's number of hashes is 2, not 1"),
            (|it| it.roles[0].generations[1].put = None, "a receipt is missing"),
            (
                |it| it.roles[0].generations[1].put = it.roles[0].generations[0].put.clone(),
                "generation 2 is out of its order",
            ),
            (
                |it| it.roles[0].generations[1].put = it.roles[1].generations[1].put.clone(),
                "receipt's role is custodian",
            ),
            (|it| it.roles[0].generations[1].put = it.roles[0].receipt.clone(), "generation 2 is of no put of it"),
            (
                |it| again(&mut it.roles[0].generations[1].put, |r| event(r, |e| e.generation = 1)),
                "generation 2 is of no put of it",
            ),
            (
                |it| again(&mut it.roles[0].generations[1].put, |r| _ = r.sealed_hashes.pop()),
                "number of hashes is 1, not 2",
            ),
            (
                |it| again(&mut it.roles[0].generations[1].put, |r| r.sealed_hashes.swap(0, 1)),
                "sealed share's SHA-256 is",
            ),
            (|it| it.roles[0].generations[1].epoch = 1, "an epoch below the one that it was put under"),
            (|it| it.roles[0].generations[0].epoch = 2, "its KEKs are not those of the epochs"),
            (|it| it.roles[0].generations[1].shares[0].sealed[0] ^= 1, "sealed share's SHA-256 is"),
            (|it| it.roles[0].generations[1].shares[0].sealed.clear(), "a sealed share has not 1 to"),
            (|it| it.roles[0].generations[1].shares.reverse(), "the shares of generation 2 are not one of each pair"),
            (|it| _ = it.roles[0].generations[1].shares.pop(), "the shares of generation 2 are not one of each pair"),
            (|it| it.roles[0].generations[1].shares[0].generation = 1, "the shares of generation 2 are not one"),
            (
                |it| it.roles[0].generations[1].shares = it.roles[1].generations[1].shares.clone(),
                "sealed share's SHA-256",
            ),
            (
                |it| it.roles[0].generations[1].seals.push(CapsuleSeal::default()),
                "the shares of generation 2 are not one",
            ),
            (other_pairs, "generation 1 is another one in the custodian role"),
        ],
    );
}

/// The same put with another curve in the custodian role, receipted as it is.
fn other_pairs(capsule: &mut Capsule) {
    capsule.roles[1].generations[0].pairs[0].curve = 2;
}

/// The same backup, whose client's part its owner keeps.
fn self_managed() -> Capsule {
    let mut capsule = Capsule { storage: Storage::SelfManaged.into(), ..capsule() };
    for generation in &mut capsule.roles[0].generations {
        let seal = |share: &StoredShare| CapsuleSeal {
            pair: share.pair.clone(),
            sha256: ContentHash::of(&share.sealed).0.to_vec(),
            epoch: generation.epoch,
        };
        generation.seals = generation.shares.iter().map(seal).collect();
        generation.shares.clear();
    }
    capsule
}

#[test]
fn shares_that_their_owner_keeps_are_named_and_not_here() {
    let held = verified(&self_managed()).unwrap();
    assert!(held.roles[0].generations.iter().all(|it| !it.has_shares && it.is_receipted));
    assert!(held.roles[1].generations.iter().all(|it| it.has_shares), "the host keeps the custodian's always");
    let mut anew = self_managed();
    let seals = &mut anew.roles[0].generations[0].seals;
    seals.insert(1, CapsuleSeal { pair: "a".to_owned(), sha256: vec![3; 32], epoch: 2 });
    assert!(!verified(&anew).unwrap().roles[0].generations[0].is_receipted);
    const EACH: &str = "has not one or two hashes of each pair";
    refuse(
        &self_managed(),
        &[
            (|it| it.roles[0].generations[0].seals.clear(), EACH),
            (|it| _ = it.roles[0].generations[0].seals.pop(), EACH),
            (|it| it.roles[0].generations[0].seals[0].pair = "c".to_owned(), EACH),
            (|it| it.roles[0].generations[0].seals[0].sha256.clear(), EACH),
            (|it| it.roles[0].generations[0].seals = vec![it.roles[0].generations[0].seals[0].clone(); 2], EACH),
            (|it| it.roles[0].generations[0].shares = sealed(Role::Client, 1), EACH),
            (|it| it.roles[0].generations[1].seals[0].epoch = 1, EACH),
            (|it| it.roles[0].generations[0].seals[0].sha256[0] ^= 1, "sealed share's SHA-256 is"),
            (|it| it.roles[1].generations[0].shares.clear(), "the shares of generation 1 are not one of each pair"),
            (|it| it.storage = Storage::Managed.into(), "the shares of generation 1 are not one of each pair"),
        ],
    );
}

/// A backup of the custodian role alone, with what the device encrypted itself.
fn alone() -> Capsule {
    let whole = capsule();
    let of = |generation: u64, pair: &str| {
        let ciphertext = format!("{generation} {pair}").into_bytes();
        let sha256 = ContentHash::of(&ciphertext).0.to_vec();
        let ciphertext = Some(ClientCiphertext { pair: pair.to_owned(), ciphertext, sha256 });
        CapsuleCiphertext { generation, ciphertext }
    };
    Capsule {
        method: "PASSWORD".to_owned(),
        roles: whole.roles[1..].to_vec(),
        made_in: vec![Role::Custodian.into()],
        ciphertexts: vec![of(1, "a"), of(1, "b"), of(2, "a"), of(2, "b")],
        ..whole
    }
}

fn first(capsule: &mut Capsule) -> &mut ClientCiphertext {
    capsule.ciphertexts[0].ciphertext.as_mut().unwrap()
}

#[test]
fn ciphertexts_are_as_their_hashes_name_them_for_every_generation_or_none() {
    let held = verified(&alone()).unwrap();
    assert_eq!(held.ciphertexts[0], KeptCiphertext { generation: 1, pair: "a".to_owned(), bytes: Some(3) });
    let mut kept = Capsule { storage: Storage::SelfManaged.into(), ..alone() };
    kept.ciphertexts.iter_mut().for_each(|it| it.ciphertext.as_mut().unwrap().ciphertext.clear());
    assert!(verified(&kept).unwrap().ciphertexts.iter().all(|it| it.bytes.is_none()));
    verified(&Capsule { ciphertexts: Vec::new(), ..alone() }).unwrap();
    let escrow = Capsule { secret: SecretKind::Key.into(), ciphertexts: alone().ciphertexts, ..capsule() };
    verified(&escrow).unwrap();

    const ORDER: &str = "its ciphertexts are not one of each pair of each generation";
    const PLACE: &str = "not where its storage says, or too long";
    refuse(
        &alone(),
        &[
            (|it| it.ciphertexts[0].ciphertext = None, "a ciphertext is missing"),
            (|it| first(it).sha256.clear(), "a ciphertext's SHA-256 has 0 bytes"),
            (|it| first(it).sha256[0] ^= 1, "ciphertext's SHA-256 is"),
            (|it| first(it).ciphertext.push(0), "ciphertext's SHA-256 is"),
            (|it| first(it).ciphertext.clear(), PLACE),
            (|it| first(it).ciphertext = vec![0; CIPHERTEXT_BYTES_MAX + 1], PLACE),
            (|it| it.storage = Storage::SelfManaged.into(), PLACE),
            (|it| _ = it.ciphertexts.pop(), ORDER),
            (|it| it.ciphertexts.reverse(), ORDER),
            (|it| it.ciphertexts[0].generation = 2, ORDER),
            (|it| first(it).pair = "c".to_owned(), ORDER),
        ],
    );
    refuse(
        &Capsule { ciphertexts: alone().ciphertexts, ..capsule() },
        &[(|_| {}, "an enclave keeps the client share")],
    );
}

#[test]
fn no_byte_can_be_cut_off_or_added_and_none_that_is_flipped_goes_unseen() {
    let question = Question { tenant: tenant(), trust: &Trust::aws() };
    let bytes = capsule().encode_to_vec();
    for length in (0..bytes.len()).step_by(397).chain([bytes.len() - 1]) {
        assert!(verify_with(&bytes[..length], &question, &vouched).is_err(), "{length}");
    }
    assert!(verify_with(&[&bytes[..], &[0x78, 1]].concat(), &question, &vouched).is_err());
    // Sealed records, wrapped KEKs and documents are somebody else's to judge; everything else is refused, or seen in what is shown.
    let (shown, judged_elsewhere) = (format!("{:?}", verified(&capsule()).unwrap()), [9, 8, 7]);
    for at in (0..bytes.len()).step_by(53).filter(|at| !judged_elsewhere.contains(&bytes[*at])) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let held = verify_with(&flipped, &question, &vouched);
        assert!(held.is_err() || format!("{:?}", held.unwrap()) != shown, "byte {at}");
    }
    assert!(verify_with(&vec![0; CAPSULE_BYTES_MAX + 1], &question, &vouched).is_err());
    assert!(unverified_statement(&bytes).is_ok() && unverified_statement(&bytes[1..]).is_err());
}
