/** Every way to log in to a real server, and what happens without: token, password, nkey, credentials file, TLS both ways. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import { type NatsAuth, NatsPlane, type NatsServers } from "../../../planes/index.ts";
import { describeNats, type NatsKind, NatsServer } from "../../peers/nats.ts";

const never = new AbortController().signal;

async function logsIn(server: NatsServer, auth: NatsAuth, tls?: NatsServers["tls"]): Promise<boolean> {
  const plane = new NatsPlane({
    servers: [server.url],
    auth,
    clientName: "auth",
    privateKeySeed: new Uint8Array(randomBytes(32)),
    subjectPrefix: "aegis",
    discover: false,
    startOffline: false,
    ...(tls === undefined ? {} : { tls }),
  });
  try {
    await plane.start({ signal: never });
    return plane.server !== null;
  } catch (error) {
    assert.equal((error as { code?: string }).code, "plane_start_failed", String(error));
    return false;
  } finally {
    await plane.stop();
  }
}

/** A user JWT below an account below an operator, as a server with a memory resolver takes it. */
function credentials(): { config: string; creds: string } {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const token = (signer: typeof operator, subject: string, name: string, nats: object): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = {
      jti: randomBytes(8).toString("hex"),
      iat: 1_767_225_600,
      iss: signer.getPublicKey(),
      sub: subject,
      name,
      nats,
    };
    const body = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
    return `${body}.${Buffer.from(signer.sign(new TextEncoder().encode(body))).toString("base64url")}`;
  };
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const operatorJwt = token(operator, operator.getPublicKey(), "op", { type: "operator", version: 2 });
  const accountJwt = token(operator, account.getPublicKey(), "acc", { type: "account", version: 2, limits });
  const userJwt = token(account, user.getPublicKey(), "user", {
    type: "user",
    version: 2,
    subs: -1,
    data: -1,
    payload: -1,
    pub: {},
    sub: {},
  });
  const creds = `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${text(user.getSeed())}\n------END USER NKEY SEED------\n`;
  const config = `operator: "${operatorJwt}"\nresolver: MEMORY\nresolver_preload: { ${account.getPublicKey()}: "${accountJwt}" }`;
  return { config, creds };
}

for (const kind of ["debian", "newest"] satisfies NatsKind[]) {
  describeNats(kind, "logging in", () => {
    async function withServer(config: string, use: (server: NatsServer) => Promise<void>): Promise<void> {
      const server = await NatsServer.start({ kind, jetstream: false, config });
      try {
        await use(server);
      } finally {
        await server.stop();
      }
    }

    it("by token", () =>
      withServer('authorization { token: "right" }', async (server) => {
        assert.equal(await logsIn(server, { type: "token", token: "right" }), true);
        assert.equal(await logsIn(server, { type: "token", token: "wrong" }), false);
        assert.equal(await logsIn(server, { type: "none" }), false);
      }));
    it("by user and password", () =>
      withServer('authorization { user: "u", password: "p:q" }', async (server) => {
        assert.equal(await logsIn(server, { type: "user", user: "u", password: "p:q" }), true);
        assert.equal(await logsIn(server, { type: "user", user: "u", password: "p" }), false);
      }));
    it("by nkey", async () => {
      const [user, other] = [nkeys.createUser(), nkeys.createUser()];
      const seed = (key: typeof user): string => new TextDecoder().decode(key.getSeed());
      await withServer(`authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`, async (server) => {
        assert.equal(await logsIn(server, { type: "nkey", seed: `${seed(user)}\n` }), true);
        assert.equal(await logsIn(server, { type: "nkey", seed: seed(other) }), false);
      });
    });
    it("by credentials", async () => {
      const [mine, theirs] = [credentials(), credentials()];
      await withServer(mine.config, async (server) => {
        assert.equal(await logsIn(server, { type: "creds", creds: mine.creds }), true);
        assert.equal(await logsIn(server, { type: "creds", creds: theirs.creds }), false);
      });
    });
    it("over TLS, with the server's and the client's certificate checked", async () => {
      const folder = mkdtempSync(join(tmpdir(), "spine-tls-"));
      const path = (name: string): string => join(folder, name);
      const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
      const certificate = (name: string): void => {
        openssl(
          "req",
          "-newkey",
          "rsa:2048",
          "-nodes",
          "-keyout",
          `${name}.key`,
          "-out",
          `${name}.csr`,
          "-subj",
          `/CN=${name}`,
          "-addext",
          "subjectAltName=IP:127.0.0.1",
        );
        openssl(
          "x509",
          "-req",
          "-in",
          `${name}.csr`,
          "-CA",
          "ca.pem",
          "-CAkey",
          "ca.key",
          "-CAcreateserial",
          "-out",
          `${name}.pem`,
          "-days",
          "2",
          "-copy_extensions",
          "copy",
        );
      };
      try {
        openssl(
          "req",
          "-x509",
          "-newkey",
          "rsa:2048",
          "-nodes",
          "-keyout",
          "ca.key",
          "-out",
          "ca.pem",
          "-days",
          "2",
          "-subj",
          "/CN=ca",
        );
        for (const name of ["server", "client"]) certificate(name);
        const config = `tls { cert_file: "${path("server.pem")}", key_file: "${path("server.key")}", ca_file: "${path("ca.pem")}", verify: true }`;
        const [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map((name) => readFileSync(path(name), "utf8"));
        await withServer(config, async (server) => {
          assert.equal(await logsIn(server, { type: "none" }, { ca, cert, key } as NatsServers["tls"]), true);
          assert.equal(await logsIn(server, { type: "none" }, { ca } as NatsServers["tls"]), false, "no certificate");
          assert.equal(
            await logsIn(server, { type: "none" }, { cert, key } as NatsServers["tls"]),
            false,
            "unknown server",
          );
        });
        await withServer("", async (server) => {
          assert.equal(
            await logsIn(server, { type: "none" }, { ca } as NatsServers["tls"]),
            false,
            "a server without TLS",
          );
        });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });
}
