//! The load: many calls in flight on few connections, and what host and enclaves used for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use strongroom_sdk::Error;
use strongroom_sdk::client::{ApiKey, Client};
use tokio::task::JoinSet;

use super::cpu;
use crate::stack::Stack;
use crate::stack::process::Process;

/// Calls in flight.
pub const IN_FLIGHT: usize = 64;
/// Connections to the host.
pub const CONNECTIONS: usize = 4;
/// Rest after a load: threads that still run are not counted up to now, and the store may check its file.
const REST: Duration = Duration::from_millis(50);

/// What a window used.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// From the first call to the last answer.
    pub wall: Duration,
    /// CPU time of the host.
    pub host: Duration,
    /// CPU time of the enclave, or of both.
    pub enclave: Duration,
    /// Calls answered.
    pub calls: usize,
}

/// CPU time of the host, and of all enclaves together, so far.
pub(super) fn used(stack: &Stack) -> Result<(Duration, Duration)> {
    let enclaves = stack.enclaves()?.iter().map(Process::cpu_time).sum::<Result<Duration>>()?;
    Ok((stack.host()?.cpu_time()?, enclaves))
}

/// A window that has just ended.
pub(super) async fn window(
    stack: &Stack,
    before: (Duration, Duration),
    wall: Duration,
    calls: usize,
) -> Result<Window> {
    tokio::time::sleep(REST).await;
    let after = used(stack)?;
    Ok(Window { wall, host: cpu::since(before.0, after.0), enclave: cpu::since(before.1, after.1), calls })
}

/// Connections to the stack's host.
pub(super) async fn connect(stack: &Stack) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(&stack.api()?, ApiKey::read(&stack.api_key_file())?).await?);
    }
    Ok(clients)
}

/// Sends every request, [`IN_FLIGHT`] at a time; gives the answers in the requests' order and the time that they took.
pub(super) async fn drive<Q, A, F, W>(clients: &[Client], requests: Vec<Q>, call: F) -> Result<(Vec<A>, Duration)>
where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Client, Q) -> W + Clone + Send + 'static,
    W: Future<Output = Result<A, Error>> + Send + 'static,
{
    let count = requests.len();
    let queue: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(requests.into_iter().enumerate().collect()));
    let mut senders = JoinSet::new();
    let started = Instant::now();
    for client in clients.iter().cycle().take(IN_FLIGHT) {
        let (queue, client, call) = (Arc::clone(&queue), client.clone(), call.clone());
        senders.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((number, request)) = next else { return Ok(answers) };
                answers.push((number, call(client.clone(), request).await?));
            }
        });
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(sender) = senders.join_next().await {
        let sent: Result<Vec<(usize, A)>, Error> = sender?;
        answers.extend(sent?);
    }
    let wall = started.elapsed();
    answers.sort_by_key(|(number, _)| *number);
    Ok((answers.into_iter().map(|(_, answer)| answer).collect(), wall))
}
