//! Streams that are cut, too long, or too many.

use tokio::sync::mpsc;

use super::*;
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::CAPSULE_BYTES_MAX;

use crate::services::capsule::export::send;
use crate::services::capsule::{CAPSULES_MAX, Room};

#[tokio::test]
async fn a_capsule_that_was_cut_anywhere_is_refused() {
    let (host, caller) = host_of_both().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let (other, _) = beside(&host).await;
    let before = all_rows(&other);
    // Every cut within the last and the first 600 bytes, and others between.
    let cuts = (0..600).chain((600..bytes.len() - 600).step_by(97)).chain(bytes.len() - 600..bytes.len());
    for cut in cuts {
        let status = imported(&other, &bytes[..cut]).await;
        refused(status, Code::InvalidArgument, "BAD_REQUEST");
    }
    let longer = [bytes.as_slice(), &[0xf8, 0x7f, 1]].concat();
    refused(imported(&other, &longer).await, Code::InvalidArgument, "BAD_REQUEST");
    assert_eq!(all_rows(&other), before);
    imported(&other, &bytes).await.unwrap();
}

#[tokio::test]
async fn chunks_and_capsules_end_at_their_limit() {
    let (host, _) = host_of_both().await;
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let chunk = |len: usize| CapsuleChunk { data: vec![0xff; len] };
    for chunks in [vec![chunk(0)], vec![chunk(CHUNK_BYTES + 1)], vec![chunk(1), chunk(0)], vec![]] {
        let named = if chunks.is_empty() { "statement" } else { "data" };
        let status = admin.import_capsule(tokio_stream::iter(chunks)).await;
        let status = refused(status, Code::InvalidArgument, "BAD_REQUEST");
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], named);
    }
    for (extra, limit) in [(0, "malformed protobuf"), (1, "at most")] {
        let status = imported(&host, &vec![0xff; CAPSULE_BYTES_MAX + extra]).await;
        let told = refused(status, Code::InvalidArgument, "BAD_REQUEST");
        assert!(told.message().contains(limit), "{told:?}");
    }
}

#[tokio::test]
async fn imports_at_once_are_few_and_the_next_is_shed() {
    let (host, caller) = host_of_both().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let (other, _) = beside(&host).await;
    let mut open = Vec::new();
    for _ in 0..CAPSULES_MAX {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(CapsuleChunk { data: vec![1] }).await.unwrap();
        let mut admin = AdminServiceClient::new(other.admin.clone());
        let call = tokio::spawn(async move {
            admin.import_capsule(tokio_stream::wrappers::ReceiverStream::new(receiver)).await.map(drop)
        });
        open.push((sender, call));
    }
    let shed = async {
        loop {
            match imported(&other, b"x").await {
                Err(status) if status.code() == Code::ResourceExhausted => return status,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), shed).await.unwrap();
    refused::<()>(Err(status), Code::ResourceExhausted, "OVERLOADED");
    for (sender, call) in open {
        drop(sender);
        call.await.unwrap().unwrap_err();
    }
    imported(&other, &bytes).await.unwrap();
}

#[test]
fn exports_at_once_are_few() {
    let room = Room::default();
    let tenant = |number: usize| TenantId([u8::try_from(number).unwrap(); 32]);
    let held: Vec<_> = (0..CAPSULES_MAX).map(|number| room.export(&tenant(number)).unwrap()).collect();
    assert!(matches!(room.export(&tenant(9)), Err(crate::error::Error::Overloaded(_))));
    drop(held);
    // One tenant takes one place, and what is refused keeps none.
    let one = room.export(&tenant(0)).unwrap();
    for _ in 0..CAPSULES_MAX {
        assert!(matches!(room.export(&tenant(0)), Err(crate::error::Error::Overloaded(_))));
    }
    assert!(room.export(&tenant(1)).is_ok());
    drop(one);
    assert!(room.export(&tenant(0)).is_ok());
}

#[tokio::test]
async fn a_slow_reader_keeps_his_place_for_no_longer_than_the_wait() {
    let (room, tenant, wait) = (Room::default(), TenantId([1; 32]), Duration::from_millis(400));
    let (sender, mut receiver) = mpsc::channel(1);
    let sending = tokio::spawn(send(vec![1; 256 * CHUNK_BYTES], sender, room.export(&tenant).unwrap(), wait));
    let mut taken = 0;
    while receiver.recv().await.is_some() {
        taken += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sending.await.unwrap();
    assert!((1..64).contains(&taken), "{taken}");
    assert!(room.export(&tenant).is_ok());
}

#[tokio::test]
async fn the_tenants_api_takes_no_capsule() {
    let (host, caller) = host_of_both().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let chunk = CapsuleChunk { data: bytes };
    let status = AdminServiceClient::new(host.api.clone()).import_capsule(tokio_stream::iter([chunk])).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
}
