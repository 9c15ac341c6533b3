//! The matrix of calls that is put to a policy.

use strongroom_attestation::Pcrs;
use strongroom_simulated::devkms::Place;
use strongroom_simulated::devkms::authorization::{Caller, Principal};
use strongroom_simulated::devkms::blob::EncryptionContext;
use strongroom_simulated::devkms::policy::{Decision, KeyPolicy, Request};

const ACCOUNT: &str = "111122223333";
const FOREIGN_ACCOUNT: &str = "444455556666";

/// What needs a genuine enclave.
pub(crate) const ATTESTED: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];
/// What nobody may do at all.
pub(crate) const NEVER: &[&str] = &[
    "kms:Encrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:CreateGrant",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateDataKeyPair",
    "kms:ReplicateKey",
    "kms:ImportKeyMaterial",
    "kms:ScheduleKeyDeletion",
];

/// Who calls.
pub(crate) const CALLERS: [&str; 4] = ["client-enclave", "key-administrator", "operator", "foreigner"];

/// What an enclave shows of itself: PCRs 0, 1, 2 and 16.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    /// No attestation document.
    Nothing,
    /// PCR0, PCR1 and PCR2 from the first byte, PCR16 of the second.
    Image(u8, u8),
    /// PCRs of an image whose application is another's.
    Mixed,
    /// A document of an enclave in debug mode.
    Debug,
}

impl Shown {
    fn pcrs(self) -> Option<Pcrs> {
        let pcrs = |[pcr0, pcr1, pcr2, pcr16]: [u8; 4]| {
            Pcrs::from([(0, [pcr0; 48]), (1, [pcr1; 48]), (2, [pcr2; 48]), (16, [pcr16; 48])])
        };
        match self {
            Self::Nothing => None,
            Self::Image(image, manifest) => Some(pcrs([image, image + 1, image + 2, manifest])),
            Self::Mixed => Some(pcrs([0xa0, 0xa1, 0xb2, 0x16])),
            Self::Debug => Some(pcrs([0, 0, 0, 0x16])),
        }
    }
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) caller: &'static str,
    pub(crate) action: &'static str,
    pub(crate) shown: Shown,
    /// The role in the encryption context.
    pub(crate) role: Option<&'static str>,
}

/// A policy as the development KMS reads it.
pub(crate) struct Kms(KeyPolicy);

impl Kms {
    /// `None` where it refuses the policy.
    pub(crate) fn read(text: &str) -> Option<Self> {
        KeyPolicy::parse(text).ok().map(Self)
    }

    pub(crate) fn allows(&self, call: Call) -> bool {
        let account = if call.caller == "foreigner" { FOREIGN_ACCOUNT } else { ACCOUNT };
        let place = Place::new("eu-central-1", account).unwrap();
        let caller = Caller { principal: Principal::role(&place, call.caller), source_ip: [203, 0, 113, 7].into() };
        let context: EncryptionContext = [("tenant", Some("t")), ("role", call.role)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        self.0.decide(&Request {
            action: call.action,
            caller: &caller,
            account,
            key_arn: "arn:aws:kms:eu-central-1:111122223333:key/k",
            context: &context,
            pcrs: call.shown.pcrs().as_ref(),
            facts: &[],
            now_ms: 1_795_348_800_000,
        }) == Decision::Allowed
    }

    /// The calls to Decrypt and `GenerateDataKey` without attestation that get through, from anybody and with any role.
    pub(crate) fn unattested(&self) -> Vec<Call> {
        let roles = ["client", "custodian", "x", "a0", "a2", "A0", "00", "99", "16", "c*", "*"];
        let roles: Vec<Option<&str>> = roles.into_iter().map(Some).chain([None]).collect();
        self.through(&[Shown::Nothing], &roles)
    }

    /// The same with the attestation of what no policy may let in, or for another role.
    pub(crate) fn wrongly_attested(&self, right: &[(u8, u8)]) -> Vec<Call> {
        let all = [
            Shown::Debug,
            Shown::Image(0xa0, 0x99),
            Shown::Image(0xc0, 0x16),
            Shown::Image(0xb0, 0x16),
            Shown::Image(0xa0, 0x17),
        ];
        let is_right = |shown: &Shown| right.iter().any(|(image, manifest)| *shown == Shown::Image(*image, *manifest));
        let wrong: Vec<Shown> = all.into_iter().filter(|shown| !is_right(shown)).collect();
        let mut calls = self.through(&wrong, &[None, Some("client"), Some("custodian")]);
        let right: Vec<Shown> = right.iter().map(|(image, manifest)| Shown::Image(*image, *manifest)).collect();
        calls.extend(self.through(&right, &[None, Some("custodian"), Some("x")]));
        calls
    }

    /// Calls with the PCR0 of one image and the PCR2 of another that get through. PCR0 measures all of an image, so no enclave shows both;
    /// a policy that demands both must not rely on that.
    pub(crate) fn mixed(&self) -> Vec<Call> {
        self.through(&[Shown::Mixed], &[Some("client")])
    }

    fn through(&self, shown: &[Shown], roles: &[Option<&'static str>]) -> Vec<Call> {
        let mut calls = Vec::new();
        for (caller, action) in CALLERS.into_iter().flat_map(|caller| ATTESTED.map(|action| (caller, action))) {
            for shown in shown {
                calls.extend(roles.iter().map(|role| Call { caller, action, shown: *shown, role: *role }));
            }
        }
        calls.retain(|call| self.allows(*call));
        calls
    }

    /// What gets through although nobody, or only the administrator, may do it.
    pub(crate) fn forbidden(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        for caller in CALLERS {
            let changes = Some("kms:PutKeyPolicy").filter(|_| caller != "key-administrator");
            for action in NEVER.iter().copied().chain(changes) {
                calls.extend([None, Some("client")].map(|role| Call { caller, action, shown: Shown::Nothing, role }));
            }
        }
        calls.retain(|call| self.allows(*call));
        calls
    }
}
