//! Another software authenticator than the sdk's own: the crate `passkey`, which has its own client, CTAP and COSE.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use passkey::authenticator::extensions::HmacSecretConfig;
use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, ClientData};
use passkey::crypto::aws_lc_rs::AwsLcRsBackend;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use passkey::types::encoding::base64url;
use passkey::types::webauthn::{CreatedPublicKeyCredential, CredentialCreationOptions, CredentialRequestOptions};
use passkey::types::{Bytes, Passkey};
use serde_json::{Value, json};
use strongroom_proto::contents::Share;
use strongroom_proto::id::{IntentHash, sha256};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Assertion;
use strongroom_sdk::device;
use strongroom_sdk::intent::Creation;
use strongroom_sdk::{Error, registration};
use strongroom_tests::stack::{ORIGIN, RP_ID};
use strongroom_tests::user::User;
use url::Url;

use crate::stack;

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const OTHER_RP_ID: &str = "shop.example";
const OTHER_ORIGIN: &str = "https://shop.example";

/// The user, who always touches the authenticator and may or may not be verified.
struct Person {
    verified: bool,
}

#[async_trait::async_trait]
impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        _hint: UiHint<'a, Passkey>,
        _presence: bool,
        _verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck { presence: true, verification: self.verified })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

/// Further members of the client data, and another hash than theirs.
#[derive(Clone)]
struct Data {
    more: Value,
    hash: Option<Vec<u8>>,
}

impl ClientData<Value> for Data {
    fn extra_client_data(&self) -> Value {
        self.more.clone()
    }

    fn client_data_hash(&self) -> Option<Vec<u8>> {
        self.hash.clone()
    }
}

/// A page that asks the authenticator, honestly by default.
#[derive(Clone)]
struct Page {
    passkey: Option<Passkey>,
    origin: &'static str,
    rp_id: &'static str,
    verified: bool,
    extensions: Value,
    /// Whether PRF results stay on the device.
    strips: bool,
    /// Members that the client adds to the client data.
    more: Value,
    /// Client data that the page sends instead of the client's, whose hash it had signed.
    names_instead: Option<&'static str>,
    /// Whether the page has something else signed than what it was asked for.
    other_challenge: bool,
}

impl Page {
    fn new() -> Self {
        Self {
            passkey: None,
            origin: ORIGIN,
            rp_id: RP_ID,
            verified: true,
            extensions: json!({}),
            strips: true,
            more: json!({}),
            names_instead: None,
            other_challenge: false,
        }
    }

    fn user_verification(&self) -> &'static str {
        if self.verified { "required" } else { "discouraged" }
    }

    /// Registers a credential, and keeps it.
    fn register(&mut self, algorithm: i64) -> CreatedPublicKeyCredential {
        let options: CredentialCreationOptions = serde_json::from_value(json!({ "publicKey": {
            "rp": { "id": self.rp_id, "name": "a wallet" },
            "user": { "id": Bytes::from(vec![1; 16]), "name": "user", "displayName": "A user" },
            "challenge": Bytes::from(vec![2; 32]),
            "pubKeyCredParams": [{ "type": "public-key", "alg": algorithm }],
            "authenticatorSelection": { "residentKey": "required", "userVerification": self.user_verification() },
            "extensions": self.extensions,
        }}))
        .unwrap();
        let origin = Url::parse(self.origin).unwrap();
        let mut authenticator = Authenticator::new(
            Aaguid::new_empty(),
            None::<Passkey>,
            Person { verified: self.verified },
            AwsLcRsBackend,
        )
        .hmac_secret(HmacSecretConfig::new_with_uv_only());
        authenticator.set_make_credentials_with_signature_counter(true);
        let mut client = Client::new(authenticator);
        let data = Data { more: self.more.clone(), hash: None };
        let created = ready(client.register(&origin, options, data)).unwrap();
        self.passkey.clone_from(client.authenticator().store());
        created
    }

    /// What the sdk reads out of a registration.
    fn credential(&mut self, algorithm: i64) -> registration::Registration {
        let created = self.register(algorithm);
        let parsed = registration::parse(&created.response.attestation_object, self.rp_id).unwrap();
        assert_eq!(parsed.algorithm, algorithm);
        assert_eq!(parsed.credential.id, created.raw_id.to_vec());
        parsed
    }

    fn client_data(origin: &str, challenge: &[u8]) -> Vec<u8> {
        let challenge = base64url(challenge);
        json!({ "type": "webauthn.get", "challenge": challenge, "origin": origin }).to_string().into_bytes()
    }
}

