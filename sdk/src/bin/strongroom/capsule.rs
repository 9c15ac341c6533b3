//! `strongroom capsule`: what a capsule holds, and what is not in it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use strongroom_sdk::attestation::Time;
use strongroom_sdk::capsule::{
    CAPSULE_BYTES_MAX, CapsuleGeneration, CapsuleRole, Question, VerifiedCapsule, unverified_statement, verify,
};
use strongroom_sdk::intent::shown::kind_name;
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::statement as form;
use strongroom_sdk::proto::v1::{Pair, Role, SecretKind, Storage};
use strongroom_sdk::{Error, Trust, curve_name, files, role_name};

use crate::options;
use crate::show::Show;

/// Commands about capsules.
#[derive(Debug, Subcommand)]
pub(crate) enum Capsule {
    /// Check a capsule, and show what it holds. Needs no connection.
    #[command(after_help = SHOW_HELP)]
    Show(ShowOptions),
}

const SHOW_HELP: &str = "\
Checks statement, attestation documents, receipts and the hashes that they name. Whether a KEK unwraps and a record opens, only an
enclave can tell.

Example:
  strongroom capsule show w1.capsule --tenant 61..ab";

#[derive(Args, Debug)]
pub(crate) struct ShowOptions {
    /// The file that `tenant export-capsule` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The tenant that must have signed, 64 hex digits; the statement's own, if left out.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: Option<TenantId>,
}

pub(crate) fn run(command: &Capsule, trust: &Trust, show: Show) -> Result<(), Error> {
    let Capsule::Show(options) = command;
    let bytes = files::read(&options.file, CAPSULE_BYTES_MAX)?;
    let tenant = options.tenant.map_or_else(|| unpinned(&bytes, show), Ok)?;
    report(show, &verify(&bytes, &Question { tenant, trust })?);
    Ok(())
}

/// The tenant that the capsule says, for a reader who has no pin.
fn unpinned(bytes: &[u8], show: Show) -> Result<TenantId, Error> {
    show.warning("no --tenant was given: whoever made this file chose the tenant that it is checked against.");
    let statement = form::decode(&unverified_statement(bytes)?.statement).map_err(Error::Statement)?;
    Ok(TenantId::of(&statement.root_key, &statement.standby_key))
}

/// Everything in it, and what is not.
pub(crate) fn report(show: Show, capsule: &VerifiedCapsule) {
    let statement = &capsule.statement;
    show.check("statement", format_args!("serial {}, of tenant {}", statement.serial(), statement.tenant()));
    show.value("wallet", &capsule.wallet);
    show.value("backup", format_args!("{} ({})", capsule.backup, capsule.method));
    show.value("record", capsule.record_id);
    show.value("pairs", names(&capsule.pairs));
    capsule.roles.iter().for_each(|role| report_role(show, role));
    for it in &capsule.ciphertexts {
        let where_it_is = it.bytes.map_or_else(|| "kept by its owner".to_owned(), |bytes| format!("{bytes} bytes"));
        show.value("ciphertext", format_args!("generation {}, pair {}: {where_it_is}", it.generation, it.pair));
    }
    show.heading("Not in it");
    for text in absent(capsule) {
        show.value("  -", text);
    }
}

fn report_role(show: Show, role: &CapsuleRole) {
    show.heading(&format!("The {} role", role_name(role.role)));
    let epochs: Vec<String> = role.epochs.iter().map(u64::to_string).collect();
    show.check("attestation", format_args!("one document for each epoch: {}", epochs.join(", ")));
    show.check("manifest", format_args!("release {}, KMS key {}", role.manifest.release, role.manifest.kms_key_arn));
    show.check("receipt", format_args!("version {} at {}", role.version, Time::from_unix_ms(role.time_ms)));
    show.value("  record", format_args!("version {}, sealed under epoch {}", role.version, role.epoch));
    for generation in &role.generations {
        show.value("  generation", generation_line(generation, role));
    }
    for act in &role.open_acts {
        let (due, expires) = (Time::from_unix_ms(act.not_before_ms), Time::from_unix_ms(act.expires_ms));
        show.caution(&format!("  !! waits: {}; due at {due}, expires at {expires}", kind_name(act.kind())));
    }
}

fn generation_line(generation: &CapsuleGeneration, role: &CapsuleRole) -> String {
    let state = match generation.number {
        number if number == role.active => "active",
        number if Some(number) == role.pending => "pending, opens nothing",
        _ => "former",
    };
    let shares = match (generation.has_shares, generation.is_receipted) {
        (true, true) => "shares as the receipt of their put names them",
        (true, false) => "shares sealed anew, which no receipt names",
        (false, _) => "shares kept by their owner",
    };
    let number = generation.number;
    format!("{number}, {state}, {}, under epoch {}: {shares}", names(&generation.pairs), generation.epoch)
}

/// What a recovery from it takes besides.
fn absent(capsule: &VerifiedCapsule) -> Vec<&'static str> {
    let has = |role| capsule.roles.iter().any(|it| it.role == role);
    let mut list = Vec::new();
    if !has(Role::Client) {
        list.push("a client role: no enclave keeps the client share");
    }
    if !has(Role::Custodian) {
        list.push("a custodian role: the custodian's share is kept elsewhere");
    }
    if capsule.storage == Storage::SelfManaged {
        list.push("the client's part: its owner keeps it");
    }
    if capsule.secret == SecretKind::Key && capsule.ciphertexts.is_empty() {
        list.push("what the keys in escrow open");
    }
    list.push("the KMS keys: whoever recovers needs an enclave that they admit");
    list.push("the passkeys and passwords: they never leave their users");
    list.push("what the host noted of missing parts and of generations given up");
    list
}

fn names(pairs: &[Pair]) -> String {
    pairs.iter().map(|pair| format!("{}:{}", pair.id, curve_name(pair.curve()))).collect::<Vec<_>>().join(", ")
}
