//! Run parameters and the allocator's file: they belong together, and to the host's configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use strongroom_host::config::{Address, Config};
use strongroom_tests::stack::process::binary;

/// What `nitro-cli run-enclave --config` reads, without what no enclave of ours has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    enclave_name: String,
    enclave_cid: u32,
    eif_path: String,
    memory_mib: u64,
    cpu_count: u64,
}

/// Every slot with its context id.
const SLOTS: &[(&str, u32)] = &[("client-a", 16), ("client-b", 17), ("custodian-a", 18), ("custodian-b", 19)];
/// As many run at the same time: one of each role, and the one that replaces one of them.
const ENCLAVES_AT_ONCE: usize = 3;
/// The least that the image runs in.
const MEMORY_MIB_MIN: u64 = 96;

fn parameters() -> Vec<Parameters> {
    let mut files: Vec<String> = std::fs::read_dir(super::path("nitro/enclaves"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let read = |file: &String| {
        let given: Parameters = serde_json::from_str(&super::text(&format!("nitro/enclaves/{file}"))).unwrap();
        assert_eq!(format!("{}.json", given.enclave_name), *file);
        given
    };
    files.iter().map(read).collect()
}

#[test]
fn each_slot_has_its_context_id_its_image_and_no_debug_mode() {
    let given: Vec<(String, u32)> = parameters().iter().map(|it| (it.enclave_name.clone(), it.enclave_cid)).collect();
    let expect: Vec<(String, u32)> = SLOTS.iter().map(|(name, cid)| ((*name).to_owned(), *cid)).collect();
    assert_eq!(given, expect);
    for it in parameters() {
        assert_eq!(it.eif_path, format!("/opt/strongroom/{}.eif", it.enclave_name));
        assert!(it.memory_mib >= MEMORY_MIB_MIN && it.memory_mib.is_multiple_of(2), "{it:?}");
        // A core has two threads, and an enclave takes whole cores.
        assert!(it.cpu_count >= 2 && it.cpu_count.is_multiple_of(2), "{it:?}");
    }
}

/// The file as the allocator reads it: `---`, then comments and `name: value` lines, and nothing else.
fn allocator() -> BTreeMap<String, u64> {
    let text = super::text("nitro/allocator.yaml");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("---"));
    let values = lines.filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
        (name.to_owned(), value.parse().unwrap())
    });
    values.collect()
}

#[test]
fn what_the_allocator_sets_aside_is_what_three_enclaves_take() {
    let allocator = allocator();
    assert_eq!(allocator.keys().collect::<Vec<_>>(), ["cpu_count", "memory_mib"]);
    let sum = |of: fn(&Parameters) -> u64| {
        let mut each: Vec<u64> = parameters().iter().map(of).collect();
        each.sort_unstable();
        each.iter().rev().take(ENCLAVES_AT_ONCE).sum::<u64>()
    };
    assert_eq!(allocator["memory_mib"], sum(|it| it.memory_mib));
    assert_eq!(allocator["cpu_count"], sum(|it| it.cpu_count));
    // The machine has two more for the host.
    let variables = super::text("terraform/parent/variables.tf");
    assert!(variables.contains("default     = \"m7i.2xlarge\""), "a type of 8 vCPUs");
    assert!(allocator["cpu_count"] + 2 <= 8);
}

/// YAML's own reader sees the same: the one of the environment that `make test` makes.
#[test]
fn the_allocators_file_is_yaml() {
    let python = binary("strongroom").unwrap().parent().unwrap().join("../venv/bin/python");
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output =
        std::process::Command::new(&python).args(["-c", script]).arg(super::path("nitro/allocator.yaml")).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}: run `make test`", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: BTreeMap<String, u64> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read, allocator());
}

/// The host's configuration names enclaves that the slots start, on the port that the image listens on.
#[test]
fn the_hosts_configuration_finds_the_enclaves_of_the_slots() {
    let config = Config::load(&super::path("host.toml")).unwrap();
    let roles: BTreeSet<&str> = config.enclaves.iter().map(|it| strongroom_sdk::role_name(it.role)).collect();
    assert_eq!(roles, BTreeSet::from(["client", "custodian"]));
    for enclave in &config.enclaves {
        let Address::Vsock { cid, port } = enclave.address else { panic!("{enclave:?}") };
        let role = strongroom_sdk::role_name(enclave.role);
        assert!(SLOTS.iter().any(|(name, of)| name.starts_with(role) && *of == cid), "{enclave:?}");
        assert_eq!(port, 5005);
        let manifest = enclave.manifest.to_str().unwrap();
        assert!(
            manifest.starts_with(&format!("/etc/strongroom/{role}")) && manifest.ends_with(".manifest"),
            "{manifest}"
        );
    }
    assert_eq!(config.admin_socket.to_str(), Some("/run/strongroom/admin.sock"));
    assert_eq!(config.sqlite.to_str(), Some("/var/lib/strongroom/strongroom.db"));
}
