//! The production enclave: the runtime over `/dev/nsm` and vsock.
//!
//! Nothing here is simulated, and nothing here decides: it is the first process of the image, makes the machine ready, opens the device,
//! listens on a port, and hands both to the runtime.

#![deny(clippy::print_stderr, clippy::print_stdout)] // A console that takes nothing would end the enclave.

mod arguments;
mod device;
mod entropy;
mod init;
mod last_words;
mod vsock_transport;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use strongroom_runtime::Options;
use strongroom_runtime::log::Log;

use crate::arguments::Arguments;
use crate::device::DeviceNsm;
use crate::entropy::KernelPool;
use crate::vsock_transport::VsockTransport;

fn main() -> ExitCode {
    // One log from the first line on: the host reads there what was said before it could connect.
    let log = Log::stderr();
    match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => {
            let Err(failure) = start(&arguments, &log);
            log.note(format_args!("the enclave ends: {failure}"));
            last_words::end(arguments.parent_cid, &failure);
        }
        Err(failure) => log.note(format_args!("the enclave does not start: {failure}")),
    }
    ExitCode::FAILURE
}

/// Runs until something fails; the error is a sentence.
fn start(arguments: &Arguments, log: &Log) -> Result<Infallible, String> {
    if init::is_first() {
        init::prepare(log)?;
    }
    last_words::install(arguments.parent_cid, log.clone());
    let nsm = DeviceNsm::open().map_err(|error| error.to_string())?;
    let transport = VsockTransport::bind(arguments.parent_cid).map_err(|error| format!("vsock: {error}"))?;
    if init::is_first() {
        // It listens already: whoever hears of it can connect.
        init::beat(arguments.parent_cid, log)?;
    }
    let options = Options::new(Arc::new(KernelPool), log.clone());
    strongroom_runtime::run(Arc::new(nsm), &Arc::new(transport), &options).map_err(|error| error.to_string())
}
