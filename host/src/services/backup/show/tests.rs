use prost::Message;
use strongroom_proto::v1::{BackupPart, GenerationRef, Receipt, SecretKind, SignedReceipt};

use super::*;
use crate::rows::{GenerationBook, GenerationNote};

/// A record: its active generation, the one that waits, and all that it names.
type Told<'a> = (u64, u64, &'a [u64]);

fn record(role: Role, (active, pending, named): Told<'_>) -> (Role, RecordRow) {
    let of = |generation: u64| (generation > 0).then_some(GenerationRef { generation, ..Default::default() });
    let receipt =
        Receipt { role: role.into(), active: of(active), pending: of(pending), ..Default::default() }.encode_to_vec();
    let pair = |generation: u64| Pair { id: format!("p{generation}"), curve: 1 };
    let note = |generation: u64| GenerationNote { generation, pairs: vec![pair(generation)], ..Default::default() };
    let row = RecordRow {
        receipt: Some(SignedReceipt { receipt, signature: Vec::new() }),
        generations: named.iter().map(|generation| note(*generation)).collect(),
        closed: named.is_empty(),
        ..RecordRow::default()
    };
    (role, row)
}

fn shown(made_in: &[Role], secret: SecretKind, records: &[(Role, RecordRow)]) -> Backup {
    shown_with(made_in, secret, records, &BooksRow::default())
}

fn shown_with(made_in: &[Role], secret: SecretKind, records: &[(Role, RecordRow)], books: &BooksRow) -> Backup {
    let row = BackupRow {
        record_id: vec![7; 32],
        roles: made_in.iter().map(|role| i32::from(*role)).collect(),
        secret: secret.into(),
        pairs: vec![Pair { id: "p0".to_owned(), curve: 1 }],
        ..BackupRow::default()
    };
    let records: Vec<_> = records.iter().map(|(role, record)| (*role, record)).collect();
    show(&Name::parse("wallet", "w").unwrap(), &Name::parse("backup", "b").unwrap(), &row, &records, books).unwrap()
}

