//! Storage by the device: its keeper keeps the client's part of a backup in the host's place, and brings it when it is to be opened.
//!
//! The host learns that it is stored only once it is, and that it is not where it could not be.

use std::sync::Arc;

use strongroom_proto::contents::Share;
use strongroom_proto::v1::{Pair, Reason, ReportStoredRequest, Role, SecretKind, Storage, StoredShare};

use super::draft::Beside;
use super::{Acted, Device, Receipted};
use crate::ciphertext::Ciphertexts;
use crate::error::{Error, expect, reason_name};
use crate::intent::sorted_pairs;
use crate::kept::{self, Expected, Keeper, Kept, Kind};
use crate::view::{Backup, Generation};

/// A key in escrow in bytes.
const ESCROW_KEY_BYTES: usize = 32;

/// A backup by its names.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) wallet: &'a str,
    pub(super) backup: &'a str,
    pub(super) method: &'a str,
}

impl Device {
    /// Who keeps the client's part of what this device backs up.
    pub(super) fn storage(&self) -> Storage {
        if self.keeper.is_some() { Storage::SelfManaged } else { Storage::Managed }
    }

    /// Has the keeper prove that it can keep what an act will give it: before anybody is asked, since a generation whose part was not kept
    /// opens nowhere.
    pub(super) fn prove(&self, shares: &[Share], ciphertexts: Option<&Ciphertexts>) -> Result<(), Error> {
        let Some(keeper) = self.keeper.as_deref() else { return Ok(()) };
        let sealed = shares.iter().map(|share| share.bytes.expose().len());
        let encrypted = ciphertexts.into_iter().flat_map(Ciphertexts::iter).map(|(_, bytes)| bytes.len());
        keeper.prove(Kept::bytes_max(sealed.chain(encrypted)))
    }

    /// What goes beside the messages: keys in escrow have ciphertexts, one for each pair, and shares have none.
    pub(super) fn beside(
        &self,
        secret: SecretKind,
        (pairs, shares): (&[Pair], &[Share]),
        ciphertexts: Option<&Ciphertexts>,
    ) -> Result<Beside, Error> {
        let storage = self.storage();
        match (secret, ciphertexts) {
            (SecretKind::Key, Some(ciphertexts)) => {
                if let Some(share) = shares.iter().find(|share| share.bytes.expose().len() != ESCROW_KEY_BYTES) {
                    let bytes = share.bytes.expose().len();
                    let problem = format!("has {bytes} bytes; a key in escrow has {ESCROW_KEY_BYTES}");
                    return Err(Error::input(format!("key of pair {}", share.pair), problem));
                }
                check_pairs(ciphertexts, pairs)?;
                Ok(Beside { storage, ciphertexts: ciphertexts.to_wire(storage) })
            }
            (SecretKind::Key, None) => {
                Err(Error::input("ciphertext", "is needed: the secret is the key that opens it"))
            }
            (_, Some(_)) => Err(Error::input("ciphertext", "is not needed: the enclave keeps the share itself")),
            (_, None) => Ok(Beside { storage, ciphertexts: Vec::new() }),
        }
    }

    /// Keeps what a creation or a put gave this device to keep, each checked against the client's receipt, and tells the host.
    pub(super) async fn keep(
        &self,
        named: &Named<'_>,
        acted: &Acted,
        pairs: &[Pair],
        (shares, ciphertexts): (Vec<StoredShare>, Option<&Ciphertexts>),
    ) -> Result<(), Error> {
        let Some(keeper) = self.keeper.as_deref() else {
            if shares.is_empty() {
                return Ok(());
            }
            return Err(Error::NoKeeper { backup: named.backup.to_owned() });
        };
        let Receipted { receipt, .. } = of_client(acted)?;
        let generation = receipt.pending.map_or(receipt.generation, |(number, _)| number);
        let pairs = sorted_pairs(pairs)?;
        let expected = Expected { record_id: receipt.record_id, generation, pairs: &pairs, hashes: &receipt.sealed };
        let mut parts = vec![kept::check(shares, &expected)?];
        parts.extend(ciphertexts.map(|it| Kept::of_ciphertexts(it, receipt.record_id, generation)));
        self.keep_all(keeper, named, generation, &parts).await
    }

    /// Keeps, and says to the host whether it could.
    pub(super) async fn keep_all(
        &self,
        keeper: &dyn Keeper,
        named: &Named<'_>,
        generation: u64,
        parts: &[Kept],
    ) -> Result<(), Error> {
        let kept = parts.iter().try_for_each(|part| keeper.keep(part));
        let request = ReportStoredRequest {
            wallet: named.wallet.to_owned(),
            backup: named.backup.to_owned(),
            generation,
            pairs: Vec::new(),
            success: kept.is_ok(),
            method: named.method.to_owned(),
        };
        let reported = self.client.report_stored(&request).await;
        // Why it could not be kept says more than what the host makes of it.
        kept.and(reported.map(|_| ()))
    }

