//! What a caller keeps in the host's place, and what the host keeps for a device's own ciphertexts.

use std::sync::{Arc, Mutex};

use strongroom_proto::v1::{
    ClientCiphertext, GetClientCiphertextsRequest, GetClientCiphertextsResponse, ReportStoredRequest, Storage,
    StoredShare,
};

/// What the host does with what it hands out or gives back.
pub(in crate::device::tests) type Hand = fn(&mut Vec<StoredShare>);

/// What came in beside the messages, and what goes out.
#[derive(Clone, Default)]
pub(in crate::device::tests) struct Kept(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ciphertexts: Vec<ClientCiphertext>,
    back: Option<fn(&mut Vec<ClientCiphertext>)>,
    reports: Vec<ReportStoredRequest>,
    self_managed: bool,
    reseals: bool,
    hand: Option<Hand>,
    brought: Vec<StoredShare>,
}

impl Kept {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub(super) fn take(&self, ciphertexts: &[ClientCiphertext]) {
        self.with(|it| it.ciphertexts = ciphertexts.to_vec());
    }

    pub(in crate::device::tests) fn stored_by(&self, storage: Storage) {
        self.with(|it| it.self_managed = storage == Storage::SelfManaged);
    }

    /// From now on, releases seal anew what was brought.
    pub(in crate::device::tests) fn reseal(&self) {
        self.with(|it| it.reseals = true);
    }

    /// From now on, this is done to sealed shares on their way to the caller.
    pub(in crate::device::tests) fn hand(&self, hand: Hand) {
        self.with(|it| it.hand = Some(hand));
    }

    /// From now on, this is done to ciphertexts that are given back.
    pub(in crate::device::tests) fn back(&self, back: fn(&mut Vec<ClientCiphertext>)) {
        self.with(|it| it.back = Some(back));
    }

    pub(super) fn hand_out(&self, shares: Vec<StoredShare>) -> Vec<StoredShare> {
        let shares = if self.with(|it| it.self_managed) { shares } else { Vec::new() };
        self.tampered(shares)
    }

    pub(super) fn tampered(&self, mut shares: Vec<StoredShare>) -> Vec<StoredShare> {
        if let Some(hand) = self.with(|it| it.hand) {
            hand(&mut shares);
        }
        shares
    }

    /// Notes what a release brought, and seals it anew where it is to.
    pub(super) fn anew(&self, brought: &[StoredShare]) -> Vec<StoredShare> {
        self.with(|it| it.brought = brought.to_vec());
        let anew = |it: &StoredShare| StoredShare { sealed: [&it.sealed[..], b" anew"].concat(), ..it.clone() };
        if self.with(|it| it.reseals) { brought.iter().map(anew).collect() } else { Vec::new() }
    }

    pub(super) fn ciphertexts(&self, request: &GetClientCiphertextsRequest) -> GetClientCiphertextsResponse {
        let (mut client_ciphertexts, back) = self.with(|it| (it.ciphertexts.clone(), it.back));
        if let Some(back) = back {
            back(&mut client_ciphertexts);
        }
        GetClientCiphertextsResponse { generation: request.generation.max(1), client_ciphertexts }
    }

    pub(super) fn reported(&self, report: ReportStoredRequest) {
        self.with(|it| it.reports.push(report));
    }

    /// Every report so far: the generation, and whether it was stored.
    pub(in crate::device::tests) fn reports(&self) -> Vec<(u64, bool, String)> {
        self.with(|it| it.reports.iter().map(|it| (it.generation, it.success, it.method.clone())).collect())
    }

    /// What the last release brought along.
    pub(in crate::device::tests) fn brought(&self) -> Vec<StoredShare> {
        self.with(|it| it.brought.clone())
    }

    /// What the host has of the device's own ciphertexts.
    pub(in crate::device::tests) fn has(&self) -> Vec<ClientCiphertext> {
        self.with(|it| it.ciphertexts.clone())
    }
}
