//! The books of the recoveries: one row for each, written in the same commit as the act that began or ended it.
//!
//! They are for people who look: no release asks them. A row that is missing or does not parse keeps nothing from being released, and
//! what they say of a recovery that waits is held against its record when it is shown.

use prost::Message;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{ActKind, Event, OpenAct, RecoveryState, Role};

use super::App;
use super::act::{Done, Outcome};
use super::replies::{self, Ticket};
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{RecoveryPart, RecoveryPlaceRow, RecoveryRow, WalletRow, decode};
use crate::store::{Expect, Write};

pub(super) mod show;

/// Recoveries kept of a wallet. The oldest that ended go when a new one comes; one that waits stays.
pub(super) const RECOVERIES_MAX: u64 = 1000;
/// Most places looked at beyond those: each of a wallet's records has at most one recovery that waits in each role.
const BEYOND_ROWS_MAX: usize = 64;
/// Most recoveries dropped in one commit.
const DROPPED_MAX: usize = 4;

/// What an act did to a recovery, in every role that it was done in.
pub(super) struct Step {
    tenant: TenantId,
    wallet: Name,
    recovery: [u8; 32],
    backup: String,
    generation: u64,
    eject: bool,
    parts: Vec<RecoveryPart>,
}

impl Step {
    /// What was done to a recovery; `None` where the act was about none.
    pub(super) fn of(done: &Done) -> Result<Option<Self>, Error> {
        let mut step: Option<Self> = None;
        for outcome in &done.outcomes {
            let event: Event = decode(&outcome.receipt.event)?;
            let Some((recovery, part)) = part(outcome, &event) else { continue };
            let eject = matches!(event.kind(), ActKind::Eject | ActKind::StartEject);
            let step = step.get_or_insert_with(|| Self {
                tenant: outcome.place.tenant,
                wallet: outcome.place.wallet.clone(),
                recovery,
                backup: outcome.row.record.as_ref().map(|record| record.backup.clone()).unwrap_or_default(),
                generation: event.generation,
                eject: false,
                parts: Vec::new(),
            });
            step.eject |= eject;
            step.parts.push(part);
        }
        Ok(step)
    }

    /// Stores the act with what the books say of it. Ends: each conflict says that another act of the wallet came first, and about another
    /// record.
    pub(super) async fn commit<R: Message + Default>(
        &self,
        app: &App,
        ticket: &Ticket,
        answer: impl Fn() -> Result<R, Error>,
        writes: Vec<Write>,
    ) -> Result<R, Error> {
        loop {
            let all = writes.iter().cloned().chain(self.writes(app).await?).collect();
            match replies::commit(&*app.store, ticket, answer()?, all).await {
                Err(Error::Conflict(Kind::Recovery | Kind::RecoveryPlace | Kind::Wallet)) => {}
                result => return result,
            }
        }
    }

    /// The rows that note it, as the store stands now.
    async fn writes(&self, app: &App) -> Result<Vec<Write>, Error> {
        let key = keys::recovery(&self.tenant, &self.wallet, &self.recovery);
        let stored = app.store.get(key.clone()).await?;
        let mut writes = Vec::new();
        if stored.is_none() {
            if !self.parts.iter().any(begins) {
                // What was cancelled is no recovery, or one that the books do not know.
                return Ok(writes);
            }
            writes = self.place(app).await?;
        }
        // What does not parse is written anew: books keep nothing from being released.
        let before = stored.as_deref().and_then(|row| decode::<RecoveryRow>(row).ok());
        let row = self.applied(before);
        writes.push(Write { key, expect: Expect::unchanged(stored.as_deref()), put: Some(row.encode_to_vec()) });
        writes.extend(self.ejected(app).await?);
        Ok(writes)
    }

    fn applied(&self, before: Option<RecoveryRow>) -> RecoveryRow {
        let mut row = before.unwrap_or_else(|| RecoveryRow {
            backup: self.backup.clone(),
            generation: self.generation,
            eject: self.eject,
            created_ms: now_ms(),
            ..RecoveryRow::default()
        });
        for part in &self.parts {
            match row.parts.iter_mut().find(|it| it.role == part.role) {
                // When it was due stays known.
                Some(known) if !waits(part) => (known.state, known.released_ms) = (part.state, part.released_ms),
                Some(known) => *known = *part,
                None => row.parts.push(*part),
            }
        }
        row.parts.sort_by_key(|part| part.role);
        row
    }

