use prost::Message;
use strongroom_proto::enclave::v1::{Request, request::Body};
use tokio::task::JoinSet;

use super::super::connector::ANSWER_BYTES_MAX;
use super::*;
use crate::testing::imds::{Fault, Imds, Key, answer, time};

const ROLE: &str = "strongroom-client";
const SECRET: &str = "planted";

fn key(lives: i64) -> Key {
    Key { id: "ASIA1".to_owned(), secret: SECRET.to_owned(), token: format!("{SECRET}-token"), lives }
}

fn imds() -> Imds {
    Imds::start(ROLE, key(3600)).unwrap()
}

/// What IMDS says of the role, with one text replaced by another.
fn said(from: &str, to: &str) -> Fault {
    let json = key(3600).json();
    assert!(json.contains(from), "{from}");
    raw(&answer("200 OK", "", &json.replacen(from, to, 1)))
}

fn raw(bytes: &[u8]) -> Fault {
    Fault::Raw(bytes.to_vec())
}

fn status(status: &str) -> Fault {
    raw(&answer(status, "", SECRET))
}

/// A token's answer with these headers.
fn token(headers: &str, token: &str) -> Fault {
    raw(&answer("200 OK", headers, token))
}

/// Credentials in an answer whose body is as long as this.
fn padded(len: usize) -> Fault {
    let json = key(3600).json();
    raw(&answer("200 OK", "", &format!("{json}{}", " ".repeat(len - json.len()))))
}

fn message(credentials: &Credentials) -> SetCredentials {
    let request = Request::decode(credentials.encode().as_slice()).unwrap();
    let Some(Body::SetCredentials(message)) = request.body else { panic!("another request") };
    message
}

#[tokio::test]
async fn the_roles_credentials_come_by_a_token_alone() {
    let imds = imds();
    let credentials = read(ROLE, imds.address()).await.unwrap();
    let message = message(&credentials);
    assert_eq!((message.access_key_id.as_str(), message.secret_access_key.as_str()), ("ASIA1", SECRET));
    assert_eq!(message.session_token, format!("{SECRET}-token"));
    let left = message.expires_at_ms.abs_diff(crate::clock::now_ms());
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let path = format!("GET /latest/meta-data/iam/security-credentials/{ROLE}");
    assert_eq!(imds.asked(), ["PUT /latest/api/token".to_owned(), path]);
    imds.rotate(Key { id: "ASIA2".to_owned(), ..key(3600) });
    assert_ne!(read(ROLE, imds.address()).await.unwrap().hash, credentials.hash);
}

/// What the error says where nothing came that is HTTP, in time and within its limits.
const SILENT: &str = "does not answer|no answer|gives no token";

