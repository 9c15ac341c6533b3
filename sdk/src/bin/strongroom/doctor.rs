//! `strongroom doctor`: looks at a parent instance before and while it serves, one line for each thing that it looked at.
//!
//! It changes nothing, starts no enclave, needs no credentials, and says of nothing that it is well without having looked.

mod clock;
mod enclaves;
mod host;
mod http;
mod key_policies;
mod machine;
mod metadata;
mod program;
mod report;
mod slots;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use strongroom_sdk::key_policy::ImagePcrs;

use crate::policy::{self, Administrator, PolicyFile};
use crate::show::Show;
use report::Report;

const HELP: &str = "\
Prints ok, warn, FAIL or skip for each check, and what to do. Exits with 1 where one fails. Every --enclave is one that runs at the same
time as the others, so give the one too that an upgrade starts beside them.

Example:
  strongroom doctor --host-config /etc/strongroom/host.toml --image $PCR0:$PCR1:$PCR2 \\
    --enclave /etc/strongroom/enclaves/client-a.json --enclave /etc/strongroom/enclaves/client-b.json \\
    --enclave /etc/strongroom/enclaves/custodian-a.json \\
    --key-policy client=client.json --key-policy custodian=custodian.json \\
    --administrator client=$CLIENT_ADMINISTRATOR --administrator custodian=$CUSTODIAN_ADMINISTRATOR";

/// What to look at.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Doctor {
    /// Parameters of `nitro-cli run-enclave --config`; may be given several times, for all that run at the same time.
    #[arg(long = "enclave", value_name = "FILE")]
    enclaves: Vec<PathBuf>,
    /// An image that the enclaves may run; may be given several times.
    #[arg(long = "image", value_name = "PCR0[:PCR1:PCR2]", value_parser = policy::image_pcrs)]
    images: Vec<ImagePcrs>,
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    host_config: Option<PathBuf>,
    /// The key policy of a role as KMS has it: client=FILE or custodian=FILE; may be given several times.
    #[arg(long = "key-policy", value_name = "ROLE=FILE", value_parser = policy::policy_file)]
    key_policies: Vec<PolicyFile>,
    /// ARN of one who may change the key policy of a role: client=ARN or custodian=ARN; may be given several times.
    #[arg(long = "administrator", value_name = "ROLE=ARN", value_parser = policy::administrator)]
    administrators: Vec<Administrator>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
    /// The folder that has the machine's etc, dev and sys.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Where instance metadata is asked for.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "169.254.169.254:80")]
    imds: SocketAddr,
    /// The program that checks the host's configuration.
    #[arg(long, value_name = "PROGRAM", default_value = "strongroom-host")]
    host_program: PathBuf,
    /// The program that asks the kernel whether its clock is synchronised.
    #[arg(long, value_name = "PROGRAM", default_value = "timedatectl")]
    clock_program: PathBuf,
}

pub(crate) fn run(options: &Doctor, show: Show) -> anyhow::Result<()> {
    let mut report = Report::default();
    let (wanted, given) = enclaves::check(&options.enclaves, &options.images, &mut report);
    machine::check(&options.root, wanted, &mut report);
    let seen = metadata::check(options.imds, &mut report);
    clock::check(&options.clock_program, seen.date, &mut report);
    let manifests = if let Some(path) = &options.host_config {
        host::check(path, &options.host_program, seen.role.as_deref(), &given, &mut report)
    } else {
        report.skip("host configuration", "NOT LOOKED AT, nor slots, manifests and KMS: no --host-config is given");
        Vec::new()
    };
    key_policies::check(options, &manifests, &mut report);
    report.print(options.json, show);
    match report.failed() {
        0 => Ok(()),
        failed => anyhow::bail!("{failed} of {} checks failed", report.looked()),
    }
}
