//! Unix sockets that a thread answers: the parent's ports, and the way from the host to the guest.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Longest answer of the bridge to a `CONNECT`: `OK`, a space, a port and the line's end.
const ANSWER_BYTES_MAX: usize = 16;

/// A listening socket. Dropping it ends the listening; open connections end with their peers.
#[derive(Debug)]
pub struct Listener {
    socket: PathBuf,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens at `socket`, in place of whatever was there, and has each connection answered by a thread of its own.
    pub fn new(
        socket: &Path,
        answer: impl Fn(UnixStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        if socket.exists() {
            fs::remove_file(socket)?;
        }
        let listener = UnixListener::bind(socket)?;
        let ending = Arc::new(AtomicBool::new(false));
        let (answer, told) = (Arc::new(answer), Arc::clone(&ending));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A peer that goes away is nothing to report.
                thread::spawn(move || answer(stream).ok());
            }
        });
        Ok(Self { socket: socket.to_owned(), ending, thread: Some(thread) })
    }

    /// Leads every connection at `socket` to the guest's vsock port, through the bridge's socket.
    pub fn to_guest(socket: &Path, bridge: &Path, port: u32) -> io::Result<Self> {
        let bridge = bridge.to_owned();
        Self::new(socket, move |host| {
            let mut guest = UnixStream::connect(&bridge)?;
            writeln!(guest, "CONNECT {port}")?;
            expect_ok(&mut guest)?;
            join(&host, &guest)
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // The thread looks at the flag when a connection comes.
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(thread) = self.thread.take()
        {
            thread.join().ok();
        }
    }
}

/// Reads the bridge's answer and nothing after it.
fn expect_ok(guest: &mut UnixStream) -> io::Result<()> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') && line.len() < ANSWER_BYTES_MAX {
        let mut byte = [0];
        guest.read_exact(&mut byte)?;
        line.extend(byte);
    }
    if line.starts_with(b"OK ") && line.ends_with(b"\n") {
        Ok(())
    } else {
        Err(io::Error::other("the bridge did not connect"))
    }
}

/// Copies both ways until both have ended.
fn join(host: &UnixStream, guest: &UnixStream) -> io::Result<()> {
    let (from, to) = (guest.try_clone()?, host.try_clone()?);
    let back = thread::spawn(move || copy(&from, &to));
    copy(host, guest);
    back.join().map_err(|_| io::Error::other("the other direction ended early"))
}

fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    // An error ends the direction as its end does.
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back for `hello` from a bridge that says this to a `CONNECT`, and then echoes.
    fn through(answer: &'static str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (outside, bridge) = (folder.path().join("outside"), folder.path().join("bridge"));
        let _bridge = Listener::new(&bridge, move |mut stream| {
            let mut asked = [0; 13];
            stream.read_exact(&mut asked)?;
            assert_eq!(&asked, b"CONNECT 5005\n");
            if answer.is_empty() {
                return Ok(());
            }
            stream.write_all(answer.as_bytes())?;
            io::copy(&mut stream.try_clone()?, &mut stream).map(|_| ())
        })
        .unwrap();
        let _outside = Listener::to_guest(&outside, &bridge, 5005).unwrap();
        let mut stream = UnixStream::connect(&outside).unwrap();
        // A bridge that does not connect may have closed by now.
        if stream.write_all(b"hello").and_then(|()| stream.shutdown(Shutdown::Write)).is_err() {
            return String::new();
        }
        let mut back = String::new();
        stream.read_to_string(&mut back).unwrap_or_default();
        back
    }

    #[test]
    fn bytes_go_both_ways_once_the_bridge_has_connected_and_only_then() {
        assert_eq!(through("OK 1073741824\n"), "hello");
        for answer in ["", "\n", "NO 1\n", "OK\n", "OK 12345678901234567890\n"] {
            assert_eq!(through(answer), "", "{answer:?}");
        }
    }

    #[test]
    fn a_dropped_listener_answers_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        drop(Listener::new(&socket, |_| Ok(())).unwrap());
        assert!(UnixStream::connect(&socket).is_err());
        Listener::new(&socket, |_| Ok(())).unwrap();
    }
}
