use super::*;
use crate::devkms::users;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::Request;
use std::time::{Duration, UNIX_EPOCH};

/// AWS's published test suite signs at this time, for this secret.
const SUITE_TIME: &str = "20150830T123600Z";
const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const REGION: &str = "eu-central-1";
/// 2026-11-22T12:00:00Z.
const NOW_MS: u64 = 1_795_348_800_000;

/// What a test makes of a signed request.
type Change = Box<dyn Fn(&mut Request<Vec<u8>>)>;

/// Signs with AWS's own signer, an implementation that shares nothing with this one.
pub(in crate::devkms) fn sign_request(request: &mut Request<Vec<u8>>, key: &AccessKey, time_ms: u64) {
    let token = key.session_token.as_ref().map(|token| token.expose().to_owned());
    let secret = key.secret_access_key.expose();
    let identity = Credentials::new(&key.access_key_id, secret, token, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("kms")
        .time(UNIX_EPOCH + Duration::from_millis(time_ms))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = format!("https://kms.{REGION}.amazonaws.com{}", request.uri());
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let signable =
        SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::Bytes(request.body())).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(request);
}

struct Fixture {
    place: Place,
    users: Users,
    keys: Vec<AccessKey>,
    _state: tempfile::TempDir,
}

impl Fixture {
    /// Users with a lasting key, with a temporary one, and with one that has ended.
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        users::make(state.path(), "lasting").unwrap();
        for (name, expires_at_ms) in [("temporary", NOW_MS + 1), ("ended", NOW_MS)] {
            let content = format!(
                "access_key_id = \"{name}\"\nsecret_access_key = \"s\"\nsession_token = \"token\"\nexpires_at_ms = {expires_at_ms}\n"
            );
            std::fs::write(users::file_of(state.path(), name), content).unwrap();
        }
        let keys = ["lasting", "temporary", "ended"].map(|name| AccessKey::read(state.path(), name).unwrap());
        let place = Place::new(REGION, "111122223333").unwrap();
        Self { place, users: Users::open(state.path()).unwrap(), keys: keys.into(), _state: state }
    }

    fn signed(&self, user: usize, time_ms: u64) -> Request<Vec<u8>> {
        let mut request = unsigned();
        sign_request(&mut request, &self.keys[user], time_ms);
        request
    }

    fn verify(&self, request: &Request<Vec<u8>>) -> Result<String, KmsError> {
        let header = request.headers()["authorization"].to_str().unwrap();
        let authorization = Authorization::parse(&self.place, Some(header)).unwrap();
        let signed = SignedRequest {
            method: request.method().as_str(),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            body: request.body(),
        };
        verify(&self.place, &self.users, &authorization, &signed, NOW_MS).map(|user| user.arn().to_owned())
    }

    fn refused(&self, request: &Request<Vec<u8>>, kind: Kind, words: &str) {
        let error = self.verify(request).unwrap_err();
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(error.message.contains(words), "wanted {words:?}, got {:?}", error.message);
    }
}

fn unsigned() -> Request<Vec<u8>> {
    Request::post("/?b=2&a=%7e%2F&a=1")
        .header("host", format!("kms.{REGION}.amazonaws.com"))
        .header("x-amz-target", "TrentService.DescribeKey")
        .header("content-type", "application/x-amz-json-1.1")
        .header("my-list", " a   b ")
        .header("my-list", "c")
        .body(b"{\"KeyId\":\"k\"}".to_vec())
        .unwrap()
}

#[test]
fn what_awss_own_signer_signed_is_verified() {
    let f = Fixture::new();
    for (user, name) in [(0, "lasting"), (1, "temporary")] {
        let arn = f.verify(&f.signed(user, NOW_MS)).unwrap();
        assert_eq!(arn, format!("arn:aws:iam::111122223333:user/{name}"));
    }
    // A proxy may add what AWS does not own, and nothing is lost by spaces.
    let mut request = f.signed(0, NOW_MS);
    request.headers_mut().insert("via", "proxy".parse().unwrap());
    request.headers_mut().insert("content-type", "  application/x-amz-json-1.1 ".parse().unwrap());
    f.verify(&request).unwrap();
}

