//! `ExportAudit` by pages.

use strongroom_proto::v1::{AuditExport, ExportAuditRequest};

use super::calls::*;
use super::*;

pub(super) fn page(backup: &str, page_size: u32, page_token: &str) -> ExportAuditRequest {
    let (wallet, backup, page_token) = ("w".to_owned(), backup.to_owned(), page_token.to_owned());
    ExportAuditRequest { wallet, backup, page_size, page_token }
}

async fn export(host: &Host, caller: &Caller, backup: &str, size: u32) -> Vec<AuditExport> {
    let mut backups = BackupServiceClient::new(host.api.clone());
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let answer = backups.export_audit(caller.says(page(backup, size, &token))).await.unwrap().into_inner();
        pages.push(answer.page.unwrap());
        token = answer.next_page_token;
        if token.is_empty() {
            return pages;
        }
        assert!(pages.len() < 100, "{token}");
    }
}

#[tokio::test]
async fn an_export_holds_every_statement_and_receipt_once_and_in_order() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut tenants = TenantServiceClient::new(host.api.clone());
    for serial in 2..=40 {
        let put = PutStatementRequest { statement: Some(caller.statement(serial)) };
        tenants.put_statement(caller.says(put)).await.unwrap();
    }
    back_up(&host, &caller, "b").await;
    back_up(&host, &caller, "other").await;
    for number in 2..=9 {
        usual(&host, &caller, "RenamePasskey", &format!("r{number}")).await.unwrap();
    }
    usual(&host, &caller, "Recover", "r10").await.unwrap();
    for size in [0, 1, 3, 10, 200] {
        let pages = export(&host, &caller, "b", size).await;
        let statements: Vec<_> = pages.iter().flat_map(|page| page.statements.clone()).collect();
        assert_eq!(statements, (1..=40).map(|serial| caller.statement(serial)).collect::<Vec<_>>(), "{size}");
        let versions: Vec<u64> = pages.iter().flat_map(|page| &page.receipts).map(version).collect();
        assert_eq!(versions, (1..=10).collect::<Vec<_>>(), "{size}");
        assert!(!pages.last().unwrap().receipts.is_empty(), "{size}: no empty page at the end");
        for page in &pages {
            let attested: Vec<_> = page.attestations.iter().map(|it| it.identity.clone()).collect();
            let mut expect = vec![super::core::identity(&caller.tenant, Role::Client, 1)];
            expect.truncate(page.receipts.len());
            assert_eq!(attested, expect, "{size}");
            assert!(size == 0 || page.receipts.len() <= size as usize);
        }
    }
    assert_eq!(export(&host, &caller, "other", 0).await[1].receipts.len(), 1);
}

#[tokio::test]
async fn pages_that_nobody_gave_out_are_refused() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    back_up(&host, &caller, "b").await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    for (size, token) in [(201, ""), (0, "x"), (0, "s."), (0, "s.1.2"), (0, "r.9.1"), (0, "r.1."), (0, "r.1.-1")] {
        let answer = backups.export_audit(caller.says(page("b", size, token))).await;
        refused(answer, Code::InvalidArgument, "BAD_REQUEST");
    }
    refused(backups.export_audit(caller.says(page("c", 0, ""))).await, Code::NotFound, "NOT_FOUND");
    refused(backups.export_audit(caller.says(page("a/b", 0, ""))).await, Code::InvalidArgument, "BAD_REQUEST");
}
