//! The manifest: what one deployment of the public image is for, read strictly.
//!
//! Every field has one accepted form. The bytes themselves are what is measured, so another encoding
//! of the same message is refused.

use strongroom_proto::canonical::{self, NotCanonical};
use strongroom_proto::limits::MANIFEST_BYTES_MAX;
use strongroom_proto::v1::{self, Role};

use crate::error::RuntimeError;
use crate::kms::tls::ROOT_BYTES_MAX;

/// Longest region in bytes.
pub const REGION_BYTES_MAX: usize = 32;
/// Longest key id in bytes.
pub const KEY_ID_BYTES_MAX: usize = 64;

/// Partitions whose endpoints end with `amazonaws.com` and whose certificates come from Amazon's roots.
const PARTITIONS: &[&str] = &["aws", "aws-us-gov"];

/// A manifest whose every field was checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// As it was measured.
    pub bytes: Vec<u8>,
    /// The one role that the process serves.
    pub role: Role,
    /// The role's KMS key: a key ARN in `region`, no alias, no multi-Region key.
    pub key_arn: String,
    /// AWS region of the key.
    pub region: String,
    /// Number of the release, from 1.
    pub release: u64,
    /// The only root that KMS's certificate may chain to, in development; X.509 DER.
    pub development_root: Option<Vec<u8>>,
}

impl Manifest {
    /// Reads an encoded `strongroom.v1.Manifest`.
    ///
    /// # Errors
    /// [`RuntimeError::Manifest`] with the field and its rule.
    pub fn read(bytes: &[u8]) -> Result<Self, RuntimeError> {
        let manifest: v1::Manifest = canonical::decode(bytes, MANIFEST_BYTES_MAX).map_err(|error| match error {
            NotCanonical::TooLong(_) => RuntimeError::Manifest("too long"),
            NotCanonical::Malformed => RuntimeError::Manifest("malformed protobuf"),
            NotCanonical::OtherEncoding => {
                RuntimeError::Manifest("not in canonical encoding, or with an unknown field")
            }
        })?;
        check(&manifest).map_err(RuntimeError::Manifest)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            role: manifest.role(),
            key_arn: manifest.kms_key_arn,
            region: manifest.region,
            release: manifest.release,
            development_root: manifest.development.map(|development| development.kms_root_der),
        })
    }

    /// The SDK's default endpoint of the region, and the only name that the relay is asked for.
    #[must_use]
    pub fn kms_host(&self) -> String {
        format!("kms.{}.amazonaws.com", self.region)
    }
}

fn check(manifest: &v1::Manifest) -> Result<(), &'static str> {
    if manifest.role() == Role::Unspecified {
        return Err("role: not a known one");
    }
    if !is_region(&manifest.region) {
        return Err("region: not of the form of an AWS region");
    }
    check_arn(&manifest.kms_key_arn, &manifest.region)?;
    if manifest.release == 0 {
        return Err("release: starts at 1");
    }
    match &manifest.development {
        Some(development) if development.kms_root_der.is_empty() => Err("development.kms_root_der: missing"),
        Some(development) if development.kms_root_der.len() > ROOT_BYTES_MAX => {
            Err("development.kms_root_der: too long")
        }
        _ => Ok(()),
    }
}

/// The region becomes part of a host name, so its form is narrow.
fn is_region(region: &str) -> bool {
    let parts = region.split('-').count();
    region.len() <= REGION_BYTES_MAX
        && parts >= 3
        && region
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// `arn:<partition>:kms:<region>:<account>:key/<id>`.
fn check_arn(arn: &str, region: &str) -> Result<(), &'static str> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "kms", arn_region, account, resource] = parts[..] else {
        return Err("kms_key_arn: not an ARN of KMS");
    };
    if !PARTITIONS.contains(&partition) {
        return Err("kms_key_arn: not a supported partition");
    }
    if arn_region != region {
        return Err("kms_key_arn: another region than the manifest's");
    }
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err("kms_key_arn: the account is not 12 digits");
    }
    let Some(id) = resource.strip_prefix("key/") else {
        return Err("kms_key_arn: not a key (an alias is no key)");
    };
    if id.starts_with("mrk-") {
        return Err("kms_key_arn: a multi-Region key");
    }
    let fits = (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { Ok(()) } else { Err("kms_key_arn: not of the form of a key id") }
}

