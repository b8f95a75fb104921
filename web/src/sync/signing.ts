/**
 * What this device signs: its yes to exactly one action, and its word that another device may approve; and what a hub
 * signs: that it is the one whose mark an invitation carries.
 *
 * The statement is signed as the bytes that travel beside the signature (no canonical form to argue about); the public
 * key travels too, and counts only where its fingerprint is trusted. Python builds the same statements.
 */
import type { Approval, Runner } from "../protocol/generated";
import type { Credential } from "./database";
import { base64url, bytesOf } from "./ids";

export interface Signed {
  readonly statement: string;
  readonly signature: string;
  readonly key: string;
}

type Prefix = "deskhand-approval-v1\0" | "deskhand-certify-v1\0";
const HUB = "deskhand-hub-v1\0";
const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const HASHED = { name: "ECDSA", hash: "SHA-256" } as const;
type Choice = Pick<Approval, "risk"> & { readonly scope: string };
const RISKS = ["low", "medium", "high"];
const SHOWN = 32;

/** Whether a computer takes this yes only signed. It looks itself; this is so that people know before. */
export function mustSign({ risk, scope }: Choice, runner: Runner | undefined): boolean {
  const trust = runner?.hub_trust ?? "high";
  return (scope === "always" && trust !== "high") || RISKS.indexOf(risk) > RISKS.indexOf(trust);
}

export function approvalStatement(
  approval: Approval,
  { decision, scope }: { readonly decision: string; readonly scope: string },
  { account, device }: Pick<Credential, "account" | "device">,
): string {
  const { runner, task, epoch, id, nonce, action_sha256, pattern, until } = approval;
  const stays = scope === "always" ? { pattern, until } : {};
  const bound = { runner, task, epoch, approval: id, nonce, action_sha256 };
  return JSON.stringify({ account, ...bound, decision, scope, ...stays, device });
}

export function certifyStatement(
  about: { readonly device: string; readonly fingerprint: string; readonly runner: string },
  account: string | undefined,
): string {
  const { device, fingerprint, runner } = about;
  return JSON.stringify({ account, device, fingerprint, runner });
}

/** Sign, or nothing where this device has no key or the page is not safe. */
export async function signed(
  prefix: Prefix,
  statement: string,
  credential: Credential | undefined,
  subtle: SubtleCrypto | undefined,
): Promise<Signed | undefined> {
  const pair = credential?.signing;
  const key = await publicKeyOf(credential, subtle);
  if (!pair || !subtle || !key) return undefined;
  const bytes = new TextEncoder().encode(prefix + statement);
  const signature = await subtle.sign(HASHED, pair.privateKey, bytes);
  return { statement, signature: base64url(new Uint8Array(signature)), key };
}

/** SubjectPublicKeyInfo in base64url, as the hub has it of this device. */
export async function publicKeyOf(
  credential: Credential | undefined,
  subtle: SubtleCrypto | undefined,
): Promise<string | undefined> {
  const key = credential?.signing?.publicKey;
  if (!key || !subtle) return undefined;
  return base64url(new Uint8Array(await subtle.exportKey("spki", key)));
}

/** What people compare and computers pin of a public key: half of its SHA-256, in hex. */
export async function fingerprintOf(
  key: string | undefined,
  subtle: SubtleCrypto | undefined,
): Promise<string> {
  if (!key || !subtle) return "";
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytesOf(key)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, SHOWN);
}

/** The mark of the hub that signed what was asked of it just now; empty where none did. */
export async function hubOf(
  said: Partial<Signed> | null | undefined,
  nonce: string,
  subtle: SubtleCrypto | undefined,
): Promise<string> {
  const { statement, signature, key } = said ?? {};
  if (!statement || !signature || !key || !subtle || statement !== JSON.stringify({ nonce })) return "";
  try {
    const read = await subtle.importKey("spki", bytesOf(key), P256, false, ["verify"]);
    const bytes = new TextEncoder().encode(HUB + statement);
    return (await subtle.verify(HASHED, read, bytesOf(signature), bytes)) ? await fingerprintOf(key, subtle) : "";
  } catch {
    return "";
  }
}
