/** Which hub answers, how an invitation stands on the screen that made it, and what a list is narrowed to. */
import { webcrypto } from "node:crypto";
import { expect, test } from "vitest";
import { invitingOf, type Open } from "../src/bindings/inviting";
import { rowsAmong } from "../src/bindings/search";
import { moves, needs, threadRows } from "../src/bindings/select";
import type { PairRequest } from "../src/protocol/generated";
import type { View } from "../src/sync/client";
import { base64url, bytesOf } from "../src/sync/ids";
import { inviteFrom } from "../src/sync/pairing";
import { fingerprintOf, hubOf } from "../src/sync/signing";
import { emptyState } from "../src/sync/state";

const subtle = webcrypto.subtle as SubtleCrypto;
const HASHED = { name: "ECDSA", hash: "SHA-256" } as const;

async function proof(statement: string, prefix = "deskhand-hub-v1\0") {
  const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const bytes = new TextEncoder().encode(prefix + statement);
  const signature = base64url(new Uint8Array(await subtle.sign(HASHED, pair.privateKey, bytes)));
  return { statement, signature, key: base64url(new Uint8Array(await subtle.exportKey("spki", pair.publicKey))) };
}

test("a hub is known by what it signs just now, and by nothing else (PA-09)", async () => {
  const statement = JSON.stringify({ nonce: "now" });
  const good = await proof(statement);
  const other = await proof(statement);

  expect(await hubOf(good, "now", subtle)).toBe(await fingerprintOf(good.key, subtle));
  expect(await hubOf(good, "later", subtle)).toBe("");
  expect(await hubOf({ ...good, key: other.key }, "now", subtle)).toBe("");
  expect(await hubOf({ ...good, signature: base64url(new Uint8Array(64)) }, "now", subtle)).toBe("");
  expect(await hubOf(await proof(statement, "deskhand-approval-v1\0"), "now", subtle)).toBe("");
  expect(await hubOf({ ...good, key: "no key at all" }, "now", subtle)).toBe("");
  expect(await hubOf(null, "now", subtle)).toBe("");
  expect(bytesOf(good.key)).toHaveLength(91);
});

test("a link says which hub made it; one that does not is taken as it is", () => {
  expect(inviteFrom("#join=dhs_abc&hub=00ff")).toEqual({ kind: "join", secret: "dhs_abc", hub: "00ff" });
  expect(inviteFrom("#join=dhs_abc&hub=")).toEqual({ kind: "join", secret: "dhs_abc" });
  expect(inviteFrom("#join=dhs_abc&hub=https://evil.example")).toEqual({ kind: "join", secret: "dhs_abc" });
});

const request = (id: string, state: PairRequest["state"], role: PairRequest["role"] = "owner"): PairRequest => ({
  id, name: id, kind: "page", role, match: "1234", state, asked_at: `2026-11-22T10:0${id.length}:00.000Z`,
}); // prettier-ignore

function viewOf(...requests: readonly PairRequest[]): View {
  const state = emptyState();
  const pair_requests = new Map(requests.map((one) => [one.id, one]));
  const rest = { outbox: [], parcels: [], presence: new Map(), read: new Map(), latest: new Map(), drafts: new Map() };
  return { ...rest, state: { ...state, objects: { ...state.objects, pair_requests } }, device: "dev_1" } as unknown as View;
}

test("an invitation is waiting, asked, added, refused or over, by who came since and what was said", () => {
  const until = Date.parse("2026-11-22T10:10:00.000Z");
  const open = { role: "owner", expires_at: "2026-11-22T10:10:00.000Z", known: new Set(["old"]) } as unknown as Open;
  const step = (at: number, ...requests: readonly PairRequest[]) => invitingOf(viewOf(...requests), open, at).step;

  expect(step(until - 1, request("old", "waiting"), request("guest", "waiting", "member"))).toBe("waiting");
  expect(step(until - 1, request("new", "waiting"))).toBe("asked");
  expect(step(until - 1, request("new", "refused"), request("newer", "waiting"))).toBe("asked");
  expect(step(until, request("new", "waiting"))).toBe("expired");
  expect(step(until + 1, request("new", "admitted"))).toBe("added");
  expect(step(until - 1, request("new", "refused"))).toBe("refused");
  expect(step(until + 1, request("old", "admitted"))).toBe("expired");
});

function working(role: string, by: string): View {
  const view = viewOf();
  const at = "2026-11-22T10:00:00.000Z";
  const task = (id: string, state: string) => [
    id,
    { id, thread: `thr_${id}`, state, title: id, text: id, created_by: by, created_at: at, artifacts: [], runner: "run_a" },
  ] as const;
  const thread = (id: string) => [`thr_${id}`, { id: `thr_${id}`, title: id, state: "open", archived: false, updated_at: at }] as const;
  const names = ["asks", "goes", "fell"];
  const question = ["qst_1", { id: "qst_1", task: "asks", thread: "thr_asks", text: "?", state: "open", asked_at: at }] as const;
  const objects = {
    ...view.state.objects,
    devices: new Map([["dev_1", { id: "dev_1", role }]]),
    threads: new Map(names.map(thread)),
    tasks: new Map([task("asks", "input_required"), task("goes", "working"), task("fell", "failed")]),
    questions: new Map([question]),
  };
  return { ...view, state: { ...view.state, objects } } as unknown as View;
}

test("nobody is asked for what only others may answer (P-09)", () => {
  const asked = (role: string, by: string) => needs(working(role, by), 0).length;

  expect([asked("owner", "dev_2"), asked("member", "dev_1"), asked("member", "dev_2"), asked("viewer", "dev_1")]).toEqual([1, 1, 0, 0]);
  expect(moves(working("member", "dev_1"), undefined)).toBe(false);
});

test("the list is narrowed to what needs somebody, runs, failed, or ran on one computer", () => {
  const view = working("owner", "dev_1");
  const titles = (only: Parameters<typeof rowsAmong>[2]) => rowsAmong(view, threadRows(view), only).map((row) => row.title);

  expect(titles("needs")).toEqual(["asks"]);
  expect(titles("running").sort()).toEqual(["asks", "goes"]);
  expect(titles("failed")).toEqual(["fell"]);
  expect(titles("run_a")).toHaveLength(3);
  expect(titles("run_b")).toEqual([]);
});