#[test]
fn every_signed_part_counts() {
    let f = Fixture::new();
    let words = "signature we calculated does not match";
    let mut changes: Vec<(&str, Change)> = vec![
        ("body", Box::new(|request| request.body_mut()[0] ^= 1)),
        ("no body", Box::new(|request| request.body_mut().clear())),
        ("method", Box::new(|request| *request.method_mut() = http::Method::PUT)),
        ("query", Box::new(|request| *request.uri_mut() = "/?a=1".parse().unwrap())),
        ("no query", Box::new(|request| *request.uri_mut() = "/".parse().unwrap())),
        ("list", Box::new(|request| assert!(request.headers_mut().append("my-list", "d".parse().unwrap())))),
    ];
    for name in ["host", "x-amz-target", "content-type", "my-list"] {
        changes.push((name, Box::new(move |request| drop(request.headers_mut().insert(name, "x".parse().unwrap())))));
        changes.push((name, Box::new(move |request| drop(request.headers_mut().remove(name)))));
    }
    let sha = "x-amz-content-sha256";
    for (what, change) in changes {
        let mut request = f.signed(0, NOW_MS);
        change(&mut request);
        let error = f.verify(&request).unwrap_err();
        assert_eq!((error.kind, error.message.contains(words)), (Kind::InvalidSignature, true), "{what}");
    }
    for (hash, good) in [(hex::encode(digest(&SHA256, unsigned().body())), true), (EMPTY_HASH.to_owned(), false)] {
        let mut request = unsigned();
        request.headers_mut().insert(sha, hash.parse().unwrap());
        sign_request(&mut request, &f.keys[0], NOW_MS);
        assert_eq!(f.verify(&request).is_ok(), good, "{hash}");
    }
    for position in [0, 63] {
        let mut request = f.signed(0, NOW_MS);
        let mut header = request.headers()["authorization"].to_str().unwrap().to_owned().into_bytes();
        let at = header.len() - 64 + position;
        header[at] = if header[at] == b'0' { b'1' } else { b'0' };
        request.headers_mut().insert("authorization", http::HeaderValue::from_bytes(&header).unwrap());
        f.refused(&request, Kind::InvalidSignature, words);
        let shorter = String::from_utf8(header[..header.len() - 2].to_vec()).unwrap();
        request.headers_mut().insert("authorization", shorter.parse().unwrap());
        f.refused(&request, Kind::InvalidSignature, words);
    }
}

#[test]
fn wrong_and_unknown_keys_and_tokens() {
    let f = Fixture::new();
    let with = |id: &str, secret: &str, token: Option<&str>| {
        let text = format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n");
        let token = token.map(|token| format!("session_token = \"{token}\"\n")).unwrap_or_default();
        let mut request = unsigned();
        sign_request(&mut request, &toml::from_str(&(text + &token)).unwrap(), NOW_MS);
        request
    };
    let (id, secret) = (f.keys[0].access_key_id.as_str(), f.keys[0].secret_access_key.expose());
    f.verify(&with(id, secret, None)).unwrap();
    f.refused(&with(id, &secret[1..], None), Kind::InvalidSignature, "does not match");
    f.refused(&with(id, "s", None), Kind::InvalidSignature, "does not match");
    f.refused(&with("AKIANOBODY", secret, None), Kind::UnrecognizedClient, "security token included");
    f.refused(&with(id, secret, Some("token")), Kind::UnrecognizedClient, "is invalid");
    f.verify(&with("temporary", "s", Some("token"))).unwrap();
    f.refused(&with("temporary", "s", None), Kind::UnrecognizedClient, "is invalid");
    f.refused(&with("temporary", "s", Some("tokem")), Kind::UnrecognizedClient, "is invalid");
    f.refused(&with("temporary", "t", Some("token")), Kind::InvalidSignature, "does not match");
    f.refused(&with("ended", "s", Some("token")), Kind::ExpiredToken, "is expired");
    // A token that is there must be signed, and so must a second one.
    let mut request = f.signed(0, NOW_MS);
    request.headers_mut().insert("x-amz-security-token", "token".parse().unwrap());
    f.refused(&request, Kind::IncompleteSignature, "'x-amz-security-token' must be a 'SignedHeader'");
}

#[test]
fn what_decides_must_be_signed() {
    let f = Fixture::new();
    for (drop, words) in
        [("host;", "'Host' must be"), (";x-amz-target", "'x-amz-target' must"), (";x-amz-date", "'x-amz-date'")]
    {
        let mut request = f.signed(0, NOW_MS);
        let header = request.headers()["authorization"].to_str().unwrap().replace(drop, "");
        request.headers_mut().insert("authorization", header.parse().unwrap());
        f.refused(&request, Kind::IncompleteSignature, words);
    }
    let mut request = f.signed(0, NOW_MS);
    request.headers_mut().remove("x-amz-date");
    f.refused(&request, Kind::IncompleteSignature, "'X-Amz-Date'");
    let mut request = f.signed(0, NOW_MS);
    request.headers_mut().append("x-amz-date", "20261122T120000Z".parse().unwrap());
    f.refused(&request, Kind::IncompleteSignature, "'X-Amz-Date'");
}

