//! The phases of an enclave, and what is answered in each: two tables and nothing else.

/// Where the enclave stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The module's entropy has not been mixed in. An enclave in which that fails stays here.
    Entropy,
    /// Waits for its one manifest.
    AwaitManifest,
    /// The manifest is measured, and the PCRs are locked.
    Serving,
    /// Measuring failed half-way: no manifest can be told from PCR16 any more, so none is taken.
    Failed,
}

/// What a frame asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ask {
    /// Take a manifest.
    Boot,
    /// Take credentials.
    SetCredentials,
    /// Say what is missing.
    GetHealth,
    /// Say what was said.
    GetEvents,
    /// Anything that the core answers.
    Work,
}

/// Which asks are answered in which phase; every other one is refused.
const ANSWERED: [(Phase, &[Ask]); 4] = [
    (Phase::Entropy, &[Ask::GetHealth, Ask::GetEvents]),
    (Phase::AwaitManifest, &[Ask::GetHealth, Ask::GetEvents, Ask::SetCredentials, Ask::Boot]),
    (Phase::Serving, &[Ask::GetHealth, Ask::GetEvents, Ask::SetCredentials, Ask::Boot, Ask::Work]),
    (Phase::Failed, &[Ask::GetHealth, Ask::GetEvents]),
];

/// Which phase may follow which.
const FOLLOWS: [(Phase, Phase); 3] = [
    (Phase::Entropy, Phase::AwaitManifest),
    (Phase::AwaitManifest, Phase::Serving),
    (Phase::AwaitManifest, Phase::Failed),
];

impl Phase {
    /// Whether `ask` is answered in this phase.
    #[must_use]
    pub fn answers(self, ask: Ask) -> bool {
        ANSWERED.iter().any(|(phase, asks)| *phase == self && asks.contains(&ask))
    }

    /// The next phase, or nothing where it may not follow.
    #[must_use]
    pub fn to(self, next: Self) -> Option<Self> {
        FOLLOWS.contains(&(self, next)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_answered_after_the_manifest_only_and_no_phase_comes_back() {
        let phases = [Phase::Entropy, Phase::AwaitManifest, Phase::Serving, Phase::Failed];
        assert_eq!(phases.map(|phase| phase.answers(Ask::Work)), [false, false, true, false]);
        assert_eq!(phases.map(|phase| phase.answers(Ask::Boot)), [false, true, true, false]);
        assert_eq!(phases.map(|phase| phase.answers(Ask::SetCredentials)), [false, true, true, false]);
        for always in [Ask::GetHealth, Ask::GetEvents] {
            assert!(phases.iter().all(|phase| phase.answers(always)));
        }
        for (from, to) in phases.iter().flat_map(|from| phases.map(|to| (*from, to))) {
            assert_eq!(from.to(to).is_some(), FOLLOWS.contains(&(from, to)), "{from:?} -> {to:?}");
        }
        assert!(phases.iter().all(|phase| Phase::Serving.to(*phase).is_none() && Phase::Failed.to(*phase).is_none()));
    }
}
