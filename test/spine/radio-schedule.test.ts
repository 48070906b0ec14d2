/** Scheduling of a narrow medium: order, shares, duty cycle, revocations deferred and never lost, bounds. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  announcePeriodMs,
  carries,
  DutyCycle,
  dutyCycleAt,
  RADIO_CLASSES,
  RADIO_DEFAULTS,
  type RadioClass,
  type RadioItem,
  RadioSchedule,
  radioClass,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";

const HOUR = 3_600_000;
/** 1200 bit/s, no framing: 100 bytes take 667 ms. */
const airtimeMs = (bytes: number): number => (bytes * 8000) / 1200;

function schedule(options: { duty?: number; bitrate?: number; maxBytes?: number; maxRevocations?: number } = {}) {
  return new RadioSchedule<string>({ ...RADIO_DEFAULTS, bitrate: 1200, airtimeMs, duty: 1, ...options }, 0);
}
function item(name: RadioClass, value = name as string, more: Partial<RadioItem<string>> = {}): RadioItem<string> {
  return { class: name, packets: [100], issuer: "a", receiver: "*", value, ...more };
}
/** The next packet, transmitted at once. */
function transmit(subject: RadioSchedule<string>, now: number) {
  const turn = subject.next(now);
  if (turn !== undefined) subject.duty.book(turn.airMs, now);
  return turn;
}
function drain(subject: RadioSchedule<string>, now: number): string[] {
  const sent: string[] = [];
  for (let turn = transmit(subject, now); turn !== undefined; turn = transmit(subject, now)) sent.push(turn.item.value);
  return sent;
}

describeShared("radio classes and upstream's vectors", ["vectors/spine/reticulum_priority.json"], () => {
  const { mapping, enqueue } = sharedJson<{
    mapping: { fact_schema: string; priority: number }[];
    enqueue: { link_bps: number; accepted: Record<string, boolean> }[];
  }>("vectors/spine/reticulum_priority.json");
  const OF_TIER: readonly (readonly RadioClass[])[] = [
    ["revocation"],
    ["proof", "checkpoint"],
    ["incident"],
    ["policy_delta"],
    ["run"],
    ["node_attestation"],
    ["heartbeat"],
  ];
  it("agree, but for what upstream takes for heartbeats", () => {
    for (const { fact_schema, priority } of mapping) {
      const found = radioClass(fact_schema, true) as RadioClass;
      if ((OF_TIER[priority - 1] as readonly string[]).includes(found)) continue;
      // Revocations and checkpoints of the other prefix or family, and unknown facts before heartbeats.
      assert.equal(priority, 7);
      const kind = /revocation|log_checkpoint/.exec(fact_schema)?.[0];
      assert.equal(found, kind === "log_checkpoint" ? "checkpoint" : kind === "revocation" ? "revocation" : "run");
    }
  });
  it("drop at the same speeds, but for incidents and policy deltas below 10 bit/s, and unknown facts", () => {
    for (const { link_bps, accepted } of enqueue)
      for (const [schema, expected] of Object.entries(accepted)) {
        const found = radioClass(schema, true) as RadioClass;
        const ours = carries(link_bps, found);
        if (/incident|policy_delta/.test(schema)) assert.equal(ours, link_bps >= 10);
        else if (/runtime_proof/.test(schema)) assert.equal(ours, link_bps >= 20);
        else assert.equal(ours, expected, `${schema} at ${link_bps}`);
      }
  });
});

