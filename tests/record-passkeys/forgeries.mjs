// What a credential can be made to sign and a verifier must not take: each is signed correctly by the recorded credential's key.
//
// No browser gives these; an authenticator, or a page on top of a debugger, could.
import { refused } from "./ceremonies.mjs";

const badClientData = refused("BAD_REQUEST", "assertion.client_data_json");
const badAuthenticatorData = refused("BAD_REQUEST", "assertion.authenticator_data");
const badFlags = (flag) => refused("PROOF_REJECTED", `authenticator_data.flags: ${flag}`);
const rejected = (member) => refused("PROOF_REJECTED", `client_data_json.${member}`);
const otherOrigin = refused("ORIGIN_NOT_ALLOWED", "client_data_json.origin");
const badTop = refused("ORIGIN_NOT_ALLOWED", "client_data_json.topOrigin");

/** Changes the members of the client data. */
const members = (change) => ({ assertion }) => {
  const data = JSON.parse(assertion.client_data_json);
  return { ...assertion, client_data_json: Buffer.from(JSON.stringify({ ...data, ...change(data) })) };
};

/** Changes the client data's text. */
const text = (change) => ({ assertion }) =>
  ({ ...assertion, client_data_json: Buffer.from(change(assertion.client_data_json.toString())) });

/** Changes a copy of the authenticator data; the flags are byte 32. */
const data = (change) => ({ assertion }) =>
  ({ ...assertion, authenticator_data: change(Buffer.from(assertion.authenticator_data)) });
const flags = (set, clear = 0) => data((it) => (it.writeUInt8((it[32] | set) & ~clear, 32), it));

const padded = (base64url) => base64url + "=".repeat(-base64url.length & 3);

export const forgeries = [
  ["a registration in place of an assertion", ({ assertion, registration }) => ({ ...assertion, ...registration }),
    rejected("type")],
  ["client data of a registration", ({ assertion, registration }) =>
    ({ ...assertion, client_data_json: registration.client_data_json }), rejected("type")],
  ["authenticator data of a registration", ({ assertion, registration }) =>
    ({ ...assertion, authenticator_data: registration.authenticator_data }), badFlags("AT")],
  ["the type of a payment", members(() => ({ type: "payment.get" })), rejected("type")],
  ["no type", members(() => ({ type: undefined })), badClientData],
  ["an empty challenge", members(() => ({ challenge: "" })), rejected("challenge")],
  ["a challenge cut short", members(({ challenge }) => ({ challenge: challenge.slice(0, -1) })), rejected("challenge")],
  ["a challenge with padding", members(({ challenge }) => ({ challenge: padded(challenge) })), rejected("challenge")],
  ["a challenge in hex", members(({ challenge }) => ({ challenge: Buffer.from(challenge, "base64url").toString("hex") })),
    rejected("challenge")],
  ["an origin with a slash after it", members(({ origin }) => ({ origin: `${origin}/` })), otherOrigin],
  ["an origin with another scheme", members(({ origin }) => ({ origin: origin.replace("http:", "https:") })), otherOrigin],
  ["an origin without its port", members(({ origin }) => ({ origin: origin.replace(/:\d+$/, "") })), otherOrigin],
  ["an origin that ends like a listed one", members(({ origin }) => ({ origin: origin.replace("//", "//evil-") })), otherOrigin],
  ["an origin that begins like a listed one", members(({ origin }) => ({ origin: `${origin}0` })), otherOrigin],
  ["an origin in capitals", members(({ origin }) => ({ origin: origin.toUpperCase() })), otherOrigin],
  ["an app's origin", members(() => ({ origin: "android:apk-key-hash:AAAA" })), otherOrigin],
  ["the origin null", members(() => ({ origin: "null" })), otherOrigin],
  ["cross-origin without a top origin", members(() => ({ crossOrigin: true })),
    refused("ORIGIN_NOT_ALLOWED", "client_data_json.crossOrigin")],
  ["a top origin although not cross-origin", members(({ origin }) => ({ topOrigin: origin })), badTop],
  ["cross-origin within its own origin, which is not listed on top",
    members(({ origin }) => ({ crossOrigin: true, topOrigin: origin })), badTop],
  ["the origin twice", text((json) => json.replace("{", '{"origin":"http://evil.example",')), badClientData],
  ["the challenge twice", text((json) => json.replace("{", '{"challenge":"AAAA",')), badClientData],
  ["an array around the client data", text((json) => `[${json}]`), badClientData],
  ["the members in an array", text((json) => JSON.stringify([...Object.values(JSON.parse(json)).slice(0, 4), null])), badClientData],
  ["a byte order mark", text((json) => `\ufeff${json}`), badClientData],
  ["a byte after the client data", text((json) => `${json}x`), badClientData],
  ["no user present", flags(0, 0x01), refused("USER_NOT_VERIFIED", "authenticator_data.flags: UP")],
  ["no user verified", flags(0, 0x04), refused("USER_NOT_VERIFIED", "authenticator_data.flags: UV")],
  ["backed up but not eligible", flags(0x10, 0x08), badFlags("BS")],
  ["a credential announced that is not there", flags(0x40), badFlags("AT")],
  ["extensions announced that are not there", flags(0x80), badAuthenticatorData],
  ["extensions that were not announced", data((it) => Buffer.from([...it, 0xa0])), badAuthenticatorData],
  ["an extension map with a byte after it", data((it) => Buffer.from([...it.fill(it[32] | 0x80, 32, 33), 0xa0, 0])),
    badAuthenticatorData],
  ["authenticator data without its counter", data((it) => it.subarray(0, 33)), badAuthenticatorData],
  ["no authenticator data", data(() => Buffer.alloc(0)), badAuthenticatorData],
  ["the hash of another relying party", data((it) => it.fill(it[0] ^ 1, 0, 1)),
    refused("PROOF_REJECTED", "authenticator_data.rpIdHash")],
];
