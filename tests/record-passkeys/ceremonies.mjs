// The ceremonies to record, by file: what the authenticator is, what the page asks for, and what a verifier must make of it.
//
// `expect` is written here by hand, from WebAuthn level 3 (section 7.2) and what we promise: user verified, origins compared
// whole, no PRF results. `detail` is how the refusal's sentence begins.

const ES256 = -7;
const EDDSA = -8;
const RS256 = -257;

export const accepted = (backup_eligible = true) => ({ accepted: { backup_eligible } });
export const refused = (reason, detail) => ({ refused: { reason, detail } });

const notVerified = refused("USER_NOT_VERIFIED", "authenticator_data.flags: UV");
const otherOrigin = refused("ORIGIN_NOT_ALLOWED", "client_data_json.origin");
const otherRelyingParty = refused("PROOF_REJECTED", "authenticator_data.rpIdHash");
const otherChallenge = refused("PROOF_REJECTED", "client_data_json.challenge");
const badSignature = refused("PROOF_REJECTED", "assertion.signature");
const malformedResults = refused("BAD_REQUEST", "assertion.client_extension_results");
const prfResults = refused("PRF_RESULT_PRESENT", "assertion.client_extension_results");

const SECURITY_KEY = {
  transport: "usb", hasUserVerification: false, isUserVerified: false, hasPrf: false, hasLargeBlob: false, hasCredBlob: false,
  defaultBackupEligibility: false, defaultBackupState: false,
};
const U2F = { ...SECURITY_KEY, protocol: "u2f", ctap2Version: undefined, hasResidentKey: false };
const nonResident = { authenticatorSelection: { residentKey: "discouraged", userVerification: "required" } };
const unverified = { authenticatorSelection: { residentKey: "discouraged", userVerification: "discouraged" } };
const discouraged = { userVerification: "discouraged" };
const prf = (first, second) => ({ extensions: { prf: { eval: { first, ...(second && { second }) } } } });

const withPrf = { extensions: { prf: {} } };

/** What a careful page does before it sends: the results go, that PRF was asked for stays. */
const withoutResults = ({ prf, ...rest }) => ({ ...rest, prf: { ...prf, results: undefined } });

const algorithms = [
  { name: "ES256", algorithm: ES256, expect: accepted() },
  { name: "ES256 again", again: true, expect: accepted() },
  { name: "ES256 a third time", again: true, expect: accepted() },
  { name: "ES256, another challenge than asked", again: true, asked: { challenge: "other" }, expect: otherChallenge },
  { name: "ES256 with a signature of nothing", again: true, bits: { isBogusSignature: true }, expect: badSignature },
  { name: "EdDSA", algorithm: EDDSA, expect: accepted() },
  { name: "EdDSA again", again: true, expect: accepted() },
  { name: "EdDSA, another challenge than asked", again: true, asked: { challenge: "other" }, expect: otherChallenge },
  { name: "EdDSA with a signature of nothing", again: true, bits: { isBogusSignature: true }, expect: badSignature },
  { name: "RS256", algorithm: RS256, expect: accepted() },
  { name: "RS256 with a signature of nothing", again: true, bits: { isBogusSignature: true }, expect: badSignature },
  { name: "resident, no credential named", get: { allowCredentials: [] }, expect: accepted() },
  { name: "not resident", register: nonResident, expect: accepted() },
  { name: "packed attestation with a certificate", register: { attestation: "direct" }, expect: accepted() },
  { name: "CTAP 2.0", authenticator: { ctap2Version: "ctap2_0", hasPrf: false, hasLargeBlob: false, hasCredBlob: false },
    expect: accepted() },
];

const users = [
  { name: "verification discouraged, a resident credential that is not named", get: { ...discouraged, allowCredentials: [] },
    expect: accepted() },
  { name: "verification discouraged, the credential named", get: discouraged, expect: notVerified },
  { name: "an authenticator that says UV 0 although it was required", bits: { isBadUV: true }, expect: notVerified },
  { name: "an authenticator that says UP 0", bits: { isBadUP: true },
    expect: refused("USER_NOT_VERIFIED", "authenticator_data.flags: UP") },
  { name: "verification would fail, and is discouraged", failsToVerify: true, get: discouraged, expect: notVerified },
  { name: "a security key without user verification", authenticator: SECURITY_KEY, register: unverified, get: discouraged,
    expect: notVerified },
  { name: "a platform authenticator without user verification", register: unverified, get: discouraged,
    authenticator: { hasUserVerification: false, isUserVerified: false }, expect: notVerified },
  { name: "U2F", authenticator: U2F, register: { ...unverified, attestation: "direct" }, get: discouraged, expect: notVerified },
];

