/**
 * Node 20 lacks `Promise.withResolvers`, which libp2p 3 calls everywhere without saying so. Imported before any of its
 * packages; goes when Node ≥ 22 is required.
 */
interface Resolvers {
  promise: Promise<unknown>;
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
}

const promiseClass = Promise as unknown as { withResolvers?: () => Resolvers };

promiseClass.withResolvers ??= function withResolvers(this: PromiseConstructor): Resolvers {
  let resolve: Resolvers["resolve"] = () => undefined;
  let reject: Resolvers["reject"] = () => undefined;
  const promise = new this((take: (value: unknown) => void, refuse: (reason: unknown) => void) => {
    resolve = take;
    reject = refuse;
  });
  return { promise, resolve, reject };
};
