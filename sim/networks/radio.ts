/** A shared radio channel. */
import type { LinkId, Tier, Verdict } from "../../spine/index.ts";
import type { Setup } from "../engine/setup.ts";
import type { SimPeer } from "../peer.ts";
import type { NodeAir } from "../result.ts";
import type { RadioNetwork as RadioData } from "../scenario-file.ts";
import type { AirUse, SimNetwork, Traffic } from "./network.ts";

export class RadioNetwork implements SimNetwork {
  readonly name: string;
  readonly type = "radio";
  readonly plane: string;
  readonly traffic: Traffic = { frames: 0, bytes: 0 };
  readonly members: readonly number[];
  constructor(_stage: Setup, data: RadioData, members: readonly number[]) {
    this.name = data.name;
    this.plane = `reticulum/${data.name}`;
    this.members = members;
  }
  started(_peer: SimPeer): void {}
  stopped(_index: number): void {}
  barriersChanged(): void {}
  broadcast(_from: number, _data: Uint8Array, _tier: Tier): void {}
  judged(_index: number, _link: LinkId, _id: string, _verdict: Verdict): void {}
  hangUp(_index: number, _link: LinkId): void {}
  penalise(_index: number, _link: LinkId, _code: string): void {}
  air(): AirUse {
    return { airtimeMs: 0, boundAirtimeMs: 0 };
  }
  nodeAir(_index: number): NodeAir | null {
    return null;
  }
  *links(): IterableIterator<readonly [number, number]> {}
}