const backups = [
  { name: "eligible and backed up", expect: accepted(true) },
  { name: "eligible, not backed up", authenticator: { defaultBackupState: false }, expect: accepted(true) },
  { name: "bound to one device", authenticator: { defaultBackupEligibility: false, defaultBackupState: false },
    expect: accepted(false) },
  { name: "backed up after its registration", authenticator: { defaultBackupState: false }, properties: { backupState: true },
    expect: accepted(true) },
  { name: "turned eligible after its registration", properties: { backupEligibility: true, backupState: true },
    authenticator: { defaultBackupEligibility: false, defaultBackupState: false }, expect: accepted(true) },
];

const extensions = [
  { name: "PRF evaluated with one salt", register: withPrf, get: prf("AAAA"), expect: prfResults },
  { name: "PRF evaluated, results stripped", again: true, get: prf("AAAA"), results: withoutResults, expect: accepted() },
  { name: "PRF evaluated with two salts", again: true, get: prf("AAAA", "BBBB"), expect: prfResults },
  { name: "PRF asked for without a salt", again: true, get: withPrf, expect: accepted() },
  { name: "PRF results under another spelling", again: true, get: prf("AAAA"),
    text: (json) => json.replace('"prf"', '"pr\\u0066"'), expect: prfResults },
  { name: "PRF results behind an empty member of the same name", again: true, get: prf("AAAA"),
    text: (json) => json.replace("{", '{"prf":{},'), expect: malformedResults },
  { name: "PRF results in an array", again: true, get: prf("AAAA"), text: (json) => `[${json}]`, expect: malformedResults },
  { name: "PRF results as the members of an array", again: true, get: prf("AAAA"),
    text: (json) => JSON.stringify([JSON.parse(json).prf, null]), expect: malformedResults },
  { name: "PRF results with a byte after them", again: true, get: prf("AAAA"), text: (json) => `${json}x`,
    expect: malformedResults },
  { name: "PRF evaluated at registration and now", register: prf("AAAA"), get: prf("AAAA"), expect: prfResults },
  { name: "PRF with EdDSA", algorithm: EDDSA, register: withPrf, get: prf("AAAA"), expect: prfResults },
  { name: "PRF asked of an authenticator that has none", authenticator: { hasPrf: false }, register: withPrf,
    get: prf("AAAA"), expect: accepted() },
  { name: "a credBlob in the authenticator data", register: { extensions: { credBlob: "c2VjcmV0" } },
    get: { extensions: { getCredBlob: true } }, expect: accepted() },
  { name: "a largeBlob written", register: { extensions: { largeBlob: { support: "required" } } },
    get: { extensions: { largeBlob: { write: "c2VjcmV0" } } }, expect: accepted() },
  { name: "credProps at registration", register: { extensions: { credProps: true, minPinLength: true } }, expect: accepted() },
];

const origins = [
  { name: "another port of the same host", at: "other", expect: otherOrigin },
  { name: "another port that is listed too", at: "other", asked: { origins: ["home", "other"] }, expect: accepted() },
  { name: "no origin is listed", asked: { origins: [] }, expect: otherOrigin },
  { name: "a frame of the same origin", at: "home", within: "home", expect: accepted() },
  { name: "a frame under a listed top origin", at: "home", within: "other", asked: { top_origins: ["other"] },
    expect: accepted() },
  { name: "a frame under a top origin that is not listed", at: "home", within: "other",
    expect: refused("ORIGIN_NOT_ALLOWED", "client_data_json.topOrigin") },
  { name: "a frame under its own origin's list only", at: "home", within: "other", asked: { top_origins: ["home"] },
    expect: refused("ORIGIN_NOT_ALLOWED", "client_data_json.topOrigin") },
  { name: "a frame of another origin under a listed top origin", at: "other", within: "home", asked: { top_origins: ["home"] },
    expect: otherOrigin },
  { name: "another relying party", relyingParty: "app.localhost", registerAt: "subdomain", at: "subdomain",
    asked: { rp_id: "localhost", origins: ["subdomain"] }, expect: otherRelyingParty },
  { name: "another relying party's origin", relyingParty: "app.localhost", registerAt: "subdomain", at: "subdomain",
    asked: { rp_id: "app.localhost", origins: ["home"] }, expect: otherOrigin },
  { name: "a subdomain as its own relying party", relyingParty: "app.localhost", registerAt: "subdomain", at: "subdomain",
    asked: { rp_id: "app.localhost", origins: ["subdomain"] }, expect: accepted() },
];

export const files = { algorithms, users, backups, extensions, origins };
