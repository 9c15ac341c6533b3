use clap::{CommandFactory, Parser};

use super::options::{image, pcr, share_file};
use super::*;

#[test]
fn the_command_line_is_well_formed_and_shows_the_development_root() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    for expect in ["--development-root", "FOR DEVELOPMENT ONLY", "Exit codes:", "Examples:"] {
        assert!(help.contains(expect), "{expect}");
    }
    for (path, expect) in [
        (&["device", "backup"][..], "Examples:"),
        (&["device", "recover"], "Examples:"),
        (&["tenant", "statement"], "Example:"),
        (&["attest"], "image: NOT CHECKED"),
        (&["operator", "manifest"], "Example:"),
        (&["tenant", "mpc-key"], "Example:"),
        (&["tenant", "seal-custodian"], "Example:"),
        (&["tenant", "backup-custodian"], "Example:"),
        (&["tenant", "release-custodian"], "Example:"),
        (&["tenant", "enable-eject"], "Example:"),
        (&["tenant", "export-capsule"], "Example:"),
        (&["capsule", "show"], "Example:"),
    ] {
        let mut command = Cli::command();
        for name in path {
            command = command.find_subcommand(name).unwrap().clone();
        }
        assert!(command.render_long_help().to_string().contains(expect), "{path:?}");
    }
}

#[test]
fn what_the_caller_gave_and_what_the_service_did_end_differently() {
    let path = std::path::PathBuf::from("x");
    let input = Error::Input { field: "x".to_owned(), problem: String::new() };
    let file = Error::File { path: path.clone(), problem: String::new() };
    for error in [input, file, Error::Exists(path.clone())] {
        assert_eq!(exit_code(Some(&error)), EXIT_USAGE, "{error}");
    }
    for error in [Error::Damaged, Error::Passphrase(path), Error::Open] {
        assert_eq!(exit_code(Some(&error)), EXIT_REFUSED, "{error}");
    }
    assert_eq!(exit_code(None), EXIT_REFUSED);
    assert_eq!(Cli::command().render_version().split(' ').next(), Some("strongroom"));
}

#[test]
fn shares_are_named_by_pair_and_curve() {
    let share = share_file("main:secp256k1=a=b.share").unwrap();
    assert_eq!((share.pair.id.as_str(), share.path.to_str()), ("main", Some("a=b.share")));
    assert!(share_file("main:ed25519=x").is_ok());
    for (text, expect) in [
        ("", "not PAIR:CURVE=FILE"),
        ("main", "not PAIR:CURVE=FILE"),
        ("main=x", "not PAIR:CURVE=FILE"),
        ("main:ed25519=", "not PAIR:CURVE=FILE"),
        ("main:p256=x", "curve \"p256\" is unknown; secp256k1 and ed25519"),
        ("main:unspecified=x", "is unknown"),
        ("a/b:ed25519=x", "pair \"a/b\" is not 1 to 64 bytes"),
        (":ed25519=x", "is not 1 to 64 bytes"),
    ] {
        let error = share_file(text).unwrap_err();
        assert!(error.contains(expect), "{text:?}: {error}");
    }
}

