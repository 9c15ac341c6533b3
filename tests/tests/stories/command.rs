//! The command `strongroom` alone: two devices by files, and a tenant who reads before it signs.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use strongroom_tests::stack::{Stack, path_text};

use crate::stack;

/// Longest wait for a device to write its intent.
const INTENT_WAIT_MAX: Duration = Duration::from_mins(1);

fn device(stack: &Stack, command: &str, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["device".to_owned(), command.to_owned(), "--wallet".to_owned(), "w".to_owned()];
    all.extend(stack.service_arguments().unwrap());
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    all
}

fn run(stack: &Stack, command: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let all = device(stack, command, arguments);
    stack.strongroom(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The one intent that a device has written into a folder.
fn intent_in(folder: &Path) -> std::path::PathBuf {
    let started = Instant::now();
    loop {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let found = files.into_iter().find(|path| {
            path.extension().is_some_and(|it| it == "intent") && !path.with_extension("signature").exists()
        });
        if let Some(found) = found {
            return found;
        }
        assert!(started.elapsed() < INTENT_WAIT_MAX, "the device wrote no intent");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn two_devices_and_a_tenant_work_with_files_alone() {
    let (folder, stack) = stack().await;
    let path = |name: &str| path_text(&folder.path().join(name)).unwrap().to_owned();
    std::fs::write(path("k1"), b"one").unwrap();
    std::fs::write(path("k2"), b"two").unwrap();
    stack.create_wallet("w").unwrap();
    let (phone, tablet) = (path("phone"), path("tablet"));
    let share = |name: &str| format!("main:secp256k1={}", path(name));
    run(&stack, "backup", &["--passkey", &phone, "--share", &share("k1")]).unwrap();

    let (registration, addition) = (path("reg"), path("add"));
    run(&stack, "new-passkey", &["--passkey", &tablet, "--registration", &registration]).unwrap();
    let add = ["--passkey", &phone, "--registration", &registration, "--label", "tablet", "--addition", &addition];
    run(&stack, "add-passkey", &add).unwrap();
    let stranger = run(&stack, "join", &["--passkey", &phone, "--addition", &addition]).unwrap_err().to_string();
    assert!(stranger.contains("the addition's credential is"), "{stranger}");
    run(&stack, "join", &["--passkey", &tablet, "--addition", &addition]).unwrap();
    let listed = run(&stack, "list-passkeys", &[]).unwrap();
    assert!(listed.contains("\"software passkey\"") && listed.contains("\"tablet\""), "{listed}");

    let put = run(&stack, "put", &["--passkey", &tablet, "--share", &share("k2")]).unwrap();
    assert!(put.contains("generation 2 is active"), "{put}");
    let receipt = path("policy.receipt");
    let change = ["--passkey", &phone, "--tenant-signature", "--newest-head", "--receipt", &receipt];
    run(&stack, "change-policy", &change).unwrap();

    let consents = path("consents");
    std::fs::create_dir(&consents).unwrap();
    let out = path("out");
    let recover = device(&stack, "recover", &["--passkey", &phone, "--out", &out, "--tenant-consent", &consents]);
    let recover: Vec<&str> = recover.iter().map(String::as_str).collect();
    let waiting =
        stack.strongroom_command(&recover).unwrap().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let intent = intent_in(Path::new(&consents));
    let keys = path("tenant/keys");
    let sign = |wallet: &str, act: &str| {
        let intent = path_text(&intent).unwrap();
        let reach = ["tenant", "sign-intent", "--dir", &keys, "--intent", intent, "--newest", &receipt];
        stack.strongroom(&[&reach[..], &["--wallet", wallet, "--act", act]].concat())
    };
    for (wallet, act, expect) in [("w", "delete-backup", "action is recover"), ("v", "recover", "wallet is w")] {
        let refused = sign(wallet, act).unwrap_err().to_string();
        assert!(refused.contains(expect), "{refused}");
    }
    let signed = sign("w", "recover").unwrap();
    assert!(signed.contains("the newest that is known here, of version 4"), "{signed}");
    let Output { status, stdout, stderr } = waiting.wait_with_output().unwrap();
    let printed = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).join("\n");
    assert!(status.success() && printed.contains("as new as the tenant knew"), "{printed}");
    assert_eq!(std::fs::read(Path::new(&out).join("main.share")).unwrap(), b"two");
}
