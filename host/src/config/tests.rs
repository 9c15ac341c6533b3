use super::*;

const EXAMPLE: &str = include_str!("../../strongroom-host.example.toml");

/// The example with `from` replaced by `to` must be refused, and the error must name each of `names`.
fn refuse(from: &str, to: &str, names: &[&str]) {
    assert!(EXAMPLE.contains(from), "{from}");
    let error = Config::parse(&EXAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
    for name in names {
        assert!(error.contains(name), "{to}: {error:?} does not name {name:?}");
    }
}

fn accept(from: &str, to: &str) -> Config {
    assert!(EXAMPLE.contains(from), "{from}");
    Config::parse(&EXAMPLE.replacen(from, to, 1)).unwrap()
}

#[test]
fn the_example_parses() {
    let config = Config::parse(EXAMPLE).unwrap();
    assert_eq!(config.api.listen, "127.0.0.1:7443".parse().unwrap());
    assert!(config.api.tls.is_none() && !config.api.reflection);
    assert_eq!(config.enclaves[0].address, Address::Vsock { cid: 16, port: 5005 });
    assert_eq!(config.enclaves[0].connections, CONNECTIONS_DEFAULT);
    let slots: Vec<(Role, String)> =
        config.enclaves.iter().map(|enclave| (enclave.role, enclave.address.to_string())).collect();
    let slot = |role, address: &str| (role, address.to_owned());
    assert_eq!(slots[..2], [slot(Role::Client, "vsock 16:5005"), slot(Role::Client, "vsock 17:5005")]);
    assert_eq!(slots[2..], [slot(Role::Custodian, "vsock 18:5005"), slot(Role::Custodian, "vsock 19:5005")]);
    for one in &config.enclaves {
        assert_eq!(config.enclaves.iter().filter(|it| it.manifest == one.manifest).count(), 1);
        assert!(config.enclaves.iter().all(|it| (it.credentials == one.credentials) == (it.role == one.role)));
    }
    assert_eq!(config.relay.listen, RelayListen::Vsock(9001));
    assert_eq!(config.relay.names["kms.eu-central-1.amazonaws.com"], Target::Name);
    assert_eq!(config.log.format, Format::Text);
}

#[test]
fn values_outside_their_limits_are_named() {
    refuse("127.0.0.1:7443", "localhost", &["api.listen", "localhost", "IP address"]);
    refuse("127.0.0.1:7443", "0.0.0.0:7443", &["api.listen", "0.0.0.0:7443", "api.tls"]);
    refuse("127.0.0.1:7443", "[::]:7443", &["api.listen", "[::]:7443", "loopback"]);
    for unknown in ["", "Client", "witness", "ROLE_CUSTODIAN"] {
        let role = format!("role = \"{unknown}\"");
        refuse("role = \"client\"", &role, &["enclave[0].role", &format!("\"{unknown}\""), "\"custodian\""]);
        refuse("role = \"custodian\"", &role, &["enclave[2].role", &format!("\"{unknown}\""), "\"client\""]);
    }
    refuse("cid = 17", "cid = 16", &["enclave[1].vsock", "the same address twice"]);
    refuse("\"/etc/strongroom/custodian-a.manifest\"", "\"\"", &["enclave[2].manifest", "path"]);
    refuse("\"/etc/strongroom/custodian.credentials.toml\"", "\"\"", &["enclave[2].credentials.file"]);
    refuse("connections = 2", "connections = 0", &["enclave[0].connections", "0", "1 to 16"]);
    refuse("connections = 2", "connections = 17", &["enclave[0].connections", "17", "1 to 16"]);
    refuse("connections = 2", "connections = -1", &["enclave[0].connections", "-1", "1 to 16"]);
    refuse("cid = 16", "cid = 2", &["enclave[0].vsock.cid", "2", "at least 3"]);
    refuse("vsock = {", "unix = \"/a\"\nvsock = {", &["enclave[0].unix", "both", "exactly one"]);
    refuse("vsock = { cid = 16, port = 5005 }", "", &["enclave[0].unix", "neither", "exactly one"]);
    refuse("vsock_port = 9001", "", &["relay.unix", "neither"]);
    refuse("vsock_port = 9001", "vsock_port = 9001\nunix = \"/r\"", &["relay.unix", "both"]);
    refuse("\"/etc/strongroom/client-a.manifest\"", "\"\"", &["enclave[0].manifest", "path"]);
    refuse("\"/etc/strongroom/client.credentials.toml\"", "\"\"", &["enclave[0].credentials.file"]);
    refuse("\"/var/lib/strongroom/strongroom.db\"", "\"\"", &["store.sqlite"]);
    refuse("level = \"info\"", "level = \"loud\"", &["log.level", "loud", "trace"]);
    refuse("= \"\"\n", "= \"kms:443\"\n", &["relay.names.", "kms:443", "port 443"]);
    refuse("kms.eu-central-1.amazonaws.com", "KMS.local", &["relay.names", "KMS.local", "lower case"]);
    refuse("kms.eu-central-1.amazonaws.com", "kms..local", &["relay.names", "kms..local"]);
    refuse("\"kms.eu-central-1.amazonaws.com\" = \"\"", "", &["relay.names", "0", "1 to 16"]);
}

#[test]
fn unknown_missing_and_mistyped_fields_are_named() {
    let (before, _) = EXAMPLE.split_once("reflection = false").unwrap();
    let line = format!("line {}:", before.matches('\n').count() + 1);
    refuse("reflection = false", "reflections = false", &[&line, "reflections"]);
    refuse("[log]", "[logs]", &["logs"]);
    refuse("sqlite =", "postgres =", &["postgres"]);
    refuse("reflection = false", "reflection = \"no\"", &[&line, "boolean"]);
    refuse("format = \"text\"", "format = \"xml\"", &["xml", "json"]);
    refuse("manifest = \"/etc/strongroom/client-a.manifest\"", "", &["manifest"]);
    refuse("port = 5005 }", "port = 4294967296 }", &["u32"]);
    assert!(Config::parse("").unwrap_err().to_string().contains("api"));
    assert!(Config::parse("api = [").is_err());
}

#[test]
fn limits_hold_at_their_edge() {
    let path = |len: usize| format!("socket = \"/{}\"", "s".repeat(len - 1));
    let socket = "socket = \"/run/strongroom/admin.sock\"";
    accept(socket, &path(SOCKET_PATH_BYTES_MAX));
    refuse(socket, &path(SOCKET_PATH_BYTES_MAX + 1), &["admin.socket", "1 to 107 bytes"]);
    accept("connections = 2", "connections = 16");
    let name = |len: usize| format!("k{}", ".k".repeat(len / 2));
    accept("kms.eu-central-1.amazonaws.com", &name(RELAY_NAME_BYTES_MAX));
    refuse("kms.eu-central-1.amazonaws.com", &name(RELAY_NAME_BYTES_MAX + 2), &["relay.names", "253"]);
    let names = |count: usize| (0..count).map(|n| format!("\"k{n}\" = \"127.0.0.1:1\"\n")).collect::<Vec<_>>().concat();
    accept("\"kms.eu-central-1.amazonaws.com\" = \"\"", &names(RELAY_NAMES_MAX));
    let more = names(RELAY_NAMES_MAX + 1);
    refuse("\"kms.eu-central-1.amazonaws.com\" = \"\"", &more, &["relay.names", "17"]);
}

#[test]
fn off_loopback_is_fine_with_tls() {
    let config = accept(
        "listen = \"127.0.0.1:7443\"",
        "listen = \"0.0.0.0:7443\"\ntls = { cert = \"/c.pem\", key = \"/k.pem\" }",
    );
    assert!(config.api.tls.is_some());
}

/// The example's enclaves, each as its section.
fn sections() -> Vec<&'static str> {
    let (start, end) = (EXAMPLE.find("[[enclave]]").unwrap(), EXAMPLE.find("[relay]").unwrap());
    let section = |at: usize| {
        let next = EXAMPLE[at + 1..end].find("[[enclave]]").map_or(end, |next| at + 1 + next);
        &EXAMPLE[at..next]
    };
    EXAMPLE[start..end].match_indices("[[enclave]]").map(|(at, _)| section(start + at)).collect()
}

