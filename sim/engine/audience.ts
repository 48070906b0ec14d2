/**
 * Who should end with an envelope: every node that admits its issuer and to which the kind of fact may come, from plane to
 * plane, by the disclosure of the nodes in between (rules 11). What is out of reach for now counts: it heals.
 */

import { defaultPolicy } from "../../node/index.ts";
import { type DisclosurePolicy, judgeDisclosure, kindName, LOCAL } from "../../spine/index.ts";
import { Bits } from "../bits.ts";

export interface AudienceNetwork {
  readonly plane: string;
  readonly members: readonly number[];
}

export interface AudienceMember {
  readonly discloses: boolean;
  readonly admits: ReadonlySet<number>;
}

export class Audiences {
  readonly #networks: readonly AudienceNetwork[];
  readonly #nodes: readonly AudienceMember[];
  readonly #of: readonly (readonly number[])[];
  readonly #policy: DisclosurePolicy = defaultPolicy().disclosure;
  readonly #known = new Map<string, Bits>();

  constructor(nodes: readonly AudienceMember[], networks: readonly AudienceNetwork[]) {
    this.#nodes = nodes;
    this.#networks = networks;
    const of = nodes.map((): number[] => []);
    for (const [i, { members }] of networks.entries()) for (const member of members) of[member]?.push(i);
    this.#of = of;
  }

  of(issuer: number, schema: string): Bits {
    const kind = kindName(schema);
    const governed = this.#nodes.some(({ discloses }) => discloses);
    const name = governed ? `${issuer} ${kind}` : `${issuer}`;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const audience = new Bits(this.#nodes.length);
    audience.add(issuer);
    for (const index of this.#reach(issuer, kind)) audience.add(index);
    this.#known.set(name, audience);
    return audience;
  }

  /** Walks from the issuer over networks; a node passes on what its disclosure allows from where it first heard. */
  #reach(issuer: number, kind: string): Set<number> {
    const reached = new Set([issuer]);
    const what = { issuer: "", kinds: [kind], policyHashes: [], excessive: false };
    const crossed = new Set<number>();
    const waiting: { readonly node: number; readonly from: string }[] = [{ node: issuer, from: LOCAL }];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { node, from } = next;
      const { discloses } = this.#nodes[node] as AudienceMember;
      for (const i of this.#of[node] ?? []) {
        const { plane, members } = this.#networks[i] as AudienceNetwork;
        const passes = !discloses || from === plane || judgeDisclosure(this.#policy, from, plane, what) === "allowed";
        if (!passes || crossed.has(i)) continue;
        crossed.add(i);
        for (const member of members) {
          if (reached.has(member) || this.#nodes[member]?.admits.has(issuer) !== true) continue;
          reached.add(member);
          waiting.push({ node: member, from: plane });
        }
      }
    }
    return reached;
  }
}
