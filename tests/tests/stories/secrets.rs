//! A planted secret must be nowhere but where its owner put it.

use std::fs;
use std::path::{Path, PathBuf};

use strongroom_sdk::passkey::Passkey;
use strongroom_tests::stack::{PASSPHRASE, RP_ID};
use strongroom_tests::user::User;

use crate::stack;

/// Found by no chance.
const PLANTED: &[u8; 32] = b"planted-secret-7f3a91c04be8d265!";

#[tokio::test]
async fn a_planted_secret_is_in_no_log_error_or_database_file() {
    let (folder, mut stack) = stack().await;
    let user = User::new(&stack, "w").await.unwrap();
    user.backup("main", [PLANTED, PLANTED]).await.unwrap();
    assert_eq!(user.recover().await.unwrap()[0], PLANTED);
    let mut errors = Vec::new();
    let again = user.backup("main", [PLANTED, PLANTED]).await;
    errors.push(again.unwrap_err().to_string());
    let prepared = user.prepare().await.unwrap();
    let stranger = User::returning(&stack, "w", Passkey::create(RP_ID).unwrap()).await.unwrap();
    let refused = stranger.creation_around(&prepared, &stranger.creation_of("x"), PLANTED.to_vec()).unwrap();
    errors.push(stranger.client.create_backup(&refused).await.unwrap_err().to_string());
    stack.kill();

    let api_key = fs::read_to_string(stack.api_key_file()).unwrap();
    let needles = [
        PLANTED.to_vec(),
        hex::encode(PLANTED).into_bytes(),
        PASSPHRASE.as_bytes().to_vec(),
        api_key.trim().as_bytes().to_vec(),
    ];
    for error in errors {
        assert!(!needles.iter().any(|needle| contains(error.as_bytes(), needle)), "{error}");
    }
    let searched = files(folder.path());
    assert!(searched.iter().any(|path| path.ends_with("strongroom.db")), "{searched:?}");
    for path in searched.iter().filter(|path| **path != stack.api_key_file()) {
        let bytes = fs::read(path).unwrap();
        assert!(!needles.iter().any(|needle| contains(&bytes, needle)), "found in {}", path.display());
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.filter(|path| path.is_dir() || path.is_file()).partition(|path| path.is_dir());
    folders.iter().flat_map(|folder| self::files(folder)).chain(files).collect()
}
