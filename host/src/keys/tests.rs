use std::collections::HashMap;

use super::*;

fn name(text: &str) -> Name {
    Name::parse("id", text).unwrap()
}

/// Every kind of key over ids that invite confusion: prefixes of each other, and pieces that move between neighbours.
fn all() -> Vec<(String, Key)> {
    let ids: Vec<[u8; 32]> = [0, 1, b'a', 0xff].map(|byte| [byte; 32]).into();
    let texts = ["a", "aa", "a.", "a-a", "A", "0", &"a".repeat(64)];
    let roles = [Role::Client, Role::Custodian];
    let numbers = [0, 1, 0x6100, u64::MAX];
    let mut out = Vec::new();
    for id in &ids {
        let tenant = TenantId(*id);
        out.push((format!("tenant {tenant}"), super::tenant(&tenant)));
        out.push((format!("statement {tenant}"), statement(&tenant)));
        out.push((format!("api {tenant}"), api_key(id)));
        for text in texts {
            let one = name(text);
            out.push((format!("wallet {tenant} {text}"), wallet(&tenant, &one)));
            out.push((format!("reply {tenant} {text}"), reply(&tenant, &one)));
            for number in numbers {
                out.push((format!("time {number} {tenant} {text}"), reply_time(number, &tenant, &one)));
            }
            for other in texts {
                let key = backup(&tenant, &one, &name(other));
                out.push((format!("backup {tenant} {text} {other}"), key));
            }
        }
        for record_id in &ids {
            out.push((format!("books {tenant} {record_id:?}"), books(&tenant, &RecordId(*record_id))));
            for (number, text) in numbers.iter().flat_map(|number| texts.map(|text| (*number, text))) {
                let key = ciphertext(&tenant, &RecordId(*record_id), number, &name(text));
                out.push((format!("ciphertext {tenant} {record_id:?} {number} {text}"), key));
            }
            for (number, generation) in numbers.iter().flat_map(|one| numbers.map(|other| (*one, other))) {
                let it = Uncommitted { time_ms: number, tenant, record: RecordId(*record_id), generation };
                out.push((format!("{it:?}"), uncommitted_generation(&it)));
                out.push((format!("unfinished {it:?}"), unfinished_generation(&it)));
            }
        }
        for role in roles {
            for number in numbers {
                out.push((format!("kek {tenant} {role:?} {number}"), kek(&tenant, role, number)));
                for record_id in &ids {
                    let record_id = RecordId(*record_id);
                    let key = event(&tenant, &record_id, role, number);
                    out.push((format!("event {tenant} {record_id} {role:?} {number}"), key));
                    for epoch in numbers {
                        let key = listed_part(&tenant, role, epoch, &record_id, number);
                        out.push((format!("listed {tenant} {role:?} {epoch} {record_id} {number}"), key));
                    }
                    for text in texts {
                        let key = share(&tenant, &record_id, role, number, &name(text));
                        out.push((format!("share {tenant} {record_id} {role:?} {number} {text}"), key));
                    }
                }
            }
            for record_id in &ids {
                for text in texts {
                    let key = record(&tenant, &name(text), role, &RecordId(*record_id));
                    out.push((format!("record {tenant} {text} {role:?} {record_id:?}"), key));
                }
            }
        }
    }
    out
}

#[test]
fn no_two_rows_share_a_key_and_none_is_the_start_of_another() {
    let keys = all();
    let mut seen: HashMap<&[u8], &str> = HashMap::new();
    for (what, key) in &keys {
        assert_eq!(seen.insert(key.bytes(), what), None, "{what}");
        assert_eq!(key.bytes()[0], key.kind() as u8);
    }
    let mut sorted: Vec<&[u8]> = seen.into_keys().collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        assert!(!pair[1].starts_with(pair[0]), "{:?}", pair[0]);
    }
}

#[test]
fn rows_stand_in_the_order_of_their_ids() {
    let tenant = TenantId([7; 32]);
    let mut texts = ["b", "a", "a.b", "aa", "a-", "B", "a0"];
    texts.sort_unstable();
    let keys: Vec<Key> = texts.iter().map(|text| wallet(&tenant, &name(text))).collect();
    assert!(keys.windows(2).all(|pair| pair[0].bytes() < pair[1].bytes()));
    assert!(kek(&tenant, Role::Client, 9).bytes() < kek(&tenant, Role::Client, 10).bytes());
    assert!(keys.iter().all(|key| key.bytes().starts_with(wallets(&tenant).bytes())));
}

