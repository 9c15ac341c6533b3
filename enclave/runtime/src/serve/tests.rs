use std::path::Path;

use strongroom_proto::enclave::v1::{Boot, CreateKek, GetHealth, GetIdentity, KekRef, Request, request};
use tokio::io::DuplexStream;
use tokio::task::LocalSet;

use super::*;
use crate::budget::IN_FLIGHT_BYTES_MAX;
use crate::clock::Clock;
use crate::entropy::PoolFile;
use crate::log::Log;
use crate::manifest::tests::good;
use crate::testing::{FakeNsm, NoRelay, temporary_file};

/// A served connection: the host's end, and how it ended.
struct Served {
    host: DuplexStream,
    decoder: Decoder,
    end: tokio::task::JoinHandle<Result<(), ConnectionError>>,
}

impl Served {
    fn start(budget: Budget) -> Self {
        Self::on(budget, temporary_file("pool").path())
    }

    fn on(budget: Budget, pool: &Path) -> Self {
        let nsm = Arc::new(FakeNsm::ready());
        let clock = Clock::default();
        clock.anchor(nsm.as_ref()).unwrap();
        let enclave = Enclave::new(nsm, Arc::new(NoRelay), clock, Log::to(|_| {})).unwrap();
        enclave.gather_entropy(&PoolFile::new(pool));
        let (host, ours) = tokio::io::duplex(1 << 20);
        let end = spawn_local(connection(Arc::new(enclave), budget, ours));
        Self { host, decoder: Decoder::new(), end }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.host.write_all(bytes).await.unwrap();
    }

    /// Sends all in one write, and returns the answers in the order in which they come.
    async fn ask(&mut self, asks: &[(u64, request::Body)]) -> Vec<(u64, Body)> {
        let mut bytes = Vec::new();
        for (id, body) in asks {
            frame::encode(*id, &Request { body: Some(body.clone()) }.encode_to_vec(), &mut bytes).unwrap();
        }
        self.send(&bytes).await;
        let mut answers = Vec::new();
        while answers.len() < asks.len() {
            answers.push(self.answer().await);
        }
        answers
    }

    async fn answer(&mut self) -> (u64, Body) {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return (frame.id, Response::decode(frame.payload.as_slice()).unwrap().body.unwrap());
            }
            let mut buffer = [0; 4096];
            let read = self.host.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "closed without an answer");
            self.decoder.push(&buffer[..read]);
        }
    }

    async fn boot(&mut self) {
        let boot = Boot { manifest: good().encode_to_vec() };
        let answers = self.ask(&[(1, request::Body::Boot(boot))]).await;
        assert!(matches!(answers[..], [(1, Body::Booted(_))]), "{answers:?}");
    }
}

fn error(body: &Body) -> (Reason, &str) {
    match body {
        Body::Error(error) => (error.reason(), &error.detail),
        other => panic!("{other:?}"),
    }
}

fn health() -> request::Body {
    request::Body::GetHealth(GetHealth {})
}

fn create_kek() -> request::Body {
    request::Body::CreateKek(CreateKek { tenant: vec![1; 32], epoch: 1 })
}

fn get_identity() -> request::Body {
    let kek = Some(KekRef { epoch: 1, sha256: vec![2; 32], wrapped: Vec::new() });
    request::Body::GetIdentity(GetIdentity { tenant: vec![1; 32], kek, nonce: Vec::new() })
}

#[tokio::test]
async fn control_is_answered_before_boot_and_work_is_told_what_is_missing() {
    LocalSet::new()
        .run_until(async {
            let mut served = Served::start(Budget::default());
            let answers = served.ask(&[(5, create_kek()), (6, health()), (7, get_identity())]).await;
            assert_eq!(error(&answers[0].1).0, Reason::EnclaveUnavailable);
            assert_eq!(error(&answers[0].1).1, "missing: manifest, credentials, kms");
            assert!(matches!(answers[1], (6, Body::Health(_))));
            assert_eq!(answers[2].0, 7);
        })
        .await;
}

#[tokio::test]
async fn work_reaches_the_core_after_boot_and_kms_answers_come_late() {
    LocalSet::new()
        .run_until(async {
            let mut served = Served::start(Budget::default());
            served.boot().await;
            let mut answers = served.ask(&[(8, create_kek()), (9, get_identity()), (10, health())]).await;
            answers.sort_by_key(|(id, _)| *id);
            // No key was checked, so the call is refused by the KMS service and mapped by the core.
            assert_eq!(error(&answers[0].1).0, Reason::KmsUnavailable);
            assert!(matches!(&answers[1].1, Body::Need(need) if need.kek), "{answers:?}");
            assert!(matches!(answers[2], (10, Body::Health(_))));
        })
        .await;
}

#[tokio::test]
async fn what_does_not_fit_the_budget_is_refused_and_the_connection_goes_on() {
    LocalSet::new()
        .run_until(async {
            let budget = Budget::default();
            let mut served = Served::start(budget.clone());
            let all = budget.take(IN_FLIGHT_BYTES_MAX).unwrap();
            let answers = served.ask(&[(1, health()), (2, create_kek())]).await;
            assert!(answers.iter().all(|(_, body)| error(body).0 == Reason::Overloaded));
            drop(all);
            assert!(matches!(served.ask(&[(3, health())]).await[..], [(3, Body::Health(_))]));
            drop(served.host);
            served.end.await.unwrap().unwrap();
            assert!(budget.take(IN_FLIGHT_BYTES_MAX).is_some(), "every permit came back");
        })
        .await;
}

