/**
 * Readiness and watchdog for systemd. Node has no unix datagram sockets, so `systemd-notify` carries the message (the
 * unit needs NotifyAccess=all). Does nothing unless NOTIFY_SOCKET is set.
 */
import { spawn } from "node:child_process";

export interface Notifier {
  ready(): void;
  stopping(): void;
}

/** Failures to notify are silent: the node must run without systemd as well. */
export function createNotifier(env: NodeJS.ProcessEnv): Notifier {
  if (!env["NOTIFY_SOCKET"]) return { ready: () => undefined, stopping: () => undefined };
  let watchdog: NodeJS.Timeout | undefined;
  const send = (...words: string[]): void => {
    const child = spawn("systemd-notify", [`--pid=${process.pid}`, ...words], { stdio: "ignore", env });
    child.once("error", () => clearInterval(watchdog));
    child.unref();
  };
  return {
    ready() {
      send("--ready", "--status=Running");
      const limitUs = Number(env["WATCHDOG_USEC"]);
      const forThis = env["WATCHDOG_PID"] === undefined || env["WATCHDOG_PID"] === String(process.pid);
      if (!forThis || !Number.isFinite(limitUs) || limitUs <= 0) return;
      // The event loop sends it: a node that hangs is restarted.
      watchdog = setInterval(() => send("WATCHDOG=1"), limitUs / 1000 / 2);
      watchdog.unref();
    },
    stopping() {
      clearInterval(watchdog);
      send("STOPPING=1");
    },
  };
}
