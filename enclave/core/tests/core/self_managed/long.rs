//! The longest shares that are allowed, across an epoch: where one answer does not hold them twice, nothing is sealed anew, and what the
//! caller keeps goes on to open.

use strongroom_proto::enclave::v1::{Response, response::Body};
use strongroom_proto::limits::{FRAME_BYTES_MAX, PAIRS_MAX, SHARE_BYTES_MAX};

use super::*;
use crate::acts::share;

/// Shares of these lengths.
fn shares(lengths: &[usize]) -> Vec<Share> {
    lengths.iter().zip(["a", "b", "c", "d"]).map(|(length, pair)| share(pair, &vec![7; *length])).collect()
}

/// Recovers under the second epoch with what lies under the first, and gives what is handed back.
fn recovers(stage: &mut Stage, brought: &[SealedShare]) -> Vec<SealedShare> {
    let ask = Ask::Recover(stage.asks((2, Some(1)), brought));
    let (moved, _) = moves(&stage.world, "release", ask, &mut stage.backup);
    let info = info(Direction::Release, stage.epoch(2), &stage.backup.receipt.record_id);
    let opened = Release::decode(&stage.recipient().open(&info, &moved.release).unwrap()).unwrap();
    assert!(opened.shares.iter().all(|share| share.bytes.expose().iter().all(|byte| *byte == 7)));
    assert_eq!(opened.shares.len(), brought.len());
    assert_eq!(stage.backup.receipt.resealed_hashes.len(), moved.shares.len());
    let answer = Response { body: Some(Body::Moved(moved.clone())) };
    assert!(answer.encoded_len() <= FRAME_BYTES_MAX, "{} bytes", answer.encoded_len());
    moved.shares
}

#[test]
fn shares_that_one_answer_does_not_hold_twice_go_on_to_open_as_they_are() {
    let half = SHARE_BYTES_MAX / 2;
    for role in ROLES {
        for (lengths, anew) in [
            (&[SHARE_BYTES_MAX; PAIRS_MAX][..], false),
            (&[200 * 1024; PAIRS_MAX], false),
            (&[SHARE_BYTES_MAX, SHARE_BYTES_MAX, 50], false),
            (&[half, half, half, half + 1], false),
            (&[half; PAIRS_MAX], true),
            (&[SHARE_BYTES_MAX, SHARE_BYTES_MAX], true),
            (&[SHARE_BYTES_MAX], true),
        ] {
            let mut stage = Stage::of(role, 0x210, PASSKEY_ONLY, &shares(lengths));
            let old = stage.backup.shares.clone();
            let count = if anew { lengths.len() } else { 0 };
            for round in 0..2 {
                let new = recovers(&mut stage, &old);
                assert_eq!(new.len(), count, "{role:?} {lengths:?} {round}");
                let named: Vec<_> = old.iter().enumerate().map(|(at, share)| (share, new.get(at))).collect();
                stage.check_parts(&named);
            }
        }
    }
}
