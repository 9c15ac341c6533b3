use std::cell::RefCell;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

/// A generator that writes down what it is asked for, and refuses from a number of requests on.
#[derive(Default)]
struct Told {
    asked: RefCell<Vec<Vec<u8>>>,
    refused_from: Option<usize>,
}

impl Told {
    fn ask(&self, bytes: &[u8]) -> nix::Result<()> {
        let mut asked = self.asked.borrow_mut();
        if self.refused_from.is_some_and(|from| asked.len() >= from) {
            return Err(Errno::EPERM);
        }
        asked.push(bytes.to_vec());
        Ok(())
    }
}

/// What is written down of a reseeding.
const RESEED: &[u8] = b"reseed";

impl Generator for Told {
    fn credit(&self, bytes: &[u8]) -> nix::Result<()> {
        assert!(bytes.len() <= REQUEST_BYTES_MAX);
        self.ask(bytes)
    }

    fn reseed(&self) -> nix::Result<()> {
        self.ask(RESEED)
    }
}

#[test]
fn everything_is_credited_before_the_generator_is_seeded_and_neither_may_fail() {
    let credit = Err("entropy: the kernel does not credit the module's bytes".to_owned());
    let reseed = Err("entropy: the kernel does not seed its generator anew".to_owned());
    for (len, refused_from, expect, requests) in [
        (64, None, Ok(()), 2),
        (REQUEST_BYTES_MAX, None, Ok(()), 2),
        (REQUEST_BYTES_MAX + 1, None, Ok(()), 3),
        (64, Some(0), credit.clone(), 0),
        (64, Some(1), reseed.clone(), 1),
        (REQUEST_BYTES_MAX + 1, Some(1), credit, 1),
        (REQUEST_BYTES_MAX + 1, Some(2), reseed, 2),
    ] {
        let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let told = Told { refused_from, ..Told::default() };
        assert_eq!(take(&told, &bytes).map_err(|error| error.to_string()), expect, "{len} {refused_from:?}");
        let mut asked = told.asked.into_inner();
        assert_eq!(asked.len(), requests, "{len} {refused_from:?}");
        if expect.is_ok() {
            assert_eq!(asked.pop().as_deref(), Some(RESEED));
            assert_eq!(asked.concat(), bytes);
        }
    }
}

#[test]
fn a_request_counts_every_bit_and_is_laid_out_as_the_kernel_reads_it() {
    for len in [0, 1, 64, REQUEST_BYTES_MAX] {
        let info = RandPoolInfo::of(&vec![7; len]).unwrap();
        let numbers = (usize::try_from(info.entropy_bits).unwrap(), usize::try_from(info.buffer_bytes).unwrap());
        assert_eq!(numbers, (8 * len, len));
        assert!(info.buffer[..len].iter().all(|byte| *byte == 7) && info.buffer[len..].iter().all(|byte| *byte == 0));
    }
    assert!(RandPoolInfo::of(&[7; REQUEST_BYTES_MAX + 1]).is_none());
    let word = size_of::<c_int>();
    assert_eq!(std::mem::offset_of!(RandPoolInfo, buffer_bytes), word);
    assert_eq!(std::mem::offset_of!(RandPoolInfo, buffer), 2 * word);
}

fn open(path: &str) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

#[test]
fn what_is_no_generator_and_what_is_too_long_is_refused() {
    let null = open("/dev/null");
    assert_eq!(null.credit(&[1; 32]), Err(Errno::ENOTTY));
    assert_eq!(null.reseed(), Err(Errno::ENOTTY));
    assert_eq!(open(KERNEL_POOL).credit(&[1; REQUEST_BYTES_MAX + 1]), Err(Errno::EINVAL));
}

/// Set where the test is run again by a user without privileges.
const CHILD: &str = "STRONGROOM_ENTROPY_CHILD";
/// The user and group `nobody`.
const NOBODY: u32 = 65534;
/// The capability that both requests take: `CAP_SYS_ADMIN`, by its number.
const SYS_ADMIN: u64 = 1 << 21;

fn is_privileged() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & SYS_ADMIN != 0
}

/// Asks this machine's kernel. With the privilege it takes the bytes and seeds anew; without, it refuses each of the two requests for that
/// reason and no other, which it would not do if it did not know their numbers.
#[test]
fn the_kernel_takes_the_bytes_of_a_privileged_process_and_of_no_other() {
    if is_privileged() {
        let pool = open(KERNEL_POOL);
        // Random ones, since this machine's kernel believes them to be.
        let mut bytes = [0; 2 * REQUEST_BYTES_MAX];
        std::fs::File::open(KERNEL_POOL).unwrap().read_exact(&mut bytes).unwrap();
        assert_eq!(pool.credit(&bytes[..32]), Ok(()));
        assert_eq!(pool.reseed(), Ok(()));
        KernelPool.mix(&bytes).unwrap();
        println!("privileged: {KERNEL_POOL} took the bytes and was seeded anew");
        refused_as_nobody();
        return;
    }
    let pool = open(KERNEL_POOL);
    assert_eq!(pool.credit(&[7; 32]), Err(Errno::EPERM));
    assert_eq!(pool.reseed(), Err(Errno::EPERM));
    let refused = KernelPool.mix(&[7; 64]).unwrap_err().to_string();
    assert_eq!(refused, "entropy: the kernel does not credit the module's bytes");
    println!("not privileged: {KERNEL_POOL} refused both requests");
}

/// Runs the test again as a user without privileges, from a folder that he can read.
fn refused_as_nobody() {
    assert!(std::env::var_os(CHILD).is_none(), "the child has privileges");
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let executable = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    let name = "entropy::tests::the_kernel_takes_the_bytes_of_a_privileged_process_and_of_no_other";
    let mut child = Command::new(executable);
    child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").uid(NOBODY).gid(NOBODY);
    let output = child.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("refused both requests"), "{printed}");
    println!("and as nobody: refused");
}