#[test]
fn a_generation_stands_where_all_roles_say() {
    use BackupState::{Active, Closed, Pending, Superseded};
    /// State, generation in force, states of all, number of the parts shown, pair shown.
    type Expect<'a> = (BackupState, u64, &'a [(u64, BackupState)], usize, &'a str);
    let both: &[Role] = &[Role::Client, Role::Custodian];
    let client: &[Role] = &[Role::Client];
    let table: &[(&[Role], &[Told<'_>], Expect<'_>)] = &[
        (both, &[(1, 0, &[1]), (1, 0, &[1])], (Active, 1, &[(1, Active)], 2, "p1")),
        // Put and not committed.
        (both, &[(1, 2, &[1, 2]), (1, 2, &[1, 2])], (Active, 1, &[(1, Active), (2, Pending)], 2, "p1")),
        // The custodian has committed.
        (both, &[(1, 2, &[1, 2]), (2, 0, &[1, 2])], (Active, 1, &[(1, Superseded), (2, Pending)], 2, "p1")),
        (both, &[(2, 0, &[1, 2]), (2, 0, &[1, 2])], (Active, 2, &[(1, Superseded), (2, Active)], 2, "p2")),
        // Half committed when the next one was put, whose half is committed, too.
        (both, &[(1, 3, &[1, 3]), (3, 0, &[1, 3])], (Active, 1, &[(1, Superseded), (3, Pending)], 2, "p1")),
        // One role has dropped what the other has not.
        (both, &[(3, 0, &[2, 3]), (3, 0, &[1, 3])], (Active, 3, &[(1, Pending), (2, Pending), (3, Active)], 2, "p3")),
        // No generation in common.
        (both, &[(1, 0, &[1]), (2, 0, &[2])], (Pending, 0, &[(1, Pending), (2, Pending)], 1, "p2")),
        // Deleted in one role, and in both.
        (both, &[(0, 0, &[]), (1, 0, &[1])], (Pending, 0, &[(1, Pending)], 1, "p1")),
        (both, &[(1, 0, &[1]), (0, 0, &[])], (Pending, 0, &[(1, Pending)], 1, "p1")),
        (both, &[(0, 0, &[]), (0, 0, &[])], (Closed, 0, &[], 0, "p0")),
        // A record is missing.
        (both, &[(1, 0, &[1])], (Pending, 0, &[(1, Pending)], 1, "p1")),
        (both, &[], (Pending, 0, &[], 0, "p0")),
        // One role alone.
        (client, &[(1, 0, &[1])], (Active, 1, &[(1, Active)], 1, "p1")),
        (client, &[(5, 0, &[2, 5])], (Active, 5, &[(2, Superseded), (5, Active)], 1, "p5")),
        (client, &[(0, 0, &[])], (Closed, 0, &[], 0, "p0")),
    ];
    for (made_in, told, (state, generation, states, parts, pair)) in table {
        let records: Vec<_> = both.iter().zip(*told).map(|(role, told)| record(*role, *told)).collect();
        let backup = shown(made_in, SecretKind::Share, &records);
        let found: Vec<_> = backup.generations.iter().map(|it| (it.generation, it.state())).collect();
        assert_eq!((backup.state(), backup.generation, found.as_slice()), (*state, *generation, *states), "{told:?}");
        assert_eq!((backup.parts.len(), backup.pairs[0].id.as_str()), (*parts, *pair), "{told:?}");
        assert_eq!(backup.receipts.len(), told.len());
    }
}

fn kinds(stored: &[StoredPart]) -> Vec<i32> {
    stored.iter().map(|it| it.part).collect::<BTreeSet<i32>>().into_iter().collect()
}

#[test]
fn parts_are_what_is_stored_of_each_generation() {
    use BackupPart::{ClientStored, CustodianStored, KeyStored};
    let parts = |all: &[BackupPart]| all.iter().map(|part| i32::from(*part)).collect::<Vec<_>>();
    let records = [record(Role::Client, (1, 2, &[1, 2])), record(Role::Custodian, (1, 0, &[1]))];
    for (secret, one, two) in [
        (SecretKind::Share, &[ClientStored, CustodianStored][..], &[ClientStored][..]),
        (SecretKind::Key, &[CustodianStored, KeyStored], &[KeyStored]),
    ] {
        let backup = shown(&[Role::Client, Role::Custodian], secret, &records);
        assert_eq!(backup.parts, parts(one), "{secret:?}");
        let all: Vec<_> = backup.generations.into_iter().map(|it| kinds(&it.stored)).collect();
        assert_eq!(all, [parts(one), parts(two)], "{secret:?}");
    }
}

/// What the books say of a generation: its number, what is missing, what failed, and why it was given up.
type Said<'a> = (u64, &'a [&'a str], &'a [&'a str], BackupReason);

fn books(said: &[Said<'_>], added_ms: u64) -> BooksRow {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let book = |(generation, missing, failed, closed): &Said<'_>| GenerationBook {
        generation: *generation,
        added_ms,
        missing: texts(missing),
        failed: texts(failed),
        closed: (*closed).into(),
        ..GenerationBook::default()
    };
    BooksRow { generations: said.iter().map(book).collect() }
}

#[test]
fn a_generation_that_is_not_whole_leaves_the_one_before_in_force() {
    use BackupReason::{Aborted, Deleted, Expired, Failed, Unspecified};
    use BackupState::{Active, Closed, Pending, Superseded};
    /// State, reason, generation in force, states of all.
    type Expect<'a> = (BackupState, BackupReason, u64, &'a [(u64, BackupState)]);
    /// The roles that it was made in, its records, its books, and what is shown.
    type Case<'a> = (&'a [Role], &'a [Told<'a>], &'a [Said<'a>], Expect<'a>);
    let both: &[Role] = &[Role::Client, Role::Custodian];
    let client: &[Role] = &[Role::Client];
    let lacks: Said<'_> = (2, &["p2"], &[], Unspecified);
    let fails: Said<'_> = (2, &["p2"], &["p2"], Unspecified);
    let aborted: Said<'_> = (2, &[], &[], Aborted);
    let expired: Said<'_> = (2, &["p2"], &[], Expired);
    let first: Said<'_> = (1, &["p1"], &[], Unspecified);
    let table: &[Case<'_>] = &[
        (both, &[(1, 2, &[1, 2]), (1, 2, &[1, 2])], &[lacks], (Active, Unspecified, 1, &[(1, Active), (2, Pending)])),
        (both, &[(1, 2, &[1, 2]), (1, 2, &[1, 2])], &[fails], (Active, Failed, 1, &[(1, Active), (2, Pending)])),
        (both, &[(1, 2, &[1, 2]), (1, 2, &[1, 2])], &[aborted], (Active, Aborted, 1, &[(1, Active), (2, Closed)])),
        (both, &[(1, 2, &[1, 2]), (1, 2, &[1, 2])], &[expired], (Active, Expired, 1, &[(1, Active), (2, Closed)])),
        (both, &[(1, 2, &[1, 2]), (1, 2, &[1, 2])], &[first], (Pending, Unspecified, 0, &[(1, Pending), (2, Pending)])),
        (
            both,
            &[(1, 2, &[1, 2]), (1, 2, &[1, 2])],
            &[first, lacks],
            (Pending, Unspecified, 0, &[(1, Pending), (2, Pending)]),
        ),
        (both, &[(1, 0, &[1]), (1, 0, &[1])], &[first], (Pending, Unspecified, 0, &[(1, Pending)])),
        // Whatever the books say, what every role has active and lacks nothing is in force.
        (both, &[(2, 0, &[1, 2]), (2, 0, &[1, 2])], &[first], (Active, Unspecified, 2, &[(1, Pending), (2, Active)])),
        (both, &[(2, 0, &[1, 2]), (2, 0, &[1, 2])], &[lacks], (Active, Unspecified, 1, &[(1, Active), (2, Pending)])),
        (client, &[(2, 0, &[1, 2])], &[lacks], (Active, Unspecified, 1, &[(1, Active), (2, Pending)])),
        (client, &[(2, 0, &[1, 2])], &[aborted], (Active, Aborted, 1, &[(1, Active), (2, Closed)])),
        (client, &[(2, 0, &[1, 2])], &[], (Active, Unspecified, 2, &[(1, Superseded), (2, Active)])),
        (client, &[(2, 0, &[2])], &[aborted], (Closed, Aborted, 0, &[(2, Closed)])),
        (client, &[(2, 0, &[2])], &[lacks], (Pending, Unspecified, 0, &[(2, Pending)])),
        (client, &[(0, 0, &[])], &[lacks], (Closed, Deleted, 0, &[])),
    ];
    for (made_in, told, said, (state, reason, generation, states)) in table {
        let records: Vec<_> = both.iter().zip(*told).map(|(role, told)| record(*role, *told)).collect();
        let backup = shown_with(made_in, SecretKind::Share, &records, &books(said, now_ms()));
        let found: Vec<_> = backup.generations.iter().map(|it| (it.generation, it.state())).collect();
        assert_eq!((backup.state(), backup.reason(), backup.generation), (*state, *reason, *generation), "{said:?}");
        assert_eq!(found, *states, "{told:?} {said:?}");
    }
    // In one role the one before opens for seven days, in two until the next commit.
    let old = books(&[lacks], now_ms() - strongroom_proto::limits::GRACE_MS);
    let records = [record(Role::Client, (2, 0, &[1, 2])), record(Role::Custodian, (2, 0, &[1, 2]))];
    assert_eq!(shown_with(client, SecretKind::Share, &records[..1], &old).generation, 0);
    assert_eq!(shown_with(both, SecretKind::Share, &records, &old).generation, 1);
}
