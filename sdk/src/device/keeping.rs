//! Storage by the device: its keeper keeps the client's part of a backup in the host's place, and brings it when it is to be opened.
//!
//! The host learns that it is stored only once it is, and that it is not where it could not be.

use strongroom_proto::contents::Share;
use strongroom_proto::v1::{Pair, ReportStoredRequest, Role, SecretKind, Storage, StoredShare};

use super::draft::Beside;
use super::{Acted, Device, Receipted};
use crate::ciphertext::Ciphertexts;
use crate::error::{Error, expect};
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

    /// What a release brings along: the sealed client shares of its generation, where this device keeps them.
    pub(super) fn brought(&self, backup: Backup<'_>, generation: &Generation) -> Result<Vec<StoredShare>, Error> {
        match &self.keeper {
            Some(keeper) if backup.record(Role::Client).is_ok() => {
                Ok(keeper.bring(Kind::Shares, &backup.id(), generation.number)?.shares().to_vec())
            }
            _ => Ok(Vec::new()),
        }
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
