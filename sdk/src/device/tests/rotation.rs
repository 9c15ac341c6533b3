//! Answers of an epoch that came between the preparation and the act.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom_proto::v1::tenant_service_server::{TenantService, TenantServiceServer};
use strongroom_proto::v1::{
    GetAttestationRequest, GetAttestationResponse, GetStatementRequest, GetStatementResponse, PutStatementRequest,
    PutStatementResponse, Role, SignedStatement, Statement,
};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::ApiKey;
use crate::keys::KeyUse;
use crate::statement::{VerifiedStatement, sign};
use crate::testing::{epoch, key, root, signed_statement, standby, statement, tenant};

type Fits = fn(&Error) -> bool;

/// A host that has one statement, and counts who asks for it.
#[derive(Clone)]
struct Host(Option<SignedStatement>, Arc<AtomicUsize>);

#[tonic::async_trait]
impl TenantService for Host {
    async fn get_statement(&self, _: Request<GetStatementRequest>) -> Result<Response<GetStatementResponse>, Status> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let statement = self.0.clone().ok_or_else(|| Status::not_found("none"))?;
        Ok(Response::new(GetStatementResponse { statement: Some(statement) }))
    }

    async fn put_statement(&self, _: Request<PutStatementRequest>) -> Result<Response<PutStatementResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_attestation(
        &self,
        _: Request<GetAttestationRequest>,
    ) -> Result<Response<GetAttestationResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// The tenant's statement with another serial, and with one epoch more.
fn next(serial: u64, newest: u64) -> Statement {
    let mut statement = statement();
    statement.serial = serial;
    if let Some(role) = &mut statement.client {
        role.epochs.extend((3..=newest).map(epoch));
    }
    statement
}

/// Judges an answer of `number` where the host has `there`; says how often the host was asked, too.
async fn judge(there: Option<SignedStatement>, number: u64) -> (Result<u64, Error>, usize) {
    let asked = Arc::default();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let host = TenantServiceServer::new(Host(there, Arc::clone(&asked)));
    tokio::spawn(Server::builder().add_service(host).serve_with_incoming(incoming));
    let api_key = ApiKey::parse(&format!("sr_{}", "00".repeat(32))).unwrap();
    let client = Client::connect(&format!("http://{address}"), api_key).await.unwrap();
    let device = Device::new(client, tenant(), Trust::aws());
    let check = |statement: &VerifiedStatement| {
        statement.epoch(Role::Client, number)?;
        if number == 1 { Err(Error::Signature { part: "receipt" }) } else { Ok(statement.serial()) }
    };
    let judged = device.judge(&Prepared::of(Vec::new()), check).await;
    (judged, asked.load(Ordering::Relaxed))
}

#[tokio::test]
async fn an_epoch_that_came_meanwhile_counts_by_the_tenants_newest_statement_alone() {
    let good = || Some(sign(&next(4, 3), &root()).unwrap());
    assert!(matches!(judge(good(), 2).await, (Ok(3), 0)), "the prepared one names it");
    assert!(matches!(judge(good(), 3).await, (Ok(4), 1)));
    let by_standby = Some(sign(&next(3, 3), &standby()).unwrap());
    assert!(matches!(judge(by_standby, 3).await, (Ok(3), 1)), "not lower than the one prepared");
    assert!(matches!(judge(good(), 1).await, (Err(Error::Signature { .. }), 0)), "no second chance for another fault");

    let forged = good().map(|mut forged| {
        forged.signature[0] ^= 1;
        forged
    });
    let foreign = {
        let mut statement = next(4, 3);
        statement.standby_key = key(KeyUse::Standby, 77).public_key().to_vec();
        Some(sign(&statement, &root()).unwrap())
    };
    let unknown: Fits = |error| matches!(error, Error::EpochNotInStatement { .. });
    let cases: [(&str, Option<SignedStatement>, u64, Fits); 6] = [
        ("none", None, 3, unknown),
        ("the prepared one again", Some(signed_statement()), 3, unknown),
        ("newer, and without the epoch", good(), 4, unknown),
        ("older", Some(sign(&next(2, 3), &root()).unwrap()), 3, |error| matches!(error, Error::StatementTooOld { .. })),
        ("forged", forged, 3, |error| matches!(error, Error::Signature { .. })),
        ("another tenant's", foreign, 3, |error| matches!(error, Error::ForeignStatement { .. })),
    ];
    for (case, there, number, fits) in cases {
        let (judged, asked) = judge(there, number).await;
        let error = judged.unwrap_err();
        assert!(fits(&error) && asked == 1, "{case}: {error}, asked {asked} times");
    }
}
