//! The hop from host to enclave by itself: our frames against gRPC, between two processes over a unix socket, the same bytes there and
//! back, decoded and encoded at both ends, as many connections and calls in flight, single-threaded runtimes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use strongroom_core::{KmsCall, Pending, Step};
use strongroom_host::config::CONNECTIONS_DEFAULT;
use strongroom_host::enclave::Link;
use strongroom_proto::enclave::v1::{self as frames, Response, response};
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::recovery_service_server::{RecoveryService, RecoveryServiceServer};
use strongroom_proto::v1::{
    ActRequest, ActResponse, CompleteRecoveryRequest, CompleteRecoveryResponse, GetRecoveryRequest,
    GetRecoveryResponse, ListRecoveriesRequest, ListRecoveriesResponse, ListRecoveryMethodsRequest,
    ListRecoveryMethodsResponse, RecoverRequest, RecoverResponse, ReleaseRecoveryRequest,
};
use strongroom_runtime::Budget;
use strongroom_runtime::serve::{Answering, connection};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Status};

use super::cpu;
use super::load::IN_FLIGHT;
use crate::stack::path_text;
use crate::stack::process::Process;

/// Bytes of a message, there and back.
const PAYLOAD_BYTES: usize = 256;
/// Calls in one window.
const CALLS: usize = 20_000;
/// Rest after a window: a thread that still runs is not counted up to now.
const REST: Duration = Duration::from_millis(20);

/// What a window used, each over both processes.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// From the first call to the last answer.
    pub wall: Duration,
    /// CPU time.
    pub cpu: Duration,
    /// Calls answered.
    pub calls: usize,
}

/// The two ways.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The host's link and the enclave's connection.
    Frames,
    /// Unary calls of tonic.
    Grpc,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Grpc => "grpc",
        }
    }
}

/// The far end of a hop, in a process of its own, and this end.
pub struct Pair {
    far: Process,
    near: Near,
}

enum Near {
    Frames {
        links: Vec<Arc<Link>>,
        /// Ends the connections when it is dropped.
        _driving: JoinSet<&'static str>,
    },
    Grpc(Vec<RecoveryServiceClient<tonic::transport::Channel>>),
}

impl Pair {
    /// Starts the far end and connects to it.
    pub async fn start(kind: Kind, folder: &Path) -> Result<Self> {
        let socket = folder.join(format!("hop-{}.sock", kind.name()));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["hop", kind.name()]).arg(&socket);
        let (far, _) = Process::start(command, &folder.join("logs/hop"), "listening")?;
        let near = match kind {
            Kind::Frames => {
                let (mut links, mut driving) = (Vec::new(), JoinSet::new());
                for _ in 0..CONNECTIONS_DEFAULT {
                    let (link, outbox) = Link::new();
                    let stream = UnixStream::connect(&socket).await?;
                    links.push(Arc::clone(&link));
                    driving.spawn(async move { link.drive(stream, outbox).await });
                }
                Near::Frames { links, _driving: driving }
            }
            Kind::Grpc => {
                let mut clients = Vec::new();
                for _ in 0..CONNECTIONS_DEFAULT {
                    let endpoint = Endpoint::from_shared(format!("unix:{}", path_text(&socket)?))?;
                    clients.push(RecoveryServiceClient::new(endpoint.connect().await?));
                }
                Near::Grpc(clients)
            }
        };
        Ok(Self { far, near })
    }

    /// One window.
    pub async fn window(&self) -> Result<Hop> {
        let (near, far) = (cpu::of_this_process(), self.far.cpu_time()?);
        let started = Instant::now();
        let mut callers = JoinSet::new();
        for caller in 0..IN_FLIGHT {
            match &self.near {
                Near::Frames { links, .. } => {
                    let link = Arc::clone(links.get(caller % links.len()).context("no connection")?);
                    callers.spawn(async move { call_frames(&link).await });
                }
                Near::Grpc(clients) => {
                    let client = clients.get(caller % clients.len()).context("no connection")?.clone();
                    callers.spawn(call_grpc(client));
                }
            }
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        let wall = started.elapsed();
        let near = cpu::since(near, cpu::of_this_process());
        tokio::time::sleep(REST).await;
        let far = cpu::since(far, self.far.cpu_time()?);
        Ok(Hop { wall, cpu: near + far, calls: CALLS / IN_FLIGHT * IN_FLIGHT })
    }
}

