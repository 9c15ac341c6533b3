use clap::CommandFactory;

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