#[test]
fn measurements_are_48_bytes_and_never_zero() {
    let (one, zero) = ("01".repeat(48), "00".repeat(48));
    assert!(image(&format!("{one}:{one}:{one}")).is_ok());
    for (text, expect) in [
        (format!("{one}:{one}"), "not PCR0:PCR1:PCR2"),
        (format!("{one}:{one}:{one}:{one}"), "more than"),
        (format!("{one}:{zero}:{one}"), "all zero"),
        (format!("{one}:{one}:x"), "not 48 bytes in hex"),
    ] {
        let error = image(&text).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
    assert!(pcr(&zero).is_err());
}

/// A device's command line, up to its own options.
const DEVICE: &str = "--tenant 0000000000000000000000000000000000000000000000000000000000000000 --host http://127.0.0.1:1 \
                      --api-key-file k --wallet w --passkey p";
const DESK: &str = "--dir d --host http://127.0.0.1:1 --api-key-file k --wallet w --share a:ed25519=f";
const RECORD: &str = "--record 0000000000000000000000000000000000000000000000000000000000000000";

fn parse(command: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(command.split_whitespace())
}

#[test]
fn options_of_the_custodian_role_stand_together_or_not_at_all() {
    let device = |command: &str, options: &str| format!("strongroom device {command} {DEVICE} {options}");
    let tenant = |command: &str, options: &str| format!("strongroom tenant {command} {DESK} {options}");
    let backup = |options: &str| device("backup", &format!("--share a:ed25519=f {options}"));
    for (command, fits) in [
        (backup(""), true),
        (backup("--custodian --tenant-consent c"), true),
        (backup("--custodian --custodian-needs both --custodian-newest-head"), true),
        (backup("--custodian-needs both"), false),
        (backup("--custodian-newest-head"), false),
        (backup("--custodian-delay-seconds 5"), false),
        (backup("--custodian --custodian-needs nobody"), false),
        (device("recover", "--out o"), true),
        (device("recover", "--out o --mpc-recipient m --custodian-release r"), true),
        (device("recover", "--out o --mpc-recipient m"), false),
        (device("recover", "--out o --custodian-release r"), false),
        (device("start-recovery", "--key k --mpc-recipient m --started s"), true),
        (device("start-recovery", "--key k --mpc-recipient m"), false),
        (device("change-policy", "--custodian --custodian-only"), true),
        (device("change-policy", "--custodian-only"), false),
        (device("cancel", "--kind eject-window"), true),
        (tenant("seal-custodian", "--draft x --backup b"), true),
        (tenant("seal-custodian", &format!("--draft x {RECORD}")), true),
        (tenant("seal-custodian", "--draft x"), false),
        (tenant("seal-custodian", &format!("--draft x --backup b {RECORD}")), false),
        (tenant("seal-custodian", "--backup b"), false),
        (tenant("backup-custodian", "--backup b"), true),
        (tenant("backup-custodian", &format!("--backup b {RECORD}")), false),
        (tenant("backup-custodian", ""), false),
        ("strongroom tenant mpc-key --out k --plain".to_owned(), true),
        ("strongroom tenant mpc-key".to_owned(), false),
    ] {
        let parsed = parse(&command);
        assert_eq!(parsed.is_ok(), fits, "{command}: {:?}", parsed.err().map(|error| error.to_string()));
    }
}

#[test]
fn an_mpc_servers_key_is_made_in_files_that_are_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let show = Show::from_environment();
    let make = |private: &str, public: &str| {
        let command = format!("strongroom tenant mpc-key --plain --out {} --public {}", path(private), path(public));
        run(parse(&command).unwrap(), show)
    };
    make("mpc.key", "mpc.pub").unwrap();
    let key = strongroom_sdk::seal::MpcKey::read(&dir.path().join("mpc.key"), || panic!("not asked")).unwrap();
    assert_eq!(std::fs::read(dir.path().join("mpc.pub")).unwrap(), key.public_key());
    for (private, public) in [("mpc.key", "new.pub"), ("new.key", "mpc.pub"), ("no/folder.key", "new.pub")] {
        let error = make(private, public).unwrap_err();
        assert_eq!(exit_code(error.downcast_ref()), EXIT_USAGE, "{error}");
        assert!(!dir.path().join("new.key").exists() && !dir.path().join("new.pub").exists());
    }
}

/// A device's command line without a passkey.
const SERVICE: &str = "--tenant 0000000000000000000000000000000000000000000000000000000000000000 --host http://127.0.0.1:1 \
                       --api-key-file k --wallet w";
const HOST: &str = "--host http://127.0.0.1:1 --api-key-file k --wallet w";

/// Whether a command line is taken, as far as its form goes.
fn fits(cases: &[(String, bool)]) {
    for (command, fits) in cases {
        let parsed = parse(command);
        assert_eq!(parsed.is_ok(), *fits, "{command}: {:?}", parsed.err().map(|error| error.to_string()));
    }
}

#[test]
fn backups_are_told_apart_by_what_stands_beside_them() {
    let device = |command: &str, options: &str| format!("strongroom device {command} {SERVICE} {options}");
    fits(&[
        (device("backup", "--method PASSWORD --share a:ed25519=f --tenant-consent c"), true),
        (device("backup", "--method PASSWORD --share a:ed25519=f --tenant-consent c --password-file p"), true),
        (device("backup", "--method GDRIVE --ciphertext a:ed25519=f --tenant-consent c"), true),
        (device("backup", "--passkey p --share a:ed25519=f --ciphertext a:ed25519=g --escrow"), true),
        (device("backup", "--passkey p --share a:ed25519=f --escrow"), false),
        (device("backup", "--share a:ed25519=f --ciphertext a:ed25519=g --escrow"), false),
        (device("backup", "--method GDRIVE --tenant-consent c"), false),
        (device("backup", "--method GDRIVE --ciphertext a:ed25519 --tenant-consent c"), false),
        (device("backup", "--origin o --method GDRIVE --ciphertext a:ed25519=f"), false),
        (device("backup", "--passkey p --share a:ed25519=f --storage self-managed --keep d"), true),
        (device("backup", "--passkey p --share a:ed25519=f --storage self-managed"), false),
        (device("backup", "--passkey p --share a:ed25519=f --storage elsewhere --keep d"), false),
        (device("recover", "--passkey p --out o --kept d"), true),
        (device("recover", "--method PASSWORD --out o --password-file -"), true),
        (device("recover", "--method GDRIVE --out o"), false),
        (device("recover", "--method PASSWORD --passkey p --out o"), false),
        (device("recover", "--out o"), false),
        (device("recover", "--method PASSWORD --out o --mpc-recipient m --custodian-release r"), false),
        (device("rehearse", "--passkey p --kept d"), true),
        (device("eject", "--passkey p --out o --kept d"), true),
        (device("release-recovery", "--key k --out o --kept d"), true),
        (device("put", "--passkey p --share a:ed25519=f --keep d"), true),
        (device("put", "--share a:ed25519=f --backup pw --tenant-consent c --password-file p"), true),
        (device("put", "--ciphertext a:ed25519=f --backup g --tenant-consent c"), true),
        (device("put", "--passkey p"), false),
        (device("ciphertexts", "--out o --kept d --generation 2"), true),
        (device("ciphertexts", ""), false),
    ]);
}

