use super::*;
use std::fs;

const PASSPHRASE: &str = "correct horse battery";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn never() -> Result<Passphrase, Error> {
    panic!("no passphrase is asked for")
}

#[test]
fn protected_keys_open_with_their_passphrase_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    let key = SigningKey::generate(KeyUse::Root).unwrap();
    assert!(matches!(key.write_plain(&path), Err(Error::Input { .. })));
    assert!(matches!(key.write_protected(&path, &passphrase("elevenbytes")), Err(Error::Input { .. })));
    assert!(!path.exists());
    key.write_protected(&path, &passphrase(PASSPHRASE)).unwrap();
    assert!(matches!(key.write_protected(&path, &passphrase(PASSPHRASE)), Err(Error::Exists(_))));

    let read = SigningKey::read(&path, KeyUse::Root, || Ok(passphrase(PASSPHRASE))).unwrap();
    assert_eq!((read.public_key(), &*read.seed), (key.public_key(), &*key.seed));
    let wrong = SigningKey::read(&path, KeyUse::Root, || Ok(passphrase("correct horse batterx"))).unwrap_err();
    assert!(matches!(wrong, Error::Passphrase(_)), "{wrong}");
    let other_use = SigningKey::read(&path, KeyUse::Standby, never).unwrap_err().to_string();
    assert!(other_use.contains("holds a \"root\" key, not a standby key"), "{other_use}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&hex::encode(key.seed.as_slice())));
    assert_eq!(format!("{key:?}"), format!("SigningKey(root, {}, [redacted])", hex::encode(key.public_key())));
}

#[test]
fn changed_key_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("standby.key");
    let key = SigningKey::from_seed(KeyUse::Standby, Zeroizing::new([7; 32])).unwrap();
    key.write_protected(&path, &passphrase(PASSPHRASE)).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let public = hex::encode(key.public_key());
    for (from, to, expect) in [
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("argon2id", "argon2i", "kdf \"argon2i\""),
        ("\"memory_kib\": 65536", "\"memory_kib\": 65535", "memory_kib is 65535; 65536 to 1048576"),
        ("\"memory_kib\": 65536", "\"memory_kib\": 1048577", "memory_kib is 1048577"),
        ("\"passes\": 3", "\"passes\": 2", "passes is 2; 3 to 16"),
        ("\"passes\": 3", "\"passes\": 17", "passes is 17"),
        ("\"lanes\": 1", "\"lanes\": 0", "lanes is 0; 1 to 4"),
        ("\"lanes\": 1", "\"lanes\": 5", "lanes is 5"),
        ("\"passes\": 3", "\"passes\": 4", "the passphrase is wrong, or the file was changed"),
        (public.as_str(), &"00".repeat(32), "the passphrase is wrong, or the file was changed"),
        ("\"salt\": \"", "\"salt\": \"00", "salt is not 16 bytes"),
        ("\"nonce\": \"", "\"nonce\": \"00", "nonce is not 12 bytes"),
        ("\"ciphertext\": \"", "\"ciphertext\": \"00", "the passphrase is wrong"),
        ("\"version\": 1", "\"version\": 1, \"more\": 1", "no key file"),
        ("\"version\": 1", "\"version\": 1, \"seed\": \"00\"", "not exactly one"),
        ("{", "", "no key file"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = SigningKey::read(&path, KeyUse::Standby, || Ok(passphrase(PASSPHRASE))).unwrap_err().to_string();
        assert!(error.contains(expect), "{from} -> {to}: {error}");
    }
    fs::write(&path, vec![b' '; KEY_FILE_BYTES_MAX + 1]).unwrap();
    let long = SigningKey::read(&path, KeyUse::Standby, never).unwrap_err().to_string();
    assert!(long.contains("at most 4096"), "{long}");
}

#[test]
fn plain_files_are_for_operational_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("operational.key");
    let key = SigningKey::generate(KeyUse::Operational).unwrap();
    key.write_plain(&path).unwrap();
    let read = SigningKey::read(&path, KeyUse::Operational, never).unwrap();
    assert_eq!(read.public_key(), key.public_key());
    let text = fs::read_to_string(&path).unwrap();
    let root = dir.path().join("root.key");
    fs::write(&root, text.replace("operational", "root")).unwrap();
    let error = SigningKey::read(&root, KeyUse::Root, never).unwrap_err().to_string();
    assert!(error.contains("not exactly one of an encrypted key"), "{error}");
    fs::write(&path, text.replace(&hex::encode(key.public_key()), &"11".repeat(32))).unwrap();
    let error = SigningKey::read(&path, KeyUse::Operational, never).unwrap_err().to_string();
    assert!(error.contains("public_key does not belong"), "{error}");
}

#[test]
fn each_key_signs_its_own_kind() {
    let intent = b"an encoded intent";
    let key = SigningKey::from_seed(KeyUse::Operational, Zeroizing::new([7; 32])).unwrap();
    let signature = key.sign_intent(intent).unwrap();
    let verify = |prefix| strongroom_proto::signed::verify(prefix, intent, &signature.key, &signature.signature);
    assert!(verify(prefix::TENANT).is_ok() && verify(prefix::STATEMENT).is_err());
    for purpose in [KeyUse::Root, KeyUse::Standby] {
        let key = SigningKey::from_seed(purpose, Zeroizing::new([7; 32])).unwrap();
        assert!(matches!(key.sign_intent(intent), Err(Error::Input { .. })));
    }
}
