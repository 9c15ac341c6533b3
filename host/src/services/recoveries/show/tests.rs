use super::*;

const NOW: u64 = 1000;

fn part(role: Role, state: RecoveryState, not_before_ms: u64, expires_ms: u64) -> RecoveryPart {
    RecoveryPart { role: role.into(), state: state.into(), not_before_ms, expires_ms, released_ms: 0 }
}

#[test]
fn a_part_stands_where_row_record_and_time_say() {
    use Standing::{Cancelled, Denied, Due, DueForApproval, Expired, Released, Unknown, Waits};
    for (state, not_before_ms, expires_ms, closed, newest_head, expect) in [
        (RecoveryState::Delayed, NOW + 1, NOW + 2, false, true, Waits),
        (RecoveryState::Delayed, NOW, NOW + 1, false, false, Due),
        (RecoveryState::Delayed, NOW, NOW + 1, false, true, DueForApproval),
        (RecoveryState::Delayed, NOW - 1, NOW, false, true, Expired),
        (RecoveryState::Delayed, NOW - 1, NOW, true, true, Cancelled),
        (RecoveryState::Delayed, NOW + 1, NOW + 2, true, false, Cancelled),
        (RecoveryState::Released, 0, 0, true, true, Released),
        (RecoveryState::Cancelled, NOW - 1, NOW, false, false, Cancelled),
        (RecoveryState::Denied, NOW - 1, NOW, true, true, Denied),
        (RecoveryState::Unspecified, 0, 0, false, false, Unknown),
    ] {
        let part = part(Role::Client, state, not_before_ms, expires_ms);
        assert_eq!(standing(&part, closed, Moment { now_ms: NOW, newest_head }), expect, "{part:?} {closed}");
    }
}

#[test]
fn two_parts_stand_as_the_one_that_says_most() {
    use Standing::{Cancelled, Denied, Due, DueForApproval, Expired, Released, Unknown, Waits};
    let (client, custodian, both) = (&[Role::Client][..], &[Role::Custodian][..], &[Role::Client, Role::Custodian][..]);
    for (one, other, state, roles) in [
        (Released, Released, RecoveryState::Released, both),
        (Released, Waits, RecoveryState::Released, client),
        (Cancelled, Released, RecoveryState::Released, custodian),
        (Waits, DueForApproval, RecoveryState::Delayed, both),
        (Due, DueForApproval, RecoveryState::AwaitingApproval, both),
        (Due, Due, RecoveryState::Delayed, both),
        (Denied, Due, RecoveryState::Delayed, custodian),
        (Cancelled, DueForApproval, RecoveryState::AwaitingApproval, custodian),
        (Expired, Due, RecoveryState::Delayed, custodian),
        (Expired, Expired, RecoveryState::Expired, both),
        (Expired, Cancelled, RecoveryState::Expired, client),
        (Cancelled, Denied, RecoveryState::Cancelled, both),
        (Denied, Denied, RecoveryState::Denied, both),
        (Unknown, Unknown, RecoveryState::Unspecified, &[]),
    ] {
        let of = |role| part(role, RecoveryState::Delayed, 0, 0);
        let (found, parts) = overall(&[(of(Role::Client), one), (of(Role::Custodian), other)]);
        assert_eq!(found, state, "{one:?} {other:?}");
        assert_eq!(parts.iter().map(role).collect::<Vec<_>>(), roles, "{one:?} {other:?}");
    }
}
