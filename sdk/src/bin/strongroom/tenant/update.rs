//! `strongroom tenant update`: the next statement, by a publisher's signed release file.

use std::path::PathBuf;

use clap::Args;
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::proto::limits::MANIFEST_BYTES_MAX;
use strongroom_sdk::proto::statement;
use strongroom_sdk::proto::v1::{Role, Statement};
use strongroom_sdk::release::Accepted;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::{Draft, Folder, NextManifest, attest_release, previous};
use strongroom_sdk::{Error, Trust, device, files, role_name};

use crate::options::{self, HostOptions, LowestEpoch};
use crate::passphrase;
use crate::policy::{self, PolicyFile};
use crate::release::{read, report};
use crate::show::Show;

pub(super) const UPDATE_HELP: &str = "\
The accepted images are those that the release file lists from its lowest allowed release on, or of these the chosen ones. Every enclave
must be of one of them, and its manifest name the same release. What is left out stays as the statement before has it; to empty a list, or
for images that no publisher signed, there is `tenant statement`.

The file's serial never goes back: an emergency step back to an older release is a file with a higher serial.

Example:
  strongroom tenant update --dir ./acme --host https://strongroom.example --api-key-file acme.key \\
    --release strongroom.release --key-policy client=client.json --key-policy custodian=custodian.json";

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The tenant's folder, as `tenant init` made it.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    host: HostOptions,
    /// The publisher's signed release file.
    #[arg(long, value_name = "FILE")]
    release: PathBuf,
    /// The publisher's key, 64 hex digits or a file with them: pinned in the folder at its first use, and needed no more.
    #[arg(long, value_name = "HEX|FILE", value_parser = options::release_key)]
    release_key: Option<[u8; 32]>,
    /// Accept this release of the file, and none that is not named so; may be given several times.
    #[arg(long = "accept", value_name = "RELEASE", value_parser = clap::value_parser!(u64).range(1..))]
    accept: Vec<u64>,
    /// A manifest that enclaves are going to have, while a fleet changes over; may be given several times.
    #[arg(long = "manifest", value_name = "FILE")]
    manifests: Vec<PathBuf>,
    #[command(flatten)]
    named: Named,
    /// WebAuthn relying party id.
    #[arg(long, value_name = "DOMAIN")]
    rp_id: Option<String>,
    /// An origin that assertions may come from; may be given several times.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// A top origin under which a cross-origin frame may ask; may be given several times.
    #[arg(long = "top-origin", value_name = "ORIGIN")]
    top_origins: Vec<String>,
    /// Recipient hash of an MPC server that custodian shares may go to; may be given several times.
    #[arg(long = "mpc-recipient", value_name = "HEX", value_parser = options::hex32)]
    mpc_recipients: Vec<[u8; 32]>,
    /// The lowest epoch that anything new may be sealed to, for each role that is named or for one: client=N; the newest, if left out.
    #[arg(long = "lowest-epoch", value_name = "[ROLE=]N", value_parser = options::lowest_epoch)]
    lowest_epochs: Vec<LowestEpoch>,
    /// The key policy of a role's KMS key, as its key administrator gave it; one for each role.
    #[arg(long = "key-policy", value_name = "ROLE=FILE", value_parser = policy::policy_file)]
    key_policies: Vec<PolicyFile>,
    /// Do without key policies: nobody then looks whether the KMS keys are kept for these images.
    #[arg(long, conflicts_with = "key_policies")]
    without_key_policy: bool,
    /// Sign with the standby key: the root key is lost.
    #[arg(long)]
    standby: bool,
}

#[derive(Args, Debug)]
struct Named {
    /// The statement names the client role.
    #[arg(long)]
    client: bool,
    /// The statement names the custodian role.
    #[arg(long)]
    custodian: bool,
}