#[tokio::test]
async fn malformed_requests_are_answered_and_do_not_end_the_connection() {
    LocalSet::new()
        .run_until(async {
            let mut served = Served::start(Budget::default());
            for payload in [&[][..], &[0xff], &[0x0a, 0x05, 1], &[0xfa, 0x01, 0]] {
                let mut bytes = Vec::new();
                frame::encode(4, payload, &mut bytes).unwrap();
                served.send(&bytes).await;
                let (id, body) = served.answer().await;
                assert_eq!((id, error(&body).0), (4, Reason::BadRequest));
            }
            assert_eq!(served.ask(&[(5, health())]).await.len(), 1);
        })
        .await;
}

#[tokio::test]
async fn a_frame_over_the_limit_or_cut_ends_the_connection_with_its_reason() {
    async fn check(bytes: &[u8], expect: &str) {
        let mut served = Served::start(Budget::default());
        served.send(bytes).await;
        let Served { mut host, end, .. } = served;
        host.shutdown().await.unwrap();
        assert_eq!(end.await.unwrap().unwrap_err().to_string(), expect);
        assert_eq!(host.read(&mut [0; 16]).await.unwrap(), 0);
    }
    LocalSet::new()
        .run_until(async {
            let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
            let reason = format!("a frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}");
            check(&length.to_be_bytes(), &reason).await;
            check(
                b"GET / HTTP/1.1\r\n\r\n",
                &format!("a frame of 1195725856 bytes is over the limit of {FRAME_BYTES_MAX}"),
            )
            .await;
            check(&[0, 0, 0, 1, 0], "closed within a frame").await;
            check(&u32::try_from(FRAME_BYTES_MAX).unwrap().to_be_bytes(), "closed within a frame").await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_reads_no_answers_is_let_go() {
    LocalSet::new()
        .run_until(async {
            let budget = Budget::default();
            let mut served = Served::start(budget.clone());
            let mut bytes = Vec::new();
            let request = Request { body: Some(create_kek()) }.encode_to_vec();
            while bytes.len() < (1 << 20) {
                frame::encode(1, &request, &mut bytes).unwrap();
            }
            // The answers are longer than the requests and do not fit the pipe that nobody reads.
            let sent = served.host.write_all(&bytes).await;
            tokio::time::sleep(WRITE_TIME_MAX / 2).await;
            assert!(budget.take(IN_FLIGHT_BYTES_MAX).is_none(), "what is answered and not yet read is still in flight");
            let end = served.end.await.unwrap();
            assert!(sent.is_ok());
            assert_eq!(end.unwrap_err().to_string(), "the host does not read its answers");
            assert!(budget.take(IN_FLIGHT_BYTES_MAX).is_some(), "every permit came back");
        })
        .await;
}

/// Answers with as many bytes as the payload says, little-endian.
struct Lengths;

impl Answering for Lengths {
    fn begin(&self, payload: &[u8]) -> Step {
        Step::Reply(vec![0; u32::from_le_bytes(payload.try_into().unwrap()) as usize])
    }

    async fn finish(&self, _: KmsCall, _: Pending) -> Vec<u8> {
        unreachable!("nothing here asks the KMS service")
    }
}

#[tokio::test]
async fn an_answer_that_no_frame_holds_is_a_refusal_and_the_others_go_on() {
    LocalSet::new()
        .run_until(async {
            let (host, ours) = tokio::io::duplex(1 << 20);
            let budget = Budget::default();
            let end = spawn_local(connection(Arc::new(Lengths), budget.clone(), ours));
            let mut served = Served { host, decoder: Decoder::new(), end };
            let longest = u32::try_from(FRAME_BYTES_MAX).unwrap();
            let mut bytes = Vec::new();
            for (id, length) in [(1, 0), (2, longest + 1), (3, 0), (4, u32::from(u16::MAX) * 64)] {
                frame::encode(id, &u32::to_le_bytes(length), &mut bytes).unwrap();
            }
            served.send(&bytes).await;
            let mut answers = Vec::new();
            while answers.len() < 4 {
                let mut buffer = [0; 4096];
                let read = served.host.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "closed without an answer");
                served.decoder.push(&buffer[..read]);
                while let Some(frame) = served.decoder.next_frame().unwrap() {
                    answers.push(frame);
                }
            }
            for (frame, (id, is_whole)) in answers.iter().zip([(1, true), (2, false), (3, true), (4, false)]) {
                assert_eq!((frame.id, frame.payload.is_empty()), (id, is_whole));
                if !is_whole {
                    let body = Response::decode(frame.payload.as_slice()).unwrap().body.unwrap();
                    assert_eq!(error(&body).0, Reason::InternalError);
                    assert!(error(&body).1.contains("over the limit of 1575424"), "{body:?}");
                }
            }
            drop(served.host);
            served.end.await.unwrap().unwrap();
            assert!(budget.take(IN_FLIGHT_BYTES_MAX).is_some(), "every permit came back");
        })
        .await;
}
