//! The host's configuration in a stack.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use strongroom_proto::v1::Role;
use strongroom_simulated::devkms::users;

use super::kms_admin::REGION;
use super::roles;

/// Writes `host.toml` and each role's credentials file.
pub(super) fn write_host(folder: &Path, kms: SocketAddr, roles: impl Iterator<Item = Role>) -> Result<()> {
    let enclaves = roles.map(|role| enclave(folder, role)).collect::<Result<String>>()?;
    let folder = folder.display();
    let text = format!(
        r#"[api]
listen = "127.0.0.1:0"
reflection = true

[admin]
socket = "{folder}/run/admin.sock"

[store]
sqlite = "{folder}/strongroom.db"

{enclaves}
[relay]
unix = "{folder}/run/relay.sock"

[relay.names]
"kms.{REGION}.amazonaws.com" = "{kms}"

[parent]
heartbeat = {{ unix = "{folder}/run/heartbeat.sock" }}
last_words = {{ unix = "{folder}/run/last-words.sock" }}
"#
    );
    fs::write(format!("{folder}/host.toml"), text)?;
    Ok(())
}

/// The section of one enclave.
fn enclave(folder: &Path, role: Role) -> Result<String> {
    let name = roles::name(role);
    let credentials = folder.join(format!("{name}-credentials.toml"));
    // The development KMS writes its users' keys in the form that the host reads.
    fs::copy(users::file_of(&folder.join("kms"), roles::kms_user(role)), &credentials)?;
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600))?;
    let (socket, manifest) = (roles::socket(folder, role), roles::manifest(folder, role));
    let [socket, manifest, credentials] = [socket, manifest, credentials].map(|path| path.display().to_string());
    Ok(format!(
        r#"
[[enclave]]
role = "{name}"
unix = "{socket}"
manifest = "{manifest}"

[enclave.credentials]
file = "{credentials}"
"#
    ))
}
