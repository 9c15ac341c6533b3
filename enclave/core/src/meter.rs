//! How often one tenant may cause a call to the NSM or to KMS.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Reason;

use crate::cache::Lru;
use crate::platform::EnclaveTime;
use crate::refusal::Refusal;
use crate::step::KekKey;

/// Most costly calls of one tenant in a minute.
pub(crate) const COSTLY_CALLS_PER_MINUTE_MAX: u32 = 60;
/// Most tenants metered at once. Past it the one seen longest ago starts anew.
const METERED_TENANTS_MAX: usize = 4096;
/// Most unwraps remembered, so that requests which wait for the same KEK are counted once.
const UNWRAPS_MAX: usize = 512;
/// How long an unwrap that KMS has not answered yet counts as the same one.
const SAME_UNWRAP_MS: u64 = 10_000;

const MINUTE_MS: u64 = 60_000;

/// Counts costly calls by tenant and minute.
pub(crate) struct Meter {
    tenants: Lru<TenantId, (EnclaveTime, u32)>,
    unwraps: Lru<KekKey, EnclaveTime>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { tenants: Lru::new(METERED_TENANTS_MAX), unwraps: Lru::new(UNWRAPS_MAX) }
    }
}

impl Meter {
    /// Counts one call.
    ///
    /// # Errors
    /// `RATE_LIMITED` past the limit, with the time until the next minute.
    pub(crate) fn count(&mut self, tenant: TenantId, now: EnclaveTime) -> Result<(), Refusal> {
        let (since, calls) = self
            .tenants
            .get(&tenant)
            .filter(|(since, _)| now.0.saturating_sub(since.0) < MINUTE_MS)
            .unwrap_or((now, 0));
        if calls >= COSTLY_CALLS_PER_MINUTE_MAX {
            let wait = MINUTE_MS.saturating_sub(now.0.saturating_sub(since.0));
            return Err(Refusal {
                reason: Reason::RateLimited,
                detail: alloc::format!(
                    "more than {COSTLY_CALLS_PER_MINUTE_MAX} calls a minute that cost the NSM or KMS"
                ),
                retry_after_ms: u32::try_from(wait).unwrap_or(u32::MAX),
            });
        }
        self.tenants.put(tenant, (since, calls.saturating_add(1)));
        Ok(())
    }

    /// Counts one unwrap, unless it joins the same one that was counted a moment ago and still waits for KMS.
    pub(crate) fn count_unwrap(&mut self, key: &KekKey, now: EnclaveTime) -> Result<(), Refusal> {
        let same = self.unwraps.get(key).is_some_and(|at| now.0.saturating_sub(at.0) < SAME_UNWRAP_MS);
        if same {
            return Ok(());
        }
        self.count(key.context.tenant, now)?;
        self.unwraps.put(*key, now);
        Ok(())
    }

    /// KMS answered an unwrap: the next one of the same KEK is another call. So one that always fails is counted each time.
    pub(crate) fn unwrap_answered(&mut self, key: &KekKey) {
        self.unwraps.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_stopped_at_its_limit_and_others_go_on() {
        let mut meter = Meter::default();
        let (one, other) = (TenantId([1; 32]), TenantId([2; 32]));
        let start = EnclaveTime(1_000_000);
        for _ in 0..COSTLY_CALLS_PER_MINUTE_MAX {
            meter.count(one, start).unwrap();
        }
        let refusal = meter.count(one, EnclaveTime(start.0 + 15_000)).unwrap_err();
        assert_eq!((refusal.reason, refusal.retry_after_ms), (Reason::RateLimited, 45_000));
        meter.count(other, start).unwrap();
        meter.count(one, EnclaveTime(start.0 + MINUTE_MS)).unwrap();
    }
}
