// Records passkey ceremonies from headless Chromium with its virtual authenticator, on pages that it serves itself on loopback.
//
// Writes tests/vectors/passkeys/. Keys and challenges are new in every run, and the private keys go with the browser.
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

import { bytes, coseOf, hex, signed } from "./bytes.mjs";
import { accepted, files } from "./ceremonies.mjs";
import { forgeries } from "./forgeries.mjs";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "tests/vectors/passkeys");
const { chromium } = createRequire(join(root, "target/record-passkeys/"))("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** A platform authenticator of a phone or laptop of today. */
const PLATFORM = {
  protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true, hasUserVerification: true,
  isUserVerified: true, automaticPresenceSimulation: true, hasPrf: true, hasLargeBlob: true, hasCredBlob: true,
  defaultBackupEligibility: true, defaultBackupState: true,
};

const page = readFileSync(join(import.meta.dirname, "page.html"));

function serve() {
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(page));
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

class Recorder {
  static async start() {
    const it = new Recorder();
    it.servers = [await serve(), await serve()];
    const [home, other] = it.servers.map((server) => server.address().port);
    it.origins = {
      home: `http://localhost:${home}`, other: `http://localhost:${other}`, subdomain: `http://app.localhost:${home}`,
    };
    it.browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: FLAGS });
    it.page = await it.browser.newPage();
    it.devtools = await it.page.context().newCDPSession(it.page);
    await it.devtools.send("WebAuthn.enable");
    return it;
  }

  async stop() {
    await this.browser.close();
    for (const server of this.servers) server.close();
  }

  send(method, parameters) {
    return this.devtools.send(`WebAuthn.${method}`, { authenticatorId: this.authenticatorId, ...parameters });
  }

  async authenticator(options) {
    if (this.authenticatorId) await this.send("removeVirtualAuthenticator");
    const added = await this.devtools.send("WebAuthn.addVirtualAuthenticator", { options: { ...PLATFORM, ...options } });
    this.authenticatorId = added.authenticatorId;
  }

  async register({ algorithm = -7, registerAt = "home", relyingParty = "localhost", register = {} }) {
    await this.page.goto(this.origins[registerAt]);
    const { id, response, clientExtensionResults } = await this.page.evaluate((options) => globalThis.register(options), {
      rp: { id: relyingParty, name: "a wallet" },
      user: { id: randomBytes(16).toString("base64url"), name: "user", displayName: "A user" },
      challenge: randomBytes(32).toString("base64url"),
      pubKeyCredParams: [{ type: "public-key", alg: algorithm }],
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      ...register,
    });
    this.credential = { id, relyingParty };
    this.registration = {
      rp_id: relyingParty,
      credential_id: bytes(id),
      algorithm,
      public_key: coseOf(bytes(response.publicKey)),
      authenticator_data: bytes(response.authenticatorData),
      client_data_json: bytes(response.clientDataJSON),
      attestation_object: bytes(response.attestationObject),
      client_extension_results: JSON.stringify(clientExtensionResults),
    };
  }

  /** The page, or a frame in one, from which an assertion is asked for. */
  async place({ at = "home", within }) {
    await this.page.goto(this.origins[within ?? at]);
    if (!within) return this.page;
    await this.page.evaluate((src) => globalThis.embed(src), this.origins[at]);
    return this.page.frames()[1];
  }

  async assert(ceremony, challenge) {
    const { get = {}, results = (it) => it, text = (it) => it } = ceremony;
    const place = await this.place(ceremony);
    const { id, response, clientExtensionResults } = await place.evaluate((options) => globalThis.assert(options), {
      challenge: challenge.toString("base64url"),
      rpId: this.credential.relyingParty,
      userVerification: "required",
      allowCredentials: [{ type: "public-key", id: this.credential.id }],
      ...get,
    });
    return {
      credential_id: bytes(id),
      authenticator_data: bytes(response.authenticatorData),
      client_data_json: bytes(response.clientDataJSON),
      signature: bytes(response.signature),
      client_extension_results: text(JSON.stringify(results(clientExtensionResults))),
    };
  }

  /** What the verifier is asked about: the ceremony's own, unless it says otherwise. */
  asked({ asked = {}, relyingParty = "localhost" }, challenge) {
    const named = (list) => list.map((name) => this.origins[name]);
    return {
      challenge: hex(asked.challenge ? randomBytes(32) : challenge),
      rp_id: asked.rp_id ?? relyingParty,
      origins: named(asked.origins ?? ["home"]),
      top_origins: named(asked.top_origins ?? []),
    };
  }

  async record(ceremony) {
    const { name, again, authenticator, register, failsToVerify, get, bits, properties, at = "home", within, expect } = ceremony;
    if (!again) {
      await this.authenticator(authenticator);
      await this.register(ceremony);
    }
    await this.send("setUserVerified", { isUserVerified: !failsToVerify });
    await this.send("setResponseOverrideBits", bits);
    if (properties) {
      const credentialId = this.registration.credential_id.toString("base64");
      await this.send("setCredentialProperties", { credentialId, ...properties });
    }
    const challenge = randomBytes(32);
    const assertion = await this.assert(ceremony, challenge);
    const done = { authenticator, register, failsToVerify, get, bits, properties, at, within };
    const registration = again ? undefined : this.registration;
    return { name, done, asked: this.asked(ceremony, challenge), registration, assertion, expect };
  }

  /** One honest ceremony, and what its credential's key signs instead. */
  async forge() {
    const honest = await this.record({ name: "honest", expect: accepted() });
    const { credentials } = await this.send("getCredentials");
    const key = Buffer.from(credentials[0].privateKey, "base64");
    const { authenticator_data, client_data_json } = honest.registration;
    const parts = { assertion: honest.assertion, registration: { authenticator_data, client_data_json } };
    const forged = forgeries.map(([name, forgery, expect]) =>
      ({ name, asked: honest.asked, assertion: signed(key, forgery(parts)), expect }));
    return [honest, ...forged];
  }
}

/** Bytes as hex, everything else as it is. */
function inHex(value) {
  if (Buffer.isBuffer(value)) return hex(value);
  if (Array.isArray(value) || typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, inHex(member)]));
}

function write(name, description, made_by, vectors) {
  const file = { description, made_by, vectors: vectors.map(inHex) };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(file, null, 1) + "\n");
  console.log(`tests/vectors/passkeys/${name}.json: ${vectors.length} vectors`);
}

mkdirSync(folder, { recursive: true });
const recorder = await Recorder.start();
try {
  const made_by = `Chromium ${recorder.browser.version()}, virtual authenticator`;
  for (const [name, ceremonies] of Object.entries(files)) {
    const vectors = [];
    for (const ceremony of ceremonies) {
      vectors.push(await recorder.record(ceremony).catch((cause) => { throw new Error(ceremony.name, { cause }); }));
    }
    write(name, "Recorded ceremonies; a vector without a registration is of the one before it.", made_by, vectors);
  }
  write("forged", "Signed correctly by the first vector's credential, and still to be refused.", made_by, await recorder.forge());
} finally {
  await recorder.stop();
}
