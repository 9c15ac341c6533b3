//! The client over the connector, TLS and HTTP, against scripted answers.

use std::sync::atomic::{AtomicU32, Ordering};

use rustls::HandshakeKind;
use serde_json::json;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Role;

use super::stack::{HOST, Stack, Stall, encode, recipient_key};
use super::*;
use crate::kms::connector::{CONNECT_TIME_MAX, RESPONSE_BODY_BYTES_MAX, RESPONSE_HEAD_BYTES_MAX};
use crate::kms::envelope::tests::answer_to;
use crate::testing::FakeNsm;

pub(super) fn context() -> KekContext {
    KekContext { tenant: TenantId([0xab; 32]), role: Role::Client, epoch: 3 }
}

pub(super) fn unwrap_call() -> KmsCall {
    KmsCall::Unwrap { context: context(), wrapped: vec![5; 180] }
}

pub(super) fn description() -> String {
    let key = json!({
        "KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "Arn": ARN, "Origin": "AWS_KMS", "MultiRegion": false,
        "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": "Enabled", "Enabled": true,
    });
    json!({ "KeyMetadata": key }).to_string()
}

/// KMS as it should be: makes a KEK of sevens, wrapped as fives.
fn genuine(nsm: &FakeNsm, target: &str, body: &serde_json::Value) -> (u16, String) {
    assert_eq!(body["KeyId"], ARN);
    if target == "DescribeKey" {
        return (200, description());
    }
    let tenant = "ab".repeat(32);
    assert_eq!(body["EncryptionContext"], json!({ "tenant": tenant, "role": "client", "epoch": "3" }));
    assert_eq!(body["Recipient"]["KeyEncryptionAlgorithm"], "RSAES_OAEP_SHA_256");
    assert!(body["Recipient"]["AttestationDocument"].is_string());
    let envelope = encode(&answer_to(&nsm.public_key.lock().unwrap(), &[7; 32]));
    match target {
        "GenerateDataKey" => {
            assert_eq!(body["KeySpec"], "AES_256");
            (
                200,
                json!({ "KeyId": ARN, "CiphertextBlob": encode(&[5; 180]), "CiphertextForRecipient": envelope })
                    .to_string(),
            )
        }
        "Decrypt" => {
            assert_eq!(body["CiphertextBlob"], encode(&[5; 180]));
            (
                200,
                json!({ "KeyId": ARN, "CiphertextForRecipient": envelope, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" })
                    .to_string(),
            )
        }
        other => panic!("{other}"),
    }
}

/// A stack whose KMS answers genuinely but for what `change` makes of it.
pub(super) fn stack(change: impl Fn(&mut serde_json::Value, &FakeNsm) + Send + Sync + 'static) -> Stack {
    let nsm = Arc::new(FakeNsm::ready());
    let signer = Arc::clone(&nsm);
    let script = move |target: &str, body: &serde_json::Value| {
        let (status, answer) = genuine(&signer, target, body);
        let mut answer = serde_json::from_str(&answer).unwrap();
        change(&mut answer, &signer);
        (status, answer.to_string())
    };
    Stack { nsm, ..Stack::new(HOST, script) }
}

#[tokio::test]
async fn every_call_works_over_one_post_quantum_connection() {
    let (client, relay) = stack(|_, _| ()).client();
    recipient_key(&client).await;
    client.describe().await.unwrap();
    let made = client.call(&KmsCall::Generate(context())).await.unwrap();
    assert_eq!((made.wrapped, made.kek.expose()), (vec![5; 180], &[7; 32][..]));
    for _ in 0..3 {
        let unwrapped = client.call(&unwrap_call()).await.unwrap();
        assert_eq!((unwrapped.wrapped, unwrapped.kek.expose()), (vec![5; 180], &[7; 32][..]));
    }
    assert_eq!(relay.connections.load(Ordering::SeqCst), 1);
    assert_eq!(*relay.groups.lock().unwrap(), ["X25519MLKEM768"]);
}

#[tokio::test]
async fn a_connection_that_kms_closed_is_dialled_again() {
    let mut stack = stack(|_, _| ());
    stack.relay.answers_per_connection = 2;
    let (client, relay) = stack.client();
    recipient_key(&client).await;
    for _ in 0..5 {
        client.call(&unwrap_call()).await.unwrap();
    }
    assert_eq!(relay.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn no_connection_resumes_another_so_every_one_checks_the_certificate() {
    let mut stack = stack(|_, _| ());
    stack.relay.answers_per_connection = 1;
    let (client, relay) = stack.client();
    recipient_key(&client).await;
    for _ in 0..3 {
        client.call(&unwrap_call()).await.unwrap();
    }
    // The server hands out tickets and would take them back.
    assert_eq!(*relay.handshakes.lock().unwrap(), [HandshakeKind::Full; 3]);
}

#[tokio::test]
async fn the_time_in_an_answer_does_not_move_the_enclaves() {
    let mut failing = Stack::new(HOST, |_, _| (400, json!({ "__type": "RequestTimeTooSkewed" }).to_string()));
    failing.relay.date = Some("Tue, 01 Jan 2030 00:00:00 GMT");
    let (client, relay) = failing.client();
    recipient_key(&client).await;
    for _ in 0..2 {
        assert_eq!(client.call(&unwrap_call()).await.unwrap_err(), KmsError::Unavailable("KMS failed"));
    }
    let signed_at = relay.signed_at.lock().unwrap();
    assert!(signed_at.len() >= 2);
    assert!(signed_at.iter().all(|time| time.starts_with("20231114T")), "{signed_at:?}");
}

async fn check(stack: Stack, expect: KmsError) {
    let (client, _) = stack.client();
    recipient_key(&client).await;
    assert_eq!(client.call(&unwrap_call()).await.unwrap_err(), expect);
}

#[tokio::test]
async fn codes_of_kms_are_sorted() {
    let with =
        |status: u16, code: &'static str| Stack::new(HOST, move |_, _| (status, json!({ "__type": code }).to_string()));
    check(with(400, "AccessDeniedException"), KmsError::Denied("AccessDeniedException")).await;
    check(with(400, "InvalidCiphertextException"), KmsError::NotUnwrapped).await;
    check(with(400, "ThrottlingException"), KmsError::Throttled { retry_after: Duration::from_secs(1) }).await;
    check(with(400, "ExpiredTokenException"), KmsError::Unavailable("the credentials are refused")).await;
    check(with(500, "KMSInternalException"), KmsError::Unavailable("KMS failed")).await;
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_read_to_its_end() {
    let at = |length: usize| {
        let denied = json!({ "__type": "AccessDeniedException" }).to_string();
        Stack::new(HOST, move |_, _| (400, format!("{denied}{}", " ".repeat(length - denied.len()))))
    };
    check(at(RESPONSE_BODY_BYTES_MAX), KmsError::Denied("AccessDeniedException")).await;
    check(at(RESPONSE_BODY_BYTES_MAX + 1), KmsError::Unavailable("connection")).await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_not_read_to_its_end() {
    let padded = |padding: usize| {
        let mut stack = stack(|_, _| ());
        stack.relay.padding = padding;
        stack
    };
    let (client, _) = padded(RESPONSE_HEAD_BYTES_MAX - 512).client();
    client.call(&unwrap_call()).await.unwrap();
    check(padded(RESPONSE_HEAD_BYTES_MAX), KmsError::Unavailable("connection")).await;
}

#[tokio::test]
async fn a_failing_kms_is_asked_a_few_times_and_no_more() {
    let client = || {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let failing = Stack::new(HOST, move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            (500, json!({ "__type": "KMSInternalException" }).to_string())
        });
        (failing.client().0, asked)
    };
    let ((other, _), (client, asked)) = (client(), client());
    recipient_key(&other).await;
    recipient_key(&client).await;
    // Everything is in this process, so that time passes only where all wait for it, however busy the machine is.
    tokio::time::pause();
    // What another client fails at, as in the tests beside this one, takes no attempt from this one.
    for _ in 0..40 {
        other.call(&unwrap_call()).await.unwrap_err();
    }
    assert_eq!(client.call(&unwrap_call()).await.unwrap_err(), KmsError::Unavailable("KMS failed"));
    assert_eq!(asked.load(Ordering::SeqCst), ATTEMPTS_MAX);
}

/// How long a host waits for the answer to a frame.
const HOST_WAIT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_relay_or_kms_that_falls_silent_is_given_up_in_time() {
    for (stall, first) in
        [(Stall::Preface, CONNECT_TIME_MAX), (Stall::Handshake, CONNECT_TIME_MAX), (Stall::Answer, ATTEMPT_TIME_MAX)]
    {
        let mut silent = stack(|_, _| ());
        silent.relay.stall = Some(stall);
        let (client, relay) = silent.client();
        // Before time is the test's.
        recipient_key(&client).await;
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        assert_eq!(client.call(&unwrap_call()).await.unwrap_err(), KmsError::Unavailable("time-out"), "{stall:?}");
        let took = start.elapsed();
        tokio::time::resume();
        assert!(took <= CALL_TIME_MAX + Duration::from_millis(10), "{stall:?}: {took:?}");
        assert!(took * 2 + Duration::from_secs(2) < HOST_WAIT, "{stall:?}: two KEKs take {:?}", took * 2);
        let dialled = relay.dialled.lock().unwrap().clone();
        assert_eq!(dialled.len(), ATTEMPTS_MAX as usize, "{stall:?}: the attempts fit the call");
        let pause = dialled[1] - dialled[0];
        assert!((first..first + BACKOFF_MIN * 2).contains(&pause), "{stall:?}: {pause:?}");
    }
}
