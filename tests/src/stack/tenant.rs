//! The stack's tenant: its keys, its registration, its statements.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use strongroom_proto::v1::Role;
use strongroom_sdk::tenant::Folder;

use super::{ORIGIN, RP_ID, Stack, path_text, roles, value};

impl Stack {
    /// What an operator and a tenant do once: keys, registration, a KEK for each role, the statement.
    pub(super) fn make_tenant(&self) -> Result<()> {
        let folder = self.folder.join("tenant");
        let tenant = self.register(&folder, "Example Wallet")?;
        fs::write(folder.join("id"), &tenant)?;
        let admin = self.admin_socket();
        let socket = ["--socket", path_text(&admin)?];
        if self.roles().any(|role| role == Role::Custodian) {
            let key = self.mpc_key_file();
            let printed = self.strongroom(&["tenant", "mpc-key", "--plain", "--out", path_text(&key)?])?;
            fs::write(self.mpc_recipient_file(), value(&printed, "recipient")?)?;
        }
        for role in self.roles() {
            let create = ["operator", "create-kek", "--tenant", &tenant, "--role", roles::name(role)];
            self.strongroom(&[&create[..], &socket].concat())?;
        }
        self.sign_statement()
    }

    /// Signs the tenant's next statement and gives it to the host.
    pub fn sign_statement(&self) -> Result<()> {
        let folder = self.folder.join("tenant");
        let image = self.measurements()?;
        let image = [image.pcr0, image.pcr1, image.pcr2].map(hex::encode).join(":");
        let (keys, key, api) = (folder.join("keys"), folder.join("api-key"), self.api()?);
        let service = ["--dir", path_text(&keys)?, "--host", &api, "--api-key-file", path_text(&key)?];
        let content = ["--rp-id", RP_ID, "--origin", ORIGIN, "--image", &image];
        let roles: Vec<String> = self.roles().map(|role| format!("--{}", roles::name(role))).collect();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        let hash = fs::read_to_string(self.mpc_recipient_file()).ok();
        let recipient: Vec<&str> = hash.iter().flat_map(|hash| ["--mpc-recipient", hash]).collect();
        let arguments = [&["tenant", "statement"], &service[..], &content[..], &roles, &recipient].concat();
        self.strongroom(&arguments).map(|_| ())
    }

    /// The private key of the tenant's MPC server, in a stack with the custodian role.
    #[must_use]
    pub fn mpc_key_file(&self) -> PathBuf {
        self.folder.join("tenant/mpc-key")
    }

    /// How the statement names that key.
    pub(super) fn mpc_recipient_file(&self) -> PathBuf {
        self.folder.join("tenant/mpc-recipient")
    }

    /// Registers another tenant, without KEK or statement; gives its API key.
    pub fn add_tenant(&self, name: &str) -> Result<String> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        self.register(&folder, name)?;
        Ok(fs::read_to_string(folder.join("api-key"))?.trim().to_owned())
    }

    /// Registers the stack's tenant at a host that does not know it, and takes a new API key.
    pub(super) fn register_again(&self) -> Result<()> {
        let folder = self.folder.join("tenant");
        let keys = Folder::new(&folder.join("keys")).tenant_keys()?;
        fs::remove_file(folder.join("api-key"))?;
        let (root, standby) = (hex::encode(keys.root_key), hex::encode(keys.standby_key));
        self.register_keys(&folder, "Example Wallet", &root, &standby).map(|_| ())
    }

    /// Makes a tenant's keys and API key in `folder`; gives its id.
    fn register(&self, folder: &Path, name: &str) -> Result<String> {
        let keys = folder.join("keys");
        let printed = self.strongroom(&["tenant", "init", "--dir", path_text(&keys)?])?;
        let (root, standby) = (value(&printed, "root-key")?, value(&printed, "standby-key")?);
        self.register_keys(folder, name, &root, &standby)
    }

    fn register_keys(&self, folder: &Path, name: &str, root: &str, standby: &str) -> Result<String> {
        let admin = self.admin_socket();
        let socket = ["--socket", path_text(&admin)?];
        let create = ["operator", "create-tenant", "--root-key", root, "--standby-key", standby, "--name", name];
        let tenant = value(&self.strongroom(&[&create[..], &socket].concat())?, "tenant")?;
        let key = folder.join("api-key");
        let create = ["operator", "create-api-key", "--tenant", &tenant, "--label", name, "--out", path_text(&key)?];
        self.strongroom(&[&create[..], &socket].concat())?;
        Ok(tenant)
    }
}
