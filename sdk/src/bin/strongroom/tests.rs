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
        (&["device", "backup"][..], "Example:"),
        (&["device", "recover"], "Example:"),
        (&["tenant", "statement"], "Example:"),
        (&["attest"], "image: NOT CHECKED"),
        (&["operator", "manifest"], "Example:"),
        (&["tenant", "mpc-key"], "Example:"),
        (&["tenant", "seal-custodian"], "Example:"),
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
