//! The enclaves that are to run against the slots of the host's configuration, and the keys of the two roles against each other.

use strongroom_sdk::proto::v1::Role;
use strongroom_sdk::role_name;

use super::host::{Booted, Enclave};
use super::report::Report;

/// An enclave that is to run, as its run parameters have it.
pub(super) struct Given {
    pub(super) name: String,
    pub(super) cid: u64,
}

impl Given {
    /// The role that the name begins with, as in `client-a`.
    fn role(&self) -> Option<Role> {
        let first = self.name.split('-').next();
        [Role::Client, Role::Custodian].into_iter().find(|role| first == Some(role_name(*role)))
    }

    fn is_in(&self, slot: &Enclave) -> bool {
        slot.vsock.as_ref().is_some_and(|vsock| vsock.cid == self.cid)
    }
}

/// Whether the host finds each enclave where it starts, takes it for the role that it is of, and has a manifest for it.
pub(super) fn check(given: &[Given], slots: &[Enclave], report: &mut Report) {
    for enclave in given {
        let (name, cid) = (format!("slot {}", enclave.name), enclave.cid);
        let Some(slot) = slots.iter().find(|slot| enclave.is_in(slot)) else {
            let text = format!("the host's configuration has no enclave of CID {cid}: the host never finds it");
            report.fail(name, text, "give run parameters and host.toml the same CID");
            continue;
        };
        let Some(role) = enclave.role() else {
            let todo = "name it after its role, as deploy/nitro/enclaves has them";
            report.warn(name, format!("CID {cid} is a {} slot; the name tells no role to compare", slot.role), todo);
            continue;
        };
        if role_name(role) != slot.role {
            let text = format!("CID {cid} is of the role {} in the host's configuration", slot.role);
            report.fail(name, text, "give run parameters and host.toml the same CID");
        } else if slot.manifest.exists() {
            report.ok(name, format!("CID {cid} and its role are the same in the host's configuration"));
        } else {
            let text = format!("no manifest {}: an enclave that starts in it is not booted", slot.manifest.display());
            report.fail(name, text, "put its manifest there before it starts; strongroom operator manifest writes it");
        }
    }
}

/// Whether an enclave that is given starts in the slot; [`check`] then says whether there is a manifest.
pub(super) fn is_given(slot: &Enclave, given: &[Given]) -> bool {
    given.iter().any(|enclave| enclave.is_in(slot))
}

/// A slot without a manifest, whose role has another slot that is used. Where an enclave that is given starts in it, [`check`] says so.
pub(super) fn empty(slot: &Enclave, given: &[Given], report: &mut Report) {
    let name = format!("manifest {}", slot.manifest.display());
    if given.is_empty() {
        report.warn(name, "none: an empty slot", "put one there before an enclave starts in it");
    } else if !is_given(slot, given) {
        report.ok(name, "none: an empty slot, and no enclave given starts in it");
    }
}

/// Whoever administers the keys of both roles can recover wallets, so they lie in two accounts.
pub(super) fn keys(booted: &[Booted], report: &mut Report) {
    let name = "keys of the two roles";
    let of = |role: Role| booted.iter().filter(move |it| it.role == role);
    if booted.iter().any(|it| it.is_development) {
        return report.skip(name, "NOT COMPARED: a manifest is for development");
    }
    if of(Role::Client).next().is_none() || of(Role::Custodian).next().is_none() {
        return report.skip(name, "NOT COMPARED: there are not manifests of both roles");
    }
    let pairs = || of(Role::Client).flat_map(|client| of(Role::Custodian).map(move |custodian| (client, custodian)));
    if let Some((client, _)) = pairs().find(|(client, custodian)| client.key == custodian.key) {
        let text = format!("the manifests of both name one key, {}", client.key);
        return report.fail(name, text, "give each role a key of its own, in an account of its own");
    }
    if let Some((client, custodian)) = pairs().find(|(client, custodian)| account(client) == account(custodian)) {
        let text = format!("{} and {} lie in one account", client.key, custodian.key);
        return report.fail(name, text, "make the key of one role in another account, by another administrator");
    }
    report.ok(name, "lie in two accounts; that two people administer these was not looked at");
}

/// The account in the ARN of a key.
fn account(booted: &Booted) -> Option<&str> {
    booted.key.split(':').nth(4)
}
