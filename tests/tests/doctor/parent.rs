//! A folder that stands for a parent instance on which all is well. Each test spoils one thing.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use strongroom_tests::stack::process::binary;
use tempfile::TempDir;

use super::metadata::Metadata;

/// Each role with the account of its key, and with its slots: their context ids, and whether the host has a manifest for each.
pub(crate) const ROLES: &[(&str, &str)] = &[("client", "111122223333"), ("custodian", "777788889999")];
const SLOTS: &[(&str, &str, u32)] = &[
    ("client", "client-a", 16),
    ("client", "client-b", 17),
    ("custodian", "custodian-a", 18),
    ("custodian", "custodian-b", 19),
];
/// The slot in which no enclave is to start.
pub(crate) const EMPTY: &str = "custodian-b";
/// The image and its PCRs, which are the same in every test.
static MADE: OnceLock<(Vec<u8>, String)> = OnceLock::new();
const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const REGION: &str = "eu-central-1";

pub(crate) struct Parent {
    dir: TempDir,
    /// Stands for KMS: takes connections.
    kms: TcpListener,
    pub(crate) metadata: Metadata,
    /// Overrides the address of the metadata.
    pub(crate) imds: Option<SocketAddr>,
    pub(crate) arguments: Vec<String>,
    pub(crate) image: String,
}

