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
    if !statement.top_origins.is_empty() {
        show.value("  top origins", statement.top_origins.join(", "));
    }
}
