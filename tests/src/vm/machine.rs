//! One virtual machine: QEMU without hardware virtualisation, the NSM as a device, and the bridge between vsock and unix sockets.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use strongroom_proto::v1::Role;
use strongroom_sdk::image::{Image, Measured};

use super::listener::Listener;
use crate::stack::process::{Companion, Process, binary};
use crate::stack::roles;

/// Memory of the machine in MiB: what the image must do with.
pub const MEMORY_MIB: u32 = 96;
/// Longest time until the image says that it is up: a busy machine takes a minute.
const BOOT_TIME_MAX: Duration = Duration::from_mins(3);
/// Longest time until a back end listens.
const SOCKET_TIME_MAX: Duration = Duration::from_secs(20);

/// The enclave's port.
const ENCLAVE_PORT: u32 = 5005;
/// The parent's ports: heartbeats, the way to KMS, last words.
const HEARTBEAT_PORT: u32 = 9000;
const RELAY_PORT: u32 = 9001;
const LAST_WORDS_PORT: u32 = 9002;

/// Reads an image.
pub fn read(path: &Path) -> Result<Image> {
    Image::from_bytes(&fs::read(path)?).with_context(|| path.display().to_string())
}

/// Whether a machine has a console.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Console {
    /// A serial line, which goes to the machine's log.
    Serial,
    /// None, as a production enclave.
    None,
}

/// Boots an image as the enclave of a role, in a stack's folder; back when it says that it is up.
pub fn start(folder: &Path, path: &Path, role: Role, console: Console) -> Result<Process> {
    let place = Place::new(folder, role)?;
    let (mut machine, heard) = place.boot(path, console, Heartbeat::Echoed)?;
    let started = Instant::now();
    while heard.recv_timeout(Duration::from_millis(100)).is_err() {
        let waits = machine.is_running()? && started.elapsed() < BOOT_TIME_MAX;
        ensure!(waits, "no heartbeat; the console ends so:\n{}", machine.log_tail());
    }
    let socket = roles::socket(folder, role);
    let way = Listener::to_guest(&socket, &place.bridge(), ENCLAVE_PORT)?;
    Ok(machine.with(vec![Companion::Listener(way)]))
}

/// Boots an image whose parent does not echo the heartbeat; gives its last words.
pub fn last_words(folder: &Path, path: &Path, role: Role) -> Result<String> {
    let place = Place::new(folder, role)?;
    let (machine, _heard) = place.boot(path, Console::None, Heartbeat::Altered)?;
    let started = Instant::now();
    let words = loop {
        match fs::read_to_string(place.last_words()) {
            Ok(words) if words.ends_with('\n') => break words,
            _ => ensure!(
                started.elapsed() < BOOT_TIME_MAX,
                "no last words; the console ends so:\n{}",
                machine.log_tail()
            ),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    machine.kill();
    fs::remove_file(place.last_words())?;
    Ok(words)
}

/// What the parent does with the byte of a heartbeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heartbeat {
    Echoed,
    Altered,
}

/// Where a machine has its sockets and logs.
struct Place<'a> {
    folder: &'a Path,
    role: Role,
    run: PathBuf,
}

impl<'a> Place<'a> {
    fn new(folder: &'a Path, role: Role) -> Result<Self> {
        let run = folder.join("run").join(format!("{}-machine", roles::name(role)));
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir(&run)?;
        Ok(Self { folder, role, run })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{}-{name}", roles::name(self.role)))
    }

    fn bridge(&self) -> PathBuf {
        self.file("vsock")
    }

    /// The bridge's socket for connections of the guest to a port of its parent.
    fn parent_port(&self, port: u32) -> PathBuf {
        self.file(&format!("vsock_{port}"))
    }

    fn last_words(&self) -> PathBuf {
        self.log("last-words")
    }

    /// Starts everything; what it returns with hears of each heartbeat.
    fn boot(&self, path: &Path, console: Console, heartbeat: Heartbeat) -> Result<(Process, mpsc::Receiver<()>)> {
        let image = read(path)?;
        fs::write(self.file("kernel"), &image.kernel)?;
        // The loader puts the ramdisks one behind the other.
        fs::write(self.file("ramdisks"), image.ramdisks.concat())?;
        let mut companions = self.back_ends(&image)?;
        let (told, heard) = mpsc::channel();
        companions.extend(self.parent(told, heartbeat)?);
        let machine = Process::start_quiet(self.qemu(&image.command_line, console), &self.log("machine"))?;
        Ok((machine.with(companions), heard))
    }