/// What is refused: the method that misbehaves, how, and what the error says.
fn refusals() -> Vec<(&'static str, Vec<Fault>, &'static str)> {
    let three = |fault: Fault| vec![fault; 3];
    let ttl = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\n";
    let good = answer("200 OK", "", &key(3600).json());
    vec![
        ("PUT", three(status("403 Forbidden")), "gives no token"),
        ("PUT", three(status("400 Bad Request")), "gives no token"),
        ("PUT", three(status("404 Not Found")), "gives no token"),
        ("PUT", three(status("503 Busy")), SILENT),
        ("PUT", three(token("", "token")), "gives no token"),
        ("PUT", three(token("X-Aws-Ec2-Metadata-Token-Ttl-Seconds: soon\r\n", "token")), "gives no token"),
        ("PUT", three(token(ttl, "to\u{1}ken")), "gives no token"),
        ("PUT", three(token(ttl, "of another")), "takes none of its tokens"),
        ("PUT", three(token(ttl, &"t".repeat(ANSWER_BYTES_MAX + 1))), "gives no token"),
        ("PUT", three(Fault::Silence), SILENT),
        ("GET", three(status("401 Unauthorized")), "takes none of its tokens"),
        ("GET", three(status("403 Forbidden")), "refuses"),
        ("GET", three(status("404 Not Found")), "no role of this name"),
        ("GET", three(status("500 Internal Server Error")), "refuses"),
        ("GET", three(raw(&answer("302 Found", "Location: http://127.0.0.1:1/\r\n", ""))), "refuses"),
        ("GET", three(Fault::Silence), SILENT),
        ("GET", three(raw(b"")), SILENT),
        ("GET", three(raw(b"SSH-2.0-planted\r\n")), SILENT),
        ("GET", three(raw(&good[..good.len() - 1])), SILENT),
        ("GET", three(raw(&answer("200 OK", &format!("A: {}\r\n", "a".repeat(32 * 1024)), "{}"))), SILENT),
        ("GET", three(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe")), "no answer that makes sense"),
        ("GET", vec![padded(ANSWER_BYTES_MAX + 1); 3], SILENT),
        ("GET", vec![raw(&answer("200 OK", "", ""))], "no credentials"),
        ("GET", vec![raw(&answer("200 OK", "", SECRET))], "no credentials"),
        ("GET", vec![raw(&answer("200 OK", "", "{}"))], "no credentials"),
        ("GET", vec![raw(&answer("200 OK", "", "[1, 2]"))], "no credentials"),
        ("GET", vec![said("\"planted\"", "7")], "no credentials"),
        ("GET", vec![said("\"Success\"", "null")], "no credentials"),
        ("GET", vec![said("Success", "AssumeRoleUnauthorizedAccess")], "must trust EC2"),
        ("GET", vec![raw(&answer("200 OK", "", "{\"Code\":\"Failed\",\"Message\":\"planted\"}"))], "must trust EC2"),
        ("GET", vec![said("AccessKeyId", "Another")], "lacks a part"),
        ("GET", vec![said("SecretAccessKey", "Another")], "lacks a part"),
        ("GET", vec![said("\"Token\"", "\"Another\"")], "lacks a part"),
        ("GET", vec![said("ASIA1", "")], "lacks a part"),
        ("GET", vec![said("Expiration", "Another")], "time of expiry"),
        ("GET", vec![said("Z\"\n}", "\"\n}")], "time of expiry"),
        ("GET", vec![raw(&answer("200 OK", "", &expiring("1970-01-01T00:00:00Z")))], "time of expiry"),
        ("GET", vec![raw(&answer("200 OK", "", &expiring("1969-12-31T23:59:59Z")))], "time of expiry"),
        ("GET", vec![raw(&answer("200 OK", "", &expiring("99999-01-01T00:00:00Z")))], "time of expiry"),
        ("GET", vec![raw(&answer("200 OK", "", &expiring("tomorrow")))], "time of expiry"),
    ]
}

fn expiring(at: &str) -> String {
    let json = key(3600).json();
    let (before, _) = json.split_once("\"Expiration\"").unwrap();
    format!("{before}\"Expiration\" : \"{at}\"}}")
}

#[tokio::test]
async fn what_is_not_the_roles_credentials_is_refused_and_never_quoted() {
    let mut cases = JoinSet::new();
    for (number, (method, faults, expect)) in refusals().into_iter().enumerate() {
        cases.spawn(async move {
            let imds = imds();
            imds.fail(method, faults);
            let error = read(ROLE, imds.address()).await.err().unwrap_or_else(|| panic!("case {number} was taken"));
            let text = error.to_string();
            assert!(expect.split('|').any(|expect| text.contains(expect)), "case {number}: {text}");
            assert!(text.contains(ROLE) && text.contains(&imds.address().to_string()), "case {number}: {text}");
            assert!(!format!("{text} {error:?}").contains(SECRET), "case {number}: {error:?}");
            let by_token = imds.asked().iter().all(|asked| asked.starts_with("PUT ")) || method == "GET";
            assert!(by_token || expect.contains("tokens"), "case {number}: asked without a token: {:?}", imds.asked());
        });
    }
    let mut wrong = 0;
    while let Some(case) = cases.join_next().await {
        wrong += usize::from(case.is_err());
    }
    assert_eq!(wrong, 0, "cases that end otherwise, above");
}

#[tokio::test]
async fn another_role_and_nobody_are_refused() {
    let imds = imds();
    for other in ["strongroom", "strongroom-client2", "Strongroom-client"] {
        let error = read(other, imds.address()).await.err().unwrap().to_string();
        assert!(error.contains("no role of this name") && error.contains(other), "{error}");
    }
    let address = imds.address();
    drop(imds);
    assert!(read(ROLE, address).await.err().unwrap().to_string().contains("gives no token"));
}

#[tokio::test]
async fn a_forgotten_token_and_a_passing_fault_are_got_over() {
    for fault in [status("401 Unauthorized"), status("503 Busy")] {
        let imds = imds();
        imds.fail("GET", [fault]);
        read(ROLE, imds.address()).await.unwrap();
        let asked = imds.asked();
        let count = |method: &str| asked.iter().filter(|asked| asked.starts_with(method)).count();
        assert_eq!((count("PUT"), count("GET")), (2, 2), "a token for each attempt: {asked:?}");
    }
    let longest = imds();
    longest.fail("GET", [padded(ANSWER_BYTES_MAX)]);
    read(ROLE, longest.address()).await.unwrap();
}

/// The enclave has a clock that can be trusted, and refuses them. A new end made up here would keep it from that.
#[tokio::test]
async fn expired_credentials_get_no_new_end() {
    let imds = Imds::start(ROLE, key(-60)).unwrap();
    let expires = message(&read(ROLE, imds.address()).await.unwrap()).expires_at_ms;
    assert!(expires < crate::clock::now_ms() - 50_000, "{expires}");
}

#[test]
fn the_stand_in_writes_times_as_ec2_does() {
    for (seconds, expect) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_709_251_199, "2024-02-29T23:59:59Z"),
        (1_798_761_599, "2026-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(time(seconds), expect);
    }
}
