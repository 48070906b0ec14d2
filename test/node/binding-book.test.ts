/** What the enclave remembers of bindings: found in chains, kept over restarts, newest by seq, never without a signature. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BindingBook } from "../../node/enclave/binding-book.ts";
import { type Envelope, runOf } from "../../spine/index.ts";
import { bindingSigner } from "../helpers/enclave.ts";
import { nativeVerify } from "../helpers/sim-ports.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const FIELDS = { publicKey: "0a".repeat(32), nextKey: null, address: "10.77.0.2", port: 4_811, endpoints: [] };

describe("the enclave's book of bindings", () => {
  const folder = temporaryFolders();
  const { issuer, bind } = bindingSigner(FIELDS);
  const stranger = bindingSigner(FIELDS);
  let searched: number[] = [];

  function book(path: string, held: readonly Envelope[] = [], wholeTo = 1_000): { book: BindingBook; found: number[] } {
    const found: number[] = [];
    const store = {
      async *records(_issuer: string, from: number) {
        searched.push(from);
        for (const one of held) if (one.seq >= from) yield { ...runOf([one]), state: 1 };
      },
    };
    const options = {
      path,
      store,
      verify: nativeVerify,
      wholeTo: () => wholeTo,
      found: (one: Envelope) => void found.push(one.seq),
    };
    return { book: new BindingBook(options as unknown as ConstructorParameters<typeof BindingBook>[0]), found };
  }
  const never = new AbortController().signal;

  beforeEach(() => {
    searched = [];
  });

  it("finds the newest in a chain, then what is stored, and never an older one", async () => {
    const { book: one, found } = book(join(await folder(), "e.json"), [bind(2), bind(5)]);
    await one.search(issuer, never);
    assert.equal(one.binding(issuer)?.seq, 5);
    one.stored(runOf([bind(9)]));
    one.stored(runOf([bind(4)]));
    assert.equal(one.binding(issuer)?.seq, 9);
    assert.deepEqual(found, [5, 9]);
    one.stored(runOf([stranger.bind(50)]));
    assert.equal(one.binding(stranger.issuer), null, "nobody asked for that issuer");
    await one.save();
  });
  it("remembers over a restart how far it searched, but only as far as no hole is", async () => {
    const path = join(await folder(), "e.json");
    const { book: first } = book(path, [bind(3), bind(8)], 5);
    await first.search(issuer, never);
    const { book: second, found } = book(path, [bind(8)]);
    await second.load();
    assert.equal(second.binding(issuer)?.seq, 8);
    searched = [];
    await second.search(issuer, never);
    assert.deepEqual([searched, found], [[6], [8]]);
  });
  it("believes no file whose binding does not verify, and no signature that is wrong", async () => {
    const path = join(await folder(), "e.json");
    const { book: first } = book(path, [bind(3)]);
    await first.search(issuer, never);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replaceAll("10.77.0.2", "10.77.0.9"));
    const { book: second } = book(path);
    await second.load();
    assert.equal(second.binding(issuer), null);
    await writeFile(path, "{");
    await second.load();
    await second.search(issuer, never);
    second.stored(runOf([{ ...bind(7), signature: new Uint8Array(64).fill(1) }]));
    assert.equal(second.binding(issuer), null);
    second.stored(runOf([bind(7)]));
    assert.equal((second.binding(issuer) as Envelope | null)?.seq, 7);
    await second.save();
  });
});
