/** Tests of one suite that wait more than they work, begun several at a time; each is still reported by itself. */

/** Call inside `describe`, after its `before` hooks; the result registers tests as `it` does. */
export function together(atOnce: number): (title: string, test: () => Promise<void>) => void {
  const waiting: (() => void)[] = [];
  let running = 0;
  const starts: (() => void)[] = [];
  const done = (): void => {
    running--;
    waiting.shift()?.();
  };
  const begin = (start: () => void): void => {
    const go = (): void => {
      running++;
      start();
    };
    if (running < atOnce) go();
    else waiting.push(go);
  };
  before(() => {
    for (const start of starts) begin(start);
  });
  return (title, test) => {
    let settle: (outcome: Promise<void>) => void = () => {};
    const outcome = new Promise<void>((resolve) => {
      settle = resolve;
    });
    // Whoever waits for it learns of a failure; until then it is nobody's.
    outcome.catch(() => {});
    starts.push(() => {
      const running = test().finally(done);
      running.catch(() => {});
      settle(running);
    });
    it(title, () => outcome);
  };
}
