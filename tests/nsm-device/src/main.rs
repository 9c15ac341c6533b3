//! The Nitro Secure Module as a device of a virtual machine: a vhost-user back end behind which the simulated NSM answers. The guest's own
//! driver and `/dev/nsm` talk to it.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Parser;
use strongroom_simulated::{Authority, Measurements, SimulatedNsm};
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

mod answer;
mod device;

/// Serves one virtual machine, and ends with it.
#[derive(Parser)]
struct Arguments {
    /// Where QEMU connects.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The authority that signs: a folder that is made if it is not there.
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// The image's PCR0, 96 hex digits.
    #[arg(long, value_name = "HEX", value_parser = pcr)]
    pcr0: [u8; 48],
    /// The image's PCR1.
    #[arg(long, value_name = "HEX", value_parser = pcr)]
    pcr1: [u8; 48],
    /// The image's PCR2.
    #[arg(long, value_name = "HEX", value_parser = pcr)]
    pcr2: [u8; 48],
}

fn pcr(text: &str) -> Result<[u8; 48], String> {
    let mut out = [0; 48];
    hex::decode_to_slice(text, &mut out).map_err(|_| "not 96 hex digits".to_owned())?;
    Ok(out)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let authority = Authority::open(&arguments.authority)?;
    let image = Measurements { pcr0: arguments.pcr0, pcr1: arguments.pcr1, pcr2: arguments.pcr2 };
    let nsm = SimulatedNsm::new(authority, &image)?;
    let device = device::NsmDevice::new(nsm)?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("nsm".to_owned(), device.clone(), memory)
        .map_err(|error| anyhow!("vhost-user: {error}"))?;
    for handler in daemon.get_epoll_handlers() {
        device.tick_on(&handler)?;
    }
    println!("strongroom-nsm-device ready");
    // The virtual machine's end is this process's end.
    daemon.serve(&arguments.socket).map_err(|error| anyhow!("the virtual machine's connection: {error}"))
}
