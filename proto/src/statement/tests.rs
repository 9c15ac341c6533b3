use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use std::format;

use prost::Message;

use super::*;
use crate::v1::{ImageMeasurement, OperationalKey};

fn op_key(byte: u8) -> OperationalKey {
    OperationalKey { key: vec![byte; 32], not_before_ms: 1000, not_after_ms: 1000 + OPERATIONAL_KEY_MS_MAX }
}

fn image(byte: u8) -> ImageMeasurement {
    ImageMeasurement { pcr0: vec![byte; 48], pcr1: vec![9; 48], pcr2: vec![9; 48] }
}

fn an_epoch(number: u64) -> Epoch {
    Epoch { epoch: number, kek_id: vec![1; 32], channel_key_hash: vec![2; 32], receipt_key: vec![3; 32] }
}

fn a_role() -> RoleStatement {
    RoleStatement { pcr16: vec![vec![1; 48], vec![2; 48]], epochs: vec![an_epoch(1), an_epoch(3)], lowest_epoch: 3 }
}

fn good() -> Statement {
    Statement {
        root_key: vec![1; 32],
        standby_key: vec![2; 32],
        serial: 1,
        operational_keys: vec![op_key(3), op_key(4)],
        images: vec![image(1), image(2)],
        client: Some(a_role()),
        custodian: Some(a_role()),
        mpc_recipients: vec![vec![1; 32], vec![2; 32]],
        rp_id: "wallet.example".to_string(),
        origins: vec!["https://a.example".to_string(), "https://b.example".to_string()],
        top_origins: vec!["https://a.example".to_string(), "https://b.example".to_string()],
    }
}

fn count_of(field: &'static str, min: usize, max: usize) -> BadStatement {
    BadStatement::Count { field, min, max }
}

fn length_of(field: &'static str, bytes: usize) -> BadStatement {
    BadStatement::Length { field, bytes }
}

fn order_of(field: &'static str) -> BadStatement {
    BadStatement::Order { field }
}

fn origins(count: usize) -> Vec<alloc::string::String> {
    (0..count).map(|i| format!("https://{i:02}.example")).collect()
}

type Change = fn(&mut Statement);

#[test]
fn forms_at_their_limits_pass() {
    let changes: &[Change] = &[
        |_| {},
        |s| s.client = None,
        |s| s.custodian = None,
        |s| s.operational_keys.clear(),
        |s| s.operational_keys = (10..26).map(op_key).collect(),
        |s| s.images = (1..=8).map(image).collect(),
        |s| s.client.as_mut().unwrap().pcr16 = (1..=8).map(|b| vec![b; 48]).collect(),
        |s| s.client.as_mut().unwrap().epochs = (1..=64).map(an_epoch).collect(),
        |s| s.mpc_recipients = (0..16).map(|b| vec![b; 32]).collect(),
        |s| (s.origins, s.top_origins) = (origins(16), origins(16)),
        |s| s.top_origins.clear(),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut statement = good();
        change(&mut statement);
        assert_eq!(check(&statement), Ok(()), "change {index}");
        assert_eq!(decode(&statement.encode_to_vec()), Ok(statement), "change {index}");
    }
}