    /// The number of the generation that an act is for: where it names none, the highest that the whole backup has in common, since a
    /// share of the client's that has no counterpart recovers no wallet; where this device keeps the client's part, the highest of which
    /// it has it.
    ///
    /// # Errors
    /// What the keeper fails: where the newest is damaged, nothing older passes for it.
    pub(super) fn number(&self, backup: Backup<'_>, named: Option<u64>) -> Result<Option<u64>, Error> {
        let highest = || backup.common(None).map(|generation| generation.number);
        let (Some(keeper), None) = (&self.keeper, named) else { return Ok(named.or_else(highest)) };
        let numbers = backup.any().generations.iter().rev().map(|generation| generation.number);
        for number in numbers.filter(|number| backup.common(Some(*number)).is_some()) {
            let has = |kind: &Kind| Ok(keeper.bring(*kind, &backup.id(), number, 0)?.is_some());
            let has: Vec<bool> = kinds(backup).iter().map(has).collect::<Result<_, Error>>()?;
            if has.into_iter().all(|has| has) {
                return Ok(Some(number));
            }
        }
        Ok(highest())
    }

    /// What a release brings along: the sealed client shares of its generation, where this device keeps them.
    pub(super) fn brought(&self, backup: Backup<'_>, generation: &Generation) -> Result<Brought, Error> {
        match &self.keeper {
            Some(keeper) if backup.record(Role::Client).is_ok() => {
                let kept = newest(keeper.as_ref(), Kind::Shares, backup, generation.number)?;
                Ok(Brought { from: Some(Arc::clone(keeper)), kept: Some(kept), before: 0 })
            }
            _ => Ok(Brought::default()),
        }
    }
}

/// What is kept of a generation of a backup whose client's part is with its owner.
fn kinds(backup: Backup<'_>) -> &'static [Kind] {
    match backup.record(Role::Client) {
        Ok(record) if record.secret == SecretKind::Key => &[Kind::Shares, Kind::Ciphertexts],
        Ok(_) => &[Kind::Shares],
        Err(_) if backup.any().is_alone_in(Role::Custodian) => &[Kind::Ciphertexts],
        Err(_) => &[],
    }
}

/// The newest that is kept of a generation.
pub(super) fn newest(keeper: &dyn Keeper, kind: Kind, backup: Backup<'_>, number: u64) -> Result<Kept, Error> {
    let record_id = backup.id();
    let nothing =
        || Error::input("keeper", format!("nothing of generation {number} of record {record_id} is kept here"));
    keeper.bring(kind, &record_id, number, 0)?.ok_or_else(nothing)
}

/// What a release brings along: first the newest that is kept of its generation.
#[derive(Default)]
pub(super) struct Brought {
    from: Option<Arc<dyn Keeper>>,
    kept: Option<Kept>,
    before: usize,
}

impl Brought {
    /// As requests have them.
    pub(super) fn shares(&self) -> Vec<StoredShare> {
        self.kept.as_ref().map(|kept| kept.shares().to_vec()).unwrap_or_default()
    }

    /// What was brought last.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// After a refusal: turns to what was kept before, where the enclave does not know the newest. Where its owner has two copies of what
    /// is kept, a recovery by the one has the enclave forget what it had sealed anew for the other, and what both had goes on to open.
    ///
    /// # Errors
    /// The refusal, where it is another one or where nothing older is kept; what the keeper fails.
    pub(super) fn older(&mut self, refused: Error) -> Result<(), Error> {
        let is_unknown = refused.reason() == Some(reason_name(Reason::CiphertextHashMismatch));
        if is_unknown && self.turn()? { Ok(()) } else { Err(refused) }
    }

    /// Turns to what was kept before, where there is any.
    pub(super) fn turn(&mut self) -> Result<bool, Error> {
        let (Some(from), Some(kept)) = (&self.from, &self.kept) else { return Ok(false) };
        let Some(older) = from.bring(kept.kind(), &kept.record_id(), kept.generation(), self.before + 1)? else {
            return Ok(false);
        };
        (self.kept, self.before) = (Some(older), self.before + 1);
        Ok(true)
    }
}

/// What a release sealed anew, for its owner to keep: checked against the client's receipt.
pub(super) fn resealed(
    shares: Vec<StoredShare>,
    acted: &Acted,
    generation: &Generation,
) -> Result<Option<Kept>, Error> {
    if shares.is_empty() {
        return Ok(None);
    }
    let Receipted { receipt, .. } = of_client(acted)?;
    let Generation { number, pairs, .. } = generation;
    let expected = Expected { record_id: receipt.record_id, generation: *number, pairs, hashes: &receipt.resealed };
    kept::check(shares, &expected).map(Some)
}

/// Refuses ciphertexts that are not one of each pair.
pub(super) fn check_pairs(ciphertexts: &Ciphertexts, pairs: &[Pair]) -> Result<(), Error> {
    let names = |list: Vec<&Pair>| list.iter().map(|pair| pair.id.clone()).collect::<Vec<_>>().join(", ");
    let pairs = sorted_pairs(pairs)?;
    expect("backup", "list of ciphertexts", names(ciphertexts.pairs().collect()), names(pairs.iter().collect()))
}

fn of_client(acted: &Acted) -> Result<&Receipted, Error> {
    let found = acted.receipts().find(|receipted| receipted.role == Role::Client);
    found.ok_or_else(|| Error::malformed("answer", "it has sealed client shares and no receipt of the client role"))
}
