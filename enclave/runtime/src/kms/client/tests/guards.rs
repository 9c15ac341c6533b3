//! The dry runs at boot, against scripted answers.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::stack::{HOST, Stack};
use super::*;

/// Every call of the guard, in order.
const OPERATIONS: [&str; 4] = ["Encrypt", "ReEncrypt", "GenerateDataKey", "Decrypt"];

fn error(code: &str) -> (u16, String) {
    (400, json!({ "__type": code }).to_string())
}

fn denied() -> (u16, String) {
    error("AccessDeniedException")
}

/// What the guard says where KMS denies everything but answers `odd` to one operation with, or without, a context.
async fn guard(operation: &'static str, with_context: bool, odd: (u16, String)) -> Result<(), KmsError> {
    let field = if operation == "ReEncrypt" { "DestinationEncryptionContext" } else { "EncryptionContext" };
    let script = move |target: &str, body: &Value| {
        if target == operation && body[field].is_object() == with_context { odd.clone() } else { denied() }
    };
    Stack::new(HOST, script).client().0.guard().await
}

#[tokio::test]
async fn each_call_is_tried_without_attestation_with_a_context_and_without() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let script = move |target: &str, body: &Value| {
        sink.lock().unwrap().push((target.to_owned(), body.clone()));
        denied()
    };
    Stack::new(HOST, script).client().0.guard().await.unwrap();
    let context = json!({ "tenant": "00".repeat(32), "role": "client", "epoch": "1" });
    let without_blob = json!(["IGNORE_CIPHERTEXT"]);
    let expect = |context: Option<&Value>| {
        let mut calls = [
            json!({ "KeyId": ARN, "DryRun": true, "Plaintext": "AA==" }),
            json!({ "SourceKeyId": ARN, "DestinationKeyId": ARN, "DryRun": true, "DryRunModifiers": without_blob }),
            json!({ "KeyId": ARN, "DryRun": true, "KeySpec": "AES_256" }),
            json!({ "KeyId": ARN, "DryRun": true, "DryRunModifiers": without_blob }),
        ];
        for (call, operation) in calls.iter_mut().zip(OPERATIONS).filter(|_| context.is_some()) {
            let fields: &[&str] = match operation {
                "ReEncrypt" => &["SourceEncryptionContext", "DestinationEncryptionContext"],
                _ => &["EncryptionContext"],
            };
            for field in fields {
                call[*field] = context.cloned().into();
            }
        }
        OPERATIONS.map(str::to_owned).into_iter().zip(calls).collect::<Vec<_>>()
    };
    assert_eq!(*seen.lock().unwrap(), [expect(Some(&context)), expect(None)].concat());
}

#[tokio::test]
async fn whatever_is_not_denied_keeps_the_enclave_from_serving() {
    for operation in OPERATIONS {
        for with_context in [true, false] {
            let unguarded = Err(KmsError::Unguarded(operation));
            assert_eq!(guard(operation, with_context, error("DryRunOperationException")).await, unguarded);
            assert_eq!(guard(operation, with_context, (200, json!({}).to_string())).await, unguarded);
            assert_eq!(guard(operation, with_context, denied()).await, Ok(()));
        }
        let unproven = |why| Err(KmsError::Unproven { operation, why });
        for code in ["ValidationException", "NotFoundException", "DisabledException", "KMSInvalidStateException"] {
            assert_eq!(guard(operation, true, error(code)).await, unproven(code));
        }
        assert_eq!(guard(operation, true, error("InvalidCiphertextException")).await, unproven("another answer"));
        assert_eq!(guard(operation, true, (200, "no JSON".into())).await, unproven("not of the API's form"));
    }
}

#[tokio::test]
async fn what_may_pass_is_said_as_it_is() {
    let throttled = KmsError::Throttled { retry_after: Duration::from_secs(1) };
    for (answer, expect) in [
        (error("ThrottlingException"), throttled),
        (error("ExpiredTokenException"), KmsError::Unavailable("the credentials are refused")),
        (error("SomethingNew"), KmsError::Unavailable("KMS failed")),
        ((500, json!({ "__type": "KMSInternalException" }).to_string()), KmsError::Unavailable("KMS failed")),
    ] {
        assert_eq!(guard("Decrypt", false, answer).await, Err(expect));
    }
}
