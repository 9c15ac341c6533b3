//! The seam to the runtime: requests read, steps to take, and the one thing that a step can wait for.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use prost::Message;
use strongroom_proto::enclave::v1::{Boot, GetEvents, Request, SetCredentials, request::Body};
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Role;

use crate::refusal::bad;
use crate::shape;

/// A request, sorted by who answers it.
#[derive(Debug)]
pub enum Incoming {
    /// For the runtime.
    Control(Control),
    /// For the core.
    Work(Work),
}

/// What the runtime answers, before boot and after it.
#[derive(Debug)]
pub enum Control {
    /// The manifest.
    Boot(Boot),
    /// IAM credentials.
    SetCredentials(SetCredentials),
    /// The question what is missing.
    GetHealth,
    /// The question what the runtime has said.
    GetEvents(GetEvents),
}

/// A decoded request for the core.
#[derive(Debug)]
pub struct Work(pub(crate) Box<Body>);

/// Reads a frame's payload.
///
/// # Errors
/// The encoded refusal to send back.
pub fn parse(payload: &[u8]) -> Result<Incoming, Vec<u8>> {
    if !shape::is_bounded(payload) {
        let detail =
            alloc::format!("request: more than one body, or more than {} fields in a part of it", shape::FIELDS_MAX);
        return Err(bad(detail).encode());
    }
    let request = Request::decode(payload).map_err(|_| bad("request: malformed protobuf").encode())?;
    let body = request.body.ok_or_else(|| bad("request.body: missing, or unknown to this release").encode())?;
    Ok(match body {
        Body::Boot(boot) => Incoming::Control(Control::Boot(boot)),
        Body::SetCredentials(credentials) => Incoming::Control(Control::SetCredentials(credentials)),
        Body::GetHealth(_) => Incoming::Control(Control::GetHealth),
        Body::GetEvents(asked) => Incoming::Control(Control::GetEvents(asked)),
        work => Incoming::Work(Work(Box::new(work))),
    })
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// The encoded Response.
    Reply(Vec<u8>),
    /// A KEK is not cached: make this call, then [`resume`](crate::Core::resume).
    Kms(KmsCall, Pending),
}

/// A request that waits for a KEK.
#[derive(Debug)]
pub struct Pending {
    pub(crate) work: Work,
    pub(crate) call: KmsCall,
    /// KMS calls answered for this request before this one.
    pub(crate) calls: usize,
}

/// Whose KEK it is; also KMS's encryption context.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KekContext {
    /// The tenant.
    pub tenant: TenantId,
    /// The role of this enclave.
    pub role: Role,
    /// The epoch, from 1.
    pub epoch: u64,
}

impl KekContext {
    /// The pairs of KMS's encryption context: ids only, since CloudTrail shows them.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, alloc::string::String); 3] {
        let role = match self.role {
            Role::Client => "client",
            Role::Custodian => "custodian",
            Role::Unspecified => "unspecified",
        };
        [("tenant", self.tenant.to_string()), ("role", role.into()), ("epoch", self.epoch.to_string())]
    }
}

/// One call to KMS, always with a fresh attestation document as recipient.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KmsCall {
    /// `GenerateDataKey` with 32 bytes.
    Generate(KekContext),
    /// `Decrypt`. Equal calls may share one answer.
    Unwrap {
        /// Whose KEK it is.
        context: KekContext,
        /// KMS's `CiphertextBlob`.
        wrapped: Vec<u8>,
    },
}

/// What KMS answered, opened.
#[derive(Debug)]
pub struct KekReply {
    /// The wrapped form: new after [`KmsCall::Generate`], the given one after [`KmsCall::Unwrap`].
    pub wrapped: Vec<u8>,
    /// 32 bytes.
    pub kek: Secret,
}

/// Why there is no KEK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KmsFailure {
    /// KMS denied the call: the key policy does not admit this enclave or these credentials.
    Denied,
    /// KMS cannot unwrap these bytes in this context.
    NotUnwrapped,
    /// KMS asks to wait.
    Throttled {
        /// Milliseconds.
        retry_after_ms: u32,
    },
    /// KMS could not be reached, or credentials are missing.
    Unavailable(&'static str),
    /// An answer that broke a rule; names it.
    BadReply(&'static str),
    /// Too many calls wait already.
    Overloaded,
}

/// Names a wrapped KEK within a context.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct KekKey {
    pub(crate) context: KekContext,
    pub(crate) wrapped: ContentHash,
}

impl fmt::Debug for KekKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.context, self.wrapped)
    }
}
