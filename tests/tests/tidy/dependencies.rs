//! Dependencies: their direction, the allow-lists of the trusted parts, bans and licences.

use std::collections::BTreeSet;

use cargo_metadata::DependencyKind;
use serde::Deserialize;

use super::repository::{metadata, root, text, tree};

/// Who may link whom, tests left out: they may link everything, and nothing links them.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("strongroom-proto", &[]),
    ("strongroom-core", &["strongroom-proto"]),
    ("strongroom-runtime", &["strongroom-core", "strongroom-proto"]),
    ("strongroom-enclave", &["strongroom-runtime"]),
    ("strongroom-attestation", &[]),
    ("strongroom-simulated", &["strongroom-attestation", "strongroom-runtime"]),
    ("strongroom-nsm-device", &["strongroom-runtime", "strongroom-simulated"]),
    ("strongroom-host", &["strongroom-proto"]),
    ("strongroom-sdk", &["strongroom-attestation", "strongroom-proto"]),
    ("strongroom-example-backend", &["strongroom-proto", "strongroom-sdk"]),
];

#[test]
fn dependencies_point_one_way() {
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        if ["strongroom-tests", "strongroom-fuzz-targets"].contains(&name) {
            continue;
        }
        let (_, allowed) =
            DIRECTIONS.iter().find(|(crate_name, _)| *crate_name == name).unwrap_or_else(|| panic!("{name}: new here"));
        for dependency in package.dependencies.iter().filter(|it| it.name.starts_with("strongroom-")) {
            // Tests may link the crate's own neighbours; nothing ever links the tests crate.
            let allowed = allowed.contains(&dependency.name.as_str())
                || (dependency.kind == DependencyKind::Development && dependency.name == name);
            assert!(allowed, "{name} must not depend on {}", dependency.name);
        }
    }
}

/// Most crates that the production enclave links.
const ENCLAVE_CRATES_MAX: usize = 140;

#[test]
fn the_trusted_parts_link_listed_crates_only() {
    for (package, list) in [("strongroom-core", "core-crates.txt"), ("strongroom-enclave", "enclave-crates.txt")] {
        let path = format!("tests/tests/tidy/{list}");
        let linked = names(&tree(package, "{p}"));
        if std::env::var_os("STRONGROOM_BLESS").is_some() {
            let lines: Vec<&str> = linked.iter().map(String::as_str).collect();
            std::fs::write(root().join(&path), lines.join("\n") + "\n").unwrap();
        }
        let listed: BTreeSet<String> = text(&path).lines().map(str::to_owned).collect();
        let new: Vec<_> = linked.difference(&listed).collect();
        let gone: Vec<_> = listed.difference(&linked).collect();
        assert!(new.is_empty() && gone.is_empty(), "{package}: {path} lacks {new:?} and lists {gone:?} in vain");
        assert!(linked.len() <= ENCLAVE_CRATES_MAX, "{package} links {} crates", linked.len());
        println!("{package}: {} crates", linked.len());
    }
}

#[test]
fn nothing_of_host_or_simulation_is_in_the_enclave() {
    let linked = names(&tree("strongroom-enclave", "{p}"));
    for banned in [
        "tonic",
        "h2",
        "axum",
        "rusqlite",
        "libsqlite3-sys",
        "rsa",
        "openssl",
        "rcgen",
        "strongroom-simulated",
        "strongroom-attestation",
    ] {
        assert!(!linked.contains(banned), "the enclave links {banned}");
    }
}

#[test]
fn the_core_needs_no_std() {
    let with_std: Vec<String> = tree("strongroom-core", "{p} features={f}")
        .into_iter()
        .filter(|line| line.rsplit('=').next().unwrap().split(',').any(|feature| feature == "std"))
        .collect();
    assert!(with_std.is_empty(), "built with std: {with_std:?}");
    assert!(text("enclave/core/src/lib.rs").contains("#![no_std]"));
}

fn names(lines: &[String]) -> BTreeSet<String> {
    lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
}

#[test]
fn banned_crates_come_through_their_wrappers_only() {
    let deny: Deny = toml::from_str(&text("deny.toml")).unwrap();
    let metadata = metadata();
    for ban in &deny.bans.deny {
        for package in &metadata.packages {
            let brings = package.dependencies.iter().any(|dependency| dependency.name == ban.name);
            let linked = brings && is_resolved(&metadata, package, &ban.name);
            assert!(
                !linked || ban.wrappers.contains(&package.name.to_string()),
                "{} brings {}",
                package.name,
                ban.name
            );
        }
    }
}

/// Whether `package` really brings `name` in this workspace: an optional dependency is listed even where nobody asked for it.
fn is_resolved(metadata: &cargo_metadata::Metadata, package: &cargo_metadata::Package, name: &str) -> bool {
    let node = metadata.resolve.as_ref().unwrap().nodes.iter().find(|node| node.id == package.id);
    node.is_some_and(|node| node.dependencies.iter().any(|id| metadata[id].name.as_str() == name))
}

#[test]
fn licences_are_on_the_list() {
    let deny: Deny = toml::from_str(&text("deny.toml")).unwrap();
    let allowed: Vec<spdx::Licensee> =
        deny.licenses.allow.iter().map(|licence| spdx::Licensee::parse(licence).unwrap()).collect();
    for package in metadata().packages {
        let licence = package.license.as_deref().unwrap_or_default();
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{}: licence {licence:?}: {error}", package.name));
        let passes = expression.evaluate(|wanted| allowed.iter().any(|licensee| licensee.satisfies(wanted)));
        assert!(passes, "{}: licence {licence}", package.name);
    }
}
