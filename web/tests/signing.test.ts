import { webcrypto } from "node:crypto";
import { expect, test } from "vitest";
import type { Approval, Runner } from "../src/protocol/generated";
import { approvalStatement, certifyStatement, fingerprintOf, mustSign, signed, type Signed } from "../src/sync/signing";
import shared from "../../fixtures/signing.json";

const subtle = webcrypto.subtle as SubtleCrypto;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const approval = shared.approval as unknown as Approval;
const { who, certificate } = shared;

test("the page and Python build the same statements, byte for byte", () => {
  const once = approvalStatement(approval, { decision: "allow", scope: "once" }, who);
  const always = approvalStatement(approval, { decision: "allow", scope: "always" }, who);

  expect(once).toBe(shared.signed.once.statement);
  expect(always).toBe(shared.signed.always.statement);
  expect(certifyStatement(certificate, who.account)).toBe(shared.signed.certify.statement);
});

async function holds(prefix: string, { statement, signature, key }: Signed): Promise<boolean> {
  const spki = Buffer.from(key, "base64url");
  const read = await subtle.importKey("spki", spki, ALGORITHM, false, ["verify"]);
  const bytes = new TextEncoder().encode(prefix + statement);
  return subtle.verify(ALGORITHM, read, Buffer.from(signature, "base64url"), bytes);
}

test("what Python signed holds here, under one fingerprint, and not for another purpose", async () => {
  const { once, always, certify } = shared.signed;

  expect(await holds("deskhand-approval-v1\0", once)).toBe(true);
  expect(await holds("deskhand-approval-v1\0", always)).toBe(true);
  expect(await holds("deskhand-certify-v1\0", certify)).toBe(true);
  expect(await holds("deskhand-certify-v1\0", once)).toBe(false);
  expect(await fingerprintOf(once.key, subtle)).toBe(shared.fingerprint);
});

test("what the page signs holds, with the key that came along; without one it signs nothing", async () => {
  const signing = await subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
  const credential = { key: "k", ...who, signing };

  const made = await signed("deskhand-certify-v1\0", "{}", credential, subtle);

  expect(made && (await holds("deskhand-certify-v1\0", made))).toBe(true);
  expect(await signed("deskhand-certify-v1\0", "{}", { key: "k", ...who }, subtle)).toBeUndefined();
  expect(await signed("deskhand-certify-v1\0", "{}", credential, undefined)).toBeUndefined();
});

test("a computer wants a signature above what it believes its hub, and for every yes that stays", () => {
  const runner = (hub_trust: string) => ({ hub_trust }) as Runner;

  expect(mustSign({ risk: "medium", scope: "once" }, runner("low"))).toBe(true);
  expect(mustSign({ risk: "medium", scope: "once" }, runner("medium"))).toBe(false);
  expect(mustSign({ risk: "low", scope: "always" }, runner("medium"))).toBe(true);
  expect(mustSign({ risk: "high", scope: "always" }, runner("high"))).toBe(false);
  expect(mustSign({ risk: "high", scope: "always" }, undefined)).toBe(false);
});
