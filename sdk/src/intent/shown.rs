//! What an intent says, in lines for a person who is about to sign it.

use strongroom_attestation::Time;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{CredentialRef, Intent, OpenActKind, Pair, Policy, RolePart, SecretKind};

use crate::role::curve_name;

/// The action's name on the wire; what a text of the intent's sender could not forge.
#[must_use]
pub fn action_name(action: &Action) -> &'static str {
    match action {
        Action::CreateBackup(_) => "create_backup",
        Action::Recover(_) => "recover",
        Action::Rehearse(_) => "rehearse",
        Action::PutShares(_) => "put_shares",
        Action::AddPasskey(_) => "add_passkey",
        Action::RemovePasskey(_) => "remove_passkey",
        Action::RenamePasskey(_) => "rename_passkey",
        Action::ChangePolicy(_) => "change_policy",
        Action::StartRecovery(_) => "start_recovery",
        Action::DeleteBackup(_) => "delete_backup",
        Action::Cancel(_) => "cancel",
        Action::CarryOut(_) => "carry_out",
        Action::OpenEjectWindow(_) => "open_eject_window",
    }
}

/// A kind of what waits, as people write it.
#[must_use]
pub fn kind_name(kind: OpenActKind) -> &'static str {
    match kind {
        OpenActKind::Unspecified => "unknown",
        OpenActKind::Recovery => "recovery",
        OpenActKind::PolicyChange => "policy change",
        OpenActKind::PasskeyRemoval => "passkey removal",
        OpenActKind::Delete => "delete",
        OpenActKind::EjectWindow => "eject window",
    }
}

/// A kind of secret, as people write it.
fn secret_name(secret: SecretKind) -> &'static str {
    match secret {
        SecretKind::Unspecified => "unknown",
        SecretKind::Share => "share",
        SecretKind::Key => "key",
    }
}

/// A policy in one line.
#[must_use]
pub fn policy(policy: &Policy) -> String {
    let mut needs = Vec::new();
    if policy.passkey {
        needs.push("a passkey".to_owned());
    }
    if policy.tenant_signature {
        needs.push("the tenant's signature".to_owned());
    }
    if policy.newest_head {
        needs.push("over the newest head".to_owned());
    }
    if policy.delay_seconds > 0 {
        needs.push(format!("a delay of {} s", policy.delay_seconds));
    }
    needs.join(", ")
}

/// Every field of an intent but its nonce, as name and value; a field that is empty may have no line. Texts are printed quoted, so that none passes for another field.
#[must_use]
pub fn lines(intent: &Intent) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("tenant", hex::encode(&intent.tenant)),
        ("wallet", format!("{:?}", intent.wallet)),
        ("statement serial", intent.statement_serial.to_string()),
        ("not after", Time::from_unix_ms(intent.not_after_ms).to_string()),
    ];
    for (role, part) in [("client", &intent.client), ("custodian", &intent.custodian)] {
        if let Some(part) = part {
            lines.push(("role", role.to_owned()));
            lines.extend(part_lines(part));
        }
    }
    if let Some(action) = &intent.action {
        lines.push(("action", action_name(action).to_owned()));
        lines.extend(action_lines(action));
    }
    lines
}

fn part_lines(part: &RolePart) -> impl Iterator<Item = (&'static str, String)> {
    let fields = [
        ("  record", &part.record_id),
        ("  head", &part.head),
        ("  message hash", &part.message_hash),
        ("  recipient", &part.recipient),
    ];
    fields.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, bytes)| (name, hex::encode(bytes)))
}

fn action_lines(action: &Action) -> Vec<(&'static str, String)> {
    let passkey = |id: &[u8]| ("  passkey", hex::encode(id));
    let label = |text: &str| ("  label", format!("{text:?}"));
    let credential =
        |it: &CredentialRef| [passkey(&it.id), ("  key hash", hex::encode(&it.key_hash)), label(&it.label)];
    let pairs = |pairs: &[Pair]| {
        let pairs: Vec<String> =
            pairs.iter().map(|pair| format!("{:?} {}", pair.id, curve_name(pair.curve()))).collect();
        ("  pairs", pairs.join(", "))
    };
    let policies = |list: [(&'static str, &Option<Policy>); 2]| {
        list.into_iter().filter_map(|(name, it)| it.as_ref().map(|it| (name, policy(it)))).collect::<Vec<_>>()
    };
    let generation = |number: u64| ("  generation", number.to_string());
    let release = |number, eject: bool| {
        let eject = eject.then(|| ("  eject", "to the user's device".to_owned()));
        [generation(number)].into_iter().chain(eject).collect()
    };
    let waits =
        |kind, hash: &[u8]| vec![("  what waits", kind_name(kind).to_owned()), ("  started by", hex::encode(hash))];
    match action {
        Action::CreateBackup(it) => {
            let mut lines = vec![
                ("  backup", format!("{:?}", it.backup)),
                ("  method", format!("{:?}", it.method)),
                ("  secret", secret_name(it.secret()).to_owned()),
                generation(it.generation),
                pairs(&it.pairs),
            ];
            lines.extend(policies([
                ("  client policy", &it.client_policy),
                ("  custodian policy", &it.custodian_policy),
            ]));
            lines.extend(it.credential.iter().flat_map(credential));
            lines
        }
        Action::Recover(it) => release(it.generation, it.eject),
        Action::Rehearse(it) => vec![generation(it.generation)],
        Action::StartRecovery(it) => release(it.generation, it.eject),
        Action::PutShares(it) => vec![generation(it.generation), pairs(&it.pairs)],
        Action::AddPasskey(it) => it.credential.iter().flat_map(credential).collect(),
        Action::RemovePasskey(it) => vec![passkey(&it.credential_id)],
        Action::RenamePasskey(it) => vec![passkey(&it.credential_id), label(&it.label)],
        Action::ChangePolicy(it) => {
            policies([("  client policy", &it.client_policy), ("  custodian policy", &it.custodian_policy)])
        }
        Action::DeleteBackup(_) => Vec::new(),
        Action::Cancel(it) => waits(it.kind(), &it.intent_hash),
        Action::CarryOut(it) => waits(it.kind(), &it.intent_hash),
        Action::OpenEjectWindow(it) => vec![("  open for", format!("{} s", it.duration_seconds))],
    }
}

#[cfg(test)]
mod tests;
