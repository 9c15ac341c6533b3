//! A publisher signs release files, and a tenant updates its statement by them against a running service: old releases, other images and
//! older files are refused, an emergency step back is not.

use std::path::Path;

use strongroom_proto::v1::{Role, Statement};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::tenant::Folder;
use strongroom_tests::stack::image::Image;
use strongroom_tests::stack::{Stack, path_text, value};
use strongroom_tests::user::{User, tenant};
use tempfile::TempDir;

use crate::stack;

/// A running stack, its publisher's files beside it, and what a tenant is given.
struct World {
    folder: TempDir,
    stack: Stack,
}

impl World {
    /// The stack is release 1; a patched image is there as release 2.
    async fn new() -> Self {
        let (folder, stack) = stack().await;
        let world = Self { folder, stack };
        let patched = world.stack.image().patched(world.folder.path()).unwrap();
        for (name, image) in [("one.eif", world.stack.image()), ("two.eif", &patched)] {
            std::fs::write(world.path(name), image.eif().unwrap()).unwrap();
        }
        let (key, public) = (world.path("release.key"), world.path("release.pub"));
        world.stack.strongroom(&["release", "new-key", "--out", &key, "--public", &public]).unwrap();
        let manifest = world.folder.path().join("next.manifest");
        let arn = world.stack.key_arn(Role::Client).unwrap();
        let next = world.stack.write_manifest_of(2, Role::Client, arn, &manifest).unwrap();
        let strange = world.folder.path().join("strange.manifest");
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/x";
        world.stack.write_manifest_of(2, Role::Client, arn, &strange).unwrap();
        world.write_policy("client.json", &[world.stack.image()], &[&world.pcr16()]);
        world.write_policy("other.json", &[&patched], &[&world.pcr16()]);
        world.write_policy("both.json", &[world.stack.image(), &patched], &[&world.pcr16(), &next]);
        world
    }

    fn path(&self, name: &str) -> String {
        path_text(&self.folder.path().join(name)).unwrap().to_owned()
    }

    /// PCR16 of the running enclave.
    fn pcr16(&self) -> String {
        hex::encode(&self.statement().client.unwrap().pcr16[0])
    }

    fn write_policy(&self, name: &str, images: &[&Image], manifests: &[&str]) {
        let arn = |user: &str| format!("arn:aws:iam::111122223333:user/{user}");
        let (enclave, administrator, out) = (arn("client-enclave"), arn("key-administrator"), self.path(name));
        let images: Vec<String> = images
            .iter()
            .map(|image| image.measurements().unwrap())
            .map(|pcrs| [pcrs.pcr0, pcrs.pcr1, pcrs.pcr2].map(hex::encode).join(":"))
            .collect();
        let mut arguments = vec!["policy", "generate", "--role", "client", "--enclave-role", &enclave];
        arguments.extend(["--administrator", &administrator, "--out", &out]);
        arguments.extend(images.iter().flat_map(|image| ["--image", image]));
        arguments.extend(manifests.iter().flat_map(|pcr16| ["--pcr16", pcr16]));
        self.stack.strongroom(&arguments).unwrap();
    }

    /// Signs a release file.
    fn publish(&self, name: &str, options: &str) -> anyhow::Result<String> {
        let (key, out) = (self.path("release.key"), self.path(name));
        let options = options.replace("DIR", path_text(self.folder.path())?);
        let options: Vec<&str> = options.split(' ').collect();
        self.stack.strongroom(&[&["release", "sign", "--key", &key, "--out", &out], &options[..]].concat())
    }

    /// `strongroom tenant update` with a release file.
    fn update(&self, release: &str, options: &str) -> anyhow::Result<String> {
        let (dir, key, release) = (self.path("tenant/keys"), self.stack.api_key_file(), self.path(release));
        let api = self.stack.api()?;
        let service = ["--dir", &dir, "--host", &api, "--api-key-file", path_text(&key)?, "--release", &release];
        let options = options.replace("DIR", path_text(self.folder.path())?);
        let options: Vec<&str> = options.split(' ').collect();
        self.stack.strongroom(&[&["tenant", "update"], &service[..], &options].concat())
    }

