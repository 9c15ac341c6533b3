//! All is well once; then one thing at a time is not, and exactly that is named.

use std::os::unix::fs::MetadataExt;

use rustix::net::{AddressFamily, SocketType, socket};

use super::metadata::Metadata;
use super::parent::{Check, Parent, elf, strongroom};

/// What a check of the socket must say on this machine.
fn vsock() -> &'static str {
    if socket(AddressFamily::VSOCK, SocketType::STREAM, None).is_ok() { "ok" } else { "fail" }
}

/// What the check of the host's configuration must say of one that the host takes: root's eyes see more than the service's.
fn taken() -> &'static str {
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 { "warn" } else { "ok" }
}

/// Exactly these checks are not ok.
fn not_ok(checks: &[Check]) -> Vec<&Check> {
    let depends = |check: &Check| {
        check.name == "vsock" && check.verdict == vsock()
            || check.name.starts_with("host configuration")
                && check.verdict == taken()
                && check.found.contains("takes it")
    };
    checks.iter().filter(|check| check.verdict != "ok" && !depends(check)).collect()
}

#[test]
fn where_all_is_well_every_check_says_what_it_looked_at() {
    let parent = Parent::well();
    let (code, checks) = parent.doctor();
    assert!(not_ok(&checks).is_empty(), "{checks:#?}");
    assert_eq!(code, i32::from(vsock() == "fail"));
    let names: Vec<&str> = checks.iter().map(|check| check.name.split(" /tmp").next().unwrap()).collect();
    let machine = ["/dev/nitro_enclaves", "allocator", "huge pages", "CPU pool", "/dev/vsock", "vsock"];
    let services = ["IMDSv2", "IMDSv1", "IAM role", "clock, synchronised", "clock, against instance metadata"];
    let enclaves = ["enclave", "image"].repeat(3);
    for name in machine.iter().chain(&services).chain(&enclaves) {
        assert!(names.iter().any(|it| it.starts_with(name)), "{name}: {names:?}");
    }
    for name in ["slot client-a", "slot client-b", "slot custodian-a", "keys of the two roles"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    // Configuration, KMS, four manifests, keys, and the two policies.
    assert_eq!(checks.len(), 3 * 3 + machine.len() + services.len() + 1 + 1 + 4 + 1 + 2, "{names:?}");
    let host = checks.iter().find(|check| check.name.starts_with("host configuration")).unwrap();
    assert_eq!(host.verdict, taken());
    if taken() == "warn" {
        assert!(host.found.contains("looked as root"), "{host:?}");
        assert!(host.todo.starts_with("sudo -u strongroom ") && host.todo.ends_with(" --check"), "{host:?}");
    }
    assert_eq!(checks.iter().find(|check| check.name == "vsock").unwrap().verdict, vsock());
    let (code, text) = parent.text();
    assert_eq!(code, i32::from(vsock() == "fail"));
    assert!(text.lines().any(|line| line.starts_with("ok   huge pages: 768 MiB")), "{text}");
    // And where it is not, with what to do on the next line.
    parent.remove("dev/vsock");
    parent.replace("host.toml", "[relay]", "[relay]\nx = 1");
    let (code, text) = parent.text();
    assert_eq!(code, 1);
    for (line, todo) in
        [("FAIL /dev/vsock: No such file", "modprobe vsock"), ("FAIL host configuration ", "correct it")]
    {
        let next = text.lines().skip_while(|it| !it.starts_with(line)).nth(1);
        assert!(next.is_some_and(|next| next.starts_with(&format!("     -> {todo}"))), "{line}: {text}");
    }
}

/// (what it is, how the parent is spoiled, the check, its verdict, what is found)
pub(super) type Case = (&'static str, fn(&mut Parent), &'static str, &'static str, &'static str);

pub(super) fn check(cases: &[Case]) {
    for (what, spoil, name, verdict, found) in cases {
        let mut parent = Parent::well();
        spoil(&mut parent);
        let (code, checks) = parent.doctor();
        let named = checks.iter().find(|check| check.name.starts_with(name) && check.verdict == *verdict);
        let named = named.unwrap_or_else(|| panic!("{what}: {checks:#?}"));
        assert!(named.found.contains(found), "{what}: {named:?}");
        assert!(*verdict == "skip" || !named.todo.is_empty(), "{what}: says not what to do");
        let fails = checks.iter().any(|check| check.verdict == "fail");
        assert_eq!(
            (code, fails),
            if *verdict == "fail" || vsock() == "fail" { (1, true) } else { (0, false) },
            "{what}"
        );
        // A fault is not spread over checks that did not look at it.
        let others = not_ok(&checks)
            .into_iter()
            .filter(|check| check.verdict != "skip" && !check.name.starts_with(name))
            .count();
        assert!(others <= 2, "{what}: {checks:#?}");
    }
}

const ALLOCATOR: &str = "etc/nitro_enclaves/allocator.yaml";
const PAGES: &str = "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
const POOL: &str = "sys/module/nitro_enclaves/parameters/ne_cpus";

const MACHINE: &[Case] = &[
    ("no device", |it| it.remove("dev/nitro_enclaves"), "/dev/nitro_enclaves", "fail", "No such file"),
    (
        "a file",
        |it| {
            it.remove("dev/nitro_enclaves");
            it.write("dev/nitro_enclaves", "");
        },
        "/dev/nitro_enclaves",
        "fail",
        "no device",
    ),
    ("no vsock", |it| it.remove("dev/vsock"), "/dev/vsock", "fail", "No such file"),
    ("no allocator", |it| it.remove(ALLOCATOR), "allocator", "fail", "No such file"),
    (
        "a blank line",
        |it| it.replace(ALLOCATOR, "cpu_count", "\ncpu_count"),
        "allocator",
        "fail",
        "none that the allocator reads",
    ),
    ("too long", |it| it.write(ALLOCATOR, vec![b'#'; 65537]), "allocator", "fail", "longer than"),
    ("too little memory", |it| it.replace(ALLOCATOR, "768", "767"), "allocator", "fail", "take 768 MiB"),
    ("too few CPUs", |it| it.replace(ALLOCATOR, "cpu_count: 6", "cpu_count: 5"), "allocator", "fail", "and 6 CPUs"),
    ("no enclave given", |it| it.without("--enclave"), "allocator", "warn", "compared with no enclave"),
    ("pages missing", |it| it.write(PAGES, "383"), "huge pages", "fail", "766 MiB"),
    ("no pages known", |it| it.remove(PAGES), "huge pages", "fail", "0 MiB"),
    (
        "pages on two nodes",
        |it| {
            it.write(PAGES, "192");
            it.write(&PAGES.replace("node1", "node0"), "192");
        },
        "huge pages",
        "fail",
        "384 MiB",
    ),
    ("no driver", |it| it.remove(POOL), "CPU pool", "fail", "No such file"),
    ("no CPUs", |it| it.write(POOL, "\n"), "CPU pool", "fail", "0 CPUs"),
    ("a CPU missing", |it| it.write(POOL, "1-3,5-6\n"), "CPU pool", "fail", "5 CPUs"),
];

#[test]
fn a_machine_that_is_not_prepared() {
    check(MACHINE);
}

const METADATA: &[Case] = &[
    ("no answer", |it| it.imds = Some("127.0.0.1:1".parse().unwrap()), "IMDSv2", "fail", "refused"),
    ("silence", |it| it.metadata = Metadata::Silent, "IMDSv2", "fail", "127.0.0.1"),
    ("no end", |it| it.metadata = Metadata::Endless, "IMDSv2", "fail", "no answer of HTTP/1.1"),
    ("turned off", |it| it.metadata = Metadata::Status(403), "IMDSv2", "fail", "403"),
    ("a token of two lines", |it| it.metadata = Metadata::BadToken, "IMDSv2", "fail", "200"),
    ("version 1", |it| it.metadata = Metadata::Version1, "IMDSv1", "fail", "answers 200"),
    ("version 1, no role", |it| it.metadata = Metadata::Version1WithoutRole, "IMDSv1", "fail", "answers 404"),
    ("no role", |it| it.metadata = Metadata::NoRole, "IAM role", "fail", "404"),
    ("clock behind", |it| it.metadata = Metadata::Clock("+1 hour"), "clock, against", "warn", "-3"),
    ("clock ahead", |it| it.metadata = Metadata::Clock("-1 minute"), "clock, against", "warn", "6"),
    ("no date", |it| it.metadata = Metadata::BadDate, "clock, against", "warn", "tomorrow"),
    ("an error", |it| it.metadata = Metadata::Status(500), "IMDSv2", "fail", "500"),
    ("not synchronised", |it| it.program("clock", "echo no"), "clock, synchronised", "warn", "no, says"),
    ("fails", |it| it.program("clock", "echo yes; exit 1"), "clock, synchronised", "warn", "unknown"),
    ("says nothing", |it| it.program("clock", "true"), "clock, synchronised", "warn", "unknown"),
    ("is not there", |it| it.remove("clock"), "clock, synchronised", "warn", "unknown"),
];

#[test]
fn metadata_and_clocks_that_are_not_as_they_must_be() {
    check(METADATA);
    let mut parent = Parent::well();
    parent.metadata = Metadata::Status(500);
    let (_, checks) = parent.doctor();
    let skipped = checks.iter().find(|check| check.name.starts_with("clock, against")).unwrap();
    assert_eq!((skipped.verdict.as_str(), skipped.found.as_str()), ("skip", "NOT COMPARED: it gave no Date"));
}

const ENCLAVES: &[Case] = &[
    ("no file", |it| it.remove("client-a.json"), "enclave", "fail", "No such file"),
    ("another name", |it| it.replace("client-a.json", "memory_mib", "memory_mb"), "enclave", "fail", "memory_mb"),
    (
        "debug",
        |it| it.replace("client-a.json", "{", "{\"debug_mode\":true,"),
        "enclave",
        "fail",
        "every measurement is zero",
    ),
    ("console", |it| it.replace("client-a.json", "{", "{\"attach_console\":true,"), "enclave", "fail", "debug mode"),
    ("no CPUs", |it| it.replace("client-a.json", ",\"cpu_count\":2", ""), "enclave", "fail", "exactly one"),
    ("twice CPUs", |it| it.replace("client-a.json", "{", "{\"cpu_ids\":[2,3],"), "enclave", "fail", "exactly one"),
    ("no CID", |it| it.replace("client-a.json", "\"enclave_cid\":16,", ""), "enclave", "fail", "no enclave_cid"),
    ("the parent's CID", |it| it.replace("client-a.json", ":16", ":3"), "enclave", "fail", "no enclave_cid"),
    ("the same CID", |it| it.replace("client-b.json", ":17", ":16"), "enclave", "fail", "of another one"),
    ("the same name", |it| it.replace("client-b.json", "client-b", "client-a"), "enclave", "fail", "of another one"),
    ("no name", |it| it.replace("client-a.json", "\"client-a\"", "\"\""), "enclave", "fail", "no enclave_name"),
    ("no image", |it| it.remove("strongroom.eif"), "image", "fail", "No such file"),
    ("no EIF", |it| it.write("strongroom.eif", "EIF"), "image", "fail", ""),
    (
        "other bytes",
        |it| {
            it.remove("strongroom.eif");
            it.write("kernel", [7; 4096]);
            it.write("init", elf(8));
            let [kernel, init, out] = ["kernel", "init", "strongroom.eif"].map(|name| it.shown(name));
            strongroom(&["image", "build", "--kernel", &kernel, "--init", &init, "--out", &out]);
        },
        "image",
        "fail",
        "none of those given",
    ),
    ("too little memory", |it| it.replace("client-a.json", ":256", ":3"), "image", "fail", "no less than 4 MiB"),
    (
        "PCR1 of another",
        |it| {
            it.without("--image");
            let mut pcrs: Vec<String> = it.image.split(':').map(str::to_owned).collect();
            pcrs[1] = "ab".repeat(48);
            it.arguments.extend(["--image".to_owned(), pcrs.join(":")]);
            it.without("--key-policy");
        },
        "image",
        "fail",
        "none of those given",
    ),
    ("no measurements given", |it| it.without("--image"), "image", "warn", "compared with nothing"),
];

#[test]
fn enclaves_that_would_not_start_or_not_open() {
    check(ENCLAVES);
}
