// Forms of bytes: hex for the files, base64url as browsers give it, COSE keys, and signatures by a credential's own key.
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";

export const bytes = (base64url) => Buffer.from(base64url, "base64url");
export const hex = (buffer) => buffer.toString("hex");
export const sha256 = (data) => createHash("sha256").update(data).digest();

/** A byte string in CBOR, under 64 KiB. */
function cborBytes(data) {
  if (data.length < 24) return Buffer.from([0x40 | data.length, ...data]);
  if (data.length < 256) return Buffer.from([0x58, data.length, ...data]);
  return Buffer.from([0x59, data.length >> 8, data.length & 0xff, ...data]);
}

/** The COSE_Key (RFC 9052) of a public key in SPKI: made anew, so that nothing here has to read the authenticator's own. */
export function coseOf(spki) {
  const jwk = createPublicKey({ key: spki, format: "der", type: "spki" }).export({ format: "jwk" });
  const part = (label, name) => [label, ...cborBytes(bytes(jwk[name]))];
  switch (jwk.kty) {
    case "EC":
      return Buffer.from([0xa5, 1, 2, 3, 0x26, 0x20, 1, ...part(0x21, "x"), ...part(0x22, "y")]);
    case "OKP":
      return Buffer.from([0xa4, 1, 1, 3, 0x27, 0x20, 6, ...part(0x21, "x")]);
    case "RSA":
      return Buffer.from([0xa4, 1, 3, 3, 0x39, 1, 0, ...part(0x20, "n"), ...part(0x21, "e")]);
    default:
      throw new Error(`a key of type ${jwk.kty}`);
  }
}

/** What the credential signs, signed with its private key (PKCS#8, ES256). */
export function signed(pkcs8, { authenticator_data, client_data_json, ...rest }) {
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const message = Buffer.concat([authenticator_data, sha256(client_data_json)]);
  return { ...rest, authenticator_data, client_data_json, signature: sign("sha256", message, key) };
}
