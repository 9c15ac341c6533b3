//! What an enclave may not have in its cache, and where it goes in a request once the enclave has said so.

use strongroom_proto::enclave::v1::{KekRef, Need, Request, StatementRef, request::Body};
use strongroom_proto::v1::SignedStatement;

use crate::error::Error;

/// The bytes behind the references of one request.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The statement.
    pub(crate) statement: Option<SignedStatement>,
    /// The wrapped KEK.
    pub(crate) wrapped: Vec<u8>,
}

impl Known {
    /// Puts into the request what `need` names.
    pub(super) fn supply(&self, request: &mut Request, need: Need) -> Result<(), Error> {
        let (statement, kek) = references(request);
        if need.statement {
            let reference = statement.ok_or(Error::Internal("the enclave needs a statement where none is named"))?;
            reference.signed.clone_from(&self.statement);
        }
        if need.kek {
            let reference = kek.ok_or(Error::Internal("the enclave needs a KEK where none is named"))?;
            reference.wrapped.clone_from(&self.wrapped);
        }
        Ok(())
    }
}

fn references(request: &mut Request) -> (Option<&mut StatementRef>, Option<&mut KekRef>) {
    match &mut request.body {
        Some(Body::CreateRecord(body)) => (body.statement.as_mut(), body.kek.as_mut()),
        Some(Body::Recover(body)) => (body.statement.as_mut(), body.kek.as_mut()),
        Some(Body::Rehearse(body)) => (body.statement.as_mut(), body.kek.as_mut()),
        Some(Body::GetIdentity(body)) => (None, body.kek.as_mut()),
        Some(Body::GetView(body)) => (None, body.kek.as_mut()),
        Some(Body::CreateKek(_) | Body::Boot(_) | Body::SetCredentials(_) | Body::GetHealth(_)) | None => (None, None),
    }
}