pub(super) async fn run(options: &Update, trust: &Trust, show: Show) -> Result<(), Error> {
    let folder = Folder::new(&options.dir);
    let keys = folder.tenant_keys()?;
    let tenant = keys.tenant();
    show.heading("Checking the release file");
    let releases = folder.take_release(&read(&options.release)?, options.release_key.as_ref())?;
    show.check("signature", format_args!("by the release key pinned in {}", folder.release_key_file().display()));
    show.check("serial", format_args!("{}, and none higher was accepted here", releases.file().serial));
    report(releases.file(), show);
    let accepted = releases.accept(&options.accept)?;
    show.value("accepted", format_args!("releases {}", accepted.numbers()));
    let operational = SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, || {
        passphrase::existing("Passphrase of the operational key: ")
    })?;
    let client = options.host.connect(show).await?;
    let previous = previous(&folder, &client, tenant).await?;
    let previous = previous.as_ref().map(VerifiedStatement::statement);
    let before = options.inherited(folder.statement(tenant)?.is_some(), previous)?;
    let roles = options.roles(before)?;
    options.check_policies(&roles, show)?;
    let lowest_epochs = options::lowest_epochs(&options.lowest_epochs, &roles)?;
    let mut attested = Vec::new();
    for role in roles {
        super::checking(role, show);
        let epochs = attest_release(&client, tenant, role, &accepted, trust).await?;
        super::checked(&epochs, show);
        show.check("release", "image and manifest are of one that the release file lists");
        attested.extend(epochs);
    }
    let manifests = options.manifests(&accepted, trust, show)?;
    manifests.iter().try_for_each(|manifest| manifest.check(&accepted, &attested))?;
    let draft = Draft {
        keys,
        previous,
        operational_key: *operational.public_key(),
        now: device::now(),
        images: accepted.images(),
        manifests: manifests.iter().map(|next| (next.manifest.role(), next.pcr16)).collect(),
        attested,
        keep: false,
        lowest_epoch: None,
        rp_id: options.rp_id(before)?,
        origins: list(&options.origins, before.map(|before| &before.origins)),
        top_origins: list(&options.top_origins, before.map(|before| &before.top_origins)),
        mpc_recipients: options.mpc_recipients(before),
    };
    let statement = super::built(&draft, lowest_epochs, &options.key_policies, show)?;
    super::publish(options.standby, &folder, &client, &statement, show).await
}

impl Update {
    /// What is left out is taken from this statement. In a folder that has none of its own the host chooses which of the tenant's former
    /// ones it shows, with recipients and origins that were given up since: of that one nothing is taken.
    fn inherited<'a>(&self, is_own: bool, shown: Option<&'a Statement>) -> Result<Option<&'a Statement>, Error> {
        let Some(shown) = shown.filter(|_| !is_own) else { return Ok(shown) };
        let is_named = self.named.client || self.named.custodian;
        let needed = [
            (is_named, "--client or --custodian"),
            (self.rp_id.is_some(), "--rp-id"),
            (!self.origins.is_empty(), "--origin"),
            (!self.top_origins.is_empty() || shown.top_origins.is_empty(), "--top-origin"),
            (!self.mpc_recipients.is_empty() || shown.mpc_recipients.is_empty(), "--mpc-recipient"),
        ];
        let missing: Vec<&str> = needed.iter().filter(|(is_there, _)| !is_there).map(|(_, flag)| *flag).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let problem = format!(
            "this folder has none of its own, and the one that the host shows may be an old one: give {} too, or use `tenant statement`",
            missing.join(", ")
        );
        Err(Error::Input { field: "statement".to_owned(), problem })
    }

    /// The roles that were named; otherwise those of the statement before.
    fn roles(&self, previous: Option<&Statement>) -> Result<Vec<Role>, Error> {
        let Named { client, custodian } = self.named;
        let is_named = |role| match role {
            _ if !client && !custodian => previous.is_some_and(|it| statement::role(it, role).is_some()),
            Role::Client => client,
            _ => custodian,
        };
        let roles: Vec<Role> = [Role::Client, Role::Custodian].into_iter().filter(|role| is_named(*role)).collect();
        if roles.is_empty() {
            return Err(missing("--client or --custodian"));
        }
        Ok(roles)
    }

    fn rp_id(&self, previous: Option<&Statement>) -> Result<String, Error> {
        let before = || previous.map(|previous| previous.rp_id.clone());
        self.rp_id.clone().or_else(before).ok_or_else(|| missing("--rp-id"))
    }

    fn mpc_recipients(&self, previous: Option<&Statement>) -> Vec<[u8; 32]> {
        let before = previous.into_iter().flat_map(|previous| &previous.mpc_recipients);
        let before = before.filter_map(|hash| hash.as_slice().try_into().ok()).collect();
        list(&self.mpc_recipients, Some(&before))
    }

    /// Refuses to go on without a role's key policy, unless that was asked for.
    fn check_policies(&self, roles: &[Role], show: Show) -> Result<(), Error> {
        if self.without_key_policy {
            show.caution("key policies: NOT CHECKED, for --without-key-policy is given");
            return Ok(());
        }
        let has_policy = |role: &&Role| self.key_policies.iter().any(|policy| policy.role == **role);
        let Some(role) = roles.iter().find(|role| !has_policy(role)) else { return Ok(()) };
        let problem =
            "is missing: without it nobody looks whether the role's KMS key is kept for these images".to_owned();
        Err(Error::Input { field: format!("--key-policy {}", role_name(*role)), problem })
    }

    fn manifests(&self, accepted: &Accepted<'_>, trust: &Trust, show: Show) -> Result<Vec<NextManifest>, Error> {
        let read = |path: &PathBuf| {
            let next = NextManifest::read(&files::read(path, MANIFEST_BYTES_MAX)?, trust)?;
            accepted.check_number(next.manifest.release)?;
            let (role, manifest) = (role_name(next.manifest.role()), &next.manifest);
            let text = format!("of the {role} role, release {}, KMS key {}", manifest.release, manifest.kms_key_arn);
            show.check("manifest to come", text);
            Ok(next)
        };
        self.manifests.iter().map(read).collect()
    }
}