async fn call_frames(link: &Link) -> Result<()> {
    for _ in 0..CALLS / IN_FLIGHT {
        let answer = link.send(message().encode_to_vec())?.await?;
        ensure!(Some(answer) == message().body, "another answer than the request");
    }
    Ok(())
}

async fn call_grpc(mut client: RecoveryServiceClient<tonic::transport::Channel>) -> Result<()> {
    for _ in 0..CALLS / IN_FLIGHT {
        let sent = bytes();
        let request = RecoverRequest { client_recipient_key: sent.clone(), ..RecoverRequest::default() };
        ensure!(client.recover(request).await?.into_inner().client_release == sent, "another answer than the request");
    }
    Ok(())
}

/// The content of a message: two fields and two lengths are around it.
fn bytes() -> Vec<u8> {
    vec![b'x'; PAYLOAD_BYTES - 6]
}

fn message() -> Response {
    let detail = String::from_utf8(bytes()).unwrap_or_default();
    Response { body: Some(response::Body::Error(frames::Error { detail, ..frames::Error::default() })) }
}

/// The far end: serves until it is killed.
pub async fn serve(kind: &str, socket: &str) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    println!("listening");
    match kind {
        "frames" => LocalSet::new().run_until(serve_frames(listener)).await,
        "grpc" => {
            let service = RecoveryServiceServer::new(Echo);
            Ok(Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener)).await?)
        }
        other => bail!("no hop by {other}"),
    }
}

async fn serve_frames(listener: UnixListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(connection(Arc::new(Echo), Budget::default(), stream));
    }
}

/// Answers what it is asked.
struct Echo;

impl Answering for Echo {
    fn begin(&self, payload: &[u8]) -> Step {
        // Decoded and encoded again, as every request is.
        Step::Reply(Response::decode(payload).map(|message| message.encode_to_vec()).unwrap_or_default())
    }

    async fn finish(&self, _: KmsCall, _: Pending) -> Vec<u8> {
        Vec::new()
    }
}

#[tonic::async_trait]
impl RecoveryService for Echo {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<tonic::Response<RecoverResponse>, Status> {
        let client_release = request.into_inner().client_recipient_key;
        Ok(tonic::Response::new(RecoverResponse { client_release, ..RecoverResponse::default() }))
    }

    async fn start_recovery(&self, _: Request<ActRequest>) -> Result<tonic::Response<ActResponse>, Status> {
        Err(not_echoed())
    }

    async fn release_recovery(
        &self,
        _: Request<ReleaseRecoveryRequest>,
    ) -> Result<tonic::Response<RecoverResponse>, Status> {
        Err(not_echoed())
    }

    async fn cancel_recovery(&self, _: Request<ActRequest>) -> Result<tonic::Response<ActResponse>, Status> {
        Err(not_echoed())
    }

    async fn release_custodian_shares(
        &self,
        _: Request<RecoverRequest>,
    ) -> Result<tonic::Response<RecoverResponse>, Status> {
        Err(not_echoed())
    }

    async fn complete_recovery(
        &self,
        _: Request<CompleteRecoveryRequest>,
    ) -> Result<tonic::Response<CompleteRecoveryResponse>, Status> {
        Err(not_echoed())
    }

    async fn get_recovery(
        &self,
        _: Request<GetRecoveryRequest>,
    ) -> Result<tonic::Response<GetRecoveryResponse>, Status> {
        Err(not_echoed())
    }

    async fn list_recoveries(
        &self,
        _: Request<ListRecoveriesRequest>,
    ) -> Result<tonic::Response<ListRecoveriesResponse>, Status> {
        Err(not_echoed())
    }

    async fn list_recovery_methods(
        &self,
        _: Request<ListRecoveryMethodsRequest>,
    ) -> Result<tonic::Response<ListRecoveryMethodsResponse>, Status> {
        Err(not_echoed())
    }
}

fn not_echoed() -> Status {
    Status::unimplemented("the echo knows recover only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_carry_the_same_number_of_bytes() {
        let request = RecoverRequest { client_recipient_key: bytes(), ..RecoverRequest::default() };
        let answer = RecoverResponse { client_release: bytes(), ..RecoverResponse::default() };
        let lengths = [message().encoded_len(), request.encoded_len(), answer.encoded_len()];
        assert!(lengths.iter().all(|len| len.abs_diff(PAYLOAD_BYTES) <= 3), "{lengths:?}");
    }
}
