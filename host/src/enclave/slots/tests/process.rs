//! What is known of the process in a slot, whatever becomes of its connections and of its manifest's file.

use super::*;

/// Waits until it has come so far.
async fn until(enough: impl Fn() -> bool) {
    let enough = async {
        while !enough() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, enough).await.unwrap();
}

#[tokio::test]
async fn an_enclave_under_another_manifest_than_its_file_works_and_counts_as_listed_by_nobody() {
    let world = World::new(&[slot(2, None, Does::Answer)]).await;
    // Another host starts after the file was replaced.
    let config = slot_config(world.dir.path(), 0, 3);
    let enclaves = [Enclave::start(&config)];
    known(&enclaves[0], true).await;
    assert_eq!(enclaves[0].pcr16(), None);
    let listed = [pcr16(2), pcr16(3)];
    assert_eq!(ask(Slots::of(Role::Client, &enclaves).unwrap().listed_by(&listed)).await.unwrap(), 0);
    assert_eq!(world.fakes[0].process.lock().unwrap().boots, 1);
}

#[tokio::test]
async fn what_an_enclave_runs_under_outlives_its_connections_and_its_file_but_not_its_process() {
    let line = |text: &str, uptime_ms| frames::Event { seq: 1, uptime_ms, line: text.to_owned() };
    for connections in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let config = EnclaveConfig { connections, ..slot_config(dir.path(), 0, 2) };
        let start = || FakeEnclave::start(&slot_socket(dir.path(), 0), |_| Reaction::HangUp);
        let fake = start();
        fake.process.lock().unwrap().said = vec![line("the first", 100)];
        let enclave = Enclave::start(&config);
        known(&enclave, true).await;
        until(|| enclave.connects() == u64::from(connections)).await;
        write_manifest(&config.manifest, Role::Client, 3);
        for again in 1..=3 {
            let before = enclave.connects();
            assert!(ask(Slots::of(Role::Client, std::slice::from_ref(&enclave)).unwrap()).await.is_err());
            until(|| enclave.connects() > before).await;
            known(&enclave, true).await;
            assert_eq!(enclave.pcr16(), Some(pcr16(2)), "{connections}, lost {again} times");
        }
        // Another process, which another host has booted before this one finds it.
        drop(fake);
        tokio::time::timeout(LONG, enclave.health().wait_for(Option::is_none)).await.unwrap().unwrap();
        write_manifest(&config.manifest, Role::Client, 4);
        let fake = start();
        fake.process.lock().unwrap().said = vec![line("another", 100)];
        fake.process.lock().unwrap().boot(std::fs::read(&config.manifest).unwrap());
        write_manifest(&config.manifest, Role::Client, 3);
        known(&enclave, true).await;
        assert_eq!(enclave.pcr16(), None, "{connections}: it is not what ran there before");
        write_manifest(&config.manifest, Role::Client, 4);
        until(|| enclave.pcr16() == Some(pcr16(4))).await;
        // And one that is bare: it is booted with what the file says now.
        drop(fake);
        tokio::time::timeout(LONG, enclave.health().wait_for(Option::is_none)).await.unwrap().unwrap();
        write_manifest(&config.manifest, Role::Custodian, 3);
        let fake = start();
        fake.process.lock().unwrap().said = vec![line("another", 100)];
        until_it_lacks(&enclave, &["manifest", "credentials"]).await;
        assert_eq!(enclave.pcr16(), None, "{connections}: it has been given none");
        write_manifest(&config.manifest, Role::Client, 3);
        known(&enclave, true).await;
        assert_eq!(enclave.pcr16(), Some(pcr16(3)));
    }
}

#[tokio::test]
async fn a_connection_that_fails_its_first_look_takes_nothing_from_the_others() {
    let world = World::new(&[slot(2, None, Does::Refuse(Reason::KmsUnavailable))]).await;
    let shared = &world.enclaves[0].shared;
    ask(world.slots()).await.unwrap_err();
    let (stranger, _outbox) = crate::enclave::Link::new();
    // Another keeper has learned this, and its connection is about to be added.
    let links = std::mem::take(&mut *shared.links.lock().unwrap());
    shared.remove(&stranger);
    assert!(world.enclaves[0].is_set_back() && world.enclaves[0].health().borrow().is_some());
    assert_eq!(world.enclaves[0].pcr16(), Some(pcr16(2)));
    shared.links.lock().unwrap().clone_from(&links);
    shared.remove(&links[0]);
    assert!(!world.enclaves[0].is_set_back() && world.enclaves[0].health().borrow().is_none());
}
