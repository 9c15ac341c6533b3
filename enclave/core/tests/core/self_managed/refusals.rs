//! What the host or a caller could bring instead, and what an enclave's own record never says.

use strongroom_proto::enclave::v1::{Record, SharePart, request::Body as Ask};
use strongroom_proto::v1::{Reason, Statement};

use super::*;
use crate::acts::share;
use crate::steps::{put, put_shares};
use crate::vault::{Spot, edit, seal_under, spot_of};
use crate::world::reference;

/// A record under the second epoch, with what was brought to it and what it handed back.
fn handed_back(role: Role, seed: u64) -> (Stage, Vec<SealedShare>, Vec<SealedShare>) {
    let mut stage = Stage::new(role, seed, PASSKEY_ONLY);
    let old = stage.backup.shares.clone();
    let new = stage.recovers((2, Some(1)), &old);
    (stage, old, new)
}

/// Writes into a record under the second epoch.
fn edit_second(stage: &mut Stage, change: impl FnOnce(&mut Record)) {
    let epoch = stage.epoch(2).clone();
    let first = std::mem::replace(&mut stage.world.epoch, epoch);
    edit(&stage.world, &mut stage.backup.record, change);
    stage.world.epoch = first;
}

#[test]
fn neither_name_opens_other_bytes() {
    type Change = fn(&mut Vec<SealedShare>);
    let mismatch = Reason::CiphertextHashMismatch;
    let cases: &[(&str, Change, Reason, &str)] = &[
        ("of the other pair", |it| it[0].sealed = it[1].sealed.clone(), mismatch, "pair ed"),
        ("the other pair's under this one's name", |it| it.swap_remove(0).pair.clear(), Reason::NoValidBackup, "ed"),
        ("named for the other pair", |it| (it[0].pair, it[1].pair) = ("k1".into(), "ed".into()), mismatch, "pair ed"),
        ("of another generation", |it| it[0].generation = 2, Reason::NoValidBackup, "none for pair ed"),
        ("altered", |it| it[1].sealed[40] ^= 1, mismatch, "pair k1"),
        ("longer", |it| it[1].sealed.push(0), mismatch, "pair k1"),
        ("empty", |it| it[1].sealed.clear(), mismatch, "pair k1"),
    ];
    for role in ROLES {
        let (stage, old, new) = handed_back(role, 0x210);
        let (other, ..) = handed_back(role, 0x1210);
        let foreign = back_up(&stage.world, "wallet-2", Passkey::eddsa(9), |_| {});
        for (name, change, reason, detail) in cases {
            for shares in [&old, &new] {
                let mut shares = shares.clone();
                change(&mut shares);
                stage.world.refused(name, Ask::Recover(stage.asks((2, Some(1)), &shares)), *reason, detail);
            }
        }
        for (name, shares) in [("of another wallet", &foreign.shares), ("of another enclave", &other.backup.shares)] {
            let ask = Ask::Recover(stage.asks((2, Some(1)), shares));
            stage.world.refused(name, ask, mismatch, "pair ed");
        }
        // What the host says of an epoch is for its own books.
        let mut renamed = new.clone();
        for share in &mut renamed {
            share.epoch = 1;
        }
        assert!(stage.rehearses((2, None), &renamed));
    }
}

#[test]
fn another_generations_shares_are_not_this_ones() {
    let (mut stage, old, new) = handed_back(Role::Client, 0x211);
    let (intent, message) = put(&stage.world, &stage.backup, 2, &[share("ed", b"next"), share("k1", b"next")]);
    let ask = put_shares(&stage.world, consents(&intent, &[&stage.backup.passkey]), message, &stage.backup);
    let (kek, other_kek) = (Some(stage.epoch(2).kek()), Some(stage.epoch(1).kek()));
    let ask = Ask::PutShares(strongroom_proto::enclave::v1::PutShares { kek, other_kek, ..ask });
    let (moved, _) = moves(&stage.world, "put", ask, &mut stage.backup);
    let mut next = moved.shares;
    for share in &mut next {
        share.generation = 1;
    }
    let ask = Ask::Recover(stage.asks((2, Some(1)), &next));
    stage.world.refused("next", ask, Reason::CiphertextHashMismatch, "pair ed");
    // A put leaves the generation before as it stands, with both names.
    for shares in [&old, &new] {
        assert!(stage.rehearses((2, Some(1)), shares));
    }
}

