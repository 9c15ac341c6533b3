//! What an enclave may not have in its cache, and where it goes in a request once the enclave has said so.

use strongroom_proto::enclave::v1::{KekRef, Need, Request, StatementRef, request::Body};
use strongroom_proto::v1::SignedStatement;

use crate::error::Error;

/// The bytes behind the references of one request.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    /// The statement.
    pub(crate) statement: Option<&'a SignedStatement>,
    /// The wrapped KEK.
    pub(crate) wrapped: Vec<u8>,
    /// The other wrapped KEK; empty where the request names none.
    pub(crate) other: Vec<u8>,
}

impl Known<'_> {
    /// Puts into the request what `need` names.
    pub(super) fn supply(&self, request: &mut Request, need: Need) -> Result<(), Error> {
        let References { statement, kek, other } = references(request);
        if need.statement {
            let reference = statement.ok_or(Error::Internal("the enclave needs a statement where none is named"))?;
            reference.signed = self.statement.cloned();
        }
        if need.kek {
            let reference = kek.ok_or(Error::Internal("the enclave needs a KEK where none is named"))?;
            reference.wrapped.clone_from(&self.wrapped);
        }
        if need.other_kek {
            let reference = other.ok_or(Error::Internal("the enclave needs another KEK where none is named"))?;
            reference.wrapped.clone_from(&self.other);
        }
        Ok(())
    }
}

/// The references of a request.
#[derive(Default)]
struct References<'a> {
    statement: Option<&'a mut StatementRef>,
    kek: Option<&'a mut KekRef>,
    other: Option<&'a mut KekRef>,
}

fn references(request: &mut Request) -> References<'_> {
    macro_rules! all {
        ($body:ident) => {
            References { statement: $body.statement.as_mut(), kek: $body.kek.as_mut(), other: $body.other_kek.as_mut() }
        };
    }
    match &mut request.body {
        Some(Body::CreateRecord(body)) => {
            References { statement: body.statement.as_mut(), kek: body.kek.as_mut(), other: None }
        }
        Some(Body::Recover(body)) => all!(body),
        Some(Body::Rehearse(body)) => all!(body),
        Some(Body::PutShares(body)) => all!(body),
        Some(Body::Commit(body)) => all!(body),
        Some(Body::Change(body)) => all!(body),
        Some(Body::CarryOut(body)) => all!(body),
        Some(Body::Reseal(body)) => all!(body),
        Some(Body::GetIdentity(body)) => References { kek: body.kek.as_mut(), ..References::default() },
        Some(Body::GetView(body)) => {
            References { statement: None, kek: body.kek.as_mut(), other: body.other_kek.as_mut() }
        }
        Some(
            Body::CreateKek(_) | Body::Boot(_) | Body::SetCredentials(_) | Body::GetHealth(_) | Body::GetEvents(_),
        )
        | None => References::default(),
    }
}
