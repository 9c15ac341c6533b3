//! The operator's look at the enclaves.

use strongroom_proto::v1::{FleetEnclave, GetFleetRequest};
use tonic::transport::Channel;

use super::*;

async fn fleet(channel: &Channel) -> Result<Vec<FleetEnclave>, Status> {
    let answer = AdminServiceClient::new(channel.clone()).get_fleet(GetFleetRequest {}).await?;
    Ok(answer.into_inner().enclaves)
}

#[tokio::test]
async fn the_operator_alone_sees_each_enclave_in_the_roles_order_and_which_one_has_gone() {
    let mut host = Host::start_in(&[Role::Custodian, Role::Client]).await;
    let shown = fleet(&host.admin).await.unwrap();
    let sockets = ["enclave.sock", "custodian.sock"].map(|name| host.dir.path().join(name));
    assert_eq!(shown.len(), 2);
    for ((enclave, role), socket) in shown.iter().zip([Role::Client, Role::Custodian]).zip(sockets) {
        assert_eq!((enclave.role(), &enclave.address), (role, &format!("unix:{}", socket.display())));
        assert!(enclave.connected && enclave.missing.is_empty() && enclave.problem.is_empty(), "{enclave:?}");
        assert_eq!((enclave.release, enclave.development), (1, false));
    }
    let refused = fleet(&host.api).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "tenants have no such call");

    host.custodian_enclave = None;
    let gone = async {
        loop {
            let shown = fleet(&host.admin).await.unwrap();
            if !shown[1].connected && !shown[1].problem.is_empty() {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert!(shown[0].connected);
    assert_eq!(shown[1].release, 1, "what it said last is still shown");
    assert!(shown[1].seen_ms > 0);
}