#[cfg(test)]
pub(crate) mod tests {
    use prost::Message;
    use strongroom_proto::v1::Development;

    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    /// A manifest that is accepted.
    pub(crate) fn good() -> v1::Manifest {
        v1::Manifest {
            role: Role::Client.into(),
            kms_key_arn: ARN.into(),
            region: "eu-central-1".into(),
            release: 7,
            development: None,
        }
    }

    fn check_change(change: impl FnOnce(&mut v1::Manifest), expect: Result<(), &str>) {
        let mut manifest = good();
        change(&mut manifest);
        let got = Manifest::read(&manifest.encode_to_vec()).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(|rule| format!("manifest: {rule}")));
    }

    #[test]
    fn each_field_has_one_form() {
        check_change(|_| (), Ok(()));
        check_change(|m| m.role = 2, Ok(()));
        check_change(|m| m.role = 0, Err("role: not a known one"));
        check_change(|m| m.role = 9, Err("role: not a known one"));
        check_change(|m| m.release = 0, Err("release: starts at 1"));
        for region in
            ["", "eu", "eu-central", "EU-central-1", "eu_central-1", "eu-central-1.evil", "eu--1", "-eu-central-1"]
        {
            check_change(|m| m.region = region.into(), Err("region: not of the form of an AWS region"));
        }
        let longest = format!("eu-central-{}", "1".repeat(REGION_BYTES_MAX - 11));
        check_change(
            |m| {
                m.kms_key_arn = ARN.replace("eu-central-1", &longest);
                m.region.clone_from(&longest);
            },
            Ok(()),
        );
        check_change(|m| m.region = format!("{longest}1"), Err("region: not of the form of an AWS region"));
        check_change(|m| m.region = "eu-west-1".into(), Err("kms_key_arn: another region than the manifest's"));
    }

    #[test]
    fn only_the_arn_of_a_single_region_key_is_taken() {
        let arn = |from: &str, to: &str, expect: &'static str| {
            check_change(|m| m.kms_key_arn = ARN.replace(from, to), Err(expect));
        };
        check_change(|m| m.kms_key_arn = String::new(), Err("kms_key_arn: not an ARN of KMS"));
        arn(":kms:", ":s3:", "kms_key_arn: not an ARN of KMS");
        arn("arn:aws", "arn:aws:x", "kms_key_arn: not an ARN of KMS");
        arn("arn:aws:", "arn:aws-cn:", "kms_key_arn: not a supported partition");
        arn("111122223333", "11112222333", "kms_key_arn: the account is not 12 digits");
        arn("111122223333", "11112222333x", "kms_key_arn: the account is not 12 digits");
        arn("key/", "alias/", "kms_key_arn: not a key (an alias is no key)");
        arn("key/", "key/mrk-", "kms_key_arn: a multi-Region key");
        arn("key/", "key/a/", "kms_key_arn: not of the form of a key id");
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        arn(id, "", "kms_key_arn: not of the form of a key id");
        arn(id, &"a".repeat(KEY_ID_BYTES_MAX + 1), "kms_key_arn: not of the form of a key id");
        check_change(|m| m.kms_key_arn = ARN.replace(id, &"a".repeat(KEY_ID_BYTES_MAX)), Ok(()));
    }

    #[test]
    fn a_development_section_names_a_root() {
        let root = |length: usize| Some(Development { kms_root_der: vec![1; length] });
        check_change(|m| m.development = root(1), Ok(()));
        check_change(|m| m.development = root(ROOT_BYTES_MAX), Ok(()));
        check_change(|m| m.development = root(0), Err("development.kms_root_der: missing"));
        check_change(|m| m.development = root(ROOT_BYTES_MAX + 1), Err("development.kms_root_der: too long"));
    }

    #[test]
    fn one_encoding_only() {
        let read = |bytes: &[u8]| Manifest::read(bytes).map(|_| ()).unwrap_err().to_string();
        let good = good().encode_to_vec();
        assert_eq!(Manifest::read(&good).unwrap().kms_host(), "kms.eu-central-1.amazonaws.com");
        assert_eq!(
            read(&[good.as_slice(), &[0x78, 1]].concat()),
            "manifest: not in canonical encoding, or with an unknown field"
        );
        assert_eq!(
            read(&[good.as_slice(), &[0x08, 1]].concat()),
            "manifest: not in canonical encoding, or with an unknown field"
        );
        assert_eq!(read(&good[..good.len() - 1]), "manifest: malformed protobuf");
        assert_eq!(read(&vec![0; MANIFEST_BYTES_MAX + 1]), "manifest: too long");
        assert_eq!(read(&[]), "manifest: role: not a known one");
    }
}
