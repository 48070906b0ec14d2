/** The key of one link, agreed when it is first needed: who answers a link request proves first. Used by `link.ts`. */
import { Token } from "./token.ts";

export class SessionKey {
  #agree: (() => Uint8Array | undefined) | undefined;
  #token: Token | undefined;
  /** `agree` is called once; undefined from it means that the peer's key is unusable. */
  constructor(agree: () => Uint8Array | undefined) {
    this.#agree = agree;
  }
  /** Undefined when the peer's key is unusable. */
  get token(): Token | undefined {
    const key = this.#agree?.();
    this.#agree = undefined;
    if (key !== undefined) this.#token = new Token(key);
    return this.#token;
  }
}
