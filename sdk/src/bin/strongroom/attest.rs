//! `strongroom attest`: one document, every check with its value.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use strongroom_sdk::attestation::{Check, DOCUMENT_BYTES_MAX, ImagePolicy, Pcr, Time, verify};
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::statement;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::read_statement;
use strongroom_sdk::{Error, Trust, device, files};

use crate::options;
use crate::show::Show;

const AFTER_HELP: &str = "\
Without --statement or --pcr0 the signature, chain, time and debug mode are checked, but not which image it is:
the output then says `image: NOT CHECKED`.

Examples:
  strongroom attest --document doc.bin
  strongroom attest --document doc.bin --at 2026-01-31T12:00:00Z --pcr0 5a8b...
  strongroom attest --document doc.bin --statement acme/statement.pb --json";

#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Attest {
    /// The attestation document (`COSE_Sign1`, as the NSM made it).
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// The time to judge it at; now, if left out.
    #[arg(long, value_name = "RFC3339")]
    at: Option<jiff::Timestamp>,
    /// A signed statement whose images and manifests to accept. Its signature is checked, its tenant shown.
    #[arg(long, value_name = "FILE", conflicts_with = "pcr0")]
    statement: Option<PathBuf>,
    /// With --statement: the tenant that must have signed it, 64 hex digits.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id, requires = "statement")]
    tenant: Option<TenantId>,
    /// A PCR0 to accept, 96 hex digits; may be given several times.
    #[arg(long, value_name = "HEX", value_parser = options::pcr)]
    pcr0: Vec<Pcr>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Attest, trust: &Trust, show: Show) -> anyhow::Result<()> {
    let mut checks = Vec::new();
    let result = verified(options, trust, &mut checks);
    let image = result.as_ref().ok().map(|accepted| if *accepted { "accepted" } else { "NOT CHECKED" });
    if options.json {
        let list: Vec<_> = checks.iter().map(|check| json!({"name": check.name, "value": check.value})).collect();
        let error = result.as_ref().err().map(ToString::to_string);
        println!("{:#}", json!({"ok": result.is_ok(), "image": image, "checks": list, "error": error}));
    } else {
        for check in &checks {
            show.check(check.name, &check.value);
        }
        match image {
            Some("accepted") => show.check("image", "accepted"),
            Some(_) => show.caution("image: NOT CHECKED"),
            None => {}
        }
    }
    result?;
    Ok(())
}

/// Whether the image was accepted by a policy, after every other check. Where only the policy refuses, the other checks still come out.
fn verified(options: &Attest, trust: &Trust, checks: &mut Vec<Check>) -> Result<bool, Error> {
    let policy = policy(options, checks)?;
    let at = match options.at {
        Some(at) => {
            let before_1970 = |_| Error::Input { field: "--at".to_owned(), problem: "lies before 1970".to_owned() };
            Time::from_unix_ms(u64::try_from(at.as_millisecond()).map_err(before_1970)?)
        }
        None => device::now(),
    };
    let document = files::read(&options.document, DOCUMENT_BYTES_MAX)?;
    let genuine = verify(&document, trust.root(), at)?;
    checks.extend_from_slice(genuine.checks());
    let Some(policy) = policy else { return Ok(false) };
    genuine.accept(&policy)?;
    Ok(true)
}

fn policy(options: &Attest, checks: &mut Vec<Check>) -> Result<Option<ImagePolicy>, Error> {
    if !options.pcr0.is_empty() {
        return Ok(Some(ImagePolicy::any_manifest(&options.pcr0)?));
    }
    let Some(path) = &options.statement else { return Ok(None) };
    let signed = read_statement(path)?;
    let keys = statement::decode(&signed.statement).map_err(Error::Statement)?;
    let pin = options.tenant.unwrap_or_else(|| TenantId::of(&keys.root_key, &keys.standby_key));
    let statement = VerifiedStatement::verify(&signed, pin)?;
    let value = format!("serial {} of tenant {}", statement.serial(), statement.tenant());
    checks.push(Check { name: "statement", value });
    Ok(Some(statement.any_role_policy()?))
}