#[test]
fn each_broken_rule_is_named() {
    let zero = |field| BadStatement::ZeroPcr { field };
    let cases: &[(Change, BadStatement)] = &[
        (|s| s.root_key.clear(), length_of("root_key", 32)),
        (|s| s.standby_key.push(0), length_of("standby_key", 32)),
        (|s| s.standby_key = s.root_key.clone(), BadStatement::KeyReused),
        (|s| s.operational_keys[0].key = s.standby_key.clone(), BadStatement::KeyReused),
        (|s| s.operational_keys[0].key = s.root_key.clone(), BadStatement::KeyReused),
        (|s| s.serial = 0, BadStatement::Serial),
        (|s| s.operational_keys = (10..27).map(op_key).collect(), count_of("operational_keys", 0, 16)),
        (|s| s.operational_keys[0].key.truncate(31), length_of("operational_keys", 32)),
        (|s| s.operational_keys.swap(0, 1), order_of("operational_keys")),
        (|s| s.operational_keys[1] = op_key(3), order_of("operational_keys")),
        (|s| s.operational_keys[0].not_after_ms += 1, BadStatement::KeyLife),
        (|s| s.operational_keys[0].not_after_ms = 1000, BadStatement::KeyLife),
        (|s| s.operational_keys[0].not_after_ms = 999, BadStatement::KeyLife),
        (|s| s.images.clear(), count_of("images", 1, 8)),
        (|s| s.images = (1..=9).map(image).collect(), count_of("images", 1, 8)),
        (|s| s.images.swap(0, 1), order_of("images")),
        (|s| s.images[1].pcr0 = s.images[0].pcr0.clone(), order_of("images")),
        (|s| s.images[0].pcr0 = vec![0; 48], zero("images.pcr0")),
        (|s| s.images[0].pcr1 = vec![0; 48], zero("images.pcr1")),
        (|s| s.images[0].pcr2 = vec![0; 48], zero("images.pcr2")),
        (|s| s.images[0].pcr2 = vec![1; 47], length_of("images.pcr2", 48)),
        (|s| (s.client, s.custodian) = (None, None), BadStatement::NoRole),
        (|s| s.custodian.as_mut().unwrap().pcr16.clear(), count_of("pcr16", 1, 8)),
        (|s| s.client.as_mut().unwrap().pcr16 = (1..=9).map(|b| vec![b; 48]).collect(), count_of("pcr16", 1, 8)),
        (|s| s.client.as_mut().unwrap().pcr16.swap(0, 1), order_of("pcr16")),
        (|s| s.client.as_mut().unwrap().pcr16[0] = vec![0; 48], zero("pcr16")),
        (|s| s.client.as_mut().unwrap().pcr16[0] = vec![1; 49], length_of("pcr16", 48)),
        (|s| s.client.as_mut().unwrap().epochs.clear(), count_of("epochs", 1, 64)),
        (|s| s.client.as_mut().unwrap().epochs = (1..=65).map(an_epoch).collect(), count_of("epochs", 1, 64)),
        (|s| s.client.as_mut().unwrap().epochs.swap(0, 1), order_of("epochs")),
        (|s| s.client.as_mut().unwrap().epochs[0].epoch = 3, order_of("epochs")),
        (|s| s.client.as_mut().unwrap().epochs[0].epoch = 0, BadStatement::EpochZero),
        (|s| s.client.as_mut().unwrap().lowest_epoch = 2, BadStatement::LowestEpoch),
        (|s| s.client.as_mut().unwrap().epochs[0].kek_id.clear(), length_of("epochs.kek_id", 32)),
        (|s| s.client.as_mut().unwrap().epochs[0].channel_key_hash.push(0), length_of("epochs.channel_key_hash", 32)),
        (|s| s.client.as_mut().unwrap().epochs[0].receipt_key.push(0), length_of("epochs.receipt_key", 32)),
        (|s| s.mpc_recipients = (0..17).map(|b| vec![b; 32]).collect(), count_of("mpc_recipients", 0, 16)),
        (|s| s.mpc_recipients[0].truncate(31), length_of("mpc_recipients", 32)),
        (|s| s.mpc_recipients.swap(0, 1), order_of("mpc_recipients")),
        (|s| s.rp_id.clear(), BadStatement::RpId),
        (|s| s.rp_id.push('/'), BadStatement::RpId),
        (|s| s.origins.clear(), count_of("origins", 1, 16)),
        (|s| s.origins = origins(17), count_of("origins", 1, 16)),
        (|s| s.origins.swap(0, 1), order_of("origins")),
        (|s| s.origins[0].push('/'), BadStatement::Origin { field: "origins" }),
        (|s| s.top_origins = origins(17), count_of("top_origins", 0, 16)),
        (|s| s.top_origins[1] = s.top_origins[0].clone(), order_of("top_origins")),
        (
            |s| s.top_origins[0] = format!("android:apk-key-hash:{}", "A".repeat(43)),
            BadStatement::Origin { field: "top_origins" },
        ),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut statement = good();
        change(&mut statement);
        assert_eq!(check(&statement), Err(*expect), "case {index}");
        assert_eq!(decode(&statement.encode_to_vec()), Err(*expect), "case {index}");
    }
}

#[test]
fn another_encoding_is_refused() {
    let mut bytes = good().encode_to_vec();
    bytes.extend_from_slice(&[0xf8, 0x07, 1]);
    assert_eq!(decode(&bytes), Err(BadStatement::NotCanonical(NotCanonical::OtherEncoding)));
    assert_eq!(decode(&[0xff]), Err(BadStatement::NotCanonical(NotCanonical::Malformed)));
    let long = vec![0; STATEMENT_BYTES_MAX + 1];
    assert_eq!(decode(&long), Err(BadStatement::NotCanonical(NotCanonical::TooLong(STATEMENT_BYTES_MAX))));
}

#[test]
fn roles_and_epochs_are_found() {
    let statement = good();
    assert_eq!(role(&statement, Role::Client), statement.client.as_ref());
    assert_eq!(role(&statement, Role::Unspecified), None);
    assert_eq!(epoch(&a_role(), 3), Some(&an_epoch(3)));
    assert_eq!(epoch(&a_role(), 2), None);
}
