//! A stand-in for instance metadata: answers over a real socket, one connection after the other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metadata {
    Well,
    /// Version 1 answers too.
    Version1,
    /// Version 1 answers too, and says that there is no role.
    Version1WithoutRole,
    /// A request for a token gets this status.
    Status(u16),
    /// A token that would break out of its header.
    BadToken,
    NoRole,
    /// By how much its clock differs, as date(1) takes it.
    Clock(&'static str),
    BadDate,
    /// It takes connections and says nothing.
    Silent,
    /// It answers without an end.
    Endless,
}

const TOKEN: &str = "a-token";

impl Metadata {
    /// Serves for as long as the test's process lives.
    pub(crate) fn serve(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                self.answer(stream.unwrap());
            }
        });
        address
    }

    fn answer(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut part = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut part) {
                Ok(len) if len > 0 => request.extend_from_slice(&part[..len]),
                _ => return,
            }
        }
        let request = String::from_utf8(request).unwrap();
        if self == Self::Silent {
            // The asker gives up and goes.
            drop(stream.read(&mut part));
            return;
        }
        if self == Self::Endless {
            while stream.write_all(&[b'a'; 1024]).is_ok() {}
            return;
        }
        let authorised = request.contains(&format!("X-aws-ec2-metadata-token: {TOKEN}\r\n"));
        let (status, body) = if request.starts_with("PUT /latest/api/token HTTP/1.1\r\n") {
            assert!(request.contains("X-aws-ec2-metadata-token-ttl-seconds: "), "{request}");
            let token = if self == Self::BadToken { "a\r\nHost: b" } else { TOKEN };
            (if let Self::Status(status) = self { status } else { 200 }, token)
        } else if !authorised && !matches!(self, Self::Version1 | Self::Version1WithoutRole) {
            (401, "")
        } else {
            assert!(request.starts_with("GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"), "{request}");
            if matches!(self, Self::NoRole | Self::Version1WithoutRole) { (404, "") } else { (200, "strongroom-both") }
        };
        let date = match self {
            Self::BadDate => "tomorrow".to_owned(),
            Self::Clock(at) => date(at),
            _ => date("now"),
        };
        let len = body.len();
        let head = format!("HTTP/1.1 {status} Said\r\nDate: {date}\r\nContent-Length: {len}\r\nServer: EC2ws\r\n\r\n");
        drop(stream.write_all(format!("{head}{body}").as_bytes()));
    }
}

fn date(at: &str) -> String {
    let output =
        Command::new("date").env("LC_ALL", "C").args(["-u", "-d", at, "+%a, %d %b %Y %H:%M:%S GMT"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
