//! What each backend refuses to start with.

use std::fs;
use std::path::Path;

use prost::Message;
use strongroom_tests::stack::backend::{Example, session_file};

use super::false_host::{Answers, Tenant, serve};

/// A change of the folder that a backend starts from, and what the refusal names.
type Case = (&'static str, fn(&Path));

const CASES: &[Case] = &[
    ("listen: ", |folder| edit(folder, "backend.toml", |text| text.replace("127.0.0.1:0\"", "0.0.0.0:0\""))),
    ("listen: ", |folder| edit(folder, "backend.toml", |text| text.replace("127.0.0.1:0\"", "127.0.0.1\""))),
    ("host: ", |folder| edit(folder, "backend.toml", |text| text.replace("http://127.0.0.1:", "http://192.0.2.1:"))),
    ("host: ", |folder| edit(folder, "backend.toml", |text| text.replace("http://", "ftp://"))),
    ("tenant: ", |folder| edit(folder, "backend.toml", |text| text.replace("tenant = \"", "tenant = \"0"))),
    ("backend.toml", |folder| edit(folder, "backend.toml", |text| text + "tls = \"off\"\n")),
    ("backend.toml", |folder| edit(folder, "backend.toml", |text| text + "[")),
    ("statement", |folder| fs::write(folder.join("statement.pb"), Tenant::new().signed.encode_to_vec()).unwrap()),
    ("statement", |folder| flip(&folder.join("statement.pb"))),
    ("statement", |folder| fs::remove_file(folder.join("statement.pb")).unwrap()),
    ("users.toml", |folder| edit(folder, "users.toml", |text| text + "admin = true\n")),
    ("wallet", |folder| edit(folder, "users.toml", |text| text.replace("\"v\"", "\"v/../w\""))),
    ("token_sha256", |folder| {
        edit(folder, "users.toml", |text| text.replace("token_sha256 = \"", "token_sha256 = \"0"));
    }),
    ("token_sha256", |folder| edit(folder, "users.toml", |text| twice(&text))),
    ("users: ", |folder| fs::write(folder.join("../api-key"), session(folder)).unwrap()),
    ("`sr_` and 64", |folder| fs::write(folder.join("../api-key"), "sr_short").unwrap()),
    ("receipts: ", |folder| fs::remove_dir(folder.join("receipts")).unwrap()),
];

fn edit(folder: &Path, name: &str, change: fn(String) -> String) {
    let path = folder.join(name);
    let before = fs::read_to_string(&path).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "the case changes nothing");
    fs::write(path, after).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The same token for a second user.
fn twice(users: &str) -> String {
    let first = users.split("\n\n").next().unwrap().replace("ann", "eve");
    format!("{users}{first}\n")
}

fn session(folder: &Path) -> Vec<u8> {
    fs::read(session_file(folder, "ann")).unwrap()
}

#[tokio::test]
async fn a_backend_starts_with_sound_settings_only_and_says_what_is_wrong() {
    let host = serve(&Answers::default());
    for example in Example::ALL {
        for (number, (named, break_it)) in CASES.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let backend = folder.path().join("backend");
            Tenant::new().settings(folder.path(), &host).write(&backend).unwrap();
            break_it(&backend);
            let api_key = fs::read_to_string(folder.path().join("api-key")).unwrap();
            let refusal = example.start(&backend).expect_err(named).to_string();
            let (_, log) = refusal.split_once("its log ends so:\n").unwrap();
            assert!(log.contains(named), "{example:?} {number} {named}: {log}");
            assert!(!log.contains(api_key.trim()), "{example:?} {number} {named}: {log}");
        }
        let folder = tempfile::tempdir().unwrap();
        let backend = folder.path().join("backend");
        Tenant::new().settings(folder.path(), &host).write(&backend).unwrap();
        example.start(&backend).unwrap().process.terminate().unwrap();
    }
}
