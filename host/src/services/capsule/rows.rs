//! From a checked capsule to the rows of its backup. Every one is new, but for the wallet's and for a statement that a newer one follows.

use prost::Message;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{Role, SignedStatement, Statement};

use super::check::{Checked, CheckedRole};
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{CiphertextRow, KekRow, WalletRow, decode};
use crate::services::act::settle;
use crate::services::{App, commits, listing, load};
use crate::store::{COMMIT_WRITES_MAX, Expect, Write};

/// All rows, as the store stands now.
pub(super) async fn writes(app: &App, checked: &Checked) -> Result<Vec<Write>, Error> {
    let Checked { tenant, wallet, backup, row, roles, .. } = checked;
    let records = roles.iter().map(|part| part.place.key());
    let keys = [keys::wallet(tenant, wallet), keys::backup(tenant, wallet, backup)].into_iter().chain(records);
    let rows = app.store.get_all(keys.collect()).await?;
    let [stored_wallet, stored_backup, records @ ..] = rows.as_slice() else {
        return Err(Error::Internal("rows are missing"));
    };
    if stored_backup.is_some() {
        return Err(Error::AlreadyExists("backup"));
    }
    if records.iter().any(Option::is_some) {
        return Err(Error::AlreadyExists("record"));
    }
    let mut writes = vec![
        place(checked, stored_wallet.as_deref())?,
        Write::new(keys::backup(tenant, wallet, backup), row.encode_to_vec()),
    ];
    writes.extend(statement(app, checked).await?);
    for part in roles {
        writes.extend(keks(app, part).await?);
        writes.extend(role(part)?);
    }
    for (generation, it) in &checked.ciphertexts {
        let pair = Name::parse("ciphertexts.ciphertext.pair", &it.pair)?;
        let row = CiphertextRow { ciphertext: it.ciphertext.clone(), sha256: it.sha256.clone() };
        let key = keys::ciphertext(tenant, &checked.row.record_id()?, *generation, &pair);
        writes.push(Write::new(key, row.encode_to_vec()));
    }
    let waits = roles.iter().find(|part| part.place.role == Role::Client && part.pending > 0 && roles.len() > 1);
    writes.extend(waits.map(|part| commits::waiting(&part.place, part.pending)));
    if writes.len() > COMMIT_WRITES_MAX {
        return Err(Error::bad("capsule", format!("at most {COMMIT_WRITES_MAX} rows")));
    }
    Ok(writes)
}

/// The write that takes one more place in the wallet, or makes the wallet.
fn place(checked: &Checked, stored: Option<&[u8]>) -> Result<Write, Error> {
    let row = match stored {
        Some(stored) => decode(stored)?,
        None => WalletRow { created_ms: now_ms(), ..WalletRow::default() },
    };
    if usize::try_from(row.backups).unwrap_or(usize::MAX) >= RECORDS_MAX {
        return Err(Error::State("the wallet has 16 backups"));
    }
    let counted = WalletRow { backups: row.backups.saturating_add(1), ..row };
    let key = keys::wallet(&checked.tenant, &checked.wallet);
    Ok(Write { key, expect: Expect::unchanged(stored), put: Some(counted.encode_to_vec()) })
}

/// The statement, where it is newer than the one that is there: an older one takes nothing back.
async fn statement(app: &App, checked: &Checked) -> Result<Vec<Write>, Error> {
    let Checked { tenant, statement, serial, .. } = checked;
    let keys = vec![keys::statement(tenant), keys::statement_serial(tenant, *serial)];
    let rows = app.store.get_all(keys).await?;
    let [stored, by_serial] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    if let Some(stored) = stored {
        let signed: SignedStatement = decode(stored)?;
        let former: Statement = decode(&signed.statement)?;
        if former.serial >= *serial {
            return Ok(Vec::new());
        }
    }
    let bytes = statement.encode_to_vec();
    let expect = Expect::unchanged(stored.as_deref());
    let newest = Write { key: keys::statement(tenant), expect, put: Some(bytes.clone()) };
    let by_serial = by_serial.is_none().then(|| Write::new(keys::statement_serial(tenant, *serial), bytes));
    Ok([newest].into_iter().chain(by_serial).collect())
}

/// The KEKs of epochs that have none here. One that is there must be the same.
async fn keks(app: &App, part: &CheckedRole) -> Result<Vec<Write>, Error> {
    let key = |epoch: u64| keys::kek(&part.place.tenant, part.place.role, epoch);
    let stored = app.store.get_all(part.keks.iter().map(|kek| key(kek.epoch)).collect()).await?;
    let mut writes = Vec::with_capacity(part.keks.len());
    for (kek, stored) in part.keks.iter().zip(stored) {
        match stored.map(|row| decode::<KekRow>(&row)).transpose()? {
            Some(there) if there.wrapped == kek.wrapped => {}
            Some(_) => return Err(Error::AlreadyExists("KEK")),
            None => {
                let row = KekRow { wrapped: kek.wrapped.clone(), created_ms: now_ms() };
                writes.push(Write::new(key(kek.epoch), row.encode_to_vec()));
            }
        }
    }
    Ok(writes)
}

/// The record with its lists, its receipts, its shares, and the queue of what waits in it.
fn role(part: &CheckedRole) -> Result<Vec<Write>, Error> {
    let CheckedRole { place, record, shares, events, .. } = part;
    let mut writes = listing::writes(place, None, record);
    for (version, signed) in events {
        let key = keys::event(&place.tenant, &place.record, place.role, *version);
        writes.push(Write::new(key, signed.encode_to_vec()));
    }
    writes.extend(load::share_rows(place, shares.clone())?);
    for open in &record.open_acts {
        writes.extend(settle::due(place, open)?);
    }
    Ok(writes)
}