#[test]
fn each_opens_only_under_the_epoch_that_stands_beside_its_hash() {
    for role in ROLES {
        let (mut stage, old, new) = handed_back(role, 0x212);
        let ask = Ask::Recover(stage.asks((2, None), &old));
        stage.world.refused("former without its KEK", ask, Reason::BadRequest, "sealed under epoch 1");
        stage.reseals((3, Some(2)), &[]);
        // The KEK that it lies under is retired, or the host keeps it back: there is no other way in.
        let ask = Ask::Recover(stage.asks((3, Some(1)), &new));
        stage.world.refused("newer without its KEK", ask, Reason::BadRequest, "sealed under epoch 2");
        let ask = Ask::Recover(stage.asks((3, Some(2)), &old));
        stage.world.refused("former without its KEK", ask, Reason::BadRequest, "sealed under epoch 1");
        assert_eq!(stage.recovers((3, Some(2)), &new).len(), 2);

        // A hash beside another epoch's number stays closed, in either place.
        let (mut stage, old, new) = handed_back(role, 0x213);
        edit_second(&mut stage, |record| {
            for part in &mut record.generations[0].parts {
                let again = part.resealed.as_mut().unwrap();
                std::mem::swap(&mut part.sealed_hash, &mut again.sealed_hash);
            }
        });
        for shares in [&old, &new] {
            let ask = Ask::Recover(stage.asks((2, Some(1)), shares));
            stage.world.refused("crossed", ask, Reason::DecryptFailed, "pair ed does not open");
            assert!(!stage.rehearses((2, Some(1)), shares));
        }
    }
}

#[test]
fn a_second_name_opens_only_what_was_sealed_at_its_place() {
    for role in ROLES {
        let (mut stage, _, mut new) = handed_back(role, 0x214);
        let record = stage.backup.record.clone();
        let kind = if role == Role::Client {
            strongroom_proto::seal::SealKind::ClientShare
        } else {
            strongroom_proto::seal::SealKind::CustodianShare
        };
        let place = Spot { kind, generation: 1, pair: "ed", ..spot_of(&record) };
        for (name, spot, opens) in [
            ("its own place", place, true),
            ("another generation", Spot { generation: 2, ..place }, false),
            ("another pair", Spot { pair: "k1", ..place }, false),
            ("another wallet", Spot { wallet: "wallet-2", ..place }, false),
            ("another record", Spot { record_id: &[9; 32], ..place }, false),
            ("another kind", Spot { kind: strongroom_proto::seal::SealKind::Record, ..place }, false),
        ] {
            stage.backup.record.clone_from(&record);
            new[0].sealed = seal_under(&stage.world, stage.epoch(2), spot, b"planted");
            let hash = ContentHash::of(&new[0].sealed).0.to_vec();
            edit_second(&mut stage, |record| {
                record.generations[0].parts[0].resealed.as_mut().unwrap().sealed_hash = hash;
            });
            assert_eq!(stage.rehearses((2, None), &new), opens, "{name}");
        }
    }
}

#[test]
fn a_record_that_no_enclave_would_write_stays_closed() {
    type Change = fn(&mut SharePart);
    let cases: &[(&str, Change)] = &[
        ("the same epoch", |it| it.resealed.as_mut().unwrap().epoch = 1),
        ("a lower epoch", |it| it.resealed.as_mut().unwrap().epoch = 0),
        ("a first epoch that is as high", |it| it.epoch = 2),
        ("a first epoch that is higher", |it| it.epoch = u64::MAX),
        ("no hash", |it| it.resealed.as_mut().unwrap().sealed_hash.clear()),
        ("31 bytes", |it| it.resealed.as_mut().unwrap().sealed_hash.truncate(31)),
        ("33 bytes", |it| it.resealed.as_mut().unwrap().sealed_hash.push(0)),
        ("the same hash", |it| it.resealed.as_mut().unwrap().sealed_hash.clone_from(&it.sealed_hash)),
        ("nothing in it", |it| it.resealed = Some(ResealedPart::default())),
    ];
    let closed = "record: does not open";
    for role in ROLES {
        let (mut stage, old, new) = handed_back(role, 0x215);
        let sound = stage.backup.record.clone();
        for (name, change) in cases {
            for pair in 0..2 {
                stage.backup.record.clone_from(&sound);
                edit_second(&mut stage, |record| change(&mut record.generations[0].parts[pair]));
                for shares in [&old, &new] {
                    let ask = Ask::Recover(stage.asks((2, Some(1)), shares));
                    stage.world.refused(name, ask, Reason::DecryptFailed, closed);
                    let ask = Ask::Reseal(stage.reseal((2, Some(1)), shares));
                    stage.world.refused(name, ask, Reason::DecryptFailed, closed);
                }
            }
        }
    }
    // Higher epochs than any KEK at hand are no reason: another enclave of the fleet knows them.
    let (mut stage, old, new) = handed_back(Role::Client, 0x216);
    edit_second(&mut stage, |record| record.generations[0].parts[0].resealed.as_mut().unwrap().epoch = u64::MAX);
    assert!(stage.rehearses((2, Some(1)), &old));
    let ask = Ask::Recover(stage.asks((2, Some(1)), &new));
    stage.world.refused("beyond", ask, Reason::BadRequest, &format!("sealed under epoch {}", u64::MAX));
    assert_eq!(stage.reseals((2, None), &[]).epochs, [1, 2, u64::MAX]);
}

