/** Mocha's spec reporter, then each skipped test by name (its title says why), then the counts alone on the last line. */
import Mocha from "mocha";

export class CountReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    const skipped: string[] = [];
    const counts = { passed: 0, failed: 0 };
    runner.on(Mocha.Runner.constants.EVENT_TEST_PENDING, (test) => skipped.push(test.fullTitle()));
    runner.on(Mocha.Runner.constants.EVENT_TEST_PASS, () => counts.passed++);
    runner.on(Mocha.Runner.constants.EVENT_TEST_FAIL, () => counts.failed++);
    // Registered after the base class's own listener, which prints the failures.
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      if (skipped.length > 0) console.log(`Skipped:\n${skipped.map((title) => `  ${title}\n`).join("")}`);
      console.log(`${counts.passed} passed, ${counts.failed} failed, ${skipped.length} skipped`);
    });
  }
}

// biome-ignore lint/style/noDefaultExport: mocha takes a reporter module's default export.
export { CountReporter as default };
