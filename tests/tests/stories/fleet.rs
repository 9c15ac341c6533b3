//! What an operator learns of enclaves that have no console: while they serve, when a host refuses them, and when they have gone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use strongroom_proto::v1::Role;
use strongroom_tests::stack::process::{Process, binary};
use strongroom_tests::stack::{Stack, path_text};

use crate::stack;

/// Longest wait for what is expected to be shown.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The operator's command, over and over, until it prints all of this.
fn until_shown(stack: &Stack, socket: &Path, expect: &[&str]) -> String {
    let started = Instant::now();
    loop {
        let shown = stack.strongroom(&["operator", "fleet", "--socket", path_text(socket).unwrap()]).unwrap();
        if expect.iter().all(|part| shown.contains(part)) {
            return shown;
        }
        assert!(started.elapsed() < TIME_MAX, "expected {expect:?} in:\n{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Another host over the stack's enclave, which takes it for one of the custodian role.
fn second_host(stack: &Stack, folder: &Path) -> Process {
    fs::create_dir_all(folder.join("run")).unwrap();
    let manifest = folder.join("other.manifest");
    let root = stack.folder().join("kms/tls-root.der");
    let command =
        ["operator", "manifest", "--role", "custodian", "--kms-key-arn", stack.key_arn(Role::Client).unwrap()];
    let region = stack.key_arn(Role::Client).unwrap().split(':').nth(3).unwrap();
    let rest = ["--region", region, "--release", "2", "--development-kms-root", path_text(&root).unwrap()];
    stack.strongroom(&[&command[..], &rest, &["--out", path_text(&manifest).unwrap()]].concat()).unwrap();
    let theirs = fs::read_to_string(stack.folder().join("host.toml")).unwrap();
    let ours: Vec<String> = theirs
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("role", _)) => "role = \"custodian\"".to_owned(),
            Some(("manifest", _)) => format!("manifest = \"{}\"", manifest.display()),
            Some(("socket", _)) => format!("socket = \"{}\"", folder.join("run/admin.sock").display()),
            Some(("sqlite", _)) => format!("sqlite = \"{}\"", folder.join("strongroom.db").display()),
            Some(("unix", path)) if path.contains("relay") => {
                format!("unix = \"{}\"", folder.join("run/relay.sock").display())
            }
            // What panics or comes up is told to the first host.
            Some(("heartbeat" | "last_words", _)) => String::new(),
            _ => line.to_owned(),
        })
        .collect();
    let config = folder.join("host.toml");
    fs::write(&config, ours.join("\n")).unwrap();
    let mut host = Command::new(binary("strongroom-host").unwrap());
    host.arg("--config").arg(config);
    Process::start(host, &folder.join("log"), "strongroom-host ready").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_what_an_enclave_says_while_it_serves_when_a_host_refuses_it_and_when_it_has_gone() {
    let (folder, stack) = stack().await;
    let socket = stack.admin_socket();
    let lines = ["#1 phase: AwaitManifest", "#2 phase: Serving", " KMS key checked"];
    let serving = until_shown(&stack, &socket, &[&lines[..], &["state serving", "release 1"]].concat());
    let address = format!("client enclave at unix:{}", stack.enclave_socket(Role::Client).display());
    assert!(serving.starts_with(&address) && serving.contains("for DEVELOPMENT"), "{serving}");
    for part in ["seen 20", "clock 20", "up "] {
        assert!(serving.lines().any(|line| line.starts_with(part)), "{part}: {serving}");
    }
    let logged = fs::read_to_string(&stack.host().unwrap().log).unwrap();
    for (number, line) in [(1, "phase: AwaitManifest"), (2, "phase: Serving")] {
        let line = format!("event=\"enclave says\" role=\"ROLE_CLIENT\" seq=\"{number}\" line=\"{line}\"");
        assert_eq!(logged.matches(&line).count(), 1, "{line} in:\n{logged}");
    }

    let other = folder.path().join("second");
    let second = second_host(&stack, &other);
    let refused = "state not connected: the enclave serves another role";
    let shown = until_shown(&stack, &other.join("run/admin.sock"), &[&lines[..], &[refused, "release 1"]].concat());
    assert!(shown.starts_with("custodian enclave at unix:/"), "the role of the configuration: {shown}");
    second.kill();
    until_shown(&stack, &socket, &["state serving"]);

    let id = stack.enclave(Role::Client).unwrap().id().to_string();
    assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
    let gone = until_shown(&stack, &socket, &[&lines[..], &["state not connected: "]].concat());
    assert!(!gone.contains("state serving"), "{gone}");
    let short = ["operator", "fleet", "--events", "1", "--socket", path_text(&socket).unwrap()];
    assert_eq!(stack.strongroom(&short).unwrap().matches("said ").count(), 1);
    assert!(stack.strongroom(&["operator", "fleet", "--events", "65", "--socket", "x"]).is_err());
}
