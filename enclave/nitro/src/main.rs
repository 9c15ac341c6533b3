//! The production enclave: the runtime over `/dev/nsm` and vsock.
//!
//! Nothing here is simulated, and nothing here decides: it is the first process of the image, makes the machine ready, opens the device,
//! listens on a port, and hands both to the runtime.

mod arguments;
mod device;
mod init;
mod last_words;
mod vsock_transport;

use std::process::ExitCode;
use std::sync::Arc;

use strongroom_runtime::Options;
use strongroom_runtime::log::Log;

use crate::arguments::Arguments;
use crate::device::DeviceNsm;
use crate::vsock_transport::VsockTransport;

fn main() -> ExitCode {
    let log = Log::stderr();
    let failure = match start(&log) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    log.note(format_args!("the enclave ends: {failure}"));
    ExitCode::FAILURE
}

/// Runs until something fails; the error is a sentence.
fn start(log: &Log) -> Result<std::convert::Infallible, String> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    if init::is_first() {
        init::prepare(log)?;
    }
    last_words::install(arguments.parent_cid);
    let nsm = DeviceNsm::open().map_err(|error| error.to_string())?;
    let transport = VsockTransport::bind(arguments.parent_cid).map_err(|error| format!("vsock: {error}"))?;
    if init::is_first() {
        // It listens already: whoever hears of it can connect.
        init::beat(arguments.parent_cid, log)?;
    }
    strongroom_runtime::run(Arc::new(nsm), &Arc::new(transport), &Options::default()).map_err(|error| error.to_string())
}
