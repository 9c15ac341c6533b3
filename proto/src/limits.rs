//! Limits that both sides of the wire keep. Each is refused one past its value.

/// Longest secret in bytes: 256 KiB.
pub const SHARE_BYTES_MAX: usize = 256 * 1024;
/// What sealing at rest adds to a secret in bytes: format, salt and tag.
pub const SEAL_BYTES: usize = 1 + 32 + 16;
/// Longest sealed share in bytes.
pub const SEALED_SHARE_BYTES_MAX: usize = SHARE_BYTES_MAX + SEAL_BYTES;
/// Longest ciphertext of a device in bytes: a secret, and 1 KiB for what its scheme adds.
pub const CIPHERTEXT_BYTES_MAX: usize = SHARE_BYTES_MAX + 1024;
/// Longest encoded capsule in bytes: every share and ciphertext that one role can keep, which is more than two roles do, and 2 MiB for
/// records, receipts, KEKs and attestation documents.
pub const CAPSULE_BYTES_MAX: usize =
    GENERATIONS_MAX * PAIRS_MAX * (SEALED_SHARE_BYTES_MAX + CIPHERTEXT_BYTES_MAX) + 2 * 1024 * 1024;
/// Longest chunk of a capsule on its way, in bytes.
pub const CAPSULE_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Most pairs in one backup.
pub const PAIRS_MAX: usize = 4;
/// Longest HPKE message in bytes: every pair's share, its framing and the encapsulated key.
pub const MESSAGE_BYTES_MAX: usize = PAIRS_MAX * (SHARE_BYTES_MAX + 128) + 2048;
/// Longest frame payload in bytes: one HPKE message or its sealed shares, with record, statement and consents.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 512 * 1024;
/// Most bytes of shares in one answer, those that are released and those that are sealed anew: what the longest put stores. The rest of a
/// frame is for record, receipt and framing.
pub const ANSWER_SHARES_BYTES_MAX: usize = PAIRS_MAX * SEALED_SHARE_BYTES_MAX;
/// Longest encoded intent in bytes.
pub const INTENT_BYTES_MAX: usize = 4 * 1024;
/// Farthest that an intent's `not_after_ms` may lie ahead of the enclave's time: 15 minutes.
pub const INTENT_AHEAD_MS_MAX: u64 = 15 * 60 * 1000;
/// Longest encoded statement in bytes.
pub const STATEMENT_BYTES_MAX: usize = 32 * 1024;
/// Longest life of an operational key: 90 days.
pub const OPERATIONAL_KEY_MS_MAX: u64 = 90 * 24 * 3600 * 1000;
/// Most operational keys in a statement.
pub const OPERATIONAL_KEYS_MAX: usize = 16;
/// Most images in a statement.
pub const IMAGES_MAX: usize = 8;
/// Most accepted PCR16 values of a role.
pub const PCR16_MAX: usize = 8;
/// Most epochs of a role.
pub const EPOCHS_MAX: usize = 64;
/// Most MPC recipients in a statement.
pub const MPC_RECIPIENTS_MAX: usize = 16;
/// Most origins, and most top origins, in a statement.
pub const ORIGINS_MAX: usize = 16;
/// Longest origin and longest relying party id in bytes.
pub const ORIGIN_BYTES_MAX: usize = 253;
/// Longest encoded release file in bytes.
pub const RELEASE_FILE_BYTES_MAX: usize = 32 * 1024;
/// Most releases in a release file: a statement has room for all of them.
pub const RELEASES_MAX: usize = IMAGES_MAX;
/// Most tools and libraries that a release names.
pub const BUILT_WITH_MAX: usize = 16;
/// Longest version of a release, a tool or a library in bytes.
pub const VERSION_BYTES_MAX: usize = 128;
/// Most lines that an enclave keeps of those that it has said.
pub const EVENTS_MAX: usize = 256;
/// Most bytes of these lines together: 32 KiB.
pub const EVENTS_BYTES_MAX: usize = 32 * 1024;
/// Longest of these lines in bytes; a longer one is cut.
pub const EVENT_LINE_BYTES_MAX: usize = 256;
/// Most of these lines in one answer: a question has few bytes, and a thousand may wait for their answers.
pub const EVENTS_ANSWERED_MAX: usize = 32;
/// Longest encoded manifest in bytes.
pub const MANIFEST_BYTES_MAX: usize = 8 * 1024;
/// Longest id of a wallet, backup, pair or request in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest method name in bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest label of a credential in bytes.
pub const LABEL_BYTES_MAX: usize = 64;
/// Longest WebAuthn credential id in bytes.
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1023;
/// Longest `COSE_Key` in bytes.
pub const CREDENTIAL_KEY_BYTES_MAX: usize = 1024;
/// Longest authenticator data of an assertion in bytes.
pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 1024;
/// Longest client data of an assertion in bytes.
pub const CLIENT_DATA_BYTES_MAX: usize = 4 * 1024;
/// Longest signature of an assertion in bytes: RSA with 4,096 bits.
pub const ASSERTION_SIGNATURE_BYTES_MAX: usize = 512;
/// Longest JSON of client extension results in bytes.
pub const EXTENSION_RESULTS_BYTES_MAX: usize = 1024;
/// Most assertions in an act.
pub const ASSERTIONS_MAX: usize = 2;
/// Most credentials in a record.
pub const CREDENTIALS_MAX: usize = 16;
/// Most records of a wallet in one view.
pub const RECORDS_MAX: usize = 16;
/// Longest wrapped KEK in bytes, as KMS answers it.
pub const WRAPPED_KEK_BYTES_MAX: usize = 6144;
/// Longest verifier's nonce in an attestation document in bytes.
pub const ATTESTATION_NONCE_BYTES_MAX: usize = 64;
/// Longest delay of a policy: 30 days.
pub const DELAY_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// HPKE X-Wing public key in bytes.
pub const CHANNEL_KEY_BYTES: usize = 1216;
/// HPKE X-Wing encapsulated key in bytes.
pub const ENCAPSULATED_KEY_BYTES: usize = 1120;
/// RFC 9180 id of the KEM X-Wing.
pub const KEM_XWING: u16 = 0x647a;
/// Most generations that a record names at once: the active one, and former ones within their grace.
pub const GENERATIONS_MAX: usize = 8;
/// Shortest time for which an eject window can be opened: a minute.
pub const EJECT_WINDOW_SECONDS_MIN: u32 = 60;
/// Longest time for which an eject window can be opened: a day.
pub const EJECT_WINDOW_SECONDS_MAX: u32 = 24 * 3600;
/// How long a deletion waits, and how long a former generation stays openable in a record of one role: 7 days.
pub const GRACE_MS: u64 = 7 * 24 * 3600 * 1000;
/// How long what is due can be carried out: 72 hours; a deletion has longer.
pub const DUE_MS_MAX: u64 = 72 * 3600 * 1000;
/// How long a deletion that is due can be carried out: 30 days.
pub const DELETE_DUE_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// Farthest that a put's generation may lie above the highest that the record has seen.
pub const GENERATION_STEP_MAX: u64 = 1024;