impl device::Authenticator for Page {
    fn assert(&mut self, _rp_id: &str, intent: &IntentHash, allowed: &[&[u8]]) -> Result<Assertion, Error> {
        let challenge = if self.other_challenge { [7; 32] } else { intent.0 };
        let allowed: Vec<Value> =
            allowed.iter().map(|id| json!({ "type": "public-key", "id": Bytes::from(id.to_vec()) })).collect();
        let options: CredentialRequestOptions = serde_json::from_value(json!({ "publicKey": {
            "challenge": Bytes::from(challenge.to_vec()),
            "rpId": self.rp_id,
            "allowCredentials": allowed,
            "userVerification": self.user_verification(),
            "extensions": self.extensions,
        }}))
        .unwrap();
        let instead = self.names_instead.map(|origin| Self::client_data(origin, &challenge));
        let data = Data { more: self.more.clone(), hash: instead.as_ref().map(|json| sha256(&[json]).to_vec()) };
        let person = Person { verified: self.verified };
        let authenticator = Authenticator::new(Aaguid::new_empty(), self.passkey.clone(), person, AwsLcRsBackend)
            .hmac_secret(HmacSecretConfig::new_with_uv_only());
        let mut client = Client::new(authenticator);
        let origin = Url::parse(self.origin).unwrap();
        let asserted = ready(client.authenticate(&origin, options, data)).unwrap();
        // The counter has moved.
        self.passkey.clone_from(client.authenticator().store());

        let mut results = serde_json::to_value(&asserted.client_extension_results).unwrap();
        if self.strips
            && let Some(prf) = results.get_mut("prf").and_then(Value::as_object_mut)
        {
            prf.remove("results");
        }
        Ok(Assertion {
            credential_id: asserted.raw_id.to_vec(),
            authenticator_data: asserted.response.authenticator_data.to_vec(),
            client_data_json: instead.unwrap_or_else(|| asserted.response.client_data_json.to_vec()),
            signature: asserted.response.signature.to_vec(),
            client_extension_results: results.to_string(),
        })
    }
}

/// The result of a future that has nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the authenticator waits"),
    }
}

fn shares() -> Vec<Share> {
    let share = |pair: &str, bytes: &[u8]| Share { pair: pair.to_owned(), bytes: Secret::new(bytes.to_vec()) };
    vec![share("eth-main", b"one"), share("sol-main", b"two")]
}

async fn backup(user: &User, page: &mut Page, creation: Creation) -> Result<(), Error> {
    user.device.backup(&user.prepare().await.unwrap(), &creation, shares(), page).await.map(|_| ())
}

async fn recover(user: &User, page: &mut Page) -> Result<Vec<Vec<u8>>, Error> {
    let recovered = user.device.recover(&user.prepare().await.unwrap(), None, page).await?;
    Ok(recovered.shares.iter().map(|share| share.bytes.expose().to_vec()).collect())
}

#[tokio::test]
async fn another_software_authenticator_backs_up_and_recovers() {
    let (_folder, stack) = stack().await;
    let prf = json!({ "prf": { "eval": { "first": "AAAA" } } });
    for (wallet, algorithm, extensions, more) in [
        ("es256", ES256, json!({}), json!({})),
        ("eddsa", EDDSA, json!({}), json!({})),
        ("prf", ES256, prf, json!({ "more": "members", "may": ["follow"] })),
    ] {
        let user = User::new(&stack, wallet).await.unwrap();
        let mut page = Page { extensions, more, ..Page::new() };
        let credential = page.credential(algorithm).credential;
        backup(&user, &mut page, Creation { credential, ..user.creation_of("main") }).await.unwrap();
        for _ in 0..2 {
            assert_eq!(recover(&user, &mut page).await.unwrap(), [b"one", b"two"], "{wallet}");
        }
    }
}

