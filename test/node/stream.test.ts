/** Long answers: no faster than they are read, cut off when reading stops, errors told in place. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { join } from "node:path";
import { BodyReader, sendLines, writeChunk } from "../../node/index.ts";
import { SpineError } from "../../spine/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

describe("streamed answers", () => {
  const folder = temporaryFolders();

  /** Serves one request with `serve` and gives the client's side of it. */
  async function open(
    serve: (response: ServerResponse, incoming: IncomingMessage) => Promise<void>,
  ): Promise<{ answer: IncomingMessage; served: Promise<void>; close: () => void }> {
    const path = join(await folder(), "s.sock");
    let done: (value: Promise<void>) => void = () => undefined;
    const served = new Promise<Promise<void>>((resolve) => {
      done = resolve;
    }).then((inner) => inner);
    const server = createServer((incoming, response) => done(serve(response, incoming)));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const outgoing = request({ socketPath: path }).end();
    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    return {
      answer,
      served,
      close: () => {
        outgoing.destroy();
        server.close();
      },
    };
  }

  async function read(answer: IncomingMessage): Promise<string> {
    let text = "";
    for await (const part of answer) text += String(part);
    return text;
  }

  it("end with an error line when the source fails midway", async () => {
    const { answer, close } = await open((response) =>
      sendLines(
        response,
        (async function* () {
          yield "1";
          throw new SpineError("store_failed", "the disk is gone");
        })(),
      ),
    );
    const [first, last] = (await read(answer)).trimEnd().split("\n");
    assert.equal(first, "1");
    const { error } = JSON.parse(last as string) as { error: { code: string } };
    assert.equal(error.code, "store_failed");
    close();
  });

  it("pass on what is there while the source waits", async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { answer, close } = await open((response) =>
      sendLines(
        response,
        (async function* () {
          yield "1";
          await gate;
          yield "2";
        })(),
      ),
    );
    const [part] = (await once(answer, "data")) as [Buffer];
    assert.equal(part.toString(), "1\n");
    release();
    assert.equal(await read(answer), "2\n");
    close();
  });

  it("take no more from the source than the client reads, and stop when it hangs up", async () => {
    let taken = 0;
    let ended = false;
    const { answer, served, close } = await open((response) =>
      sendLines(
        response,
        (async function* () {
          try {
            for (;;) {
              taken++;
              yield "x".repeat(10_000);
            }
          } finally {
            ended = true;
          }
        })(),
      ),
    );
    answer.pause();
    let before = -1;
    while (before !== taken) {
      before = taken;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(taken < 1000, `${taken} items of 10 KB taken while nothing was read`);
    close();
    await served;
    assert.equal(ended, true);
  });

  it("disconnect a client that stalls", async () => {
    const { answer, served, close } = await open(async (response) => {
      const block = "x".repeat(100_000);
      while (await writeChunk(response, block, 50));
      assert.equal(response.destroyed, true);
    });
    answer.on("error", () => undefined);
    answer.pause();
    await served;
    close();
  });
});

describe("request bodies", () => {
  it("share one bound: what is over it is refused, and room comes back", async () => {
    const { PassThrough } = await import("node:stream");
    const bodies = new BodyReader();
    const body = (bytes: number) => {
      const stream = Object.assign(new PassThrough(), { complete: true });
      for (let left = bytes; left > 0; left -= 1_000_000) stream.write(Buffer.alloc(Math.min(left, 1_000_000)));
      stream.end();
      return bodies.read(stream as unknown as IncomingMessage);
    };
    const held = await Promise.all([15, 15, 15, 15].map((megabytes) => body(megabytes * 1_000_000)));
    assert.equal(bodies.heldBytes, 60_000_000);
    await assert.rejects(body(10_000_000), { code: "rate_limited" });
    assert.equal(bodies.heldBytes, 60_000_000);
    for (const { release } of held) {
      release();
      release();
    }
    assert.equal(bodies.heldBytes, 0);
    await assert.rejects(body(17_000_000), { code: "api_input" });
    assert.equal(bodies.heldBytes, 0);
    assert.equal((await body(5)).bytes.length, 5);
  });
});
