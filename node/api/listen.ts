/** Opens the API's sockets: a unix socket that only its owner can use, and loopback TCP. */
import { lstat, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { connect } from "node:net";
import { SpineError } from "../../spine/index.ts";
import { errorCodeOf } from "../files.ts";

/** Bytes a unix socket path can have on every supported system. */
const MAX_SOCKET_PATH_BYTES = 103;

/** True when something accepts connections there. */
export async function isSocketAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const answer = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(2000, () => answer(true));
    socket.once("connect", () => answer(true));
    // Full backlog or no permission: somebody is there all the same.
    socket.once("error", (error) => answer(["EAGAIN", "EACCES", "EPERM"].includes(errorCodeOf(error) ?? "")));
  });
}

function listen(server: Server, options: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const listening = (): void => {
      server.off("error", reject);
      resolve();
    };
    // The socket file is made inside listen(), with the umask of that moment.
    const before = "path" in options ? process.umask(0o177) : undefined;
    try {
      server.listen(options, listening);
    } finally {
      if (before !== undefined) process.umask(before);
    }
  });
}

/** Takes over a socket file that nobody answers; throws `daemon_running` when somebody does. */
export async function listenUnix(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new SpineError(
      "config_invalid",
      `api.socket: ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes; name a shorter one, such as /run/spine/api.sock`,
    );
  }
  try {
    await listen(server, { path });
    return;
  } catch (cause) {
    if (errorCodeOf(cause) !== "EADDRINUSE") {
      throw new SpineError("config_invalid", `api.socket: cannot listen on ${path}`, { cause });
    }
  }
  if (await isSocketAlive(path)) throw new SpineError("daemon_running", `a daemon answers on ${path}`);
  const info = await lstat(path).catch(() => undefined);
  if (info && !info.isSocket()) throw new SpineError("config_invalid", `api.socket: ${path} is not a socket`);
  await unlink(path).catch(() => undefined);
  await listen(server, { path }).catch((cause: unknown) => {
    throw new SpineError("daemon_running", `another daemon took ${path}`, { cause });
  });
}

/** `listen` is `HOST:PORT`; returns the port in use. Throws `port_in_use`. */
export async function listenTcp(server: Server, address: string): Promise<number> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  const port = Number(address.slice(at + 1));
  try {
    await listen(server, { host, port });
  } catch (cause) {
    if (errorCodeOf(cause) === "EADDRINUSE") {
      throw new SpineError("port_in_use", `api.listen: ${address} is taken`, { cause });
    }
    throw new SpineError("config_invalid", `api.listen: cannot listen on ${address}`, { cause });
  }
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}