    /// The place of a new recovery, and the removal of the oldest that have ended beyond those that are kept.
    async fn place(&self, app: &App) -> Result<Vec<Write>, Error> {
        let Self { tenant, wallet, recovery, .. } = self;
        let prefix = keys::recovery_places(tenant, wallet);
        let newest = app.store.scan(prefix.clone(), None, 1).await?;
        let newest = newest.first().and_then(|(key, _)| keys::parse_recovery_place(&prefix, key)).unwrap_or_default();
        let ordinal = newest.saturating_add(1);
        let row = RecoveryPlaceRow { recovery: recovery.to_vec() };
        let mut writes = vec![Write::new(keys::recovery_place(tenant, wallet, ordinal), row.encode_to_vec())];
        if ordinal <= RECOVERIES_MAX {
            return Ok(writes);
        }
        let oldest_kept =
            keys::recovery_place(tenant, wallet, ordinal.saturating_sub(RECOVERIES_MAX).saturating_add(1));
        let beyond = app.store.scan(prefix.clone(), Some(oldest_kept), BEYOND_ROWS_MAX).await?;
        let named = |place: &[u8]| decode::<RecoveryPlaceRow>(place).ok().and_then(|row| row.recovery.try_into().ok());
        let rows = beyond.iter().map(|(_, place)| keys::recovery(tenant, wallet, &named(place).unwrap_or_default()));
        let rows: Vec<keys::Key> = rows.collect();
        let found = app.store.get_all(rows.clone()).await?;
        let ended = beyond.into_iter().zip(rows.into_iter().zip(found)).filter(|(_, (_, row))| {
            row.as_deref().and_then(|row| decode::<RecoveryRow>(row).ok()).is_none_or(|row| is_over(&row, now_ms()))
        });
        for ((place, value), (key, row)) in ended.take(DROPPED_MAX) {
            let place = keys::scanned(&prefix, place);
            writes.push(Write { key: place, expect: Expect::unchanged(Some(&value)), put: None });
            if let Some(row) = row {
                writes.push(Write { key, expect: Expect::unchanged(Some(&row)), put: None });
            }
        }
        Ok(writes)
    }

    /// The wallet's mark that its shares left the service, where they did so now for the first time.
    async fn ejected(&self, app: &App) -> Result<Option<Write>, Error> {
        if !self.eject || !self.parts.iter().any(|part| part.state() == RecoveryState::Released) {
            return Ok(None);
        }
        let key = keys::wallet(&self.tenant, &self.wallet);
        let Some(stored) = app.store.get(key.clone()).await? else { return Ok(None) };
        let Ok(row) = decode::<WalletRow>(&stored) else { return Ok(None) };
        if row.ejected_ms > 0 {
            return Ok(None);
        }
        let row = WalletRow { ejected_ms: now_ms().max(1), ..row };
        Ok(Some(Write { key, expect: Expect::unchanged(Some(&stored)), put: Some(row.encode_to_vec()) }))
    }
}

impl RecoveryPart {
    pub(super) fn state(&self) -> RecoveryState {
        RecoveryState::try_from(self.state).unwrap_or_default()
    }
}

/// What one role did, and to which recovery.
fn part(outcome: &Outcome, event: &Event) -> Option<([u8; 32], RecoveryPart)> {
    let role = i32::from(outcome.place.role);
    let (recovery, part) = match event.kind() {
        ActKind::Recover | ActKind::Eject => {
            let state = RecoveryState::Released.into();
            (&event.intent_hash, RecoveryPart { role, state, released_ms: now_ms(), ..RecoveryPart::default() })
        }
        ActKind::StartRecovery | ActKind::StartEject => {
            let started = |open: &&OpenAct| open.intent_hash == event.intent_hash;
            let OpenAct { not_before_ms, expires_ms, .. } = outcome.row.open_acts.iter().find(started)?;
            let state = RecoveryState::Delayed.into();
            let (not_before_ms, expires_ms) = (*not_before_ms, *expires_ms);
            (&event.intent_hash, RecoveryPart { role, state, not_before_ms, expires_ms, released_ms: 0 })
        }
        ActKind::Cancel => {
            let by_the_tenant_alone = event.credential_id.is_empty();
            let state = if by_the_tenant_alone { RecoveryState::Denied } else { RecoveryState::Cancelled };
            (&event.cancelled_intent_hash, RecoveryPart { role, state: state.into(), ..RecoveryPart::default() })
        }
        _ => return None,
    };
    Some((recovery.as_slice().try_into().ok()?, part))
}

fn waits(part: &RecoveryPart) -> bool {
    part.state() == RecoveryState::Delayed
}

fn begins(part: &RecoveryPart) -> bool {
    matches!(part.state(), RecoveryState::Delayed | RecoveryState::Released)
}

/// Whether a recovery waits nowhere any more.
fn is_over(row: &RecoveryRow, now_ms: u64) -> bool {
    !row.parts.iter().any(|part| waits(part) && now_ms < part.expires_ms)
}

/// The role of a part.
fn role(part: &RecoveryPart) -> Role {
    Role::try_from(part.role).unwrap_or_default()
}
