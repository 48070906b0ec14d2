/** Routes of the WireGuard plane: `GET /v1/enclave`, `POST /v1/enclave/rotate`. Registered by `app.ts`. */
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { SpineError } from "../../spine/index.ts";
import type { EnclaveService } from "../enclave/service.ts";
import { sendJson } from "./stream.ts";

export interface EnclaveRoutes {
  readonly route: (
    method: "GET" | "POST",
    path: string,
    serve: (c: Context<{ Bindings: HttpBindings }>, response: HttpBindings["outgoing"]) => Promise<void> | void,
  ) => void;
  readonly service: () => EnclaveService | undefined;
}

export function enclaveRoutes({ route, service }: EnclaveRoutes): void {
  const enclave = (): EnclaveService => {
    const found = service();
    if (found === undefined) throw new SpineError("plane_not_started", "planes.wireguard.enabled is false");
    return found;
  };
  route("GET", "/v1/enclave", (_, response) => sendJson(response, 200, enclave().report()));
  route("POST", "/v1/enclave/rotate", async (_, response) => sendJson(response, 200, await enclave().rotate()));
}
