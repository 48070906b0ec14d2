/**
 * `npm run demo`: three daemons on loopback, live facts of this host, one node cut off and healed, every envelope
 * verified at the end. Leaves nothing behind.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Issuer, JsonObject } from "../../spine/index.ts";
import { heartbeat, processSnapshot } from "./host-facts.ts";
import { Member } from "./member.ts";

const CLI = fileURLToPath(new URL("../cli.js", import.meta.url));
const BURST = 20_000;
const BATCH = 500;
const LIVE_SECONDS = 3;
const WAIT_MS = 30_000;
const { signal } = new AbortController();

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const step = (text: string): void => say(`\n▸ ${text}`);

async function held(member: Member, issuer: Issuer): Promise<number> {
  const { issuers } = await member.session.status();
  const ranges = issuers.issuers.find((one) => one.issuer === issuer)?.ranges ?? [];
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** What each node holds of each other's chain. */
async function table(members: readonly Member[]): Promise<void> {
  say(`  ${"".padEnd(8)} links ${members.map(({ name }) => `of ${name}`.padStart(10)).join("")}`);
  for (const member of members) {
    const { peers } = await member.session.status();
    const counts = await Promise.all(members.map(({ session }) => held(member, session.issuer)));
    say(
      `  ${member.name.padEnd(8)} ${String(peers.connected).padStart(5)} ${counts.map((count) => String(count).padStart(10)).join("")}`,
    );
  }
}

async function until(what: string, done: () => Promise<boolean>): Promise<number> {
  const started = performance.now();
  while (!(await done())) {
    if (performance.now() - started > WAIT_MS) throw new Error(`waited ${WAIT_MS / 1000} s for ${what}`);
    await sleep(20);
  }
  return (performance.now() - started) / 1000;
}

async function publish(member: Member, facts: readonly JsonObject[]): Promise<void> {
  const results = await member.session.publish(facts, { signal });
  const refused = results.find(({ ok }) => !ok);
  if (refused !== undefined) throw new Error(`a fact was refused: ${JSON.stringify(refused)}`);
}

async function publishBurst(member: Member, count: number): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    await publish(
      member,
      Array.from({ length: BATCH }, (_, i) => heartbeat(member.session.issuer, done + i)),
    );
    if ((done + BATCH) % (count / 4) === 0) say(`  published ${done + BATCH} of ${count}`);
  }
}

function check(member: Member): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = "";
    const child = spawn(process.execPath, [CLI, "store", "check", "--dir", member.path], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    child.once("exit", (code) => (code === 0 ? resolve(out.trim()) : reject(new Error(`${member.name}: ${out}`))));
  });
}

async function tour(folder: string, members: Member[]): Promise<void> {
  step("Starting three nodes, each in a process and a directory of its own");
  for (const [name, listen] of [
    ["alpha", true],
    ["beta", true],
    ["gamma", false],
  ] as const) {
    members.push(await Member.start(folder, name, listen));
    say(`  ${name.padEnd(6)} ${members.at(-1)?.session.issuer}`);
  }
  const [alpha, beta, gamma] = members as [Member, Member, Member];

  step("Linking them in a line: alpha – beta – gamma. Gamma never talks to alpha directly");
  for (const one of members)
    for (const other of members) if (one !== other) await one.session.allowIssuer(other.session.issuer);
  await beta.session.addPeer(alpha.address as string);
  await gamma.session.addPeer(beta.address as string);
  await until("the links", async () => (await beta.session.status()).peers.connected === 2);

  step(`Feeding alpha live facts of this host for ${LIVE_SECONDS} s: heartbeats and a process snapshot`);
  await publish(alpha, [await processSnapshot(alpha.session.issuer)]);
  for (let i = 0; i < LIVE_SECONDS * 10; i++) {
    if (i > 0) await sleep(100);
    await publish(alpha, [heartbeat(alpha.session.issuer, i)]);
  }
  const live = LIVE_SECONDS * 10 + 1;
  const lag = await until("gamma to hold them", async () => (await held(gamma, alpha.session.issuer)) === live);
  say(`  gamma had the last one ${(lag * 1000).toFixed(0)} ms after it was published, by way of beta`);
  await table(members);

  step(`Cutting gamma off, then publishing ${BURST} more facts`);
  const betaPeer = (beta.address as string).split("/").at(-1) as string;
  await gamma.session.removePeer(betaPeer);
  await until("the cut", async () => (await gamma.session.status()).peers.connected === 0);
  await publishBurst(alpha, BURST);
  await until("beta to follow", async () => (await held(beta, alpha.session.issuer)) === live + BURST);
  await table(members);

  step("Healing: gamma dials beta again");
  const healed = performance.now();
  await gamma.session.addPeer(beta.address as string);
  await until("gamma to catch up", async () => (await held(gamma, alpha.session.issuer)) === live + BURST);
  const seconds = (performance.now() - healed) / 1000;
  await table(members);
  say(
    `  gamma caught up with ${BURST} envelopes in ${seconds.toFixed(2)} s (${Math.round(BURST / seconds)}/s), dialling included`,
  );

  step("Stopping the nodes and verifying every envelope on every disk: hash, link and signature");
  for (const member of members) await member.stop();
  for (const member of members) say(`  ${member.name.padEnd(6)} ${await check(member)}`);
}

const started = performance.now();
const folder = await mkdtemp(join(tmpdir(), "spine-demo-"));
const members: Member[] = [];
process.once("SIGINT", () => {
  process.exitCode = 130;
  void Promise.all(members.map((member) => member.stop())).then(() => process.exit());
});
try {
  await tour(folder, members);
  say(`\nDone in ${((performance.now() - started) / 1000).toFixed(1)} s. Start a node of your own with \`npm start\`.`);
} catch (caught) {
  process.stderr.write(`\nThe tour failed: ${caught instanceof Error ? caught.message : String(caught)}\n`);
  process.exitCode = 1;
} finally {
  for (const member of members) await member.stop();
  await rm(folder, { recursive: true, force: true });
}
