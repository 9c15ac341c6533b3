//! `ExportAudit`: the tenant's statements and a backup's receipts by pages, with an attestation of each epoch that signed on the page.
//!
//! A page continues where its token says: behind a statement's serial, or behind a receipt's role and version. Statements come first.

use std::collections::BTreeSet;

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{
    AuditExport, ExportAuditRequest, ExportAuditResponse, Receipt, Role, RoleAttestation, SignedReceipt,
};

use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, decode};
use crate::services::App;
use crate::services::load::StoredStatement;

/// Receipts on a page where the request says nothing.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Most receipts on a page.
const PAGE_SIZE_MAX: u32 = 200;
/// Most statements on a page: 1 MiB of the longest ones.
const PAGE_STATEMENTS_MAX: usize = 32;

/// Where a page starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token {
    /// Behind the statement of a serial; 0 is before the first one.
    Statements(u64),
    /// Behind a receipt; `None` is before the first one.
    Receipts(Option<(Role, u64)>),
}

impl Token {
    fn parse(text: &str) -> Result<Self, Error> {
        let read = || match text.split('.').collect::<Vec<_>>().as_slice() {
            [""] => Some(Self::Statements(0)),
            ["s", serial] => Some(Self::Statements(serial.parse().ok()?)),
            ["r"] => Some(Self::Receipts(None)),
            ["r", role, version] => {
                let role = Role::try_from(role.parse::<i32>().ok()?).ok()?;
                Some(Self::Receipts(Some((role, version.parse().ok()?))))
            }
            _ => None,
        };
        read().ok_or_else(|| Error::bad("page_token", "of the answer before"))
    }

    fn text(self) -> String {
        match self {
            Self::Statements(serial) => format!("s.{serial}"),
            Self::Receipts(None) => "r".to_owned(),
            Self::Receipts(Some((role, version))) => format!("r.{}.{version}", i32::from(role)),
        }
    }
}

pub(super) async fn export(
    app: &App,
    tenant: TenantId,
    message: &ExportAuditRequest,
) -> Result<ExportAuditResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let backup = Name::parse("backup", &message.backup)?;
    let size = match message.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size if size <= PAGE_SIZE_MAX => size,
        _ => return Err(Error::bad("page_size", format!("0 to {PAGE_SIZE_MAX}"))),
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let token = Token::parse(&message.page_token)?;
    let row = app.store.get(keys::backup(&tenant, &wallet, &backup)).await?.ok_or(Error::NotFound("backup"))?;
    let row: BackupRow = decode(&row)?;
    let record = row.record_id()?;
    let mut page = AuditExport::default();
    let next = match token {
        Token::Statements(after) => statements(app, &tenant, after, &mut page).await?,
        receipts @ Token::Receipts(_) => receipts,
    };
    let next = match next {
        Token::Receipts(after) => receipts(app, &tenant, &record, after, size, &mut page).await?,
        statements @ Token::Statements(_) => Some(statements),
    };
    page.attestations = attestations(app, &tenant, &page.receipts).await?;
    Ok(ExportAuditResponse { page: Some(page), next_page_token: next.map(Token::text).unwrap_or_default() })
}

/// Puts the next statements on the page, and gives where it goes on.
async fn statements(app: &App, tenant: &TenantId, after: u64, page: &mut AuditExport) -> Result<Token, Error> {
    let prefix = keys::statement_serials(tenant);
    let after = (after > 0).then(|| keys::statement_serial(tenant, after));
    let mut rows = app.store.scan(prefix.clone(), after, PAGE_STATEMENTS_MAX.saturating_add(1)).await?;
    let more = rows.len() > PAGE_STATEMENTS_MAX;
    rows.truncate(PAGE_STATEMENTS_MAX);
    let last = rows.last().and_then(|(key, _)| keys::last_number(&prefix, key));
    page.statements = rows.iter().map(|(_, row)| decode(row)).collect::<Result<_, _>>()?;
    Ok(last.filter(|_| more).map_or(Token::Receipts(None), Token::Statements))
}

/// Puts the next receipts on the page, and gives where it goes on.
async fn receipts(
    app: &App,
    tenant: &TenantId,
    record: &RecordId,
    after: Option<(Role, u64)>,
    size: usize,
    page: &mut AuditExport,
) -> Result<Option<Token>, Error> {
    let prefix = keys::events(tenant, record);
    let after = after.map(|(role, version)| keys::event(tenant, record, role, version));
    // One more than the page tells whether there is a next one.
    let mut rows = app.store.scan(prefix.clone(), after, size.saturating_add(1)).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    page.receipts = rows.iter().map(|(_, row)| decode(row)).collect::<Result<_, _>>()?;
    let Some((key, _)) = rows.last().filter(|_| more) else { return Ok(None) };
    let last = keys::parse_event(&prefix, key).ok_or(Error::Internal("an event's key does not parse"))?;
    Ok(Some(Token::Receipts(Some(last))))
}

/// An attestation of each epoch that signed one of the receipts, and those of former releases under which others were signed.
async fn attestations(app: &App, tenant: &TenantId, signed: &[SignedReceipt]) -> Result<Vec<RoleAttestation>, Error> {
    let receipts = signed.iter().map(|signed| decode(&signed.receipt)).collect::<Result<Vec<Receipt>, _>>()?;
    let epochs: BTreeSet<(i32, u64)> = receipts.iter().map(|receipt| (receipt.role, receipt.epoch)).collect();
    let mut attestations = Vec::with_capacity(epochs.len());
    if epochs.is_empty() {
        return Ok(attestations);
    }
    let statement = StoredStatement::read(app.store.get(keys::statement(tenant)).await?.as_deref())?;
    for (role, epoch) in epochs {
        let role = Role::try_from(role).map_err(|_| Error::Internal("a receipt of an unknown role"))?;
        let kek = app.kek(tenant, role, epoch).await?;
        attestations.push(app.attestation(app.enclave_of(role, &statement)?, tenant, &kek).await?);
    }
    let former = app.former_attestations(tenant, &receipts, &attestations).await?;
    attestations.extend(former);
    Ok(attestations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_nothing_else_does() {
        let receipts = |role, version| Token::Receipts(Some((role, version)));
        for token in [Token::Statements(7), Token::Receipts(None), receipts(Role::Custodian, u64::MAX)] {
            assert_eq!(Token::parse(&token.text()).unwrap(), token);
        }
        assert_eq!(Token::parse("").unwrap(), Token::Statements(0));
        for text in ["s", "s.", "s.-1", "s.1.2", "r.", "r.1", "r.9.1", "r.1.x", "r.1.2.3", "x", "."] {
            assert!(matches!(Token::parse(text), Err(Error::BadRequest { field: "page_token", .. })), "{text}");
        }
    }
}
