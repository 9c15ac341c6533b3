//! systemd units: what they start exists, and they keep it in.

use std::collections::BTreeMap;
use std::process::Command;

use strongroom_tests::stack::process::binary;

const HOST: &str = "systemd/strongroom-host.service";
const ENCLAVE: &str = "systemd/strongroom-enclave@.service";

/// Every setting of a unit with its values, by section.
fn settings(name: &str) -> BTreeMap<String, Vec<String>> {
    let mut section = String::new();
    let mut settings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in super::text(name).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(named) = line.strip_prefix('[') {
            named.trim_end_matches(']').clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        settings.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
    }
    settings
}

#[test]
fn both_units_keep_their_process_in() {
    for name in [HOST, ENCLAVE] {
        let settings = settings(name);
        for (key, expect) in [
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("DevicePolicy", "closed"),
            ("CapabilityBoundingSet", ""),
            ("MemoryDenyWriteExecute", "yes"),
            ("RestrictNamespaces", "yes"),
            ("RestrictSUIDSGID", "yes"),
            ("SystemCallArchitectures", "native"),
            ("ProtectKernelModules", "yes"),
        ] {
            assert_eq!(settings.get(&format!("Service.{key}")).unwrap_or(&Vec::new()), &[expect], "{name}: {key}");
        }
        let user = &settings["Service.User"];
        assert!(user.len() == 1 && user[0] != "root", "{name}: {user:?}");
        let users = super::text("systemd/strongroom.sysusers");
        assert!(users.lines().any(|line| line.starts_with(&format!("u {} ", user[0]))), "{name}: {user:?}");
    }
    let host = settings(HOST);
    for (key, expect) in [
        ("StateDirectory", "strongroom"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectoryMode", "0700"),
        ("UMask", "0077"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_VSOCK"),
        ("LimitCORE", "0"),
    ] {
        assert_eq!(host[&format!("Service.{key}")], [expect], "{key}");
    }
    assert_eq!(host["Service.SystemCallFilter"], ["@system-service", "~@privileged @resources"]);
    assert_eq!(settings(ENCLAVE)["Service.RestrictAddressFamilies"], ["AF_UNIX AF_VSOCK"]);
    assert_eq!(settings(ENCLAVE)["Service.DeviceAllow"], ["/dev/nitro_enclaves rw"]);
}

#[test]
fn the_host_is_started_with_options_that_it_has() {
    let output = Command::new(binary("strongroom-host").unwrap()).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let settings = settings(HOST);
    for line in ["ExecStartPre", "ExecStart"].map(|key| &settings[&format!("Service.{key}")][0]) {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("/usr/local/bin/strongroom-host"));
        for option in words.filter(|word| word.starts_with('-')) {
            assert!(help.split_whitespace().any(|word| word == option), "{option} is none of {help}");
        }
        assert!(line.contains("--config /etc/strongroom/host.toml"), "{line}");
    }
    assert!(settings["Service.ExecStartPre"][0].ends_with(" --check"));
}

#[test]
fn an_enclave_is_started_from_its_file_and_ended_by_its_name() {
    let settings = settings(ENCLAVE);
    assert_eq!(
        settings["Service.ExecStart"],
        ["/usr/bin/nitro-cli run-enclave --config /etc/strongroom/enclaves/%i.json"]
    );
    assert_eq!(settings["Service.ExecStop"], ["/usr/bin/nitro-cli terminate-enclave --enclave-name %i"]);
    assert_eq!(settings["Unit.Requires"], ["nitro-enclaves-allocator.service"]);
    for name in [HOST, ENCLAVE] {
        assert!(!super::text(name).contains("debug"), "{name}");
    }
}

/// `systemd-analyze` knows what a unit may say; it complains too of programs that are not on this machine.
#[test]
fn systemd_understands_the_units() {
    let analyze = |arguments: &[&str], unit: &str| {
        Command::new("systemd-analyze").args(arguments).arg(super::path(unit)).output().ok()
    };
    for (unit, exposure_max) in [(HOST, 1.5), (ENCLAVE, 3.2)] {
        let Some(output) = analyze(&["verify"], unit) else {
            println!("systemd is not installed: {unit} is not verified");
            return;
        };
        let said = String::from_utf8(output.stderr).unwrap();
        let absent = ["is not executable: No such file", "nitro-enclaves-allocator.service not found"];
        let complaints: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("strongroom") && !absent.iter().any(|it| line.contains(it)))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let output = analyze(&["security", "--offline=true", "--no-pager"], unit).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let level =
            said.split("Overall exposure level for ").nth(1).and_then(|it| it.split(' ').nth(1)).unwrap_or("10");
        let level: f32 = level.parse().unwrap();
        assert!(level <= exposure_max, "{unit}: {level}");
    }
}
