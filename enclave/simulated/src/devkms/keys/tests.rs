use super::*;
use std::os::unix::fs::PermissionsExt;

fn key() -> Key {
    Key {
        id: KeyId::generate().unwrap(),
        created_ms: 1,
        description: String::new(),
        state: KeyState::Enabled,
        deletion_ms: None,
        policy: KeyPolicy::default_of("111122223333"),
        material: Arc::new(BackingKey::generate().unwrap()),
    }
}

#[test]
fn ids_have_one_form() {
    let id = KeyId::generate().unwrap();
    let text = id.to_string();
    assert_eq!((text.len(), KeyId::parse(&text)), (36, Some(id)));
    assert_eq!(&text[14..15], "4");
    for other in [text.to_uppercase(), text.replace('-', ""), text[1..].to_owned(), String::new(), format!("{text}-")] {
        assert_eq!(KeyId::parse(&other), None, "{other}");
    }
}

#[test]
fn keys_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (one, two) = (key(), key());
    {
        let store = KeyStore::open(&path).unwrap();
        store.put(one.clone()).unwrap();
        store.put(two.clone()).unwrap();
        store
            .update(two.id, |key| {
                key.state = KeyState::Disabled;
                Ok(())
            })
            .unwrap();
        let refused = store.update(one.id, |_| Err(internal("test")));
        assert!(refused.is_err());
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let store = KeyStore::open(&path).unwrap();
    let read = store.get(one.id).unwrap();
    assert_eq!(read.material.expose(), one.material.expose());
    assert_eq!((read.state, read.policy.text()), (KeyState::Enabled, one.policy.text()));
    assert_eq!(store.get(two.id).unwrap().state, KeyState::Disabled);
    assert!(store.get(key().id).is_none());
    assert!(format!("{read:?}").contains("[redacted]"));
}

#[test]
fn a_change_that_cannot_be_written_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/keys.json");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let store = KeyStore::open(&path).unwrap();
    let first = key();
    store.put(first.clone()).unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let second = key();
    assert_eq!(store.put(second.clone()).unwrap_err().kind, Kind::KmsInternal);
    assert!(store.get(second.id).is_none());
    let disabled = store.update(first.id, |key| {
        key.state = KeyState::Disabled;
        Ok(())
    });
    assert!(disabled.is_err());
    assert_eq!(store.get(first.id).unwrap().state, KeyState::Enabled);
}

#[test]
fn the_number_of_keys_has_an_edge() {
    let folder = tempfile::tempdir().unwrap();
    let store = KeyStore::open(&folder.path().join("keys.json")).unwrap();
    let last = key();
    {
        let mut keys = store.lock();
        for _ in 0..KEYS_MAX - 1 {
            let key = key();
            keys.insert(key.id, Arc::new(key));
        }
    }
    store.put(last.clone()).unwrap();
    assert_eq!(store.put(key()).unwrap_err().kind, Kind::LimitExceeded);
    store.put(last).unwrap();
}

#[test]
fn a_broken_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let store = KeyStore::open(&path).unwrap();
    store.put(key()).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for (content, expect) in [
        (String::new(), "EOF"),
        (good[..good.len() - 3].to_owned(), "EOF"),
        (good.replace("\"version\": 1", "\"version\": 2"), "version is 2"),
        (good.replace("\"Enabled\"", "\"Open\""), "unknown variant"),
        (good.replace("\"material\": \"", "\"material\": \"AAAA"), "not of 32 bytes"),
        (good.replace("\"material\": \"", "\"material\": \"!"), "malformed"),
        (good.replace("\"key_id\": \"", "\"key_id\": \"0"), "key id is malformed"),
        (good.replace("\"description\"", "\"extra\": 1, \"description\""), "unknown field"),
        (good.replace("kms:*", "s3:*"), "action"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = KeyStore::open(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expect), "wanted {expect:?}, got {error:?}");
    }
}