    /// The statement that the tenant signed last.
    fn statement(&self) -> Statement {
        let folder = Folder::new(Path::new(&self.path("tenant/keys")));
        folder.statement(tenant(&self.stack).unwrap()).unwrap().unwrap().statement().clone()
    }

    /// Refused with this text, and neither signed nor published.
    async fn refused(&self, release: &str, options: &str, expect: &str) {
        let before = self.statement();
        let error = self.update(release, options).unwrap_err().to_string();
        assert!(error.contains(expect), "{release} {options}: {expect}: {error}");
        assert_eq!(self.statement(), before, "{release} {options}");
        assert_eq!(self.served().await, before.serial, "{release} {options}");
    }

    /// The serial of the statement that the host serves.
    async fn served(&self) -> u64 {
        let user = User::returning(&self.stack, "w", Passkey::create("x").unwrap()).await.unwrap();
        let signed = user.client.get_statement().await.unwrap().unwrap();
        strongroom_proto::statement::decode(&signed.statement).unwrap().serial
    }
}

const POLICY: &str = "--key-policy client=DIR/client.json";

#[tokio::test]
async fn a_tenant_updates_its_statement_by_release_files_alone() {
    let world = World::new().await;
    let before = world.statement();
    world.publish("1.release", "--serial 1 --lowest-release 1 --image 1=DIR/one.eif").unwrap();
    let update = |release: &str, options: &str| world.update(release, options);

    // Nothing is believed without the publisher's key, nor signed without a look at the key policy.
    world.refused("1.release", POLICY, "release key: none is pinned yet").await;
    let other = format!("{POLICY} --release-key {}", "11".repeat(32));
    world.refused("1.release", &other, "the release file's signature is wrong").await;
    world.refused("1.release", "--release-key DIR/release.pub", "--key-policy client: is missing").await;
    world.refused("1.release", &format!("--client --custodian {POLICY}"), "--key-policy custodian: is missing").await;
    world.refused("1.release", "--key-policy client=DIR/other.json", "the key policy of the client role has").await;
    world.refused("1.release", &other, "which is pinned in").await;
    world.refused("one.eif", POLICY, "at most 32896 are allowed").await;

    let recipient = "22".repeat(32);
    let printed = update("1.release", &format!("{POLICY} --mpc-recipient {recipient}")).unwrap();
    assert!(printed.contains("accepted releases 1") && printed.contains("image and manifest are of one"), "{printed}");
    let after = world.statement();
    assert_eq!((after.serial, &after.images), (before.serial + 1, &before.images));
    assert_eq!((&after.rp_id, &after.origins, &after.client), (&before.rp_id, &before.origins, &before.client));
    assert_eq!(world.served().await, after.serial);

    // An upgrade: both images, and the manifest that the new enclaves are going to have.
    world.publish("2.release", "--previous DIR/1.release --keep 1 --image 2=DIR/two.eif --lowest-release 1").unwrap();
    let both = "--key-policy client=DIR/both.json --manifest DIR/next.manifest";
    world.refused("2.release", &format!("{both} --accept 3"), "3 is not in the release file, which lists 1, 2").await;
    world.refused("2.release", &format!("{both} --accept 1"), "release 2 is not among those to accept").await;
    world.refused("2.release", &format!("{both} --accept 2"), "release 1 is not among those to accept").await;
    let strange = format!("{both} --manifest DIR/strange.manifest");
    world
        .refused(
            "2.release",
            &strange,
            "the manifest's kms_key_arn is arn:aws:kms:eu-central-1:111122223333:key/x, not",
        )
        .await;
    update("2.release", both).unwrap();
    let upgrading = world.statement();
    assert_eq!((upgrading.images.len(), upgrading.client.unwrap().pcr16.len()), (2, 2));
    assert_eq!(upgrading.mpc_recipients, [[0x22; 32]], "what is left out stays");
    world.refused("1.release", POLICY, "has serial 1, but 2 was accepted before").await;

    // What is backed up under such a statement comes back.
    let user = User::new(&world.stack, "w").await.unwrap();
    user.backup("main", [b"one", b"two"]).await.unwrap();
    assert_eq!(user.recover().await.unwrap(), [b"one", b"two"]);

    // Given up again: neither the new image nor its manifest is carried on.
    world.publish("3.release", "--previous DIR/2.release --keep 1 --lowest-release 1").unwrap();
    update("3.release", POLICY).unwrap();
    let back = world.statement();
    assert_eq!((back.images, back.client), (before.images, before.client));
}

