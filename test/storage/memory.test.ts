/** The memory store under the store contract. */
import { MemoryStore } from "../../storage/index.ts";
import { storeContract } from "../contract/store.ts";

storeContract("memory", async () => {
  const store = new MemoryStore();
  return {
    store,
    async again() {
      await store.close();
      await store.open();
      return store;
    },
    async crash() {
      store.crash();
      await store.open();
      return store;
    },
    failNext: (code) => store.failNext(code),
    dispose: () => store.close(),
  };
});
