//! The secrets that sign calls to KMS are where their owners keep them, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strongroom_simulated::devkms::users::{AccessKey, file_of};
use strongroom_tests::stack::kms_admin::{ADMINISTRATOR, ENCLAVE_USER};
use strongroom_tests::user::User;

use crate::stack;

#[tokio::test]
async fn a_secret_access_key_is_in_no_other_file_of_a_stack() {
    let (folder, mut stack) = stack().await;
    User::new(&stack, "w").await.unwrap().backup("main", [b"one", b"two"]).await.unwrap();
    stack.kill();
    let state = folder.path().join("kms");
    for (user, holders) in [(ADMINISTRATOR, 1), (ENCLAVE_USER, 2)] {
        let key = AccessKey::read(&state, user).unwrap();
        let mut found = Vec::new();
        search(folder.path(), key.secret_access_key.expose().as_bytes(), &mut found);
        // The user's own file, and for the enclave's user the host's copy.
        assert_eq!(found.len(), holders, "{user}: {found:?}");
        assert!(found.contains(&file_of(&state, user)), "{user}: {found:?}");
        let is_private = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600;
        assert!(found.iter().all(|path| is_private(path)), "{found:?}");
    }
    let log = fs::read_to_string(folder.path().join("logs/kms")).unwrap();
    assert!(log.contains("GenerateDataKey ok"), "{log}");
}

fn search(folder: &Path, needle: &[u8], found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            search(&path, needle, found);
        } else if path.is_file() && fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
            found.push(path);
        }
    }
}
