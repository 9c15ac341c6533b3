//! Both enclaves of one tenant, under one statement, and backups whose records are in both.

use prost::Message;
use strongroom_proto::contents::Share;
use strongroom_proto::enclave::v1::{CreateRecord, SealedRecord, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{
    Act, Intent, NewCredential, Policy, PutSharesAction, Receipt, Role, RolePart, SignedReceipt, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, creation, own_part, sealed_message, share, two_shares};
use crate::device::{Passkey, seal};
use crate::steps::{about, consents, countersigned, moves, put_shares};
use crate::world::World;

/// The enclave of each role. Each has caches and a KMS of its own.
pub(crate) struct Both {
    pub(crate) client: World,
    pub(crate) custodian: World,
}

/// A backup's record in each role.
pub(crate) struct Pair {
    pub(crate) client: Backup,
    pub(crate) custodian: Backup,
}

/// What the wallet company keeps of the users' pairs.
pub(crate) fn custodians_shares() -> Vec<Share> {
    vec![share("ed", b"the custodian's half of ed25519"), share("k1", b"the custodian's half of secp256k1")]
}

impl Both {
    pub(crate) fn new(seed: u64) -> Self {
        let mut both = Self { client: World::new(seed), custodian: World::custodian(seed + 0x1000) };
        let epochs = [&both.client.epoch.identity, &both.custodian.epoch.identity];
        let statement = both.client.tenant.sign(&both.client.tenant.statement(&epochs));
        for world in [&mut both.client, &mut both.custodian] {
            world.statement = world.keep(statement.clone());
        }
        both
    }

    /// Their clocks are never apart in these tests.
    pub(crate) fn set_now(&self, now_ms: u64) {
        self.client.fake.now.set(now_ms);
        self.custodian.fake.now.set(now_ms);
    }

    pub(crate) fn now(&self) -> u64 {
        self.client.fake.now.get()
    }

    pub(crate) fn world(&self, role: Role) -> &World {
        if role == Role::Client { &self.client } else { &self.custodian }
    }

    /// A creation that names both roles, but for the hashes of its messages.
    pub(crate) fn creation(&self, wallet: &str, passkey: &Passkey, custodians: Policy) -> Intent {
        let mut intent = creation(&self.client, wallet, passkey);
        intent.custodian = Some(RolePart::default());
        intent.not_after_ms = self.now() + 5 * 60 * 1000;
        action(&mut intent).custodian_policy = Some(custodians);
        intent
    }

    /// Makes the record in both roles, by one intent.
    pub(crate) fn back_up(&self, wallet: &str, custodians: Policy) -> Pair {
        let passkey = Passkey::eddsa(9);
        self.create(self.creation(wallet, &passkey, custodians), &passkey)
    }

    pub(crate) fn create(&self, mut intent: Intent, passkey: &Passkey) -> Pair {
        let messages = [(&self.client, two_shares()), (&self.custodian, custodians_shares())];
        let messages = messages.map(|(world, shares)| (world, sealed_message(world, &intent, &shares)));
        for (world, message) in &messages {
            own_part(world, &mut intent).message_hash = ContentHash::of(message).0.to_vec();
        }
        let act = countersigned(&self.client, consents(&intent, &[passkey]));
        let made = messages.map(|(world, message)| {
            let credential = Some(NewCredential { id: passkey.id.clone(), public_key: passkey.cose() });
            created(world, create_record(world, act.clone(), credential, message))
        });
        let [client, custodian] = made;
        Pair { client, custodian }
    }

    /// An intent about the records of both roles, at their newest heads.
    pub(crate) fn about(&self, pair: &Pair, action: Action) -> Intent {
        let mut intent = about(&self.client, &pair.client, action);
        intent.custodian = Some(place(&pair.custodian.receipt));
        intent
    }

    /// Puts a generation in both roles, by one intent, and gives the client's receipt.
    pub(crate) fn put(&self, pair: &mut Pair, generation: u64) -> SignedReceipt {
        let shares = [share("ed", &generation.to_be_bytes())];
        let pairs = vec![strongroom_proto::v1::Pair { id: "ed".into(), curve: 2 }];
        let mut intent = self.about(pair, Action::PutShares(PutSharesAction { generation, pairs }));
        let worlds = [&self.client, &self.custodian];
        let messages = worlds.map(|world| message(world, &pair.client.receipt.record_id, &shares));
        for (world, message) in worlds.into_iter().zip(&messages) {
            own_part(world, &mut intent).message_hash = ContentHash::of(message).0.to_vec();
        }
        let act = countersigned(&self.client, consents(&intent, &[&pair.client.passkey]));
        let [to_client, to_custodian] = messages;
        let ask = put_shares(&self.client, act.clone(), to_client, &pair.client);
        let (moved, _) = moves(&self.client, "put", Ask::PutShares(ask), &mut pair.client);
        let ask = put_shares(&self.custodian, act, to_custodian, &pair.custodian);
        moves(&self.custodian, "put", Ask::PutShares(ask), &mut pair.custodian);
        moved.receipt.unwrap()
    }
}

/// Shares, sealed to the world's channel key for one record.
pub(crate) fn message(world: &World, record_id: &[u8], shares: &[Share]) -> Vec<u8> {
    let info = crate::acts::info(strongroom_proto::seal::Direction::Request, &world.epoch, record_id);
    let contents = strongroom_proto::contents::encode_shares(shares).unwrap();
    seal(&mut world.fake.random.borrow_mut(), &world.epoch.identity.channel_key, &info, &contents)
}

/// What an intent says to a role whose record stands as a receipt says.
pub(crate) fn place(receipt: &Receipt) -> RolePart {
    RolePart { record_id: receipt.record_id.clone(), head: receipt.head.clone(), ..RolePart::default() }
}

pub(crate) fn create_record(
    world: &World,
    act: Act,
    credential: Option<NewCredential>,
    message: Vec<u8>,
) -> CreateRecord {
    CreateRecord {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: Some(act),
        credential,
        message,
    }
}

/// Asks for a creation, and keeps what the host would keep.
pub(crate) fn created(world: &World, ask: CreateRecord) -> Backup {
    let none = Receipt::default();
    let mut backup =
        Backup { record: SealedRecord::default(), shares: Vec::new(), receipt: none, passkey: Passkey::eddsa(9) };
    moves(world, "creation", Ask::CreateRecord(ask), &mut backup);
    backup
}

/// A record of the custodian role alone, made without a passkey.
pub(crate) fn without_passkey(world: &World, wallet: &str, policy: Policy) -> Backup {
    let (act, message) = bare_creation(world, wallet, |intent| action(intent).custodian_policy = Some(policy));
    created(world, create_record(world, countersigned(world, act), None, message))
}

/// A creation of a method without a passkey, unsigned, with its message.
pub(crate) fn bare_creation(world: &World, wallet: &str, edit: impl FnOnce(&mut Intent)) -> (Act, Vec<u8>) {
    let mut intent = creation(world, wallet, &Passkey::eddsa(9));
    let creation = action(&mut intent);
    (creation.method, creation.credential) = ("PASSWORD".into(), None);
    creation.custodian_policy = Some(TENANT_ONLY);
    edit(&mut intent);
    let message = sealed_message(world, &intent, &custodians_shares());
    intent.custodian.as_mut().unwrap().message_hash = ContentHash::of(&message).0.to_vec();
    (Act { intent: intent.encode_to_vec(), assertions: Vec::new(), tenant_signature: None }, message)
}

pub(crate) const TENANT_ONLY: Policy = Policy { passkey: false, tenant_signature: true, ..PASSKEY_ONLY };