#[test]
fn names_that_could_end_early_are_refused() {
    for text in ["", "a\0", "\0", "a/b", "a b", "\u{e9}", &"a".repeat(65)] {
        assert!(matches!(Name::parse("wallet", text), Err(Error::BadRequest { field: "wallet", .. })), "{text:?}");
    }
    assert_eq!(name(&"a".repeat(64)).as_str().len(), 64);
}

#[test]
fn a_reply_time_reads_back_and_nothing_else_does() {
    let key = reply_time(77, &TenantId([3; 32]), &name("r-1"));
    assert_eq!(parse_reply_time(key.bytes()), Some((77, TenantId([3; 32]), name("r-1"))));
    for cut in 0..key.bytes().len() {
        assert_eq!(parse_reply_time(&key.bytes()[..cut]), None, "cut at {cut}");
    }
    let prefix = wallets(&TenantId([3; 32]));
    assert_eq!(last_name(&prefix, wallet(&TenantId([3; 32]), &name("w")).bytes()), Some(name("w")));
    assert_eq!(last_name(&prefix, wallet(&TenantId([4; 32]), &name("w")).bytes()), None);
    assert_eq!(last_id(&tenants(), tenant(&TenantId([3; 32])).bytes()), Some([3; 32]));
    assert_eq!(last_id(&tenants(), prefix.bytes()), None);
    let list = listed(&TenantId([3; 32]), Role::Client, 2);
    let part = |epoch| listed_part(&TenantId([3; 32]), Role::Client, epoch, &RecordId([5; 32]), 9);
    assert_eq!(parse_listed(&list, part(2).bytes()), Some((RecordId([5; 32]), 9)));
    assert_eq!(parse_listed(&list, part(3).bytes()), None);
    assert_eq!(parse_listed(&list, list.bytes()), None);
    assert_eq!(parse_reply_time(reply(&TenantId([3; 32]), &name("r-1")).bytes()), None);
}

#[test]
fn what_waits_and_an_event_read_back_and_nothing_else_does() {
    let (tenant, record) = (TenantId([3; 32]), RecordId([4; 32]));
    let waiting = Due { time_ms: 77, tenant, record, role: Role::Client, kind: 4, intent: [5; 32] };
    let key = due(&waiting);
    assert_eq!(parse_due(key.bytes()), Some(waiting));
    for cut in 0..key.bytes().len() {
        assert_eq!(parse_due(&key.bytes()[..cut]), None, "cut at {cut}");
    }
    let unknown_role: Vec<u8> =
        key.bytes().iter().enumerate().map(|(at, byte)| if at == 73 { 9 } else { *byte }).collect();
    assert_eq!(parse_due(&unknown_role), None);
    assert_eq!(parse_due(reply_time(77, &tenant, &name("r")).bytes()), None);
    let waiting = Uncommitted { time_ms: 77, tenant, record, generation: 3 };
    let key = uncommitted_generation(&waiting);
    assert_eq!(parse_uncommitted(key.bytes()), Some(waiting));
    assert_eq!(parse_due(key.bytes()), None);
    for cut in 0..key.bytes().len() {
        assert_eq!(parse_uncommitted(&key.bytes()[..cut]), None, "cut at {cut}");
    }
    assert_eq!(parse_uncommitted(&[key.bytes(), &[0]].concat()), None);
    assert_eq!(parse_unfinished(key.bytes()), None, "another queue's");
    assert_eq!(parse_unfinished(unfinished_generation(&waiting).bytes()), Some(waiting));
    assert_eq!(parse_uncommitted(unfinished_generation(&waiting).bytes()), None);
    assert!(key.bytes() < uncommitted_generation(&Uncommitted { time_ms: 78, ..waiting }).bytes(), "by time");
    let (prefix, key) = (events(&tenant, &record), event(&tenant, &record, Role::Custodian, 9));
    assert_eq!(parse_event(&prefix, key.bytes()), Some((Role::Custodian, 9)));
    for cut in 0..key.bytes().len() {
        assert_eq!(parse_event(&prefix, &key.bytes()[..cut]), None, "cut at {cut}");
    }
    assert_eq!(last_number(&statement_serials(&tenant), statement_serial(&tenant, 8).bytes()), Some(8));
    assert_eq!(last_number(&statement_serials(&TenantId([9; 32])), statement_serial(&tenant, 8).bytes()), None);
}
