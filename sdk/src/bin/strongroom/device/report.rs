//! What a device shows of a service that it checked, and of an act.

use std::path::Path;

use strongroom_sdk::attestation::Time;
use strongroom_sdk::device::Receipted;
use strongroom_sdk::intent::shown;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::contents::Share;
use strongroom_sdk::proto::v1::{Freshness, GenerationState, Pair, Stages, Trust};
use strongroom_sdk::view::{Credential, Record, Waiting};
use strongroom_sdk::{Error, role_name};

use super::pair_name;
use crate::show::Show;

pub(super) fn prepared(show: Show, prepared: &Prepared) -> Result<(), Error> {
    let statement = prepared.statement();
    show.heading("Checking the service");
    let by = if statement.is_by_standby() { "standby" } else { "root" };
    show.check(
        "statement",
        format_args!("serial {}, signed by the {by} key of {}", statement.serial(), statement.tenant()),
    );
    for role in prepared.roles() {
        show.heading(&format!("Checking the {} enclave", role_name(role.attested.identity.role)));
        show.attested(&role.attested);
        show.check("view", format_args!("signed for this device's nonce at {}", role.view.time()));
        stages(show, role.view.stages());
        role.view.records().iter().for_each(|record| self::record(show, record));
    }
    let backups = prepared.backups()?;
    for backup in backups.iter().filter(|backup| backup.records().count() > 1) {
        if let Some(generation) = backup.common(None) {
            let name = &backup.any().backup;
            show.check("both roles", format_args!("backup {name}: generation {} opens in both", generation.number));
        }
        for difference in backup.differences() {
            show.caution(&format!("  !! backup {}: the roles differ in {difference}", backup.any().backup));
        }
    }
    Ok(())
}

/// Every credential and all that waits is shown before anybody is asked: what the user does not know is somebody else's.
fn record(show: Show, record: &Record) {
    show.value("  backup", format_args!("{} ({}), version {}", record.backup, record.method, record.version));
    if record.closed {
        show.caution("    closed: it was deleted");
        return;
    }
    show.value("    record", record.id);
    show.value("    release needs", shown::policy(&record.policy));
    for generation in &record.generations {
        let state = match generation.state {
            GenerationState::Active => "active",
            GenerationState::Former => "former, still opens",
            GenerationState::Pending => "pending, opens nothing",
            GenerationState::Unspecified => "unknown",
        };
        let added = Time::from_unix_ms(generation.added_ms);
        show.value("    generation", format_args!("{}, {state}, put at {added}", generation.number));
    }
    record.credentials.iter().for_each(|credential| passkey(show, credential));
    for open in &record.open_acts {
        let what = match &open.waiting {
            Waiting::Recovery { generation, recipient, eject } => {
                let what = if *eject { "eject" } else { "recovery" };
                format!("{what} of generation {generation} to {recipient}")
            }
            Waiting::PolicyChange(policy) => format!("change of policy: a release will need {}", shown::policy(policy)),
            Waiting::PasskeyRemoval { credential_id } => format!("removal of passkey {}", hex::encode(credential_id)),
            Waiting::Delete => "deletion of the backup".to_owned(),
            Waiting::EjectWindow => {
                let (from, until) = (open.not_before, open.expires);
                show.caution(&format!(
                    "  !! open from {from} until {until}: a passkey can take the custodian's shares to a device; opened by intent {}",
                    open.intent
                ));
                continue;
            }
        };
        let (due, expires) = (open.not_before, open.expires);
        show.caution(&format!(
            "  !! waits: {what}; due at {due}, expires at {expires}; started by intent {}",
            open.intent
        ));
    }
}

fn passkey(show: Show, credential: &Credential) {
    let added = Time::from_unix_ms(credential.added_ms);
    let id = hex::encode(&credential.id);
    show.value("    passkey", format_args!("{:?}, added {added}, id {id}", credential.label));
}

pub(super) fn passkeys(show: Show, records: &[Record]) {
    for record in records.iter().filter(|record| !record.closed) {
        show.value("backup", &record.backup);
        record.credentials.iter().for_each(|credential| passkey(show, credential));
    }
}

pub(super) fn receipt(show: Show, receipted: &Receipted) {
    let receipt = &receipted.receipt;
    let (time, role) = (Time::from_unix_ms(receipt.time_ms), role_name(receipted.role));
    show.check("receipt", format_args!("{role}, version {} at {time}, epoch {}", receipt.version, receipt.epoch));
    show.check("record", receipt.record_id);
    show.check("head", receipt.head);
    stages(show, &receipt.stages);
}

pub(super) fn stages(show: Show, stages: &Stages) {
    let trusted: Vec<&str> = stages
        .trusted()
        .map(|trust| match trust {
            Trust::KeyAdmin => "whoever can change the policy of the KMS key",
            Trust::Unspecified => "somebody that this release does not know",
        })
        .collect();
    let freshness = match stages.freshness() {
        Freshness::None => "an older record is not ruled out",
        Freshness::CallerReceipt => "as new as the tenant knew",
        Freshness::Unspecified => "unknown",
    };
    show.value("     trusted:", format_args!("{}; freshness: {freshness}", trusted.join(", ")));
}

pub(super) fn share(show: Show, share: &Share, pair: &Pair, path: &Path) {
    let bytes = share.bytes.expose().len();
    show.value("share", format_args!("{}, {bytes} bytes, in {}", pair_name(pair), path.display()));
}
