use super::*;

fn case() -> (Case, Rehearsal) {
    let record = record();
    let prepared = Prepared::of(vec![record_view()]);
    let intent = crate::intent::rehearse(&prepared.base(Role::Client).unwrap(), &record, 1).unwrap();
    let rehearsal = Rehearsal {
        tenant: tenant().0.to_vec(),
        wallet: WALLET.to_owned(),
        role: Role::Client.into(),
        record_id: record.id.0.to_vec(),
        head: record.head.0.to_vec(),
        generation: 1,
        intent_hash: intent.hash.0.to_vec(),
        result: RehearsalResult::Opens.into(),
        epoch: 2,
        time_ms: NOW_MS + 1,
        stages: Some(stages()),
    };
    (Case { intent, record: Some(record), release: None, ..created() }, rehearsal)
}

fn sign(rehearsal: &Rehearsal, prefix: &[u8]) -> SignedRehearsal {
    let rehearsal = rehearsal.encode_to_vec();
    SignedRehearsal { signature: receipt_key().sign(prefix, &rehearsal).unwrap(), rehearsal }
}

#[test]
fn each_field_of_a_rehearsal_is_checked() {
    type Change = fn(&mut Rehearsal);
    let (case, good) = case();
    let verify = |signed: &SignedRehearsal| verify_rehearsal(signed, &verified_statement(), &case.sent());
    assert!(verify(&sign(&good, prefix::REHEARSAL)).unwrap().opens);
    let damaged = Rehearsal { result: RehearsalResult::Damaged.into(), ..good.clone() };
    assert!(!verify(&sign(&damaged, prefix::REHEARSAL)).unwrap().opens);
    let cases: &[(Change, &str)] = &[
        (|r| r.tenant[0] ^= 1, "rehearsal's tenant is"),
        (|r| r.wallet.push('x'), "rehearsal's wallet is"),
        (|r| r.role = 2, "rehearsal's role is custodian"),
        (|r| r.record_id[0] ^= 1, "rehearsal's record_id is"),
        (|r| r.head[0] ^= 1, "rehearsal's head is"),
        (|r| r.generation = 2, "rehearsal's generation is 2, not 1"),
        (|r| r.intent_hash[0] ^= 1, "rehearsal's intent_hash is"),
        (|r| r.result = 0, "its result is unknown"),
        (|r| r.result = 9, "its result is unknown"),
        (|r| r.epoch = 3, "does not name epoch 3"),
        (|r| r.epoch = 1, "epoch 1 of the client role is older than 2"),
        (|r| r.time_ms = NOW_MS + 600_001, "after the intent's not_after"),
        (|r| r.stages = None, "stages are missing"),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut rehearsal = good.clone();
        change(&mut rehearsal);
        let error = verify(&sign(&rehearsal, prefix::REHEARSAL)).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
    assert!(matches!(verify(&sign(&good, prefix::RECEIPT)), Err(Error::Signature { part: "rehearsal" })));
    let other = created();
    let error = verify_rehearsal(&sign(&good, prefix::REHEARSAL), &verified_statement(), &other.sent());
    assert!(error.unwrap_err().to_string().contains("no rehearsal of a record"));
}