describe("radio schedule", () => {
  it("never sends an unauthorised revocation, of either prefix and family", () => {
    for (const schema of ["aegis.spine.fact.revocation.v1", "clawdstrike.marketplace.revocation.v1"]) {
      assert.equal(radioClass(schema, false), undefined);
      assert.equal(radioClass(schema, true), "revocation");
    }
  });

  it("sends in order of urgency, first in first out within a class", () => {
    const subject = schedule();
    for (const name of [...RADIO_CLASSES].reverse()) {
      subject.push(item(name, `${name} 1`));
      subject.push(item(name, `${name} 2`));
    }
    const order = RADIO_CLASSES.flatMap((name) => [`${name} 1`, `${name} 2`]);
    assert.deepEqual(drain(subject, 0), order);
    assert.equal(subject.bytes, 0);
    assert.equal(subject.readyAt(0), undefined);
  });

  it("lets an urgent message in between the packets of a longer one, and resumes it", () => {
    const subject = schedule();
    subject.push(item("incident", "long", { packets: [100, 100, 50] }));
    assert.equal(subject.next(0)?.item.value, "long");
    subject.push(item("revocation", "urgent"));
    assert.equal(subject.next(1)?.item.value, "urgent");
    const [second, third] = [subject.next(2), subject.next(3)];
    assert.deepEqual([second?.packet, second?.last, third?.packet, third?.last], [1, false, 2, true]);
  });

  it("keeps each class to its share while others wait", () => {
    const subject = schedule();
    const air: Record<string, number> = {};
    let now = 0;
    for (let i = 0; i < 4000; i++) {
      for (const name of RADIO_CLASSES)
        while (name !== "revocation" && subject.waiting[name] < 2) subject.push(item(name));
      const turn = transmit(subject, now);
      assert.ok(turn !== undefined);
      air[turn.item.class] = (air[turn.item.class] ?? 0) + turn.airMs;
      now += turn.airMs;
    }
    const share = (name: string): number => (air[name] ?? 0) / now;
    assert.ok(Math.abs(share("checkpoint") + share("proof") - 0.3) < 0.03, JSON.stringify(air));
    assert.ok(Math.abs(share("incident") - 0.25) < 0.03, JSON.stringify(air));
    assert.ok(share("policy_delta") > share("run") && share("run") > share("heartbeat"));
  });

  it("leaves no air unused for the sake of shares", () => {
    const subject = schedule();
    for (let i = 0; i < 300; i++) subject.push(item("heartbeat", String(i)));
    assert.equal(drain(subject, 0).length, 300);
  });

  it("defers revocations beyond an issuer's rate behind everybody else's, and loses none", () => {
    const subject = schedule();
    for (let i = 0; i < 25; i++) subject.push(item("revocation", `flood ${i}`, { issuer: "flooder" }));
    subject.push(item("revocation", "other", { issuer: "other" }));
    subject.push(item("checkpoint", "checkpoint"));
    const sent = drain(subject, 0);
    assert.equal(sent.length, 27);
    assert.deepEqual(
      sent.slice(0, 10),
      Array.from({ length: 10 }, (_, i) => `flood ${i}`),
    );
    assert.deepEqual(sent.slice(10, 12), ["other", "checkpoint"]);
  });

  it("keeps a tenth of each hour's air for revocations and one for proofs, and never exceeds the duty cycle", () => {
    const subject = schedule({ duty: 0.01 });
    for (let i = 0; i < 500; i++) subject.push(item("incident", "i"));
    const sent = drain(subject, 0);
    assert.equal(sent.length, Math.floor((0.8 * 36_000) / airtimeMs(100)));
    const at = subject.readyAt(0) as number;
    assert.ok(at >= HOUR && at <= HOUR + 7_500);
    subject.push(item("revocation", "r"));
    assert.deepEqual(drain(subject, 1000), ["r"]);
    assert.ok(subject.duty.usedMs(1000) <= 36_000);
    assert.equal(drain(subject, at).length > 0, true);
  });

  it("sends nothing that can never be sent, and says so", () => {
    const subject = schedule({ duty: 0.0001 });
    subject.push(item("checkpoint"));
    assert.equal(subject.next(0), undefined);
    assert.equal(subject.readyAt(0), Number.POSITIVE_INFINITY);
  });

  it("replaces what is not begun by the newer of the same name", () => {
    const subject = schedule();
    assert.equal(subject.push(item("heartbeat", "old", { replaces: "hb a" })), "queued");
    assert.equal(subject.push(item("heartbeat", "new", { replaces: "hb a", packets: [60] })), "replaced");
    assert.equal(subject.bytes, 60);
    assert.deepEqual(drain(subject, 0), ["new"]);
  });

  it("gives up the least urgent and newest when full, counts it, and never a revocation for it", () => {
    const subject = schedule({ maxBytes: 300, maxRevocations: 2 });
    for (const value of ["h1", "h2", "h3"]) subject.push(item("heartbeat", value));
    assert.equal(subject.push(item("heartbeat", "h4")), "full");
    assert.equal(subject.push(item("incident", "i1")), "queued");
    assert.equal(subject.push(item("revocation", "r1")), "queued");
    assert.equal(subject.push(item("revocation", "r2")), "queued");
    assert.equal(subject.push(item("revocation", "r3")), "full");
    assert.deepEqual(drain(subject, 0), ["r1", "r2", "i1", "h1", "h2"]);
    assert.deepEqual([subject.dropped.heartbeat, subject.dropped.revocation], [2, 1]);
  });

  it("forgets what waits for a neighbour that is gone, but no broadcast", () => {
    const subject = schedule();
    subject.push(item("incident", "gone", { receiver: "n1" }));
    subject.push(item("revocation", "gone too", { receiver: "n1" }));
    subject.push(item("incident", "all"));
    subject.forget("n1");
    assert.equal(subject.bytes, 100);
    assert.deepEqual(drain(subject, 0), ["all"]);
  });

  it("refuses what the link is too slow for", () => {
    const subject = schedule({ bitrate: 5 });
    const results = RADIO_CLASSES.map((name) => subject.push(item(name)));
    assert.deepEqual(results, ["queued", "queued", "queued", ...new Array(5).fill("too_slow")]);
  });

  it("keeps its promises under any traffic", () => {
    const event = fc.record({
      class: fc.constantFrom(...RADIO_CLASSES),
      packets: fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 4 }),
      issuer: fc.constantFrom("a", "b", "c"),
      waitMs: fc.integer({ min: 0, max: 120_000 }),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), fc.constantFrom(0.001, 0.01, 0.1, 1), (events, duty) => {
        const subject = schedule({ duty });
        const revocations = { pushed: 0, sent: 0 };
        const air: { at: number; ms: number }[] = [];
        let now = 0;
        const send = (): void => {
          for (let turn = transmit(subject, now); turn !== undefined; turn = transmit(subject, now)) {
            air.push({ at: now, ms: turn.airMs });
            if (turn.item.class === "revocation" && turn.last) revocations.sent++;
            now += turn.airMs;
          }
        };
        for (const { class: name, packets, issuer, waitMs } of events) {
          const pushed = subject.push({ class: name, packets, issuer, receiver: "*", value: "" });
          if (name === "revocation" && pushed === "queued") revocations.pushed++;
          now += waitMs;
          send();
          const lastHour = air.filter(({ at }) => at > now - HOUR).reduce((sum, { ms }) => sum + ms, 0);
          assert.ok(lastHour <= duty * HOUR + 1e-6, `${lastHour} ms of ${duty * HOUR}`);
        }
        for (let at = subject.readyAt(now); at !== undefined && Number.isFinite(at); at = subject.readyAt(now)) {
          now = Math.max(now, at);
          const before = air.length;
          send();
          assert.ok(air.length > before, "readyAt told the truth");
        }
        assert.equal(revocations.sent, revocations.pushed);
      }),
      { numRuns: 200 },
    );
  });
});

describe("duty cycle", () => {
  it("knows the bands", () => {
    for (const [mhz, duty] of [
      [868.1, 0.01],
      [869.525, 0.1],
      [868.65, 0.001],
      [863.5, 0.001],
      [433.5, 0.1],
      [915, 1],
    ] as const)
      assert.equal(dutyCycleAt(mhz * 1e6), duty);
  });
  it("forgets nothing when the clock is set back, and all after more than an hour", () => {
    const subject = new DutyCycle(0.01, 2 * HOUR);
    subject.book(36_000, 2 * HOUR);
    assert.equal(subject.allows(1, true, HOUR + HOUR / 2), false);
    assert.equal(subject.allows(1, true, 2 * HOUR + HOUR - 1), false);
    assert.equal(subject.allows(1, true, 3 * HOUR + 7_500), true);
  });
  it("announces at most a twentieth of the air", () => {
    assert.equal(announcePeriodMs(100, 1), 300_000);
    assert.equal(announcePeriodMs(615, 0.01), 615 / 0.0005);
  });
});
