use super::*;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::fs;

const INTENT: IntentHash = IntentHash([0xfb; 32]);

#[test]
fn an_assertion_is_what_a_browser_gives() {
    let passkey = Passkey::create("wallet.example").unwrap();
    let assertion = passkey.assert(&INTENT, "https://wallet.example").unwrap();
    assert_eq!(assertion.credential_id, passkey.credential_id());
    assert_eq!(assertion.authenticator_data[..32], sha256(&[b"wallet.example"]));
    assert_eq!(assertion.authenticator_data[32..], [0x1d, 0, 0, 0, 0]);
    let expect = format!(
        r#"{{"type":"webauthn.get","challenge":"{}","origin":"https://wallet.example","crossOrigin":false}}"#,
        "-_v7".repeat(10) + "-_s"
    );
    assert_eq!(String::from_utf8(assertion.client_data_json.clone()).unwrap(), expect);
    let message = [assertion.authenticator_data.as_slice(), &sha256(&[&assertion.client_data_json])].concat();
    let registration = passkey.registration();
    let (x, y) = (&registration.public_key[10..42], &registration.public_key[45..]);
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, [&[4], x, y].concat());
    key.verify(&message, &assertion.signature).unwrap();
    key.verify(b"another", &assertion.signature).unwrap_err();
    assert_eq!((registration.public_key.len(), registration.id.len()), (77, 32));
}

#[test]
fn the_cose_key_is_one_that_a_registration_holds() {
    let passkey = Passkey::create("wallet.example").unwrap();
    let credential = passkey.registration();
    let data = [
        &sha256(&[b"wallet.example"])[..],
        &[0x5d, 0, 0, 0, 0],
        &[0; 16],
        &[0, 32],
        &credential.id,
        &credential.public_key,
    ]
    .concat();
    let length = u8::try_from(data.len()).unwrap();
    let object = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(), &[length], &data].concat();
    let parsed = crate::registration::parse(&object, "wallet.example").unwrap();
    assert_eq!((parsed.credential, parsed.algorithm), (credential, -7));
}

#[test]
fn a_file_gives_the_same_passkey_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ann.passkey");
    let passkey = Passkey::create("wallet.example").unwrap();
    passkey.write(&path).unwrap();
    assert!(matches!(passkey.write(&path), Err(Error::Exists(_))));
    let read = Passkey::read(&path).unwrap();
    assert_eq!(read.registration(), passkey.registration());
    assert_eq!(read.rp_id(), "wallet.example");
    let shown = format!("{passkey:?}");
    assert!(shown.contains("[redacted]") && !shown.contains(&hex::encode(passkey.private_key.as_slice())));

    let good = fs::read_to_string(&path).unwrap();
    let id = hex::encode(passkey.credential_id());
    let long = "00".repeat(1024);
    for (from, to, expect) in [
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("\"version\": 1", "\"version\": 1, \"x\": 1", "no passkey file"),
        ("wallet.example", "https://wallet.example", "rp_id is no lower-case domain"),
        (id.as_str(), "", "credential_id is not 1 to 1023"),
        (id.as_str(), long.as_str(), "credential_id is not 1 to 1023"),
        ("\"private_key\": \"", "\"private_key\": \"00", "private_key is not a P-256 key"),
        ("{", "", "no passkey file"),
    ] {
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = Passkey::read(&path).unwrap_err().to_string();
        assert!(error.contains(expect), "{from}: {error}");
    }
    fs::write(&path, vec![b' '; PASSKEY_FILE_BYTES_MAX + 1]).unwrap();
    assert!(Passkey::read(&path).unwrap_err().to_string().contains("at most 8192"));
}
