/** Routes of the gateway: `GET /v1/gateway`, `GET /v1/gateway/audit`, `GET /v1/nats`. Registered by `app.ts`. */
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { SpineError } from "../../spine/index.ts";
import type { Gateway } from "../gateway/gateway.ts";
import type { NatsService } from "../nats/service.ts";
import { sendJson } from "./stream.ts";

type ApiContext = Context<{ Bindings: HttpBindings }>;
type Response = HttpBindings["outgoing"];

export interface GatewayRoutes {
  readonly route: (
    method: "GET",
    path: string,
    serve: (c: ApiContext, response: Response) => Promise<void> | void,
  ) => void;
  readonly gateway: () => Gateway | undefined;
  readonly nats: () => NatsService | undefined;
}

export function gatewayRoutes({ route, gateway, nats }: GatewayRoutes): void {
  const joined = (): Gateway => {
    const found = gateway();
    if (found === undefined)
      throw new SpineError("plane_not_started", "this node joins no planes: one plane, or gateway.mode is off");
    return found;
  };
  route("GET", "/v1/gateway", (_, response) => sendJson(response, 200, joined().status()));
  route("GET", "/v1/gateway/audit", async (_, response) => sendJson(response, 200, await joined().verify()));
  route("GET", "/v1/nats", (_, response) => {
    const service = nats();
    if (service === undefined) throw new SpineError("plane_not_started", "planes.nats.enabled is false");
    sendJson(response, 200, service.status());
  });
}
