// Records X-Wing vectors made by the HPKE of the npm packages, and has it open what the crate `hpke` seals to the same keys.
//
// Every random input is SHA-256 of a name, so a second run writes the same file. The keys are nobody's: they are public.
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const require = createRequire(join(root, "target/record-xwing/"));
const { Aes256Gcm, CipherSuite, HkdfSha256 } = require("@hpke/core");
const { XWing } = require("@hpke/hybridkem-x-wing");

const kem = new XWing();
const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() });

const FILE = "tests/vectors/hpke/xwing.json";

const hash = (name) => createHash("sha256").update(name).digest();
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const text = (string) => new TextEncoder().encode(string);

/** An info of the shape that the enclave uses: prefix, direction, role, and four hashes. */
const ourInfo = Buffer.concat([
  text("strongroom/v1/hpke\0"), Uint8Array.of(1, 1), hash("tenant"), hash("kek_id"), hash("record_id"),
]);

/** Name of the key, info, aad and plaintext of each message. */
const messages = [
  ["nothing at all", "key 1", "", "", ""],
  ["one byte", "key 1", "", "", "s"],
  ["as the enclave seals: info and no aad", "key 1", ourInfo, "", "a share of a wallet's key"],
  ["the same again, encapsulated anew", "key 1", ourInfo, "", "a share of a wallet's key"],
  ["info, aad and plaintext", "key 1", "info", "aad", "plaintext"],
  ["aad without a plaintext", "key 2", "info", "aad", ""],
  ["a block of AES", "key 2", "info", "", Buffer.alloc(16, 0x5a)],
  ["a block and a byte", "key 2", "info", "", Buffer.alloc(17, 0x5a)],
  ["1,000 bytes", "key 3", ourInfo, "", Buffer.alloc(1000, "share ")],
  ["long info and aad", "key 3", Buffer.alloc(300, "info "), Buffer.alloc(300, "aad "), "plaintext"],
  ["a seed of zeros", Buffer.alloc(32), ourInfo, "", "zeros"],
  ["a seed of ones", Buffer.alloc(32, 0xff), ourInfo, "", "ones"],
];

const asBytes = (value) => (typeof value === "string" ? text(value) : new Uint8Array(value));

async function seal([name, key, info, aad, plaintext]) {
  const seed = new Uint8Array(typeof key === "string" ? hash(key) : key);
  const { publicKey } = await kem.generateKeyPairDerand(seed);
  const eseed = Uint8Array.from([...hash(`${name}, ML-KEM`), ...hash(`${name}, X25519`)]);
  const sender = await suite.createSenderContext({ recipientPublicKey: publicKey, info: asBytes(info), ekm: eseed });
  return {
    name,
    seed: hex(seed),
    public_key: hex(await kem.serializePublicKey(publicKey)),
    info: hex(asBytes(info)),
    aad: hex(asBytes(aad)),
    plaintext: hex(asBytes(plaintext)),
    eseed: hex(eseed),
    enc: hex(sender.enc),
    ciphertext: hex(await sender.seal(asBytes(plaintext), asBytes(aad))),
  };
}

async function open({ seed, info, aad, enc, ciphertext }) {
  const recipientKey = await kem.importKey("raw", unhex(seed), false);
  const recipient = await suite.createRecipientContext({ recipientKey, enc: unhex(enc), info: unhex(info) });
  return hex(await recipient.open(unhex(ciphertext), unhex(aad)));
}

/** The other direction: the same messages as the crate seals them. */
async function openOurs() {
  const run = ["run", "-q", "-p", "strongroom-tests", "--bin", "xwing", "--", FILE];
  const { vectors } = JSON.parse(execFileSync("cargo", run, { cwd: root, encoding: "utf8" }));
  for (const vector of vectors) {
    if ((await open(vector)) !== vector.plaintext) throw new Error(`${vector.name}: opens to something else`);
    const altered = { ...vector, aad: vector.aad + "00" };
    const opened = await open(altered).catch(() => null);
    if (opened !== null) throw new Error(`${vector.name}: opens with another aad`);
  }
  return vectors.length;
}

const vectors = [];
for (const message of messages) vectors.push(await seal(message));
const file = {
  description: "HPKE base mode: X-Wing (0x647a), HKDF-SHA256 (1), AES-256-GCM (2); one message per context; hex. " +
    "eseed is the encapsulation's randomness: 32 bytes for ML-KEM, 32 for X25519.",
  made_by: "@hpke/core 1.9.0, @hpke/hybridkem-x-wing 0.7.0",
  vectors,
};
writeFileSync(join(root, FILE), JSON.stringify(file, null, 1) + "\n");
console.log(`${FILE}: ${vectors.length} vectors; ${await openOurs()} messages of ours open there`);
