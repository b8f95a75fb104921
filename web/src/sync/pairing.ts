/**
 * Joining an account by a link: ask, show the number, wait until somebody says yes. Every step is a state with a cause.
 *
 * The claim of the local owner is the same with an invitation that admits alone. The key pair is made here and cannot
 * leave the browser; without a secure context there is none, and this device cannot sign approvals. A link that names its
 * hub is shown to no other one; where there is no secure context that cannot be looked at.
 */
import type { Credential } from "./database";
import type { Environment } from "./environment";
import { HubError, isUnreachable, type Claimed, type Hub, type Joining } from "./hub";
import { base64url } from "./ids";
import { hubOf } from "./signing";

export type Pairing =
  | { readonly step: "asking" }
  | { readonly step: "waiting"; readonly match: string; readonly expiresAt: string | undefined }
  | { readonly step: "added" }
  | { readonly step: "expired" | "refused" | "unreachable" | "wrong_hub" | "failed"; readonly error: HubError };

const POLL_MS = 1000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;

export interface Invite {
  readonly secret: string;
  /** What the address says after `#`: a link from another device, or the claim of this computer's own owner. */
  readonly kind: "join" | "claim";
  /** The mark of the hub that made it. */
  readonly hub?: string;
}

/** Read the invitation out of a fragment; the caller wipes the address before anything else happens. */
export function inviteFrom(fragment: string): Invite | null {
  const found = /^#(join|claim)=([^&]+)(?:&hub=([0-9a-f]+))?/.exec(fragment);
  if (!found?.[1] || !found[2]) return null;
  const invite = { kind: found[1] as Invite["kind"], secret: decodeURIComponent(found[2]) };
  return found[3] ? { ...invite, hub: found[3] } : invite;
}

export class Pairer {
  readonly #environment: Environment;
  readonly #hub: Hub;
  readonly #told: (pairing: Pairing) => void;
  #stopped = false;

  constructor(environment: Environment, hub: Hub, told: (pairing: Pairing) => void) {
    this.#environment = environment;
    this.#hub = hub;
    this.#told = told;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Go through with it; answers the credential, or nothing when it came to another end (which was told). */
  async join(invite: { invite: string } | { code: string }, name: string, hub?: string): Promise<Credential | null> {
    this.#told({ step: "asking" });
    try {
      if (hub && (await this.#isOther(hub))) {
        this.#told({ step: "wrong_hub", error: new HubError({ code: "hub_changed", message: "" }) });
        return null;
      }
      const signing = await newSigningKey(this.#environment.subtle);
      const publicKey = await exported(signing, this.#environment.subtle);
      const joining = await this.#hub.pair(invite, name, publicKey);
      this.#told({ step: "waiting", match: joining.match, expiresAt: joining.expires_at });
      const claimed = await this.#wait(joining);
      if (!claimed) return null;
      this.#told({ step: "added" });
      const device = typeof claimed.device === "string" ? claimed.device : claimed.device.id;
      return { key: claimed.token, device, account: claimed.account, signing };
    } catch (error) {
      this.#told(ended(error));
      return null;
    }
  }

  /** Whether another hub answers than the one of this mark. */
  async #isOther(mark: string): Promise<boolean> {
    const { randomness, subtle } = this.#environment;
    if (!subtle) return false;
    const nonce = base64url(randomness(16));
    return (await hubOf(await this.#hub.prove(nonce), nonce, subtle)) !== mark;
  }

  async #wait(joining: Joining): Promise<Claimed | null> {
    while (!this.#stopped) {
      try {
        const claimed = await this.#hub.claim(joining);
        if (claimed) return claimed;
      } catch (error) {
        if (!isUnreachable(error)) throw error;
      }
      if (joining.expires_at && Date.parse(joining.expires_at) < this.#environment.now()) {
        throw new HubError({ code: "invite_invalid", message: "", status: 410 });
      }
      await new Promise<void>((resolve) => this.#environment.after(POLL_MS, resolve));
    }
    return null;
  }
}

function ended(error: unknown): Pairing {
  if (!(error instanceof HubError)) {
    return { step: "failed", error: new HubError({ code: "internal", message: String(error) }) };
  }
  if (isUnreachable(error)) return { step: "unreachable", error };
  if (error.code === "forbidden") return { step: "refused", error };
  return { step: error.code === "invite_invalid" ? "expired" : "failed", error };
}

async function newSigningKey(subtle: SubtleCrypto | undefined): Promise<CryptoKeyPair | undefined> {
  return subtle?.generateKey(ALGORITHM, false, ["sign", "verify"]);
}

/** SubjectPublicKeyInfo in base64url, as `cryptography` reads it. */
async function exported(
  pair: CryptoKeyPair | undefined,
  subtle: SubtleCrypto | undefined,
): Promise<string | undefined> {
  if (!pair || !subtle) return undefined;
  return base64url(new Uint8Array(await subtle.exportKey("spki", pair.publicKey)));
}
