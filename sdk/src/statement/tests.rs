use strongroom_proto::statement::BadStatement;

use super::*;
use crate::keys::KeyUse;
use crate::testing::{key, root, signed_statement, standby, statement, tenant};

#[test]
fn either_key_signs_and_the_pin_decides() {
    let by_root = VerifiedStatement::verify(&signed_statement(), tenant()).unwrap();
    assert_eq!((by_root.serial(), by_root.is_by_standby(), by_root.tenant()), (3, false, tenant()));
    let by_standby = VerifiedStatement::verify(&sign(&statement(), &standby()).unwrap(), tenant()).unwrap();
    assert!(by_standby.is_by_standby());
    assert!(by_root.require_at_least(3).is_ok());
    let old = by_root.require_at_least(4).unwrap_err();
    assert!(matches!(old, Error::StatementTooOld { found: 3, needed: 4 }));
}

#[test]
fn what_was_changed_is_refused() {
    type Change = fn(&mut SignedStatement);
    let cases: &[(Change, &str)] = &[
        (|s| s.signature[0] ^= 1, "statement's signature is wrong"),
        (|s| s.signature.truncate(63), "statement's signature is wrong"),
        (|s| s.signature.clear(), "statement's signature is wrong"),
        (|s| resign(s, |st| st.serial += 1, None), "statement's signature is wrong"),
        (|s| resign(s, |st| st.serial += 1, Some(&key(KeyUse::Root, 8))), "statement's signature is wrong"),
        (|s| resign(s, |st| st.serial = 0, Some(&root())), "malformed: serial"),
        (|s| resign(s, |st| st.standby_key[0] ^= 1, Some(&root())), "but the tenant pinned is"),
        (|s| resign(s, |st| std::mem::swap(&mut st.root_key, &mut st.standby_key), Some(&root())), "pinned"),
        (|s| s.statement.extend_from_slice(&[0xf8, 0x07, 1]), "canonical"),
        (|s| s.statement.clear(), "malformed: root_key"),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut signed = signed_statement();
        change(&mut signed);
        let error = VerifiedStatement::verify(&signed, tenant()).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
}

fn resign(signed: &mut SignedStatement, change: impl FnOnce(&mut Statement), key: Option<&SigningKey>) {
    let mut statement = statement();
    change(&mut statement);
    signed.statement = statement.encode_to_vec();
    if let Some(key) = key {
        signed.signature = key.sign(prefix::STATEMENT, &signed.statement).unwrap();
    }
}

#[test]
fn signing_refuses_what_readers_would() {
    let stranger = sign(&statement(), &key(KeyUse::Root, 8)).unwrap_err();
    assert!(matches!(stranger, Error::Mismatch { part: "statement", field: "signing key", .. }));
    let bad = Statement { origins: Vec::new(), ..statement() };
    let error = sign(&bad, &root()).unwrap_err();
    assert!(matches!(error, Error::Statement(BadStatement::Count { field: "origins", .. })));
}

#[test]
fn roles_and_epochs_are_the_statements_only() {
    let verified = VerifiedStatement::verify(&signed_statement(), tenant()).unwrap();
    assert_eq!(verified.epoch(Role::Client, 2).unwrap().kek_id, KekId([5; 32]));
    let epoch = verified.epoch(Role::Client, 3).unwrap_err().to_string();
    assert_eq!(epoch, "the statement does not name epoch 3 of the client role");
    let role = verified.epoch(Role::Custodian, 1).unwrap_err().to_string();
    assert_eq!(role, "the statement names no custodian role");
    assert!(verified.image_policy(Role::Client).is_ok() && verified.any_role_policy().is_ok());
    assert!(verified.image_policy(Role::Custodian).is_err());
}

#[test]
fn sorting_makes_one_order_of_many() {
    let mut statement = statement();
    statement.origins =
        vec!["https://b.example".to_owned(), "https://a.example".to_owned(), "https://b.example".to_owned()];
    let role = statement.client.as_mut().unwrap();
    role.epochs.reverse();
    role.pcr16.push(vec![0x00; 47].into_iter().chain([1]).collect());
    statement.images.push(statement.images[0].clone());
    sort(&mut statement);
    assert_eq!(form::check(&statement), Ok(()));
    assert_eq!(statement.origins.len(), 2);
    assert_eq!(statement.images.len(), 1);
}