/// The example with these enclaves alone.
fn with(sections: &[String]) -> Result<Config, Error> {
    let (start, end) = (EXAMPLE.find("[[enclave]]").unwrap(), EXAMPLE.find("[relay]").unwrap());
    Config::parse(&format!("{}{}{}", &EXAMPLE[..start], sections.concat(), &EXAMPLE[end..]))
}

#[test]
fn a_role_has_as_many_enclaves_as_the_limit_says_and_no_more() {
    let [client, _, custodian, _] = sections()[..] else { panic!("four enclaves") };
    let at = |section: &str, cid: usize| section.replace("cid = 16", &format!("cid = {cid}"));
    let mut enclaves: Vec<String> = (0..ENCLAVES_PER_ROLE_MAX).map(|n| at(client, 100 + n)).collect();
    enclaves.push(custodian.to_owned());
    assert_eq!(with(&enclaves).unwrap().enclaves.len(), ENCLAVES_PER_ROLE_MAX + 1);
    enclaves.push(at(client, 200));
    let error = with(&enclaves).unwrap_err().to_string();
    assert!(error.contains("enclave[5].role = 5 of this role") && error.contains("at most 4"), "{error}");
    // Every enclave has an address of its own, whatever its role.
    let error = with(&[client.to_owned(), client.replace("\"client\"", "\"custodian\"")]).unwrap_err().to_string();
    assert!(error.contains("enclave[1].vsock = the same address twice"), "{error}");
}

#[test]
fn one_role_alone_is_enough_and_none_is_not() {
    let sections = sections();
    for (section, role) in [(sections[0], Role::Client), (sections[2], Role::Custodian)] {
        let enclaves = with(&[section.to_owned()]).unwrap().enclaves;
        assert_eq!(enclaves.iter().map(|enclave| enclave.role).collect::<Vec<_>>(), [role]);
    }
    assert!(with(&[]).unwrap_err().to_string().contains("enclave"));
}

#[test]
fn a_file_over_its_limit_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.toml");
    let mut text = EXAMPLE.to_owned();
    text.push_str(&"#".repeat(usize::try_from(CONFIG_BYTES_MAX).unwrap() - text.len()));
    std::fs::write(&path, &text).unwrap();
    Config::load(&path).unwrap();
    text.push('#');
    std::fs::write(&path, &text).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("65537 bytes"));
    assert!(Config::load(&dir.path().join("absent")).unwrap_err().to_string().contains("absent"));
}
