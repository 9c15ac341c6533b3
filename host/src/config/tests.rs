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
    let roles: Vec<Role> = config.enclaves.iter().map(|enclave| enclave.role).collect();
    assert_eq!(roles, [Role::Client, Role::Custodian]);
    let [client, custodian] = config.enclaves.as_slice() else { panic!("{roles:?}") };
    assert_eq!(custodian.address, Address::Vsock { cid: 17, port: 5005 });
    assert!(client.manifest != custodian.manifest && client.credentials != custodian.credentials);
    assert_eq!(config.relay.listen, RelayListen::Vsock(9001));
    assert_eq!(config.relay.names["kms.eu-central-1.amazonaws.com"], Target::Name);
    assert_eq!(config.log.format, Format::Text);
}

#[test]
fn values_outside_their_limits_are_named() {
    refuse("127.0.0.1:7443", "localhost", &["api.listen", "localhost", "IP address"]);
    refuse("127.0.0.1:7443", "0.0.0.0:7443", &["api.listen", "0.0.0.0:7443", "api.tls"]);
    refuse("127.0.0.1:7443", "[::]:7443", &["api.listen", "[::]:7443", "loopback"]);
    refuse("role = \"client\"", "role = \"custodian\"", &["enclave[1].role", "the same role twice"]);
    refuse("role = \"custodian\"", "role = \"client\"", &["enclave[1].role", "the same role twice"]);
    for unknown in ["", "Client", "witness", "ROLE_CUSTODIAN"] {
        let role = format!("role = \"{unknown}\"");
        refuse("role = \"client\"", &role, &["enclave[0].role", &format!("\"{unknown}\""), "\"custodian\""]);
        refuse("role = \"custodian\"", &role, &["enclave[1].role", &format!("\"{unknown}\""), "\"client\""]);
    }
    refuse("cid = 17", "cid = 16", &["enclave[1].vsock", "the same address twice"]);
    refuse("\"/etc/strongroom/custodian.manifest\"", "\"\"", &["enclave[1].manifest", "path"]);
    refuse("\"/etc/strongroom/custodian.credentials.toml\"", "\"\"", &["enclave[1].credentials.file"]);
    refuse("connections = 2", "connections = 0", &["enclave[0].connections", "0", "1 to 16"]);
    refuse("connections = 2", "connections = 17", &["enclave[0].connections", "17", "1 to 16"]);
    refuse("connections = 2", "connections = -1", &["enclave[0].connections", "-1", "1 to 16"]);
    refuse("cid = 16", "cid = 2", &["enclave[0].vsock.cid", "2", "at least 3"]);
    refuse("vsock = {", "unix = \"/a\"\nvsock = {", &["enclave[0].unix", "both", "exactly one"]);
    refuse("vsock = { cid = 16, port = 5005 }", "", &["enclave[0].unix", "neither", "exactly one"]);
    refuse("vsock_port = 9001", "", &["relay.unix", "neither"]);
    refuse("vsock_port = 9001", "vsock_port = 9001\nunix = \"/r\"", &["relay.unix", "both"]);
    refuse("\"/etc/strongroom/client.manifest\"", "\"\"", &["enclave[0].manifest", "path"]);
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
    refuse("manifest = \"/etc/strongroom/client.manifest\"", "", &["manifest"]);
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

#[test]
fn the_same_role_twice_is_refused() {
    let start = EXAMPLE.find("[[enclave]]").unwrap();
    let end = EXAMPLE.find("[relay]").unwrap();
    let twice = format!("{}{}", EXAMPLE, &EXAMPLE[start..end]);
    assert!(Config::parse(&twice).unwrap_err().to_string().contains("enclave[2].role"));
}

#[test]
fn one_role_alone_is_enough_and_none_is_not() {
    let first = EXAMPLE.find("[[enclave]]").unwrap();
    let second = first + EXAMPLE[first + 1..].find("[[enclave]]").unwrap() + 1;
    let end = EXAMPLE.find("[relay]").unwrap();
    let without = |from: usize, to: usize| Config::parse(&format!("{}{}", &EXAMPLE[..from], &EXAMPLE[to..]));
    for (from, to, role) in [(second, end, Role::Client), (first, second, Role::Custodian)] {
        let enclaves = without(from, to).unwrap().enclaves;
        assert_eq!(enclaves.iter().map(|enclave| enclave.role).collect::<Vec<_>>(), [role]);
    }
    assert!(without(first, end).unwrap_err().to_string().contains("enclave"));
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
