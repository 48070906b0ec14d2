/** When mail is fetched: after interfaces came up, again soon after a failure, else at the interval; never two at once. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { FetchSchedule } from "../../node/reticulum/fetch-schedule.ts";
import { SpineError } from "../../spine/index.ts";

async function until(what: string, done: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(5);
  }
}

describe("fetching mail on a schedule", () => {
  it("waits for an interface, retries a failure, and fetches when an interface comes back", async () => {
    let online = false;
    let fails = true;
    let fetches = 0;
    let running = 0;
    const warnings: string[] = [];
    const schedule = new FetchSchedule({
      intervalMs: 3_600_000,
      settleMs: 10,
      retryMs: 20,
      isOnline: () => online,
      log: { info: () => undefined, warn: (_, text) => warnings.push(text) },
      fetch: async () => {
        fetches++;
        assert.equal(++running, 1);
        await sleep(10);
        running--;
        if (fails) throw new SpineError("path_unknown", "no path");
        return { offered: 1, received: 1 };
      },
    });
    await sleep(50);
    assert.equal(fetches, 0);
    online = true;
    schedule.wireUp("up");
    await until("a second try", () => fetches >= 2);
    assert.match(warnings[0] ?? "", /no path/);
    fails = false;
    const tried = warnings.length;
    await until("a success", () => fetches > warnings.length);
    assert.ok(warnings.length <= tried + 1);
    const fetched = fetches;
    schedule.wireUp("hub/17");
    await sleep(60);
    assert.equal(fetches, fetched, "one more client of a server is no reason");
    for (let i = 0; i < 5; i++) schedule.wireUp("up");
    await until("the fetch after the interface came back", () => fetches > fetched);
    await sleep(60);
    assert.equal(fetches, fetched + 1);
    schedule.stop();
    schedule.wireUp("up");
    await sleep(60);
    assert.equal(fetches, fetched + 1);
  });
});
