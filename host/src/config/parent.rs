//! What a parent instance adds to the configuration: the credentials of its role, and listeners beside the relay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::raw::{listen, non_empty, one_of, quoted};
use super::{CredentialSource, Parent};
use crate::error::Error;

/// Longest name of an IAM role in bytes, as IAM has it.
const ROLE_BYTES_MAX: usize = 64;
/// Where EC2 has the instance metadata service. The first is asked unless the file says otherwise.
const IMDS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254))];
/// The port of plain HTTP.
const HTTP_PORT: u16 = 80;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredentials {
    file: Option<PathBuf>,
    instance_role: Option<String>,
    imds: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParent {
    heartbeat: Option<RawListen>,
    last_words: Option<RawListen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    unix: Option<PathBuf>,
    vsock_port: Option<u32>,
}

impl RawCredentials {
    pub(super) fn check(self, at: &str) -> Result<CredentialSource, Error> {
        match (self.file, self.instance_role) {
            (Some(file), None) => match self.imds {
                None => Ok(CredentialSource::File(non_empty(&format!("{at}.file"), file)?)),
                Some(imds) => {
                    Err(Error::config(format!("{at}.imds"), quoted(&imds), "goes with instance_role, not with file"))
                }
            },
            (None, Some(role)) => {
                let role = role_name(&format!("{at}.instance_role"), role)?;
                let imds = self
                    .imds
                    .map_or(Ok(SocketAddr::new(IMDS[0], HTTP_PORT)), |url| imds(&format!("{at}.imds"), &url))?;
                Ok(CredentialSource::InstanceRole { role, imds })
            }
            (file, _) => Err(one_of(at, "file", "instance_role", file.is_some())),
        }
    }
}

/// A name that IAM gives, and that is one part of a path.
fn role_name(field: &str, role: String) -> Result<String, Error> {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if (1..=ROLE_BYTES_MAX).contains(&role.len()) && role.bytes().all(is_byte) {
        return Ok(role);
    }
    let limit = format!("must be the name of an IAM role, 1 to {ROLE_BYTES_MAX} letters, digits and +=,.@_-");
    Err(Error::config(field, quoted(&role), limit))
}

/// The address of `http://IP` or `http://IP:PORT`. What comes from there is neither encrypted nor signed, so it must lie on the machine.
fn imds(field: &str, url: &str) -> Result<SocketAddr, Error> {
    let authority = url.strip_prefix("http://").unwrap_or_default();
    let ip = match authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => authority.parse().ok().map(IpAddr::V4),
    };
    let address = authority.parse().ok().or(ip.map(|ip| SocketAddr::new(ip, HTTP_PORT)));
    let is_local = |address: &SocketAddr| address.ip().is_loopback() || IMDS.contains(&address.ip());
    address.filter(is_local).ok_or_else(|| {
        let limit =
            "must be http:// and 169.254.169.254, [fd00:ec2::254] or an address of loopback, with or without a port";
        Error::config(field, quoted(url), limit)
    })
}

impl RawParent {
    pub(super) fn check(self) -> Result<Parent, Error> {
        let check = |at: &str, raw: Option<RawListen>| {
            raw.map(|raw| listen(&format!("parent.{at}"), raw.unix, raw.vsock_port)).transpose()
        };
        Ok(Parent { heartbeat: check("heartbeat", self.heartbeat)?, last_words: check("last_words", self.last_words)? })
    }
}
