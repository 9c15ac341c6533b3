//! The order of a re-seal's frames. What they do is tested with the services.

use super::*;

fn notes(generations: &[(u64, u64)]) -> Vec<GenerationNote> {
    let note = |(generation, epoch): &(u64, u64)| GenerationNote {
        generation: *generation,
        epoch: *epoch,
        ..GenerationNote::default()
    };
    generations.iter().map(note).collect()
}

#[test]
fn no_frame_needs_more_than_two_epochs_and_every_generation_moves() {
    for (record, generations, target) in [
        (1, &[][..], 2),
        (1, &[(1, 1)][..], 2),
        (1, &[(1, 1), (2, 1), (3, 1)], 3),
        (2, &[(1, 1), (4, 2)], 3),
        (2, &[(1, 1)], 3),
        (3, &[(1, 1), (2, 2), (5, 3)], 4),
        (4, &[(1, 1), (2, 2), (5, 3)], 4),
        (4, &[(1, 4)], 4),
    ] {
        let (mut here, mut notes, mut frames) = (record, notes(generations), 0);
        loop {
            let mut epochs = BTreeSet::from([target, here]);
            match next(here, &notes, target, &BTreeSet::new()) {
                Next::Nothing => break,
                Next::Record => assert!(here < target, "{notes:?}"),
                Next::Generation(number) => {
                    let note = notes.iter_mut().find(|it| it.generation == number).unwrap();
                    epochs.insert(std::mem::replace(&mut note.epoch, target));
                }
            }
            assert!(epochs.len() <= 2, "{record} {generations:?} {target}: {epochs:?}");
            here = target;
            frames += 1;
            assert!(frames <= RECORD_FRAMES_MAX);
        }
        assert!(here == target && notes.iter().all(|note| note.epoch == target), "{here} {notes:?}");
    }
}

#[test]
fn what_is_damaged_is_passed_over() {
    let of = |record, damaged: &[u64]| next(record, &notes(&[(1, 1), (2, 1)]), 3, &damaged.iter().copied().collect());
    assert_eq!(of(1, &[]), Next::Generation(1));
    assert_eq!(of(1, &[1]), Next::Generation(2));
    assert_eq!(of(1, &[1, 2]), Next::Record, "the record moves without its shares");
    assert_eq!(of(2, &[1, 2]), Next::Record);
    assert_eq!(of(3, &[1, 2]), Next::Nothing);
    assert_eq!(of(2, &[]), Next::Record, "first, so that the frame needs two KEKs only");
}
