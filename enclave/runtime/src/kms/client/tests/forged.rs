//! Answers that are not KMS's to this call, made by a relay or by whoever answers for KMS: each is refused by a stated rule, in
//! time, and no KEK comes out.

use serde_json::{Value, json};

use super::stack::{HOST, Line, Raw, Stack, encode, recipient_key};
use super::wire::{description, stack, unwrap_call};
use super::*;
use crate::kms::envelope::tests::{answer_to, answer_to_both};
use crate::testing::FakeNsm;

/// Makes the call and compares what comes of it.
async fn check(name: &str, stack: Stack, expect: &KmsError) {
    let (client, _) = stack.client();
    // Before time is the test's.
    recipient_key(&client).await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let answer = client.call(&unwrap_call()).await.map(|_| "a KEK");
    let took = start.elapsed();
    tokio::time::resume();
    assert_eq!(answer.as_ref(), Err(expect), "{name}");
    assert!(took <= CALL_TIME_MAX + Duration::from_millis(10), "{name}: {took:?}");
}

fn honest() -> Stack {
    stack(|_, _| ())
}

fn with(change: impl FnOnce(&mut Stack)) -> Stack {
    let mut stack = honest();
    change(&mut stack);
    stack
}

fn on(line: Line) -> Stack {
    with(|stack| stack.relay.line = line)
}

fn never_asked(name: &str) -> Stack {
    Stack::new(name, |_, _| unreachable!())
}

/// A genuine TLS 1.2 hello of a server: no extension says that it means 1.3.
fn hello_of_tls_1_2() -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0], &[0xc0, 0x2f], &[0]].concat();
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 3, 0, length + 4, 2, 0, 0, length][..], &body].concat()
}

#[tokio::test]
async fn a_relay_that_changes_bytes_or_answers_itself_is_found_by_tls() {
    let connection = KmsError::Unavailable("connection");
    let mut cases = Vec::new();
    for status in [1, 2, 77] {
        cases.push((format!("the relay says {status} and goes on"), with(|stack| stack.relay.status = status)));
    }
    // The record's header, the random, the groups and keys offered (ML-KEM's is 1184 bytes), and the request.
    for place in [0, 1, 3, 5, 9, 20, 50, 90, 150, 300, 1000, 1400, 1800, 2000] {
        cases.push((format!("byte {place} to KMS flipped"), on(Line::FlipToKms(place))));
    }
    // The hello with its key, the certificate, its signature.
    for place in [0, 1, 3, 5, 9, 30, 90, 500, 1200, 1300, 1500, 1700] {
        cases.push((format!("byte {place} to the enclave flipped"), on(Line::FlipToEnclave(place))));
    }
    cases.push(("a record of the answer flipped".into(), on(Line::FlipAnswer)));
    cases.push(("the answer cut".into(), on(Line::CutAnswer)));
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    cases.push(("HTTP without TLS".into(), on(Line::Instead(plain.into()))));
    cases.push(("TLS 1.2".into(), on(Line::Instead(hello_of_tls_1_2()))));

    let recorded = honest();
    let root = recorded.root.clone();
    let (client, relay) = recorded.client();
    recipient_key(&client).await;
    client.call(&unwrap_call()).await.unwrap();
    let bytes = relay.to_enclave.lock().unwrap().clone();
    let again = with(|stack| {
        stack.root = root;
        stack.relay.line = Line::Instead(bytes);
    });
    cases.push(("a genuine connection of KMS, replayed".into(), again));

    // Behind these stands a server that would answer with a data key of its own choosing, sealed well to the enclave's key.
    cases.push(("the right name under another root".into(), with(|stack| stack.root = honest().root)));
    cases.push(("another name".into(), never_asked("kms.eu-west-1.amazonaws.com")));
    cases.push(("a name below the right one".into(), never_asked("x.kms.eu-central-1.amazonaws.com")));
    cases.push(("before the enclave has a time".into(), Stack { time_ms: None, ..never_asked(HOST) }));
    // The certificates of these tests are valid from 1975 to 4096.
    cases.push(("expired".into(), Stack { time_ms: Some(70_000_000_000_000), ..never_asked(HOST) }));
    cases.push(("not valid yet".into(), Stack { time_ms: Some(1_000_000), ..never_asked(HOST) }));
    for (name, stack) in cases {
        check(&name, stack, &connection).await;
    }
}

/// The envelope that KMS would make for the call in hand.
fn envelope(nsm: &FakeNsm, kek: &[u8]) -> Vec<u8> {
    answer_to(&nsm.public_key.lock().unwrap(), kek)
}