/// What a page does otherwise than an honest one, given a passkey with the same id and another key.
type Change = fn(&mut Page, &Passkey);

#[tokio::test]
async fn what_a_dishonest_page_or_client_has_signed_is_refused() {
    let (_folder, stack) = stack().await;
    let user = User::new(&stack, "w").await.unwrap();
    let mut honest = Page { extensions: json!({ "prf": { "eval": { "first": "AAAA" } } }), ..Page::new() };
    let credential = honest.credential(ES256).credential;
    backup(&user, &mut honest, Creation { credential, ..user.creation_of("main") }).await.unwrap();

    let mut stranger = Page::new();
    stranger.register(ES256);
    let mut impostor = honest.passkey.clone().unwrap();
    impostor.key = stranger.passkey.unwrap().key.clone();

    let cases: [(&str, &str, Change); 9] = [
        ("nobody verified the user", "USER_NOT_VERIFIED", |page, _| {
            // Its PRF is for verified users only.
            (page.verified, page.extensions) = (false, json!({}));
        }),
        ("a subdomain", "ORIGIN_NOT_ALLOWED", |page, _| page.origin = "https://evil.wallet.example"),
        ("another port", "ORIGIN_NOT_ALLOWED", |page, _| page.origin = "https://wallet.example:8443"),
        ("another site", "ORIGIN_NOT_ALLOWED", |page, _| (page.origin, page.rp_id) = (OTHER_ORIGIN, OTHER_RP_ID)),
        ("another relying party under our origin's name", "PROOF_REJECTED", |page, _| {
            (page.origin, page.rp_id, page.names_instead) = (OTHER_ORIGIN, OTHER_RP_ID, Some(ORIGIN));
        }),
        ("another site's name under our relying party", "ORIGIN_NOT_ALLOWED", |page, _| {
            page.names_instead = Some(OTHER_ORIGIN);
        }),
        ("PRF results", "PRF_RESULT_PRESENT", |page, _| page.strips = false),
        ("another challenge", "PROOF_REJECTED", |page, _| page.other_challenge = true),
        ("another key under the same id", "PROOF_REJECTED", |page, impostor| page.passkey = Some(impostor.clone())),
    ];
    for (name, reason, change) in cases {
        let mut page = honest.clone();
        change(&mut page, &impostor);
        let refusal = recover(&user, &mut page).await.expect_err(name).to_string();
        assert!(refusal.contains(reason), "{name}: {refusal}");
    }
    assert_eq!(recover(&user, &mut honest).await.unwrap(), [b"one", b"two"]);
}

#[tokio::test]
async fn a_credential_that_cannot_be_used_makes_no_backup() {
    let (_folder, stack) = stack().await;
    let user = User::new(&stack, "w").await.unwrap();
    let other = Page { origin: OTHER_ORIGIN, rp_id: OTHER_RP_ID, ..Page::new() };
    for (name, reason, mut page) in [
        ("of another site", "ORIGIN_NOT_ALLOWED", other.clone()),
        ("of another relying party", "PROOF_REJECTED", Page { names_instead: Some(ORIGIN), ..other }),
        ("of nobody who was verified", "USER_NOT_VERIFIED", Page { verified: false, ..Page::new() }),
    ] {
        let credential = page.credential(ES256).credential;
        let refusal = backup(&user, &mut page, Creation { credential, ..user.creation_of("main") }).await;
        let refusal = refusal.expect_err(name).to_string();
        assert!(refusal.contains(reason), "{name}: {refusal}");
    }
    let created = Page { origin: OTHER_ORIGIN, rp_id: OTHER_RP_ID, ..Page::new() }.register(ES256);
    let error = registration::parse(&created.response.attestation_object, RP_ID).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
}
