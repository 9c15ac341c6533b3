//! The boot parameters: `--parent-cid N`, and nothing else.

/// The context id of the parent instance on Nitro.
const PARENT_CID: u32 = 3;

/// What the enclave was started with.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Arguments {
    /// The context id that the host's relay listens at.
    pub(crate) parent_cid: u32,
}

impl Arguments {
    /// Reads the arguments after the program's name. The error is a sentence.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { parent_cid: PARENT_CID };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            if name != "--parent-cid" {
                return Err(format!("unknown argument {name:?}; only --parent-cid N is known"));
            }
            let value = arguments.next().ok_or("--parent-cid needs a number")?;
            parsed.parent_cid = value.parse().map_err(|_| format!("--parent-cid needs a number, not {value:?}"))?;
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expect: Result<u32, ()>) {
        let got = Arguments::parse(arguments.iter().map(|argument| (*argument).to_owned()));
        assert_eq!(got.map(|arguments| arguments.parent_cid).map_err(|_| ()), expect, "{arguments:?}");
    }

    #[test]
    fn only_a_parent_cid_is_taken() {
        check(&[], Ok(3));
        check(&["--parent-cid", "2"], Ok(2));
        check(&["--parent-cid"], Err(()));
        check(&["--parent-cid", "x"], Err(()));
        check(&["--parent-cid", "-1"], Err(()));
        check(&["--parent-cid", "4294967296"], Err(()));
        check(&["--parent-cid=2"], Err(()));
        check(&["--simulated"], Err(()));
        check(&["2"], Err(()));
    }
}
