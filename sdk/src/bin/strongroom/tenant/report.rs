//! What a tenant is about to sign.

use strongroom_sdk::attestation::Time;
use strongroom_sdk::proto::statement::role;
use strongroom_sdk::proto::v1::{Role, Statement};
use strongroom_sdk::role_name;

use crate::show::Show;

pub(super) fn statement(show: Show, statement: &Statement, previous: Option<&Statement>) {
    show.heading("About to sign");
    let before = previous.map_or_else(|| "the first".to_owned(), |previous| format!("after {}", previous.serial));
    show.value("  serial", format_args!("{} ({before})", statement.serial));
    for image in &statement.images {
        show.value("  image PCR0", hex::encode(&image.pcr0));
        show.value("        PCR1", hex::encode(&image.pcr1));
        show.value("        PCR2", hex::encode(&image.pcr2));
    }
    for name in [Role::Client, Role::Custodian] {
        match role(statement, name) {
            Some(named) => {
                for pcr16 in &named.pcr16 {
                    show.value(&format!("  {} manifest PCR16", role_name(name)), hex::encode(pcr16));
                }
                let epochs: Vec<String> = named.epochs.iter().map(|epoch| epoch.epoch.to_string()).collect();
                let list = epochs.join(", ");
                let text = format!("{list}; new shares from {} on", named.lowest_epoch);
                show.value(&format!("  {} epochs", role_name(name)), text);
            }
            None if previous.is_some_and(|previous| role(previous, name).is_some()) => {
                show.caution(&format!(
                    "  !! the {} role, which the statement before named, is left out",
                    role_name(name)
                ));
            }
            None => {}
        }
    }
    for key in &statement.operational_keys {
        let until = Time::from_unix_ms(key.not_after_ms);
        show.value("  operational key", format_args!("{} until {until}", hex::encode(&key.key)));
    }
    for recipient in &statement.mpc_recipients {
        show.value("  MPC recipient", hex::encode(recipient));
    }
    show.value("  relying party", &statement.rp_id);
    show.value("  origins", statement.origins.join(", "));
    for origin in statement.origins.iter().filter(|origin| is_foreign(origin, &statement.rp_id)) {
        show.caution(&format!(
            "  !! {origin} is not under {}: browsers ask for its passkeys there only as a related origin",
            statement.rp_id
        ));
    }
    if !statement.top_origins.is_empty() {
        show.value("  top origins", statement.top_origins.join(", "));
    }
}

/// Whether a page's host is neither the relying party nor below it (WebAuthn level 3, section 5.1.3): most likely a slip.
fn is_foreign(origin: &str, rp_id: &str) -> bool {
    let Some((_, host)) = origin.split_once("://") else { return false };
    let host = host.split(':').next().unwrap_or_default();
    host != rp_id && !host.strip_suffix(rp_id).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn origins_that_are_not_the_relying_partys_are_pointed_out() {
        for (origin, expect) in [
            ("https://wallet.example", false),
            ("https://app.wallet.example:8443", false),
            ("android:apk-key-hash:abc", false),
            ("https://evilwallet.example", true),
            ("https://example", true),
            ("http://localhost:3000", true),
        ] {
            assert_eq!(is_foreign(origin, "wallet.example"), expect, "{origin}");
        }
    }
}
