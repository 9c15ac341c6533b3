//! The parent instance: what the allocator was told and did, the enclave device, vsock.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::enclaves::Wanted;
use super::report::Report;

/// Longest file of the machine's that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const ALLOCATOR: &str = "nitro-enclaves-allocator.service";

/// What the allocator was told to set aside.
#[derive(Debug, Eq, PartialEq)]
struct Allocator {
    memory_mib: u64,
    cpus: usize,
}

pub(super) fn check(root: &Path, wanted: Option<Wanted>, report: &mut Report) {
    device(
        root,
        "dev/nitro_enclaves",
        "install aws-nitro-enclaves-cli; be root or in the group ne; the instance must have been launched with enclave options",
        report,
    );
    if let Some(allocator) = allocator(root, wanted, report) {
        huge_pages(root, &allocator, report);
        cpu_pool(root, &allocator, report);
    }
    device(root, "dev/vsock", "modprobe vsock", report);
    socket(report);
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{}: longer than {FILE_BYTES_MAX} bytes", path.display()));
    }
    fs::read_to_string(path).map_err(failed)
}

fn device(root: &Path, name: &str, todo: &str, report: &mut Report) {
    let path = root.join(name);
    let opened = fs::metadata(&path).and_then(|metadata| {
        if !metadata.file_type().is_char_device() {
            return Err(std::io::Error::other("no device"));
        }
        OpenOptions::new().read(true).write(true).open(&path)
    });
    match opened {
        Ok(_) => report.ok(format!("/{name}"), "is there, and opens for whoever runs this"),
        Err(error) => report.fail(format!("/{name}"), error.to_string(), todo),
    }
}

fn allocator(root: &Path, wanted: Option<Wanted>, report: &mut Report) -> Option<Allocator> {
    let name = "allocator";
    let found = read(&root.join("etc/nitro_enclaves/allocator.yaml")).and_then(|text| parse(&text));
    let allocator = match found {
        Ok(allocator) => allocator,
        Err(error) => {
            report.fail(name, error, "write /etc/nitro_enclaves/allocator.yaml as deploy/nitro/allocator.yaml has it");
            return None;
        }
    };
    let Allocator { memory_mib, cpus } = allocator;
    let told = format!("told to set {memory_mib} MiB and {cpus} CPUs aside");
    let todo = format!("raise memory_mib and cpu_count in allocator.yaml, stop the enclaves, restart {ALLOCATOR}");
    match wanted {
        None => report.warn(
            name,
            format!("{told}; compared with no enclave"),
            "give each enclave's parameters: --enclave FILE",
        ),
        Some(wanted) => {
            let Wanted { enclaves, memory_mib: memory, cpus: threads } = wanted;
            let text = format!("{told}; the {enclaves} enclaves given take {memory} MiB and {threads} CPUs");
            if memory > memory_mib || threads > cpus { report.fail(name, text, todo) } else { report.ok(name, text) }
        }
    }
    Some(allocator)
}

/// Reads it as the allocator does: nothing before `---`, then comments and `name: value` lines, and nothing else.
fn parse(text: &str) -> Result<Allocator, String> {
    let (mut memory, mut counted, mut pool) = (None, None, None);
    let started = text.lines().position(|line| line.trim() == "---").ok_or("has no line ---, and so says nothing")?;
    for (number, line) in text.lines().enumerate().skip(started + 1) {
        let line = line.trim();
        if line.starts_with('#') || line == "---" {
            continue;
        }
        let wrong = || format!("line {} is none that the allocator reads", number + 1);
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let value = value.trim().trim_matches('"');
        match name {
            "memory_mib" => memory = Some(value.parse().map_err(|_| wrong())?),
            "cpu_count" => counted = Some(value.parse().map_err(|_| wrong())?),
            "cpu_pool" => pool = Some(count(value).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        }
    }
    let ((Some(cpus), None) | (None, Some(cpus))) = (counted, pool) else {
        return Err("has not exactly one of cpu_count and cpu_pool".to_owned());
    };
    Ok(Allocator { memory_mib: memory.ok_or("has no memory_mib")?, cpus })
}

/// How many CPUs a list such as `2,3,6-9` names.
fn count(ranges: &str) -> Option<usize> {
    let mut sum = 0_usize;
    for part in ranges.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        sum = sum.checked_add(to.checked_sub(from)?)?.checked_add(1)?;
    }
    Some(sum)
}

