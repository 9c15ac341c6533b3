//! The host's configuration in a stack.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use strongroom_simulated::devkms::users;

use super::kms_admin::{ENCLAVE_USER, REGION};

/// Writes `host.toml` and the credentials file.
pub(super) fn write_host(folder: &Path, kms: SocketAddr) -> Result<()> {
    let credentials = folder.join("credentials.toml");
    // The development KMS writes its users' keys in the form that the host reads.
    fs::copy(users::file_of(&folder.join("kms"), ENCLAVE_USER), &credentials)?;
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600))?;
    let folder = folder.display();
    let text = format!(
        r#"[api]
listen = "127.0.0.1:0"
reflection = true

[admin]
socket = "{folder}/run/admin.sock"

[store]
sqlite = "{folder}/strongroom.db"

[[enclave]]
role = "client"
unix = "{folder}/run/enclave.sock"
manifest = "{folder}/client.manifest"

[enclave.credentials]
file = "{folder}/credentials.toml"

[relay]
unix = "{folder}/run/relay.sock"

[relay.names]
"kms.{REGION}.amazonaws.com" = "{kms}"
"#
    );
    fs::write(format!("{folder}/host.toml"), text)?;
    Ok(())
}