#[test]
fn the_time_has_an_edge_on_either_side() {
    let f = Fixture::new();
    let skew_ms = u64::try_from(SKEW_MINUTES_MAX).unwrap() * 60_000;
    for time in [NOW_MS - skew_ms, NOW_MS + skew_ms] {
        f.verify(&f.signed(0, time)).unwrap();
    }
    let expired =
        "Signature expired: 20261122T115459Z is now earlier than 20261122T115500Z (20261122T120000Z - 5 min.)";
    f.refused(&f.signed(0, NOW_MS - skew_ms - 1000), Kind::InvalidSignature, expired);
    let early =
        "Signature not yet current: 20261122T120501Z is still later than 20261122T120500Z (20261122T120000Z + 5 min.)";
    f.refused(&f.signed(0, NOW_MS + skew_ms + 1000), Kind::InvalidSignature, early);
    for (time, kind, words) in [
        ("20261121T120000Z", Kind::InvalidSignature, "Date in Credential scope does not match"),
        ("2026-11-22T12:00:00Z", Kind::IncompleteSignature, "ISO-8601"),
        ("20261322T120000Z", Kind::IncompleteSignature, "ISO-8601"),
        ("20261122T1200000", Kind::IncompleteSignature, "ISO-8601"),
        ("20261122 120000Z", Kind::IncompleteSignature, "ISO-8601"),
        ("", Kind::IncompleteSignature, "ISO-8601"),
        ("20261122T120001Z", Kind::InvalidSignature, "does not match"),
    ] {
        let mut request = f.signed(0, NOW_MS);
        request.headers_mut().insert("x-amz-date", time.parse().unwrap());
        f.refused(&request, kind, words);
    }
}

/// Cases of AWS's published test suite: headers, query, and the canonical request's parts.
#[test]
fn canonical_requests_are_those_of_the_published_suite() {
    let date = ("x-amz-date", SUITE_TIME);
    for (query, headers, canonical_query, canonical_headers, signed) in [
        ("", vec![], "", "host:example.amazonaws.com\nx-amz-date:20150830T123600Z\n", "host;x-amz-date"),
        (
            "",
            vec![("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
            "",
            "host:example.amazonaws.com\nmy-header1:value2,value2,value1\nx-amz-date:20150830T123600Z\n",
            "host;my-header1;x-amz-date",
        ),
        (
            "",
            vec![("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "host:example.amazonaws.com\nmy-header1:value1\nmy-header2:\"a b c\"\nx-amz-date:20150830T123600Z\n",
            "host;my-header1;my-header2;x-amz-date",
        ),
        (
            "Param2=value2&Param1=value1",
            vec![],
            "Param1=value1&Param2=value2",
            "host:example.amazonaws.com\nx-amz-date:20150830T123600Z\n",
            "host;x-amz-date",
        ),
        (
            "Param1=value2&Param1=Value1",
            vec![],
            "Param1=Value1&Param1=value2",
            "host:example.amazonaws.com\nx-amz-date:20150830T123600Z\n",
            "host;x-amz-date",
        ),
        (
            "%E1%88%B4=bar",
            vec![],
            "%E1%88%B4=bar",
            "host:example.amazonaws.com\nx-amz-date:20150830T123600Z\n",
            "host;x-amz-date",
        ),
    ] {
        let mut request = Request::get("/").header("host", "example.amazonaws.com").header(date.0, date.1);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(()).unwrap();
        let names = signed.split(';').map(str::to_owned).collect();
        let authorization = Authorization {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            date: "20150830".to_owned(),
            signed_headers: names,
            signature: Vec::new(),
        };
        let got = canonical_request(
            &authorization,
            &SignedRequest { method: "GET", query, headers: request.headers(), body: &[] },
        );
        let wanted = format!("GET\n/\n{canonical_query}\n{canonical_headers}\n{signed}\n{EMPTY_HASH}");
        assert_eq!(String::from_utf8(got.unwrap()).unwrap(), wanted);
    }
}

#[test]
fn queries_are_encoded_in_one_way() {
    for (query, expect) in [
        ("", ""),
        ("a", "a="),
        ("a=", "a="),
        ("&a=1&", "a=1"),
        ("a=b=c", "a=b%3Dc"),
        ("a=%7e~", "a=~~"),
        ("a=%2f/", "a=%2F%2F"),
        ("a=+", "a=%2B"),
        ("a=%", "a=%25"),
        ("a=%zz", "a=%25zz"),
        ("b=1&a=2&B=3", "B=3&a=2&b=1"),
    ] {
        assert_eq!(canonical_query(query), expect, "{query}");
    }
}

#[test]
fn keys_and_signatures_are_those_that_aws_publishes() {
    let iam = signing_key(SUITE_SECRET, ["20150830", "us-east-1", "iam", "aws4_request"]);
    // The documentation's own example of a derived key is this HMAC key; its use must agree.
    let published = hex::decode("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9").unwrap();
    let published = hmac::Key::new(HMAC_SHA256, &published);
    assert_eq!(hmac::sign(&iam, b"x").as_ref(), hmac::sign(&published, b"x").as_ref());
    // `get-vanilla` of the suite.
    let scope = ["20150830", "us-east-1", "service", "aws4_request"];
    let canonical =
        format!("GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:{SUITE_TIME}\n\nhost;x-amz-date\n{EMPTY_HASH}");
    let to_sign = string_to_sign(scope, SUITE_TIME, canonical.as_bytes());
    let signature = hmac::sign(&signing_key(SUITE_SECRET, scope), to_sign.as_bytes());
    assert_eq!(hex::encode(signature), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}
