/**
 * A process that commits until it is killed: `node store-writer.js DIRECTORY NAME`. Writes the log size to stdout
 * after each acknowledged commit.
 */
import { writeSync } from "node:fs";
import { EnvelopeState } from "../../spine/index.ts";
import { LevelStore } from "../../storage/index.ts";
import { SyntheticIssuer } from "./synthetic.ts";

const NOTHING = { runs: [], heads: [], issuers: [], forks: [], states: [], rows: [] };

async function main(directory: string, name: string): Promise<void> {
  const store = new LevelStore(directory);
  await store.open();
  let { logSize } = await store.load();
  const issuer = new SyntheticIssuer(name);
  const say = (size: number) => writeSync(1, `${size}\n`);
  say(logSize);
  for (let round = 0; ; round++) {
    // Two commits in flight: singles as a publisher makes them, runs as a sync does, and their verification.
    const single = issuer.next(1);
    const run = issuer.next(40 + (round % 90), { state: EnvelopeState.chain, signed: false });
    const to = issuer.hashes.length;
    const first = store.commit({
      ...NOTHING,
      runs: [single],
      heads: [issuer.head(single.from)],
      issuers: [issuer.record([1, single.from])],
    });
    const second = store.commit({ ...NOTHING, runs: [run], issuers: [issuer.record([1, to])] });
    await first;
    logSize += 1;
    say(logSize);
    await second;
    logSize += run.hashes.length;
    say(logSize);
    const states = [{ issuer: issuer.issuer, seq: to, state: EnvelopeState.unsigned }];
    await store.commit({ ...NOTHING, states });
  }
}

await main(process.argv[2] as string, process.argv[3] as string);