#[test]
fn what_the_tenant_does_alone_and_what_it_asks_of_the_host() {
    let tenant = |command: &str, options: &str| format!("strongroom tenant {command} {HOST} {options}");
    let hash = "00".repeat(32);
    fits(&[
        (tenant("enable-eject", "--dir d --backup b --minutes 1440"), true),
        (tenant("enable-eject", "--dir d"), true),
        (tenant("enable-eject", "--backup b"), false),
        (tenant("enable-eject", "--dir d --minutes -1"), false),
        (tenant("disable-eject", "--dir d --backup b"), true),
        (tenant("release-custodian", "--dir d --mpc-recipient m --out o --newest r --newest s"), true),
        (tenant("release-custodian", "--dir d --out o"), false),
        (tenant("backup-custodian", "--dir d --share a:ed25519=f --backup b --from-device x"), true),
        (tenant("backup-custodian", "--dir d --share a:ed25519=f --backup b --ciphertext a:ed25519=x"), true),
        (
            tenant(
                "backup-custodian",
                "--dir d --share a:ed25519=f --backup b --from-device x --ciphertext a:ed25519=x",
            ),
            false,
        ),
        (tenant("recoveries", ""), true),
        (tenant("recovery-methods", ""), true),
        (tenant("recovery", &format!("--recovery {hash}")), true),
        (tenant("recovery", "--recovery 00"), false),
        (tenant("recovery", ""), false),
        (tenant("complete-recovery", &format!("--recovery {hash} --failed")), true),
        (tenant("abort", "--backup b --generation 2"), true),
        (tenant("abort", "--backup b --generation 0"), false),
        (tenant("abort", "--backup b"), false),
        (tenant("report-stored", "--backup b --generation 2 --method GDRIVE --pair a --pair b"), true),
        (tenant("report-stored", "--backup b --generation 2"), false),
        (tenant("export-capsule", &format!("--tenant {hash} --backup b --out o")), true),
        (tenant("export-capsule", "--backup b --out o"), false),
        (format!("strongroom capsule show f --tenant {hash}"), true),
        ("strongroom capsule show".to_owned(), false),
        ("strongroom operator import-capsule --socket s f".to_owned(), true),
        ("strongroom operator import-capsule --socket s".to_owned(), false),
    ]);
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), b"share").unwrap();
    let show = Show::from_environment();
    let file = format!("a:ed25519={}", dir.path().join("f").display());
    let (share, ciphertext) = (format!("--share {file}"), format!("--ciphertext {file}"));
    for (options, expect) in [
        (format!("{share} --method PASSKEY"), "--passkey: is needed for the method PASSKEY"),
        (format!("{share} --method PASSWORD --passkey p --tenant-consent c"), "--passkey: a PASSWORD backup has none"),
        (format!("{share} --method PASSWORD"), "--tenant-consent or --tenant-backend: is needed"),
        (format!("{ciphertext} --method PASSWORD --tenant-consent c"), "--share: is what a PASSWORD backup takes"),
        (
            format!("{share} --method GDRIVE --tenant-consent c"),
            "--ciphertext: is what a method without a passkey takes",
        ),
        (format!("{share} {ciphertext} --method GDRIVE --tenant-consent c"), "--ciphertext: is what a method without"),
        (format!("{share} {ciphertext} --passkey p"), "--ciphertext: stands with --escrow"),
        (format!("{share} --passkey p --keep d"), "--keep: stands with --storage self-managed"),
        (
            format!("--ciphertext a:ed25519={}/none --method GDRIVE --tenant-consent c", dir.path().display()),
            "--ciphertext a:ed25519: ",
        ),
    ] {
        let command = format!("strongroom device backup {SERVICE} {options}");
        let error = run(parse(&command).unwrap(), show).unwrap_err();
        assert!(error.to_string().starts_with(expect), "{expect}: {error}");
        assert_eq!(exit_code(error.downcast_ref()), EXIT_USAGE, "{error}");
    }
    let minutes = format!("strongroom tenant enable-eject {HOST} --dir d --minutes");
    for (minutes, seconds) in [(format!("{minutes} 0"), "0 s"), (format!("{minutes} 1441"), "86460 s")] {
        let error = run(parse(&minutes).unwrap(), show).unwrap_err().to_string();
        assert_eq!(error, format!("eject window: {seconds}; 60 to 86400 are allowed"));
    }
    let junk = dir.path().join("f").display().to_string();
    let error = run(parse(&format!("strongroom capsule show {junk}")).unwrap(), show).unwrap_err().to_string();
    assert!(error.contains("capsule is malformed"), "{error}");
}
