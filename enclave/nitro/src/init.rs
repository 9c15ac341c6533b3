//! What the first process of the image does before it serves: the device file system, the kernel's modules, the module's device, and a
//! heartbeat that tells the parent that the image has come up.
//!
//! There is no other process and no shell. When this one ends, the kernel panics and the enclave is gone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use strongroom_runtime::log::Log;
use vsock::{VsockAddr, VsockStream};

/// The device of the Nitro Secure Module.
const DEVICE: &str = "/dev/nsm";
/// Where the boot ramdisk has modules, in the order in which they are loaded.
const MODULES: &str = "/modules";
/// `MODULE_INIT_COMPRESSED_FILE`: the kernel unpacks the module itself.
const COMPRESSED_FILE: u32 = 4;
/// Longest wait for the device: its driver finds it a moment after it was loaded.
const DEVICE_WAIT_MAX: Duration = Duration::from_secs(20);
const DEVICE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// The parent's port for heartbeats, and what is sent and comes back.
const HEARTBEAT_PORT: u32 = 9000;
const HEARTBEAT: u8 = 0xB7;
/// Longest wait for the parent at each step.
const HEARTBEAT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is tried.
const HEARTBEAT_TRIES_MAX: u32 = 3;

/// Whether this is the first process of its kernel.
pub(crate) fn is_first() -> bool {
    std::process::id() == 1
}

/// Prepares the machine. The error is a sentence.
pub(crate) fn prepare(log: &Log) -> Result<(), String> {
    mount_devices()?;
    load_modules(Path::new(MODULES), log)?;
    wait_for(Path::new(DEVICE))
}

fn mount_devices() -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    match mount(Some("devtmpfs"), "/dev", Some("devtmpfs"), flags, None::<&str>) {
        // Some kernels have mounted it before.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => Err(format!("/dev cannot be mounted: {error}")),
    }
}

/// Loads every module of the folder, in the order of their names. A kernel that has them built in needs none.
fn load_modules(folder: &Path, log: &Log) -> Result<(), String> {
    let listed = |error: io::Error| format!("{} cannot be listed: {error}", folder.display());
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(folder).map_err(listed)? {
        names.push(entry.map_err(listed)?.file_name());
    }
    names.sort();
    for name in names {
        let shown = name.to_string_lossy().into_owned();
        let file = File::open(folder.join(&name)).map_err(|error| format!("module {shown}: {error}"))?;
        let plain = Path::new(&name).extension().is_some_and(|end| end == "ko");
        let flags = if plain { ModuleInitFlags::empty() } else { ModuleInitFlags::from_bits_retain(COMPRESSED_FILE) };
        match finit_module(&file, c"", flags) {
            Ok(()) => log.note(format_args!("module {shown}")),
            Err(Errno::EEXIST) => log.note(format_args!("module {shown}: built in")),
            Err(error) => return Err(format!("module {shown} does not load: {error}")),
        }
    }
    Ok(())
}

fn wait_for(device: &Path) -> Result<(), String> {
    let started = Instant::now();
    while !device.exists() {
        if started.elapsed() > DEVICE_WAIT_MAX {
            return Err(format!("{} does not appear", device.display()));
        }
        thread::sleep(DEVICE_LOOK_EVERY);
    }
    Ok(())
}

/// Tells the parent that the image has come up. On Nitro it is the tool that started the enclave which waits for this.
pub(crate) fn beat(parent_cid: u32, log: &Log) -> Result<(), String> {
    let mut tries = 1;
    loop {
        match try_beat(parent_cid) {
            Ok(()) => return Ok(()),
            Err(error) if tries < HEARTBEAT_TRIES_MAX => {
                log.note(format_args!("heartbeat {tries}: {error}"));
                tries += 1;
                thread::sleep(Duration::from_millis(200));
            }
            Err(error) => return Err(format!("no heartbeat from the parent: {error}")),
        }
    }
}

fn try_beat(parent_cid: u32) -> io::Result<()> {
    let mut stream = VsockStream::connect(&VsockAddr::new(parent_cid, HEARTBEAT_PORT))?;
    stream.set_read_timeout(Some(HEARTBEAT_WAIT_MAX))?;
    stream.set_write_timeout(Some(HEARTBEAT_WAIT_MAX))?;
    stream.write_all(&[HEARTBEAT])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer == [HEARTBEAT] { Ok(()) } else { Err(io::Error::other("another byte came back")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Log {
        Log::to(|_| {})
    }

    #[test]
    fn what_is_no_module_ends_the_boot() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load_modules(folder.path(), &quiet()), Ok(()));
        fs::write(folder.path().join("00-x.ko"), b"no module").unwrap();
        let refused = load_modules(folder.path(), &quiet()).unwrap_err();
        assert!(refused.starts_with("module 00-x.ko does not load"), "{refused}");
        assert!(load_modules(&folder.path().join("absent"), &quiet()).is_err());
    }

    #[test]
    fn a_device_that_is_there_is_not_waited_for() {
        assert_eq!(wait_for(Path::new("/dev/null")), Ok(()));
    }
}
