/** How the verbs reach the enclave: through the running daemon only. */
import { SpineError } from "../../spine/index.ts";
import { Client } from "../client.ts";
import { daemonSocket } from "../daemon-info.ts";
import type { NodeDir } from "../dir.ts";
import type { EnclaveReport } from "./service.ts";

/** Throws `daemon_not_running`, and `plane_not_started` where the plane is not enabled. */
export async function askEnclave(dir: NodeDir, what: "report" | "rotate"): Promise<EnclaveReport> {
  const client = new Client(await daemonSocket(dir));
  try {
    const call =
      what === "report" ? { method: "GET", path: "/v1/enclave" } : { method: "POST", path: "/v1/enclave/rotate" };
    return JSON.parse(await client.text(call as { method: "GET" | "POST"; path: string })) as EnclaveReport;
  } finally {
    client.close();
  }
}

/** Undefined where the plane is not enabled. */
export async function enclaveCard(dir: NodeDir): Promise<string | null | undefined> {
  try {
    return (await askEnclave(dir, "report")).card;
  } catch (caught) {
    if (caught instanceof SpineError && caught.code === "plane_not_started") return undefined;
    throw caught;
  }
}