/// What was given; otherwise what the statement before has.
fn list<T: Clone>(given: &[T], before: Option<&Vec<T>>) -> Vec<T> {
    if given.is_empty() { before.cloned().unwrap_or_default() } else { given.to_vec() }
}

fn missing(field: &str) -> Error {
    let problem = "is needed for the first statement".to_owned();
    Error::Input { field: field.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        update: Update,
    }

    fn update(flags: &str) -> Update {
        let start = "update --dir d --host h --api-key-file k --release r".split(' ');
        Command::parse_from(start.chain(flags.split_whitespace())).update
    }

    fn shown(top_origins: usize, mpc_recipients: usize) -> Statement {
        Statement {
            rp_id: "old.example".to_owned(),
            origins: vec!["https://old.example".to_owned()],
            top_origins: vec!["https://old.example".to_owned(); top_origins],
            mpc_recipients: vec![vec![1; 32]; mpc_recipients],
            ..Statement::default()
        }
    }

    const NAMED: &str = "--client --rp-id a.example --origin https://a.example";

    #[test]
    fn nothing_is_taken_from_a_statement_that_the_host_alone_has() {
        let recipient = format!("--mpc-recipient {}", "22".repeat(32));
        let top = "--top-origin https://a.example";
        for (flags, shown, expect) in [
            (String::new(), shown(0, 0), "give --client or --custodian, --rp-id, --origin too"),
            ("--client".to_owned(), shown(1, 1), "give --rp-id, --origin, --top-origin, --mpc-recipient too"),
            ("--custodian --rp-id a.example".to_owned(), shown(0, 0), "give --origin too"),
            (NAMED.to_owned(), shown(0, 1), "give --mpc-recipient too"),
            (NAMED.to_owned(), shown(1, 0), "give --top-origin too"),
            (format!("{NAMED} {recipient}"), shown(1, 1), "give --top-origin too"),
        ] {
            let options = update(&flags);
            let error = options.inherited(false, Some(&shown)).unwrap_err().to_string();
            assert!(error.contains(expect), "{flags}: {expect}: {error}");
            assert_eq!(options.inherited(true, Some(&shown)).unwrap(), Some(&shown), "{flags}");
        }
        for (flags, shown) in [(NAMED.to_owned(), shown(0, 0)), (format!("{NAMED} {recipient} {top}"), shown(1, 1))] {
            assert_eq!(update(&flags).inherited(false, Some(&shown)).unwrap(), None, "{flags}");
        }
        // The first statement takes nothing from another either, and says what is missing.
        assert_eq!(update("").inherited(false, None).unwrap(), None);
        assert!(update("").roles(None).is_err() && update("").rp_id(None).is_err());
    }
}
