//! The rules that a release policy keeps in every role.

use alloc::format;

use strongroom_proto::limits::DELAY_SECONDS_MAX;
use strongroom_proto::v1::{Policy, Reason};

use crate::refusal::{Refusal, refuse};

/// Refuses policies that nobody could satisfy, or that protect nothing.
pub(crate) fn check(policy: Policy, field: &str) -> Result<(), Refusal> {
    let refused = |why| Err(refuse(Reason::PolicyDenied, why));
    if !policy.passkey && !policy.tenant_signature {
        return refused(format!("{field}: neither passkey nor tenant_signature; a delay alone releases nothing"));
    }
    if policy.newest_head && !policy.tenant_signature {
        return refused(format!("{field}.newest_head: needs tenant_signature, which names the head"));
    }
    if policy.delay_seconds > DELAY_SECONDS_MAX {
        return refused(format!("{field}.delay_seconds: {}, at most {DELAY_SECONDS_MAX}", policy.delay_seconds));
    }
    Ok(())
}

/// Refuses a policy that asks for a passkey where the record has none, and can get none: a credential comes in by another's consent.
pub(crate) fn check_credentials(policy: Policy, has_credentials: bool, field: &str) -> Result<(), Refusal> {
    if policy.passkey && !has_credentials {
        return Err(refuse(Reason::PolicyDenied, format!("{field}: asks for a passkey, and the record has none")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused() {
        let policy = |passkey, tenant_signature, newest_head, delay_seconds| Policy {
            passkey,
            tenant_signature,
            delay_seconds,
            newest_head,
        };
        for (policy, expect) in [
            (policy(true, false, false, 0), true),
            (policy(false, true, false, 0), true),
            (policy(true, true, true, 0), true),
            (policy(false, false, false, 0), false),
            (policy(true, false, true, 0), false),
            (policy(true, false, false, DELAY_SECONDS_MAX), true),
            (policy(false, false, false, 1), false),
            (policy(true, false, false, DELAY_SECONDS_MAX + 1), false),
        ] {
            assert_eq!(check(policy, "policy").is_ok(), expect, "{policy:?}");
        }
    }
}