    /// The NSM and the bridge. Each serves one boot.
    fn back_ends(&self, image: &Image) -> Result<Vec<Companion>> {
        let Measured { pcr0, pcr1, pcr2 } = Measured::of(image);
        let mut nsm = Command::new(binary("strongroom-nsm-device")?);
        nsm.arg("--socket").arg(self.file("nsm-device"));
        nsm.arg("--authority").arg(self.folder.join("attestation-authority"));
        for (name, pcr) in [("--pcr0", pcr0), ("--pcr1", pcr1), ("--pcr2", pcr2)] {
            nsm.args([name, &pcr.to_string()]);
        }
        let mut bridge = Command::new(tools().join("tools/bin/vhost-device-vsock"));
        let (socket, path) = (self.file("vsock-device"), self.bridge());
        bridge.arg("--vm").arg(format!("guest-cid=4,uds-path={},socket={}", path.display(), socket.display()));
        let nsm = Process::start_quiet(nsm, &self.log("nsm"))?;
        let bridge = Process::start_quiet(bridge, &self.log("bridge"))?;
        wait_for(&self.file("nsm-device"))?;
        wait_for(&socket)?;
        Ok(vec![Companion::Process(nsm), Companion::Process(bridge)])
    }

    /// The parent's side: heartbeats are answered and told, the relay is the host's, last words go to a file.
    fn parent(&self, told: mpsc::Sender<()>, heartbeat: Heartbeat) -> Result<Vec<Companion>> {
        let beat = Listener::new(&self.parent_port(HEARTBEAT_PORT), move |mut stream| {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            if heartbeat == Heartbeat::Altered {
                byte = byte.map(|byte| !byte);
            }
            stream.write_all(&byte)?;
            // Only the first is awaited.
            told.send(()).ok();
            Ok(())
        })?;
        let log = self.last_words();
        let words = Listener::new(&self.parent_port(LAST_WORDS_PORT), move |mut stream| {
            let mut file = fs::File::options().create(true).append(true).open(&log)?;
            io::copy(&mut stream, &mut file).map(|_| ())
        })?;
        std::os::unix::fs::symlink(self.folder.join("run/relay.sock"), self.parent_port(RELAY_PORT))?;
        Ok(vec![Companion::Listener(beat), Companion::Listener(words)])
    }

    fn qemu(&self, command_line: &str, console: Console) -> Command {
        // Debian's own loader and libraries of the folder that `tests/vm/setup` made: no chroot, so that it sees our sockets.
        let root = tools().join("root");
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(root.join("usr/bin/qemu-system-x86_64"));
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(root.join(firmware));
        }
        let (port, serial) = if console == Console::Serial { ("on", "stdio") } else { ("off", "none") };
        let socket = |id: &str, name: &str| format!("socket,id={id},path={}", self.file(name).display());
        command
            .args(["-M", &format!("microvm,acpi=on,rtc=on,isa-serial={port},memory-backend=mem0")])
            .args(["-accel", "tcg", "-cpu", "max"])
            .args(["-m", &format!("{MEMORY_MIB}M")])
            .args(["-object", &format!("memory-backend-memfd,id=mem0,size={MEMORY_MIB}M,share=on")])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", serial, "-no-reboot"])
            .arg("-kernel")
            .arg(self.file("kernel"))
            .arg("-initrd")
            .arg(self.file("ramdisks"))
            .args(["-append", command_line])
            .args(["-chardev", &socket("nsm", "nsm-device")])
            .args(["-device", "vhost-user-test-device,chardev=nsm,virtio-id=33,num_vqs=1,vq_size=64"])
            .args(["-chardev", &socket("vsock", "vsock-device")])
            .args(["-device", "vhost-user-vsock-device,chardev=vsock"]);
        command
    }
}

/// The folder that `tests/vm/setup` made.
fn tools() -> PathBuf {
    std::env::var_os("STRONGROOM_VM").map_or_else(|| PathBuf::from("target/vm"), PathBuf::from)
}

fn wait_for(socket: &Path) -> Result<()> {
    let started = Instant::now();
    while !socket.exists() {
        ensure!(started.elapsed() < SOCKET_TIME_MAX, "{} does not appear", socket.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    // It exists a moment before it listens.
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}