#[tokio::test]
async fn an_answer_that_is_not_to_this_call_is_refused() {
    let foreign = RecipientKey::generate().unwrap();
    let (of_other, second) = (encode(&answer_to(foreign.spki(), &[7; 32])), foreign.spki().to_vec());
    let cut = |answer: &mut Value, nsm: &FakeNsm| {
        let whole = envelope(nsm, &[7; 32]);
        answer["CiphertextForRecipient"] = json!(encode(&whole[..whole.len() - 30]));
    };
    let longer = |answer: &mut Value, nsm: &FakeNsm| {
        answer["CiphertextForRecipient"] = json!(encode(&[envelope(nsm, &[7; 32]), vec![0]].concat()));
    };
    let short = |answer: &mut Value, nsm: &FakeNsm| {
        answer["CiphertextForRecipient"] = json!(encode(&envelope(nsm, &[7; 31])));
    };
    let two = move |answer: &mut Value, nsm: &FakeNsm| {
        let first = nsm.public_key.lock().unwrap();
        answer["CiphertextForRecipient"] = json!(encode(&answer_to_both(&first, &second, &[7; 32])));
    };
    let cases = [
        (
            "of another key",
            stack(|a, _| a["KeyId"] = json!(ARN.replace("1234abcd", "aaaaaaaa"))),
            "KeyId is another key's",
        ),
        ("of an alias", stack(|a, _| a["KeyId"] = json!("alias/mine")), "KeyId is another key's"),
        ("of no key", stack(|a, _| a["KeyId"] = json!(null)), "KeyId is another key's"),
        ("to another call", stack(|a, _| *a = description().parse().unwrap()), "KeyId is another key's"),
        ("an error that says 200", stack(|a, _| *a = json!({ "__type": "InternalFailure" })), "KeyId is another key's"),
        ("in plain", stack(|a, _| a["Plaintext"] = json!(encode(&[7; 32]))), "Plaintext is present"),
        (
            "in plain alone",
            stack(|a, _| {
                a["Plaintext"] = json!(encode(&[7; 32]));
                a["CiphertextForRecipient"] = json!(null);
            }),
            "Plaintext is present",
        ),
        ("to nobody", stack(|a, _| a["CiphertextForRecipient"] = json!(null)), "CiphertextForRecipient is absent"),
        // A key of an earlier boot is another key.
        (
            "to another recipient",
            stack(move |a, _| a["CiphertextForRecipient"] = json!(of_other)),
            "CMS: another recipient",
        ),
        ("to a second recipient", stack(two), "CMS: more than one recipient"),
        ("cut CMS", stack(cut), "BER: truncated"),
        ("longer CMS", stack(longer), "BER: trailing bytes"),
        ("no CMS", stack(|a, _| a["CiphertextForRecipient"] = json!(encode(b"0"))), "BER: truncated"),
        ("a short KEK", stack(short), "length of the KEK"),
        ("no object", stack(|a, _| *a = json!("no object")), "not of the API's form"),
        ("no base64", stack(|a, _| a["CiphertextForRecipient"] = json!("!")), "not of the API's form"),
    ];
    for (name, stack, rule) in cases {
        check(name, stack, &KmsError::BadReply(rule)).await;
    }
}

#[tokio::test]
async fn http_that_does_not_end_or_leads_elsewhere_is_given_up_in_time() {
    let raw = |first: &str, repeat: &str, pause: Duration| {
        let (first, repeat) = (first.replace('\n', "\r\n"), repeat.replace('\n', "\r\n"));
        with(|stack| stack.relay.raw = Some(Raw { first, repeat, pause }))
    };
    let (at_once, second) = (Duration::ZERO, Duration::from_secs(1));
    let blank = " ".repeat(0x1000);
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n";
    let of_length = |length: u64| format!("HTTP/1.1 200 OK\ncontent-length: {length}\n\n");
    let connection = KmsError::Unavailable("connection");
    let time_out = KmsError::Unavailable("time-out");
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\nlocation: https://kms.example/\ncontent-length: 0\n\n";
    let cases = [
        ("endless headers", raw("HTTP/1.1 200 OK\n", &"x: y\n".repeat(16), at_once), &connection),
        ("one endless header", raw("HTTP/1.1 200 OK\nx: ", &"x".repeat(128), at_once), &connection),
        ("headers one a second", raw("HTTP/1.1 200 OK\n", "x: y\n", second), &time_out),
        ("endless interim answers", raw("", "HTTP/1.1 100 Continue\n\n", second), &time_out),
        ("an endless body", raw(chunked, &format!("1000\n{blank}\n"), at_once), &connection),
        ("a body of one byte a second", raw(chunked, "1\n \n", second), &time_out),
        ("a huge length, kept", raw(&of_length(1 << 40), &blank, at_once), &connection),
        ("a length that is not kept", raw(&of_length(500), "", at_once), &connection),
        ("an end within a chunk", raw(&format!("{chunked}ff\n{{"), "", at_once), &connection),
        ("no HTTP", raw("hello\n\n", "", at_once), &connection),
        ("an end without a word", raw("", "", at_once), &connection),
        ("a redirection", raw(elsewhere, "", at_once), &KmsError::Unavailable("KMS failed")),
    ];
    for (name, stack, expect) in cases {
        check(name, stack, expect).await;
    }
}
