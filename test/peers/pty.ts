/** Pairs of pseudo-terminals, made by socat: what serial interfaces of both sides open in tests. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeRns } from "./rns.ts";

const HAS_SOCAT = spawnSync("socat", ["-V"]).status === 0;

/** `describe` for suites of the reference on terminals: one counted skip without socat, a failure where peers are required. */
export function describePty(title: string, body: (this: Mocha.Suite) => void): void {
  describeRns(title, function () {
    if (HAS_SOCAT) body.call(this);
    else if (process.env["SPINE_REQUIRE_PEERS"] === "1") {
      it("needs socat", () => {
        throw new Error("install socat");
      });
    } else it.skip("needs socat");
  });
}

async function appear(paths: readonly string[]): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!paths.every((path) => existsSync(path))) {
    if (Date.now() > deadline) throw new Error(`socat made no ${paths.join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Two joined terminals, or one joined to a TCP port. */
export class Pty {
  readonly near: string;
  readonly far: string;
  readonly #folder: string;
  readonly #farEnd: string;
  #socat: ChildProcess | undefined;
  private constructor(tcpPort: number | undefined) {
    this.#folder = mkdtempSync(join(tmpdir(), "spine-pty-"));
    this.near = join(this.#folder, "near");
    this.far = join(this.#folder, "far");
    this.#farEnd = tcpPort === undefined ? `pty,raw,echo=0,link=${this.far}` : `tcp:127.0.0.1:${tcpPort},nodelay`;
  }
  /** `tcpPort` joins the near end to a listening port instead of a second terminal. */
  static async open(tcpPort?: number): Promise<Pty> {
    const pty = new Pty(tcpPort);
    await pty.plug();
    return pty;
  }
  /** Makes the devices appear; again after `unplug`. */
  async plug(): Promise<void> {
    this.#socat = spawn("socat", [`pty,raw,echo=0,link=${this.near}`, this.#farEnd], { stdio: "ignore" });
    await appear(this.#farEnd.startsWith("pty") ? [this.near, this.far] : [this.near]);
  }
  /** The devices vanish, as when a cable is pulled. */
  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = undefined;
    if (socat === undefined || socat.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => socat.once("exit", () => resolve()));
    socat.kill();
    await ended;
    rmSync(this.near, { force: true });
    rmSync(this.far, { force: true });
  }
  async close(): Promise<void> {
    await this.unplug();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
