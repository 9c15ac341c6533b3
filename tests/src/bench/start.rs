//! From the start of enclave and host to the first recovery, and what they hold once they rest.

use std::time::{Duration, Instant};

use anyhow::Result;
use strongroom_proto::v1::Role;

use super::cpu;
use super::summary::Samples;
use super::wallets::Wallets;
use crate::stack::Stack;

/// Starts measured.
const STARTS: usize = 5;
/// Rest after the first recovery, before memory is read.
const REST: Duration = Duration::from_secs(1);
const MB: f64 = 1e6;

/// What each start took, of both processes together, and what each process held then.
#[derive(Clone, Debug, Default)]
pub(super) struct Start {
    pub(super) cpu_ms: Samples,
    pub(super) wall_ms: Samples,
    pub(super) host_mb: Samples,
    pub(super) enclave_mb: Samples,
}

/// Kills and starts enclave and host, over a database that has records; KMS runs on.
pub(super) async fn measure(stack: &mut Stack, wallets: &mut Wallets) -> Result<Start> {
    let mut start = Start::default();
    for _ in 0..STARTS {
        let recovery = wallets.signed_recovery().await?;
        let started = Instant::now();
        stack.restart_enclaves_and_host().await?;
        wallets.send(stack, &recovery).await?;
        start.wall_ms.add(started.elapsed().as_secs_f64() * 1e3);
        let (host, enclave) = (stack.host()?, stack.enclave(Role::Client)?);
        start.cpu_ms.add((cpu::of_life(host.id())? + cpu::of_life(enclave.id())?).as_secs_f64() * 1e3);
        tokio::time::sleep(REST).await;
        start.host_mb.add(megabytes(host.resident_bytes()?));
        start.enclave_mb.add(megabytes(enclave.resident_bytes()?));
        wallets.reconnect(stack).await?;
    }
    Ok(start)
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) * 1000.0 / MB
}
