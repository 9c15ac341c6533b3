//! Streams that are cut, too long, or too many.

use tokio::sync::mpsc;

use super::*;
use crate::services::capsule::{CAPSULE_BYTES_MAX, CAPSULES_MAX, Room};

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
    let held: Vec<_> = (0..CAPSULES_MAX).map(|_| room.export().unwrap()).collect();
    assert!(matches!(room.export(), Err(crate::error::Error::Overloaded(_))));
    drop(held);
    assert!(room.export().is_ok());
}

#[tokio::test]
async fn the_tenants_api_takes_no_capsule() {
    let (host, caller) = host_of_both().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let chunk = CapsuleChunk { data: bytes };
    let status = AdminServiceClient::new(host.api.clone()).import_capsule(tokio_stream::iter([chunk])).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
}
