use super::*;

const EXAMPLE: &str = include_str!("../../strongroom-host.example.toml");
/// What an operator on EC2 starts from.
const NITRO: &str = include_str!("../../../deploy/host.toml");

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
    assert_eq!(slots[..2], [slot(Role::Client, "vsock:16:5005"), slot(Role::Client, "vsock:17:5005")]);
    assert_eq!(slots[2..], [slot(Role::Custodian, "vsock:18:5005"), slot(Role::Custodian, "vsock:19:5005")]);
    for one in &config.enclaves {
        assert_eq!(config.enclaves.iter().filter(|it| it.manifest == one.manifest).count(), 1);
        assert!(config.enclaves.iter().all(|it| (it.credentials == one.credentials) == (it.role == one.role)));
    }
    assert_eq!(config.relay.listen, Listen::Vsock(9001));
    assert_eq!(config.relay.names["kms.eu-central-1.amazonaws.com"], Target::Name);
    assert_eq!(config.log.format, Format::Text);
    assert!(
        matches!(&config.enclaves[0].credentials, CredentialSource::File(path) if path.ends_with("client.credentials.toml"))
    );
    assert!(config.parent.heartbeat.is_none());
    assert_eq!(config.parent.last_words, Some(Listen::Vsock(9002)));
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

/// The same field of the Nitro parent's file, given another value, must be refused with these names.
fn refuse_nitro(from: &str, to: &str, names: &[&str]) {
    assert!(NITRO.contains(from), "{from}");
    let error = Config::parse(&NITRO.replacen(from, to, 1)).unwrap_err().to_string();
    for name in names {
        assert!(error.contains(name), "{to}: {error:?} does not name {name:?}");
    }
}

#[test]
fn the_nitro_parents_file_parses() {
    let config = Config::parse(NITRO).unwrap();
    assert!(config.api.tls.is_some() && !config.api.reflection && !config.api.listen.ip().is_loopback());
    let [client, client_b, custodian, custodian_b] = config.enclaves.as_slice() else {
        panic!("{:?}", config.enclaves)
    };
    assert_eq!((client.role, client_b.role), (Role::Client, Role::Client));
    assert_eq!((custodian.role, custodian_b.role), (Role::Custodian, Role::Custodian));
    let names = ["client-a", "client-b", "custodian-a", "custodian-b"];
    for ((enclave, cid), name) in config.enclaves.iter().zip(16..).zip(names) {
        assert_eq!(enclave.address, Address::Vsock { cid, port: 5005 });
        assert_eq!(enclave.manifest, Path::new("/etc/strongroom").join(format!("{name}.manifest")));
        assert_eq!(enclave.credentials, client.credentials);
    }
    let source =
        |role: &str, imds: &str| CredentialSource::InstanceRole { role: role.to_owned(), imds: imds.parse().unwrap() };
    assert_eq!(client.credentials, source("strongroom-both", "169.254.169.254:80"));
    assert_eq!(config.parent.last_words, Some(Listen::Vsock(9002)));
    assert!(config.parent.heartbeat.is_none(), "port 9000 is nitro-cli's");
    assert_eq!(config.relay.listen, Listen::Vsock(9001));
    let imds = "imds = \"http://169.254.169.254\"";
    for (given, expect) in [
        ("", "169.254.169.254:80"),
        ("imds = \"http://169.254.169.254:81\"", "169.254.169.254:81"),
        ("imds = \"http://[fd00:ec2::254]\"", "[fd00:ec2::254]:80"),
        ("imds = \"http://127.0.0.1:1338\"", "127.0.0.1:1338"),
        ("imds = \"http://[::1]:1338\"", "[::1]:1338"),
    ] {
        let config = Config::parse(&NITRO.replacen(imds, given, 1)).unwrap();
        assert_eq!(config.enclaves[0].credentials, source("strongroom-both", expect), "{given}");
    }
}

#[test]
fn credentials_have_one_source_that_nobody_else_can_answer_for() {
    let at = "enclave[0].credentials";
    let role = "instance_role = \"strongroom-both\"";
    let longest = format!("instance_role = \"{}\"", "r".repeat(64));
    Config::parse(&NITRO.replacen(role, &longest, 1)).unwrap();
    for name in ["", "a/b", "../token", "a b", "a\\n", "a?b", "a#b", "a%2f", "r\u{f6}le", &"r".repeat(65)] {
        let field = format!("{at}.instance_role");
        refuse_nitro(role, &format!("instance_role = \"{name}\""), &[&field, "1 to 64 letters"]);
    }
    let imds = "\"http://169.254.169.254\"";
    for url in [
        "",
        "169.254.169.254",
        "https://169.254.169.254",
        "HTTP://169.254.169.254",
        "http://",
        "http://169.254.169.254/",
        "http://169.254.169.254/latest",
        "http://u@169.254.169.254",
        "http://169.254.169.253",
        "http://169.254.169.254:",
        "http://169.254.169.254:65536",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[fd00:ec2::253]",
        "http://fd00:ec2::254",
        "http://[169.254.169.254]",
        "http://[::]",
        "http://localhost:80",
        "http://instance-data.ec2.internal",
    ] {
        refuse_nitro(imds, &format!("\"{url}\""), &["enclave[0].credentials.imds", "loopback"]);
    }
    refuse_nitro(role, "", &[&format!("{at}.file"), "neither", "exactly one"]);
    refuse_nitro(role, &format!("{role}\nfile = \"/c\""), &[&format!("{at}.file"), "both", "exactly one"]);
    refuse_nitro(role, "file = \"/c\"", &["enclave[0].credentials.imds", "goes with instance_role"]);
    refuse_nitro(role, "instance_role = true", &["line", "string"]);
    refuse_nitro(role, "instance_profile = \"p\"", &["instance_profile"]);
}

#[test]
fn a_parents_listeners_are_each_one_place_or_none() {
    let words = "last_words = { vsock_port = 9002 }";
    let with = |text: &str| Config::parse(&NITRO.replacen(words, text, 1)).unwrap().parent;
    let both = with("heartbeat = { unix = \"/run/beat\" }\nlast_words = { unix = \"/run/words\" }");
    assert_eq!(both.heartbeat, Some(Listen::Unix("/run/beat".into())));
    assert_eq!(both.last_words, Some(Listen::Unix("/run/words".into())));
    assert!(with("").last_words.is_none());
    let without = NITRO.replacen(words, "", 1).replacen("[parent]", "", 1);
    assert!(Config::parse(&without).unwrap().parent.last_words.is_none());
    for (to, names) in [
        ("last_words = { }", ["parent.last_words.unix", "neither"]),
        ("last_words = { unix = \"/w\", vsock_port = 9002 }", ["parent.last_words.unix", "both"]),
        ("last_words = { unix = \"\" }", ["parent.last_words.unix", "1 to 107 bytes"]),
        ("heartbeat = { }", ["parent.heartbeat.unix", "neither"]),
        ("heartbeat = { vsock_port = -1 }", ["line", "u32"]),
        ("heartbeat = 9000", ["line", "RawListen"]),
        ("last_words = { cid = 3, vsock_port = 9002 }", ["line", "cid"]),
        ("heartbeats = { vsock_port = 9000 }", ["line", "heartbeats"]),
    ] {
        refuse_nitro(words, to, &names);
    }
}