impl Parent {
    /// Everything as deploy/README.md has it.
    pub(crate) fn well() -> Self {
        let kms = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut parent = Self {
            dir: tempfile::tempdir().unwrap(),
            metadata: Metadata::Well,
            imds: None,
            arguments: Vec::new(),
            image: String::new(),
            kms,
        };
        parent.machine();
        parent.enclaves();
        parent.host();
        parent.key_policies();
        parent.program("clock", "echo yes");
        parent
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}: {text}");
        self.write(name, text.replace(from, to));
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// A program of one line.
    pub(crate) fn program(&self, name: &str, line: &str) {
        self.write(name, format!("#!/bin/sh\n{line}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn machine(&self) {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nitro/allocator.yaml");
        self.write("etc/nitro_enclaves/allocator.yaml", fs::read(deploy).unwrap());
        fs::create_dir(self.path("dev")).unwrap();
        for device in ["dev/nitro_enclaves", "dev/vsock"] {
            symlink("/dev/null", self.path(device)).unwrap();
        }
        for (node, pages) in [("node0", "0"), ("node1", "384")] {
            self.write(&format!("sys/devices/system/node/{node}/hugepages/hugepages-2048kB/nr_hugepages"), pages);
            self.write(&format!("sys/devices/system/node/{node}/hugepages/hugepages-1048576kB/nr_hugepages"), "0\n");
        }
        self.write("sys/module/nitro_enclaves/parameters/ne_cpus", "1-3,5-7\n");
    }

    fn enclaves(&mut self) {
        let (image, pcrs) = MADE.get_or_init(|| self.build());
        self.write("strongroom.eif", image);
        self.image.clone_from(pcrs);
        let out = self.shown("strongroom.eif");
        for (_, name, cid) in SLOTS.iter().filter(|(_, name, _)| *name != EMPTY) {
            let parameters = serde_json::json!({
                "enclave_name": name, "enclave_cid": cid, "eif_path": out, "memory_mib": 256, "cpu_count": 2,
            });
            self.write(&format!("{name}.json"), parameters.to_string());
            self.arguments.extend(["--enclave".to_owned(), self.shown(&format!("{name}.json"))]);
        }
        self.arguments.extend(["--image".to_owned(), self.image.clone()]);
    }

    /// An image, and its PCR0 to 2.
    fn build(&self) -> (Vec<u8>, String) {
        self.write("kernel", [7; 4096]);
        self.write("init", elf(9));
        let [kernel, init, out] = ["kernel", "init", "made.eif"].map(|name| self.shown(name));
        let built = strongroom(&["image", "build", "--json", "--kernel", &kernel, "--init", &init, "--out", &out]);
        let measured: Value = serde_json::from_str(&built).unwrap();
        let pcrs = ["PCR0", "PCR1", "PCR2"].map(|name| measured["measurements"][name].as_str().unwrap().to_owned());
        (fs::read(out).unwrap(), pcrs.join(":"))
    }

    fn host(&mut self) {
        let mut config = format!(
            "api.listen = \"127.0.0.1:7443\"\nadmin.socket = \"{}\"\nstore.sqlite = \"{}\"\n[relay]\nvsock_port = 9001\n\
             [relay.names]\n\"kms.{REGION}.amazonaws.com\" = \"{}\"\n",
            self.shown("admin.sock"),
            self.shown("store.db"),
            self.kms.local_addr().unwrap(),
        );
        self.write("credentials.toml", "access_key_id = \"AK\"\nsecret_access_key = \"planted\"\n");
        fs::set_permissions(self.path("credentials.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        for (role, slot, cid) in SLOTS {
            write!(
                config,
                "[[enclave]]\nrole = \"{role}\"\nvsock = {{ cid = {cid}, port = 5005 }}\nmanifest = \"{}\"\n\
                 credentials.file = \"{}\"\n",
                self.shown(&format!("{slot}.manifest")),
                self.shown("credentials.toml"),
            )
            .unwrap();
        }
        self.write("host.toml", config);
        self.arguments.extend(["--host-config".to_owned(), self.shown("host.toml")]);
    }

    /// Writes the manifest of `file`, with a key in the role's account, and returns the PCR16 that it makes.
    pub(crate) fn manifest(&self, file: &str, role: &str, region: &str, more: &[&str]) -> String {
        let arn = format!("arn:aws:kms:{region}:{}:key/{KEY}", account(role));
        self.manifest_of(&arn, (file, role, region), more)
    }

    /// The same with another key.
    pub(crate) fn manifest_of(&self, arn: &str, (file, role, region): (&str, &str, &str), more: &[&str]) -> String {
        let out = self.shown(&format!("{file}.manifest"));
        drop(fs::remove_file(&out));
        let release = if file.ends_with("-b") { "2" } else { "1" };
        let start = ["operator", "manifest", "--role", role, "--region", region, "--release", release];
        let said = strongroom(&[&start[..], &["--kms-key-arn", arn, "--out", &out], more].concat());
        said.trim().rsplit(' ').next().unwrap().to_owned()
    }

    fn key_policies(&mut self) {
        for (role, _) in ROLES {
            let slots = SLOTS.iter().filter(|(of, name, _)| of == role && *name != EMPTY);
            let pcr16s: Vec<String> = slots.map(|(_, name, _)| self.manifest(name, role, REGION, &[])).collect();
            self.key_policy(role, &pcr16s, &administrator(role));
            let file = format!("{role}={}", self.shown(&format!("{role}.json")));
            self.arguments.extend(["--key-policy".to_owned(), file]);
            self.administrator(role, &administrator(role));
        }
    }

    /// Gives an administrator of a role's key.
    pub(crate) fn administrator(&mut self, role: &str, arn: &str) {
        self.arguments.extend(["--administrator".to_owned(), format!("{role}={arn}")]);
    }

    pub(crate) fn key_policy(&self, role: &str, pcr16s: &[String], administrator: &str) {
        let out = self.shown(&format!("{role}.json"));
        drop(fs::remove_file(&out));
        let enclave = "arn:aws:iam::444455556666:role/strongroom-both";
        let start = ["policy", "generate", "--role", role, "--enclave-role", enclave, "--administrator", administrator];
        let pcr16s: Vec<&str> = pcr16s.iter().flat_map(|pcr16| ["--pcr16", pcr16]).collect();
        strongroom(&[&start[..], &["--image", &self.image, "--out", &out], &pcr16s].concat());
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Drops an option and its value.
    pub(crate) fn without(&mut self, option: &str) {
        while let Some(at) = self.arguments.iter().position(|it| it == option) {
            self.arguments.drain(at..at + 2);
        }
    }

    fn command(&self) -> Command {
        let imds = self.imds.unwrap_or_else(|| self.metadata.serve());
        let mut command = Command::new(binary("strongroom").unwrap());
        command.arg("doctor").args(&self.arguments).arg("--root").arg(self.dir.path());
        command.args(["--imds", &imds.to_string()]).arg("--clock-program").arg(self.path("clock"));
        let own = self.path("host");
        let host = if own.is_file() { own } else { binary("strongroom-host").unwrap() };
        command.arg("--host-program").arg(host);
        command
    }

    /// The exit code and every check.
    pub(crate) fn doctor(&self) -> (i32, Vec<Check>) {
        let output = self.command().arg("--json").output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let text = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
        let checks = said["checks"].as_array().unwrap().iter().map(|check| Check {
            name: text(check, "check"),
            verdict: text(check, "verdict"),
            found: text(check, "found"),
            todo: text(check, "todo"),
        });
        let checks: Vec<Check> = checks.collect();
        let failed = checks.iter().filter(|check| check.verdict == "fail").count();
        assert_eq!(said["failed"], failed);
        (output.status.code().unwrap(), checks)
    }

    /// The same as a person reads it.
    pub(crate) fn text(&self) -> (i32, String) {
        let output = self.command().output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

fn account(role: &str) -> &'static str {
    ROLES.iter().find(|(name, _)| *name == role).unwrap().1
}

/// Who administers a role's key.
pub(crate) fn administrator(role: &str) -> String {
    format!("arn:aws:iam::{}:role/key-administrator", account(role))
}

/// What the image's builder takes for a static executable: an ELF header for x86-64 without program headers.
pub(crate) fn elf(filling: u8) -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..5].copy_from_slice(b"\x7fELF\x02");
    elf[18] = 62;
    elf.extend([filling; 4096]);
    elf
}

#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) verdict: String,
    pub(crate) found: String,
    pub(crate) todo: String,
}

pub(crate) fn strongroom(arguments: &[&str]) -> String {
    let output = Command::new(binary("strongroom").unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
