//! Writes a key policy. The same draft gives the same bytes, whatever order its lists are in.

use serde_json::{Value, json};
use strongroom_attestation::Pcr;
use strongroom_proto::v1::Role;

use super::principal::is_role_or_user;
use super::{ImagePcrs, POLICY_BYTES_MAX};
use crate::error::Error;
use crate::role::role_name;

/// Most images of one policy: those of a few releases side by side.
const IMAGES_MAX: usize = 8;
/// Most manifests of one policy, as a statement has them.
const MANIFESTS_MAX: usize = 8;
/// Most enclave roles and most administrators.
const PRINCIPALS_MAX: usize = 8;

/// What the administrator may do: see the key, and change who may use it.
const ADMINISTRATION: &[&str] = &[
    "kms:DescribeKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
];

/// What a key policy is to say. One KMS key serves one role.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The role whose enclaves use the key.
    pub role: Role,
    /// ARNs of the IAM roles (or users) with whose credentials the enclaves call.
    pub enclaves: Vec<String>,
    /// ARNs of those who may change the policy. None of them may be an enclave's, and none the operator's.
    pub administrators: Vec<String>,
    /// Images that may use the key, none to make a key that nobody uses yet.
    pub images: Vec<ImagePcrs>,
    /// Values of PCR16 of the manifests that may use the key.
    pub manifests: Vec<Pcr>,
}

impl Draft {
    /// The policy as JSON, with one statement for each image, so that PCRs of two images never pass together.
    ///
    /// # Errors
    /// [`Error::Input`] names the list and its rule.
    pub fn build(&self) -> Result<String, Error> {
        self.check()?;
        let enclaves = sorted(&self.enclaves);
        // Names in the order of the alphabet, so that the bytes do not depend on whether a map keeps the order of insertion.
        let allow = |sid: &str, who: &[String], actions: &[&str], condition: Option<Value>| {
            let start = [("Action", Some(json!(actions))), ("Condition", condition), ("Effect", Some(json!("Allow")))];
            let end = [("Principal", json!({ "AWS": who })), ("Resource", json!("*")), ("Sid", json!(sid))];
            let end = end.map(|(name, value)| (name, Some(value)));
            let fields = start.into_iter().chain(end).filter_map(|(name, value)| Some((name.to_owned(), value?)));
            fields.collect::<Value>()
        };
        let mut statements = vec![
            allow("KeyAdministrator", &sorted(&self.administrators), ADMINISTRATION, None),
            allow("DescribeKey", &enclaves, &["kms:DescribeKey"], None),
        ];
        let manifests: Vec<String> = sorted(&self.manifests).iter().map(hex::encode).collect();
        for (image, number) in sorted(&self.images).iter().zip(1..) {
            let condition = condition(image, &manifests, self.role);
            let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
            statements.push(allow(&format!("Image{number}"), &enclaves, &actions, Some(condition)));
        }
        let policy = json!({ "Statement": statements, "Version": "2012-10-17" });
        let text = format!("{policy:#}\n");
        if text.len() > POLICY_BYTES_MAX {
            return Err(Error::input("key policy", format!("has {} bytes; at most {POLICY_BYTES_MAX}", text.len())));
        }
        Ok(text)
    }

    fn check(&self) -> Result<(), Error> {
        for (field, list) in [("enclave role", &self.enclaves), ("key administrator", &self.administrators)] {
            check_count(field, list.len(), 1, PRINCIPALS_MAX)?;
            if let Some(wrong) = list.iter().find(|arn| !is_role_or_user(arn)) {
                return Err(Error::input(field, format!("{wrong:?} is not the ARN of one IAM role or user")));
            }
        }
        if let Some(both) = self.enclaves.iter().find(|arn| self.administrators.contains(arn)) {
            return Err(Error::input("key administrator", format!("{both} is the enclave's role too")));
        }
        if self.role == Role::Unspecified {
            return Err(Error::input("role", "is client or custodian"));
        }
        check_count("image", self.images.len(), 0, IMAGES_MAX)?;
        check_count("PCR16", self.manifests.len(), usize::from(!self.images.is_empty()), MANIFESTS_MAX)?;
        let pcrs = self.images.iter().flat_map(|image| [Some(image.pcr0), image.pcr1, image.pcr2]).flatten();
        if pcrs.chain(self.manifests.iter().copied()).any(|pcr| pcr == [0; 48]) {
            return Err(Error::input("PCR", "is all zero: an enclave in debug mode"));
        }
        Ok(())
    }
}

fn check_count(field: &str, count: usize, least: usize, most: usize) -> Result<(), Error> {
    if (least..=most).contains(&count) {
        return Ok(());
    }
    Err(Error::input(field, format!("{count} are given; {least} to {most} are allowed")))
}

/// Each once, in order.
fn sorted<T: Clone + Ord>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

/// KMS says PCRs in lower-case hex; a comparison without case holds too should it ever say them otherwise.
fn condition(image: &ImagePcrs, manifests: &[String], role: Role) -> Value {
    let key = |number: u8| format!("kms:RecipientAttestation:PCR{number}");
    let pcr = |pcr: Pcr| Value::from(hex::encode(pcr));
    let parts = [
        (0, Some(pcr(image.pcr0))),
        (1, image.pcr1.map(pcr)),
        (16, Some(Value::from(manifests.to_vec()))),
        (2, image.pcr2.map(pcr)),
    ];
    let pcrs: Value = parts.into_iter().filter_map(|(number, value)| Some((key(number), value?))).collect();
    json!({
        "StringEquals": { "kms:EncryptionContext:role": role_name(role) },
        "StringEqualsIgnoreCase": pcrs,
    })
}
