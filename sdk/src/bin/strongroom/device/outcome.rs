//! What a device reads and writes: shares, receipts, and what an act ended in.

use std::path::{Path, PathBuf};

use prost::Message;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::ciphertext::Ciphertexts;
use strongroom_sdk::device as sdk;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::contents::Share;
use strongroom_sdk::proto::limits::{CIPHERTEXT_BYTES_MAX, PAIRS_MAX, SHARE_BYTES_MAX};
use strongroom_sdk::proto::secret::Secret;
use strongroom_sdk::proto::v1::Pair;
use strongroom_sdk::seal::MpcRecipient;
use strongroom_sdk::{Error, curve_name, files, role_name};

use super::{On, report};
use crate::options::ShareFile;
use crate::show::Show;

/// The MPC server's public key, which the statement must list.
pub(super) fn mpc_recipient(
    path: Option<&Path>,
    prepared: &Prepared,
    show: Show,
) -> Result<Option<MpcRecipient>, Error> {
    let Some(path) = path else { return Ok(None) };
    let recipient = MpcRecipient::read(path, prepared.statement())?;
    show.check("MPC recipient", format_args!("{}, listed by the statement", recipient.hash()));
    Ok(Some(recipient))
}

/// The new files of a release: checked before an act that is lost without them.
pub(super) fn share_paths(out: &Path, pairs: &[Pair]) -> Result<Vec<PathBuf>, Error> {
    let paths: Vec<PathBuf> = pairs.iter().map(|pair| out.join(format!("{}.share", pair.id))).collect();
    std::fs::create_dir_all(out).map_err(|error| Error::File { path: out.to_owned(), problem: error.to_string() })?;
    paths.iter().try_for_each(|path| files::check_new(path))?;
    Ok(paths)
}

pub(super) fn released(
    show: Show,
    done: &sdk::Recovered,
    paths: &[PathBuf],
    custodian: Option<&Path>,
) -> Result<(), Error> {
    done.acted.receipts().for_each(|receipted| report::receipt(show, receipted));
    show.check(
        "release",
        format_args!("opened; intent, record, generation {} and pairs are as asked", done.generation),
    );
    for (share, path) in done.shares.iter().zip(paths) {
        files::write_new(path, share.bytes.expose())?;
    }
    for ((share, pair), path) in done.shares.iter().zip(&done.pairs).zip(paths) {
        report::share(show, share, pair, path);
    }
    if let (Some(delivery), Some(path)) = (&done.custodian, custodian) {
        files::write_new(path, &delivery.encode_to_vec())?;
        show.value("custodian's release", format_args!("for the MPC server, in {}", path.display()));
    }
    Ok(())
}

/// What an act without a release ended in, in each role.
pub(super) fn acted(show: Show, on: &On, done: &sdk::Acted, text: &str) -> Result<(), Error> {
    for receipted in done.receipts() {
        report::receipt(show, receipted);
        let role = role_name(receipted.role);
        if receipted.receipt.not_before_ms == 0 {
            show.value("done", format_args!("{text} ({role})"));
        } else {
            let due = Time::from_unix_ms(receipted.receipt.not_before_ms);
            show.value("waits", format_args!("{text} ({role}); due at {due}; can be cancelled"));
        }
    }
    keep_receipts(on, done)
}

impl On {
    /// Refuses files that are there already, before an act that is lost without them.
    pub(super) fn check_new(&self) -> Result<(), Error> {
        let Some(path) = &self.receipt else { return Ok(()) };
        files::check_new(path)?;
        files::check_new(&of_custodian(path))
    }
}

/// Beside the client's receipt.
fn of_custodian(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".custodian");
    name.into()
}

/// Reads the shares, each refused past its limit before it is read.
pub(crate) fn read_shares(list: &[ShareFile]) -> Result<Vec<Share>, Error> {
    if list.len() > PAIRS_MAX {
        let problem = format!("{} are given; at most {PAIRS_MAX} are allowed", list.len());
        return Err(Error::Input { field: "--share".to_owned(), problem });
    }
    let named = |share: &ShareFile, error: Error| Error::Input {
        field: format!("--share {}:{}", share.pair.id, curve_name(share.pair.curve())),
        problem: error.to_string(),
    };
    let mut shares = Vec::with_capacity(list.len());
    for share in list {
        let mut bytes = files::read(&share.path, SHARE_BYTES_MAX).map_err(|error| named(share, error))?;
        if shares.iter().any(|before: &Share| before.pair == share.pair.id) {
            let problem = format!("pair {} is given twice", share.pair.id);
            return Err(Error::Input { field: "--share".to_owned(), problem });
        }
        shares.push(Share { pair: share.pair.id.clone(), bytes: Secret::take(&mut bytes) });
    }
    Ok(shares)
}

/// Reads what an app encrypted, each refused past its limit before it is read; `None` where nothing is given.
pub(crate) fn read_ciphertexts(list: &[ShareFile]) -> Result<Option<Ciphertexts>, Error> {
    if list.is_empty() {
        return Ok(None);
    }
    let named = |file: &ShareFile, error: Error| Error::Input {
        field: format!("--ciphertext {}", pair_name(&file.pair)),
        problem: error.to_string(),
    };
    let read = |file: &ShareFile| {
        let bytes = files::read(&file.path, CIPHERTEXT_BYTES_MAX).map_err(|error| named(file, error))?;
        Ok((file.pair.clone(), bytes.to_vec()))
    };
    Ciphertexts::new(list.iter().map(read).collect::<Result<Vec<_>, Error>>()?).map(Some)
}

pub(super) fn keep_receipts(on: &On, done: &sdk::Acted) -> Result<(), Error> {
    let Some(path) = &on.receipt else { return Ok(()) };
    for (at, receipted) in done.receipts().enumerate() {
        let path = if at == 0 { path.clone() } else { of_custodian(path) };
        files::write_new(&path, &receipted.signed.encode_to_vec())?;
    }
    Ok(())
}

pub(super) fn pair_name(pair: &Pair) -> String {
    format!("{}:{}", pair.id, curve_name(pair.curve()))
}
