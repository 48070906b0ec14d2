/** The LevelDB store under the store contract. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LevelStore, type Store } from "../../storage/index.ts";
import { storeContract } from "../contract/store.ts";

storeContract("level", async () => {
  const directory = await mkdtemp(join(tmpdir(), "spine-store-"));
  let store: Store = new LevelStore(directory);
  return {
    store,
    async again() {
      await store.close();
      store = new LevelStore(directory);
      await store.open();
      return store;
    },
    async dispose() {
      await store.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
});
