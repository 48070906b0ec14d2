/** One request over a userspace interface's control socket. Used by the privileged helper. */
import { connect } from "node:net";
import { SpineError } from "../../spine/index.ts";
import { isWholeReply, MAX_REPLY_BYTES } from "./uapi.ts";

const REPLY_MS = 5_000;

export function controlSocketOf(interfaceName: string): string {
  return `/var/run/wireguard/${interfaceName}.sock`;
}

/**
 * The whole reply. Rejects with `enclave_device`: a file that nobody listens on is left by a process that was killed,
 * and means that the interface is gone.
 */
export function uapiRequest(path: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const parts: Buffer[] = [];
    let bytes = 0;
    const fail = (why: string, cause?: unknown): void => {
      socket.destroy();
      reject(new SpineError("enclave_device", `${path}: ${why}`, { cause }));
    };
    socket.setTimeout(REPLY_MS, () => fail("no answer"));
    socket.once("connect", () => socket.write(request));
    socket.on("data", (part: Buffer) => {
      parts.push(part);
      bytes += part.length;
      if (bytes > MAX_REPLY_BYTES) return fail("a reply beyond all bounds");
      const tail =
        part.length > 1 ? part.subarray(-2).toString("latin1") : Buffer.concat(parts).subarray(-2).toString("latin1");
      if (!isWholeReply(tail)) return;
      socket.destroy();
      resolve(Buffer.concat(parts).toString("utf8"));
    });
    socket.once("error", (cause) => fail(cause.message, cause));
    socket.once("end", () => fail("cut short"));
  });
}
