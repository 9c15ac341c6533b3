//! A random walk of releases, rehearsals and re-seals over three epochs, with any bytes that were ever sealed, against a plain model.

use strongroom_proto::enclave::v1::request::Body as Ask;

use super::*;
use crate::world::Random;

const STEPS: usize = 120;

/// What the record should name of one pair, by place in `known`.
#[derive(Clone, Copy)]
struct Named {
    first: usize,
    again: Option<usize>,
}

struct Walk {
    stage: Stage,
    random: Random,
    /// Everything that was ever sealed, by pair.
    known: [Vec<SealedShare>; 2],
    named: [Named; 2],
    /// Releases that sealed something anew, others, and refusals.
    counts: [usize; 3],
}

impl Walk {
    fn new(role: Role, seed: u64) -> Self {
        let stage = Stage::new(role, seed, PASSKEY_ONLY);
        let known = [0, 1].map(|pair| vec![stage.backup.shares[pair].clone()]);
        let named = [Named { first: 0, again: None }; 2];
        Self { stage, random: Random::new(seed), known, named, counts: [0; 3] }
    }

    /// KEKs that open the record, and perhaps another one.
    fn keks(&mut self) -> Keks {
        let lies = self.stage.backup.record.epoch;
        // It goes up rarely: so that something happens in each epoch.
        let kek = if self.random.below(12) == 0 { (lies + 1).min(3) } else { lies };
        if kek > lies {
            return (kek, Some(lies));
        }
        let lower = u64::try_from(self.random.below(3)).unwrap();
        (kek, Some(lower).filter(|lower| (1..kek).contains(lower)))
    }

    /// More often something that the record names.
    fn pick(&mut self, pair: usize) -> usize {
        let Named { first, again } = self.named[pair];
        match self.random.below(8) {
            0 => self.random.below(self.known[pair].len()),
            1..=4 => again.unwrap_or(first),
            _ => first,
        }
    }

    fn keep(&mut self, pair: usize, share: SealedShare) -> usize {
        self.known[pair].push(share);
        self.known[pair].len() - 1
    }

    fn step(&mut self) {
        let (kek, other) = self.keks();
        let picked = [0, 1].map(|pair| self.pick(pair));
        let shares = [0, 1].map(|pair| self.known[pair][picked[pair]].clone());
        let is_named = |pair: usize| {
            let Named { first, again } = self.named[pair];
            picked[pair] == first || Some(picked[pair]) == again
        };
        let opens = |pair: usize| shares[pair].epoch == kek || Some(shares[pair].epoch) == other;
        let given = (0..2).all(|pair| is_named(pair) && opens(pair));
        match self.random.below(8) {
            0 if given => assert!(self.stage.rehearses((kek, other), &shares)),
            1 if given && self.random.below(4) == 0 => {
                let done = self.stage.reseals((kek, other), &shares);
                for (pair, share) in done.shares.into_iter().enumerate() {
                    self.named[pair] = Named { first: self.keep(pair, share), again: None };
                }
            }
            _ if given => {
                let mut anew = self.stage.recovers((kek, other), &shares).into_iter();
                self.counts[usize::from(anew.len() == 0)] += 1;
                for pair in 0..2 {
                    if picked[pair] != self.named[pair].first {
                        self.named[pair] = Named { first: picked[pair], again: None };
                    }
                    if shares[pair].epoch < kek {
                        let share = anew.next().expect("sealed anew");
                        self.named[pair].again = Some(self.keep(pair, share));
                    }
                }
                assert!(anew.next().is_none());
            }
            _ => {
                self.counts[2] += 1;
                let asks = self.stage.asks((kek, other), &shares);
                let answer = self.stage.world.drive(Ask::Recover(asks));
                assert!(matches!(answer, Answer::Error(_)), "{}", told(&answer));
            }
        }
        let known = |pair: usize, place| &self.known[pair][place];
        let expect = [0, 1].map(|pair| {
            let Named { first, again } = self.named[pair];
            (known(pair, first), again.map(|again| known(pair, again)))
        });
        self.stage.check_parts(&expect);
    }
}

#[test]
fn the_record_names_what_a_plain_model_says_whatever_is_brought() {
    let seed = std::env::var("STRONGROOM_SEED").map_or(0x5e1f, |seed| seed.parse().unwrap());
    let mut counts = [0; 3];
    for (round, role) in ROLES.into_iter().cycle().take(6).enumerate() {
        let mut walk = Walk::new(role, seed + u64::try_from(round).unwrap());
        (0..STEPS / 3).for_each(|_| walk.step());
        counts.iter_mut().zip(walk.counts).for_each(|(sum, count)| *sum += count);
    }
    println!("{counts:?}: releases that sealed anew, other releases, refusals");
    assert!(counts.iter().all(|count| *count > 5), "the walk leaves something out: {counts:?}");
}
