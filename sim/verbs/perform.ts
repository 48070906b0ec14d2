/** Tasks of the `sim` verbs on the machine, and its end: done, failed or interrupted. */
import type { SimMachine, VerbContext } from "../../node/index.ts";
import type { Progress } from "../run.ts";
import type { RunTask, RunTaskResult } from "../task.ts";

export async function performTask(
  machine: SimMachine,
  task: RunTask,
  onProgress: (progress: Progress) => void,
): Promise<RunTaskResult> {
  return (await machine.run(task, (value) => onProgress(value as Progress))) as RunTaskResult;
}

/** An interrupt stops the machine: what still runs is rejected, and the verb ends. */
export async function onMachine(
  machine: SimMachine,
  { signal }: VerbContext,
  work: () => Promise<number>,
): Promise<number> {
  const stop = (): void => void machine.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener("abort", stop);
    machine.showProgress(null);
    await machine.stop();
  }
}