#[test]
fn nothing_is_sealed_anew_under_an_epoch_that_the_statement_does_not_name_so() {
    for role in ROLES {
        let mut stage = Stage::new(role, 0x217, PASSKEY_ONLY);
        let old = stage.backup.shares.clone();
        let mut statement = Statement::decode(stage.world.statement.statement.as_slice()).unwrap();
        let part = [&mut statement.client, &mut statement.custodian].into_iter().flatten().next().unwrap();
        part.lowest_epoch = 3;
        let given_up = stage.world.keep(stage.world.tenant.sign(&statement));
        let part = [&mut statement.client, &mut statement.custodian].into_iter().flatten().next().unwrap();
        (part.lowest_epoch, part.epochs) = (1, part.epochs[..1].to_vec());
        let not_yet = stage.world.keep(stage.world.tenant.sign(&statement));
        for (name, statement, detail) in
            [("given up", &given_up, "lowest_epoch"), ("not named yet", &not_yet, "not in the statement")]
        {
            let ask = Recover { statement: Some(reference(statement)), ..stage.asks((2, Some(1)), &old) };
            stage.world.refused(name, Ask::Recover(ask), Reason::EpochNotInStatement, detail);
        }
        // What lies under an epoch that was given up opens, and comes back under one that was not.
        stage.world.statement = given_up;
        assert_eq!(stage.recovers((3, Some(1)), &old).len(), 2);
    }
}

/// The caller brings the newer ones, and the host gives the enclave the former ones, which it saw before.
#[test]
fn a_host_that_swaps_former_bytes_for_newer_ones_gains_nothing_and_is_told_of() {
    for role in ROLES {
        let (mut stage, old, new) = handed_back(role, 0x218);
        let handed = stage.recovers((2, Some(1)), &old);
        // The release is the same, to the same recipient; and the receipt says that the newer ones were not brought.
        assert_eq!(stage.backup.receipt.resealed_hashes.len(), 2);
        stage.check_parts(&[(&old[0], Some(&handed[0])), (&old[1], Some(&handed[1]))]);
        // What the caller has by the rule, the former ones until a receipt without such hashes, opens all the same.
        assert!(stage.rehearses((2, Some(1)), &old) && !stage.rehearses((2, Some(1)), &new));
        assert_eq!(stage.recovers((2, None), &handed), []);
        assert!(stage.backup.receipt.resealed_hashes.is_empty());
        let ask = Ask::Recover(stage.asks((2, Some(1)), &old));
        stage.world.refused("too late", ask, Reason::CiphertextHashMismatch, "pair ed");
    }
}

/// Of two forms of a share that come together the first is taken, as of any two.
#[test]
fn a_share_that_comes_twice_is_the_one_that_comes_first() {
    let (stage, old, new) = handed_back(Role::Client, 0x219);
    for (shares, handed) in [([&old[..], &new].concat(), 2), ([&new[..], &old].concat(), 0)] {
        let Answer::Moved(moved) = stage.world.drive(Ask::Recover(stage.asks((2, Some(1)), &shares))) else {
            panic!("not recovered")
        };
        assert_eq!(moved.shares.len(), handed);
    }
}
