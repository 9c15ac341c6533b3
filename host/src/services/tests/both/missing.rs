//! Roles that a host does not run.

use super::*;

#[tokio::test]
async fn a_role_that_does_not_run_here_is_named() {
    for (here, missing, name) in [(CLIENT, CUSTODIAN, "custodian"), (CUSTODIAN, CLIENT, "client")] {
        let host = Host::start_in(here).await;
        let caller = host.caller(1).await;
        make(&host, &caller, here, "b").await;
        let before = all_rows(&host);
        let mut backups = BackupServiceClient::new(host.api.clone());
        for roles in [missing, BOTH] {
            let create = backups.create_backup(caller.says(caller.create_in("r", roles, "new"))).await;
            let status = refused(create, Code::FailedPrecondition, "STATE_INVALID");
            assert!(status.message().contains(name), "{}", status.message());
            for call in CALLS {
                let act = act_in(&caller, here, roles, "b", "n", action(call, &[0; 32]));
                let status = send(&host, &caller, call, "r", Some(act)).await;
                let status = refused(status.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
                assert!(status.message().contains(name), "{call}: {}", status.message());
            }
        }
        assert_eq!(all_rows(&host), before);
        let answer = act_in(&caller, here, here, "b", "n", action("Recover", &[]));
        send(&host, &caller, "Recover", "r", Some(answer)).await.unwrap();
    }
}