/// The allocator takes them from one node.
fn huge_pages(root: &Path, allocator: &Allocator, report: &mut Report) {
    let name = "huge pages";
    let nodes: Vec<u64> =
        folders(&root.join("sys/devices/system/node"), "node").iter().map(|node| set_aside(node)).collect();
    let mib = nodes.iter().max().copied().unwrap_or_default();
    let text = format!("{mib} MiB set aside in one node, in use or not");
    let todo = format!("restart {ALLOCATOR} and read its journal; memory too fragmented for it takes a reboot");
    if mib >= allocator.memory_mib { report.ok(name, text) } else { report.fail(name, text, todo) }
}

/// MiB of huge pages of one node.
fn set_aside(node: &str) -> u64 {
    let sizes = folders(&Path::new(node).join("hugepages"), "hugepages-");
    let bytes = sizes.iter().filter_map(|folder| {
        let kib: u64 = folder.rsplit_once("hugepages-")?.1.strip_suffix("kB")?.parse().ok()?;
        let pages: u64 = read(&Path::new(folder).join("nr_hugepages")).ok()?.trim().parse().ok()?;
        kib.checked_mul(pages)
    });
    bytes.fold(0, u64::saturating_add) / 1024
}

/// Paths of what a folder has under names that start so; none where it cannot be read.
fn folders(folder: &Path, start: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let named = entry.file_name().to_str()?.starts_with(start);
        named.then(|| entry.path().to_str().map(str::to_owned))?
    });
    paths.collect()
}

fn cpu_pool(root: &Path, allocator: &Allocator, report: &mut Report) {
    let name = "CPU pool";
    match read(&root.join("sys/module/nitro_enclaves/parameters/ne_cpus")) {
        Err(error) => report.fail(name, error, "modprobe nitro_enclaves"),
        Ok(list) => {
            let there = count(list.trim()).unwrap_or_default();
            let text = format!("the driver has {there} CPUs: {}", list.trim());
            if there >= allocator.cpus {
                report.ok(name, text);
            } else {
                report.fail(name, text, format!("restart {ALLOCATOR}"));
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn socket(report: &mut Report) {
    use rustix::net::{AddressFamily, SocketType, socket};
    match socket(AddressFamily::VSOCK, SocketType::STREAM, None) {
        Ok(_) => {
            report.ok("vsock", "the kernel opens a socket of that family; whether an enclave answers was not tried");
        }
        Err(error) => report.fail(
            "vsock",
            format!("no socket: {error}"),
            "modprobe vsock; does a unit restrict address families?",
        ),
    }
}

#[cfg(not(target_os = "linux"))]
fn socket(report: &mut Report) {
    report.fail("vsock", "this is no Linux", "run it on the parent instance");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_is_read_as_it_reads_itself() {
        let ours = include_str!("../../../../../deploy/nitro/allocator.yaml");
        assert_eq!(parse(ours).unwrap(), Allocator { memory_mib: 768, cpus: 6 });
        let pool = "junk\n---\nmemory_mib: 512\n  # why\ncpu_pool: 2,3,6-9\n";
        assert_eq!(parse(pool).unwrap(), Allocator { memory_mib: 512, cpus: 6 });
        for (text, expect) in [
            ("memory_mib: 512\ncpu_count: 2\n", "no line ---"),
            ("---\nmemory_mib: 512\n\ncpu_count: 2\n", "line 3 "),
            ("---\nmemory_mib: 512M\ncpu_count: 2\n", "line 2 "),
            ("---\nmemory_mib: 512\ncpus: 2\n", "line 3 "),
            ("---\n- memory_mib: 512\n", "line 2 "),
            ("---\nmemory_mib: 512\ncpu_pool: 9-2\n", "line 3 "),
            ("---\nmemory_mib: 512\ncpu_pool: 0-18446744073709551615\n", "line 3 "),
            ("---\nmemory_mib: 512\n", "exactly one"),
            ("---\nmemory_mib: 512\ncpu_count: 2\ncpu_pool: 2,3\n", "exactly one"),
            ("---\ncpu_count: 2\n", "no memory_mib"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expect), "{text:?}: {error}");
        }
    }
}
