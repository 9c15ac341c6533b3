//! The host's configuration, its slots and manifests, and the key policies: one thing at a time is not as it must be.

use super::parent::{Parent, REGION, administrator};
use super::refusals::{Case, check};

/// Gives the client role's second manifest this key.
fn has_key(parent: &Parent, key: &str) {
    let arn = format!("arn:aws:kms:{REGION}:{key}");
    let second = parent.manifest_of(&arn, ("client-b", "client", REGION), &[]);
    let first = parent.manifest("client-a", "client", REGION, &[]);
    parent.key_policy("client", &[first, second], &administrator("client"));
}

const HOST: &[Case] = &[
    ("no file", |it| it.remove("host.toml"), "host configuration", "fail", "refuses it"),
    ("an unknown field", |it| it.replace("host.toml", "[relay]", "[relay]\nx = 1"), "host configuration", "fail", "x"),
    (
        "no manifest",
        |it| {
            it.remove("custodian-a.manifest");
            it.without("--enclave");
            it.without("--key-policy");
        },
        "manifest",
        "fail",
        "No such file",
    ),
    ("no manifest of a role", |it| it.remove("custodian-a.manifest"), "slot custodian-a", "fail", "no manifest"),
    ("a slot without its manifest", |it| it.remove("client-b.manifest"), "slot client-b", "fail", "no manifest"),
    (
        "a CID that the host does not have",
        |it| it.replace("client-b.json", ":17", ":20"),
        "slot client-b",
        "fail",
        "no enclave of CID 20",
    ),
    (
        "the other role's CID",
        |it| it.replace("client-b.json", ":17", ":19"),
        "slot client-b",
        "fail",
        "of the role custodian",
    ),
    (
        "a host that listens elsewhere",
        |it| it.replace("host.toml", "cid = 18", "cid = 20"),
        "slot custodian-a",
        "fail",
        "no enclave of CID 18",
    ),
    (
        "a name without a role",
        |it| it.replace("client-b.json", "client-b", "clients"),
        "slot clients",
        "warn",
        "tells no role",
    ),
    ("one account", |it| has_key(it, "777788889999:key/5678"), "keys of the two roles", "fail", "lie in one account"),
    (
        "one key",
        |it| has_key(it, "777788889999:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        "keys of the two roles",
        "fail",
        "name one key",
    ),
    ("no host", |it| it.program("host", "exec /nonexistent"), "host configuration", "fail", "refuses it"),
    ("none given", |it| it.without("--host-config"), "host configuration", "skip", "NOT LOOKED AT"),
    (
        "KMS does not answer",
        |it| {
            it.replace("host.toml", "amazonaws.com\" = \"127.0.0.1:", "amazonaws.com\" = \"127.0.0.1:1\" #");
        },
        "KMS",
        "fail",
        "refused",
    ),
    (
        "KMS has no address",
        |it| {
            it.replace("host.toml", "[relay.names]", "[relay.names]\n\"kms.invalid\" = \"\"");
        },
        "KMS kms.invalid",
        "fail",
        "no address",
    ),
    (
        "roles swapped",
        |it| drop(it.manifest("client-a", "custodian", REGION, &[])),
        "manifest",
        "fail",
        "of the role custodian",
    ),
    (
        "another region",
        |it| drop(it.manifest("client-a", "client", "eu-west-1", &[])),
        "manifest",
        "fail",
        "kms.eu-west-1.amazonaws.com",
    ),
    (
        "development",
        |it| {
            it.write("root.der", [0x30; 64]);
            let root = it.shown("root.der");
            it.manifest("client-a", "client", REGION, &["--development-kms-root", &root]);
        },
        "manifest",
        "fail",
        "for development",
    ),
    (
        "another role than the instance's",
        |it| {
            it.program("host", "true");
            let file = it.shown("credentials.toml");
            it.replace("host.toml", &format!("file = \"{file}\""), "instance_role = \"strongroom-client\"");
        },
        "credentials, custodian",
        "fail",
        "the instance's role is strongroom-both",
    ),
    (
        "an empty slot",
        |it| {
            it.without("--enclave");
        },
        "manifest",
        "warn",
        "an empty slot",
    ),
    ("no manifest at all", |it| it.write("client-a.manifest", "manifest"), "manifest", "fail", "no manifest"),
];

#[test]
fn a_host_that_would_not_start_or_not_reach_kms() {
    check(HOST);
    // A slot in which an enclave is to start is not called empty.
    let parent = Parent::well();
    parent.remove("client-b.manifest");
    let (_, checks) = parent.doctor();
    let of_slots = checks.iter().filter(|check| check.name.ends_with("-b.manifest")).collect::<Vec<_>>();
    assert_eq!(of_slots.len(), 1, "{of_slots:?}");
    assert!(of_slots[0].name.ends_with("/custodian-b.manifest") && of_slots[0].verdict == "ok", "{of_slots:?}");
    // Development has no two accounts.
    parent.write("root.der", [0x30; 64]);
    parent.manifest("client-b", "client", REGION, &["--development-kms-root", &parent.shown("root.der")]);
    let (_, checks) = parent.doctor();
    let keys = checks.iter().find(|check| check.name == "keys of the two roles").unwrap();
    assert!(keys.verdict == "skip" && keys.found.starts_with("NOT COMPARED"), "{keys:?}");
}

const KEY_POLICIES: &[Case] = &[
    ("no file", |it| it.remove("client.json"), "key policy, client", "fail", "No such file"),
    (
        "unattested",
        |it| {
            it.replace(
                "client.json",
                "\"kms:DescribeKey\"\n      ],\n      \"Effect",
                "\"kms:Decrypt\"\n      ],\n      \"Effect",
            );
        },
        "key policy, client",
        "fail",
        "findings",
    ),
    (
        "another image",
        |it| it.replace("client.json", &it.image.clone()[..96], &"ab".repeat(48)),
        "key policy, client",
        "fail",
        "unknown",
    ),
    (
        "another manifest",
        |it| it.key_policy("custodian", &["cd".repeat(48)], &administrator("custodian")),
        "key policy, custodian",
        "fail",
        "unknown",
    ),
    (
        "the other role's administrator",
        |it| {
            let pcr16s = ["client-a", "client-b"].map(|slot| it.manifest(slot, "client", REGION, &[]));
            it.key_policy("client", &pcr16s, &administrator("custodian"));
        },
        "key policy, client",
        "fail",
        "",
    ),
    (
        "another administrator",
        |it| {
            it.without("--administrator");
            it.administrator("client", "arn:aws:iam::111122223333:role/other");
            it.administrator("custodian", &administrator("custodian"));
        },
        "key policy, client",
        "fail",
        "",
    ),
    ("no administrator", |it| it.without("--administrator"), "key policy, client", "warn", ""),
    (
        "nothing to compare with",
        |it| it.without("--host-config"),
        "key policy, client",
        "warn",
        "compared with nothing",
    ),
    ("none given", |it| it.without("--key-policy"), "key policies", "skip", "NOT LOOKED AT"),
];

#[test]
fn key_policies_that_open_to_others_or_not_to_these() {
    check(KEY_POLICIES);
}

#[test]
fn an_administrator_is_one_of_a_role() {
    let arn = administrator("client");
    for given in [arn.clone(), "client=".to_owned(), format!("operator={arn}"), format!("={arn}")] {
        let mut parent = Parent::well();
        parent.without("--administrator");
        parent.arguments.extend(["--administrator".to_owned(), given.clone()]);
        assert_eq!(parent.text(), (2, String::new()), "{given}");
    }
}
