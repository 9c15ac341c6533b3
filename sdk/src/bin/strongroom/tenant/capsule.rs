//! `strongroom tenant export-capsule`.

use std::path::PathBuf;

use clap::Args;
use strongroom_sdk::capsule::{Question, verify};
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::v1::ExportCapsuleRequest;
use strongroom_sdk::{Error, Trust, device, files};

use crate::options::{self, HostOptions};
use crate::show::Show;

pub(super) const EXPORT_HELP: &str = "\
All of it is ciphertext or public: any enclave that the KMS keys admit can recover the backup from it, whoever its host is. It is written
only once every check holds. Whoever keeps it keeps the backup as it is now.

Example:
  strongroom tenant export-capsule --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1 \\
    --backup main --out w1.capsule";

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    host: HostOptions,
    /// The tenant's id, 64 hex digits: the only pin.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: TenantId,
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

pub(super) async fn export(options: &Export, trust: &Trust, show: Show) -> Result<(), Error> {
    files::check_new(&options.out)?;
    device::check_id("wallet", &options.wallet)?;
    device::check_id("backup", &options.backup)?;
    let client = options.host.connect(show).await?;
    show.waiting("asking for the capsule");
    let request = ExportCapsuleRequest { wallet: options.wallet.clone(), backup: options.backup.clone() };
    let bytes = client.export_capsule(&request).await?;
    let capsule = verify(&bytes, &Question { tenant: options.tenant, trust })?;
    for (field, found, expected) in
        [("wallet", &capsule.wallet, &options.wallet), ("backup", &capsule.backup, &options.backup)]
    {
        if found != expected {
            let (found, expected) = (found.clone(), expected.clone());
            return Err(Error::Mismatch { part: "capsule", field, found, expected });
        }
    }
    crate::capsule::report(show, &capsule);
    files::write_whole(&options.out, &bytes)?;
    show.value("capsule", format_args!("{} bytes, in {}", bytes.len(), options.out.display()));
    Ok(())
}
