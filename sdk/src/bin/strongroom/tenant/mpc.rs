//! `strongroom tenant`: the key of an MPC server, and what is released to it.

use std::path::PathBuf;

use clap::Args;
use strongroom_sdk::exchange::{Delivery, EXCHANGE_BYTES_MAX, read};
use strongroom_sdk::proto::id::RecordId;
use strongroom_sdk::proto::v1::Pair;
use strongroom_sdk::seal::MpcKey;
use strongroom_sdk::tenant::Folder;
use strongroom_sdk::{Error, device, files};

use crate::options::{self, pair};
use crate::passphrase;
use crate::show::Show;

pub(super) const KEY_HELP: &str = "\
The statement must list the recipient hash: strongroom tenant statement ... --custodian --mpc-recipient HASH. Devices and the backend get
the public key.

Example:
  strongroom tenant mpc-key --out mpc.key --public mpc.pub";

#[derive(Args, Debug)]
pub(crate) struct Key {
    /// New file for the private key, protected by a passphrase from `STRONGROOM_PASSPHRASE` or asked for.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// New file for the public key.
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// Do not encrypt the private key: a server opens releases with it unattended. Only its owner may read the file.
    #[arg(long)]
    plain: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Open {
    /// The tenant's folder, with its newest statement.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The MPC server's private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The release with its receipt, as `strongroom device recover --custodian-release` wrote it.
    #[arg(long, value_name = "FILE")]
    release: PathBuf,
    /// The wallet that is recovered.
    #[arg(long, value_name = "ID")]
    wallet: String,
    /// The record, as the receipt of its creation names it.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    record: [u8; 32],
    /// A pair of the wallet: PAIR:CURVE; up to 4 times.
    #[arg(long = "pair", value_name = "PAIR:CURVE", value_parser = pair, required = true)]
    pairs: Vec<Pair>,
    /// Folder for the shares; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn key(options: &Key, show: Show) -> Result<(), Error> {
    [&options.out].into_iter().chain(&options.public).try_for_each(|path| files::check_new(path))?;
    let key = MpcKey::generate()?;
    if options.plain {
        key.write_plain(&options.out)?;
    } else {
        key.write_protected(&options.out, &passphrase::new_of("the MPC server's key")?)?;
    }
    if let Some(path) = &options.public {
        files::write_new(path, key.public_key())?;
        show.value("public-key", format_args!("in {}", path.display()));
    }
    show.value("recipient", key.hash());
    Ok(())
}

pub(super) fn open(options: &Open, show: Show) -> Result<(), Error> {
    device::check_id("wallet", &options.wallet)?;
    let folder = Folder::new(&options.dir);
    let statement = super::own_statement(&folder, folder.tenant_keys()?.tenant())?;
    let delivery: Delivery = read("delivery", &files::read(&options.release, EXCHANGE_BYTES_MAX)?)?;
    let mut pairs = options.pairs.clone();
    pairs.sort_by(|a, b| a.id.cmp(&b.id));
    let paths: Vec<PathBuf> = pairs.iter().map(|pair| options.out.join(format!("{}.share", pair.id))).collect();
    let made = std::fs::create_dir_all(&options.out);
    made.map_err(|error| Error::File { path: options.out.clone(), problem: error.to_string() })?;
    paths.iter().try_for_each(|path| files::check_new(path))?;
    let key = MpcKey::read(&options.key, || passphrase::existing("Passphrase of the MPC server's key: "))?;
    let record_id = RecordId(options.record);
    let shares = key.open(&delivery, &statement, &options.wallet, record_id, &pairs)?;
    show.check("receipt", "of the custodian role, for these very bytes, this recipient and the intent beside it");
    show.check("release", "opened; intent, record, generation and pairs are as asked");
    for (share, path) in shares.iter().zip(&paths) {
        files::write_new(path, share.bytes.expose())?;
        let bytes = share.bytes.expose().len();
        show.value("share", format_args!("{}, {bytes} bytes, in {}", share.pair, path.display()));
    }
    Ok(())
}
