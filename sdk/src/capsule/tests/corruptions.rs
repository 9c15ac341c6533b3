//! What is changed in a capsule is refused, with the field.

use super::*;

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