#[tokio::test]
async fn other_images_are_refused_and_an_emergency_step_back_is_not() {
    let world = World::new().await;
    world.publish("1.release", "--serial 1 --lowest-release 1 --image 1=DIR/one.eif --image 2=DIR/two.eif").unwrap();
    let (acme, key) = (world.path("acme"), world.path("release.pub"));
    world.stack.strongroom(&["tenant", "init", "--dir", &acme, "--release-key", &key]).unwrap();
    let pinned = Folder::new(Path::new(&acme)).release_key().unwrap();
    assert_eq!(pinned.map(hex::encode).as_deref(), Some(std::fs::read_to_string(&key).unwrap().trim()));
    world.update("1.release", &format!("{POLICY} --accept 1 --release-key DIR/release.pub")).unwrap();

    // The publisher gives up release 1 before the operator has changed over: no statement can be signed.
    world.publish("2.release", "--previous DIR/1.release --keep 1 --keep 2 --lowest-release 2").unwrap();
    world.refused("2.release", POLICY, "release 1 is below 2, the lowest that the release file allows").await;
    world.refused("2.release", &format!("{POLICY} --accept 1"), "release 1 is below 2, the lowest").await;

    // Back to release 1, under a higher serial.
    let signed = world.publish("3.release", "--previous DIR/2.release --keep 1 --keep 2 --lowest-release 1").unwrap();
    assert_eq!(
        (value(&signed, "serial").unwrap(), value(&signed, "lowest-release").unwrap()),
        ("3".into(), "1".into())
    );
    let before = world.statement();
    world.update("3.release", &format!("{POLICY} --accept 1")).unwrap();
    assert_eq!((world.statement().serial, world.statement().images.len()), (before.serial + 1, 1));

    // A release that was dropped keeps its number to itself.
    world.publish("4.release", "--previous DIR/3.release --keep 2 --lowest-release 2").unwrap();
    world.refused("4.release", POLICY, "the image is in no release of the file with serial 4: PCR0 is").await;
    for (options, expect) in [
        ("--keep 1 --lowest-release 1", "1 is not in the file before: give its image"),
        ("--image 1=DIR/two.eif --lowest-release 1", "1 is not above 2, the highest of the file before"),
        ("--image 1=DIR/one.eif --lowest-release 1", "1 is not above 2, the highest of the file before"),
    ] {
        let error = world.publish("no", &format!("--previous DIR/4.release {options}")).unwrap_err().to_string();
        assert!(error.contains(expect), "{options}: {expect}: {error}");
    }
    // The same image under another number than its manifest names.
    world.publish("5.release", "--previous DIR/4.release --image 5=DIR/one.eif --lowest-release 5").unwrap();
    world.refused("5.release", POLICY, "the manifest's release is 1, not 5").await;

    // A mirror shows an older file, or the publisher's key signed two.
    world.refused("1.release", POLICY, "has serial 1, but 5 was accepted before: it is an old one").await;
    world.publish("fork", "--previous DIR/4.release --keep 2 --lowest-release 2").unwrap();
    world.refused("fork", POLICY, "with serial 5 is not the one that was accepted before: somebody signed two").await;
}
