//! `strongroom audit`: the history of a backup as a file, and its check on a machine that need not be online.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost::Message;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::audit::{Audit as Outcome, History, Merge, Question, verify};
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::statement as form;
use strongroom_sdk::proto::v1::{AuditExport, ExportAuditRequest};
use strongroom_sdk::{Error, Trust, device, files, role_name};

use crate::options::{self, HostOptions};
use crate::show::Show;
use crate::tenant::read_receipt;

/// Longest export in bytes: some tens of thousands of receipts.
const EXPORT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Receipts in a page.
const PAGE_SIZE: u32 = 200;
/// Most pages that a host is asked for.
const PAGES_MAX: usize = 1000;

/// Commands of an auditor.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Write everything that an audit of a backup needs to a file. Nothing is checked yet.
    Export(Export),
    /// Check an exported history. Needs no connection.
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
}

const VERIFY_HELP: &str = "\
Finds any edit, reorder and gap up to the newest receipt that it is given, and proves a fork from two heads at one version. A tail that
the host dropped is unseen without a receipt from that tail: give the user's or the tenant's own with --newest.

Example:
  strongroom audit verify w1.audit --tenant 61..ab --newest phone.receipt --newest backend.receipt";

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    host: HostOptions,
    /// The wallet's id.
    #[arg(long, value_name = "ID")]
    wallet: String,
    /// The backup's id.
    #[arg(long, value_name = "ID", default_value = "main")]
    backup: String,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The file that `audit export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The tenant that must have signed, 64 hex digits; the first statement's, if left out.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: Option<TenantId>,
    /// A receipt from elsewhere that the history must lead up to; may be given several times.
    #[arg(long, value_name = "RECEIPT", num_args = 1..)]
    newest: Vec<PathBuf>,
}

pub(crate) async fn run(command: Audit, trust: &Trust, show: Show) -> anyhow::Result<()> {
    match command {
        Audit::Export(options) => export(&options, show).await?,
        Audit::Verify(options) => verify_file(&options, trust, show)?,
    }
    Ok(())
}

async fn export(options: &Export, show: Show) -> Result<(), Error> {
    files::check_new(&options.out)?;
    device::check_id("wallet", &options.wallet)?;
    device::check_id("backup", &options.backup)?;
    let client = options.host.connect(show).await?;
    show.waiting("asking for receipts");
    let mut merge = Merge::default();
    let mut request = ExportAuditRequest {
        wallet: options.wallet.clone(),
        backup: options.backup.clone(),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    for _ in 0..PAGES_MAX {
        let answer = client.export_audit(&request).await?;
        merge.add(answer.page.unwrap_or_default());
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if !request.page_token.is_empty() {
        let problem = format!("more than {PAGES_MAX} pages");
        return Err(Error::Input { field: "export".to_owned(), problem });
    }
    let export = merge.finish();
    let bytes = export.encode_to_vec();
    if bytes.len() > EXPORT_BYTES_MAX {
        let problem = format!("has {} bytes; at most {EXPORT_BYTES_MAX} are allowed", bytes.len());
        return Err(Error::Input { field: "export".to_owned(), problem });
    }
    files::write_new(&options.out, &bytes)?;
    show.value("export", format_args!("{} receipts, in {}", export.receipts.len(), options.out.display()));
    Ok(())
}

fn verify_file(options: &Verify, trust: &Trust, show: Show) -> Result<(), Error> {
    let bytes = files::read(&options.file, EXPORT_BYTES_MAX)?;
    let export = AuditExport::decode(bytes.as_slice())
        .map_err(|error| Error::File { path: options.file.clone(), problem: format!("no export: {error}") })?;
    let newest = options.newest.iter().map(|path| read_receipt(path)).collect::<Result<Vec<_>, _>>()?;
    let tenant = match options.tenant {
        Some(tenant) => tenant,
        None => first_tenant(&export, show)?,
    };
    let outcome = verify(&export, &Question { tenant, trust, newest: &newest });
    report(show, tenant, &outcome);
    if outcome.findings.is_empty() { Ok(()) } else { Err(Error::Audit { findings: outcome.findings.len() }) }
}

/// The tenant that the export says, for an auditor who has no pin.
fn first_tenant(export: &AuditExport, show: Show) -> Result<TenantId, Error> {
    let first = export.statements.first().ok_or_else(|| Error::Input {
        field: "--tenant".to_owned(),
        problem: "the export has no statement to take the tenant from".to_owned(),
    })?;
    let statement = form::decode(&first.statement).map_err(Error::Statement)?;
    show.warning("no --tenant was given: whoever made this file chose the tenant that it is checked against.");
    Ok(TenantId::of(&statement.root_key, &statement.standby_key))
}

fn report(show: Show, tenant: TenantId, outcome: &Outcome) {
    show.value("tenant", tenant);
    let serials: Vec<String> = outcome.statements.iter().map(u64::to_string).collect();
    show.value("statements", serials.join(", "));
    outcome.histories.iter().for_each(|history| report_history(show, history));
    for finding in &outcome.findings {
        show.caution(&format!("!! {finding}"));
    }
}

fn report_history(show: Show, history: &History) {
    show.heading(&format!("Wallet {:?}, {} role", history.wallet, role_name(history.role)));
    show.value("  record", history.record_id);
    for act in &history.acts {
        let time = Time::from_unix_ms(act.time_ms);
        let name = act.kind.as_str_name().trim_start_matches("ACT_KIND_").to_lowercase();
        show.value("  version", format_args!("{} at {time}: {}", act.version, name.replace('_', " ")));
    }
    show.value("  head", history.head);
    match history.confirmed {
        Some(version) => show.check("newest", format_args!("nothing is missing up to version {version}")),
        None => show.caution("  no receipt from elsewhere was given: a tail that the host dropped is not seen"),
    }
}
