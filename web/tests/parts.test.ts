import { webcrypto } from "node:crypto";
import { expect, test } from "vitest";
import { addressOf, routeOf } from "../src/bindings/route";
import type { Approval } from "../src/protocol/generated";
import { sha256Of } from "../src/sync/canonical";
import { decisionOf, sealOf } from "../src/sync/deciding";
import { frameOf, framesOf } from "../src/sync/frames";
import { Hub } from "../src/sync/hub";
import { newId } from "../src/sync/ids";
import { inviteFrom, Pairer, type Pairing } from "../src/sync/pairing";
import en from "../src/texts/en.json";
import ko from "../src/texts/ko.json";
import { languageOf, plural, text } from "../src/texts";
import { rowsOf } from "../src/ui/table";
import { noticeOf } from "../src/worker/notice";
import { failure, FakeEnvironment, FakeHub, json, settle } from "./fakes";

const subtle = webcrypto.subtle as SubtleCrypto;

async function approval(changes: Partial<Approval> = {}): Promise<Approval> {
  const action = { tool: "shell", arguments: { argv: ["zip", "한글"] }, argv: ["zip", "한글"] };
  const action_sha256 = (await sha256Of(action, subtle)) ?? "";
  return { id: "apr", runner: "run", task: "tsk", epoch: 1, nonce: "n", action, action_sha256, ...changes } as Approval;
}

test("what is shown is compared with what would run, and without a safe page there is no answer", async () => {
  const shown = await approval();
  const forged = await approval({ action: { tool: "shell", arguments: {}, argv: ["ls"] } });

  expect(await sealOf(shown, subtle)).toBe("fits");
  expect(await sealOf(forged, subtle)).toBe("differs");
  expect(await sealOf(shown, undefined)).toBe("unknown");
});

test("a yes is signed over exactly the bytes that travel beside the signature", async () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const signing = await subtle.generateKey(algorithm, false, ["sign", "verify"]);
  const credential = { key: "k", device: "dev", account: "acc", signing };

  const body = await decisionOf(await approval(), { decision: "allow", scope: "once" }, credential, subtle);

  const bytes = new TextEncoder().encode(`deskhand-approval-v1\0${body.statement ?? ""}`);
  const signature = Buffer.from(body.signature ?? "", "base64url");
  const hash = { name: "ECDSA", hash: "SHA-256" };
  expect(await subtle.verify(hash, signing.publicKey, signature, bytes)).toBe(true);
  expect(JSON.parse(body.statement ?? "")).toMatchObject({ nonce: "n", decision: "allow", scope: "once" });
});

test("a no needs no signature", async () => {
  const body = await decisionOf(await approval(), { decision: "deny", scope: "once", reason: "no" }, undefined, subtle);

  expect(body).toMatchObject({ decision: "deny", reason: "no" });
  expect(body.signature).toBeUndefined();
});

/** Join, and let the time pass until there is an end: making a key takes as long as the machine likes. */
async function paired(prepare: (hub: FakeHub) => void): Promise<[Pairing["step"][], unknown]> {
  const fake = new FakeHub();
  const environment = new FakeEnvironment(fake.fetch);
  prepare(fake);
  const steps: Pairing["step"][] = [];
  const pairer = new Pairer(environment, new Hub(environment, () => undefined), (one) => steps.push(one.step));
  const progress = { ended: false };
  const joined = pairer.join({ invite: "secret" }, "My phone").finally(() => {
    progress.ended = true;
  });
  while (!progress.ended) {
    await settle();
    await environment.pass(1000);
  }
  return [steps, await joined];
}

const claimed = () => json({ token: "half", device: "dev_1", account: "acc_1", kind: "page", role: "owner" });
const waiting = () => json({ state: "waiting", match: "7302" }, 202);

test("pairing shows the number while it waits, and ends with half a credential and a key that cannot leave", async () => {
  const [steps, credential] = await paired((hub) => {
    hub.claims = [waiting, claimed];
  });

  expect(steps).toEqual(["asking", "waiting", "added"]);
  expect(credential).toMatchObject({ key: "half", device: "dev_1", account: "acc_1" });
  expect((credential as { signing: CryptoKeyPair }).signing.privateKey.extractable).toBe(false);
});

test("an invitation that is used up, a no, and a hub that is away are told apart", async () => {
  const [expired] = await paired((hub) => {
    hub.refuse = "invite_invalid";
  });
  const [refused] = await paired((hub) => {
    hub.claims = [() => failure(403, "forbidden")];
  });
  const [away] = await paired((hub) => {
    hub.reachable = false;
  });

  expect(expired.at(-1)).toBe("expired");
  expect(refused.at(-1)).toBe("refused");
  expect(away.at(-1)).toBe("unreachable");
});

test("an invitation is read from the fragment only", () => {
  expect(inviteFrom("#join=dhs_abc")).toEqual({ kind: "join", secret: "dhs_abc" });
  expect(inviteFrom("#claim=dhs_abc")?.kind).toBe("claim");
  expect(inviteFrom("#/threads/x")).toBeNull();
});

test("frames: an id moves the cursor, a comment is a sign of life, broken data is skipped", () => {
  expect(frameOf("id: 12\nevent: heartbeat\ndata: {}")).toEqual({ kind: "heartbeat", seq: 12 });
  expect(frameOf(": hello")).toEqual({ kind: "heartbeat" });
  expect(frameOf("event: event\ndata: {broken")).toEqual({ kind: "heartbeat" });
  expect(frameOf("event: novelty\ndata: {}").kind).toBe("heartbeat");
});

test("frames are whole however the bytes are cut, also in the middle of a letter", async () => {
  const bytes = new TextEncoder().encode('event: delta\ndata: {"text":"한글"}\n\n');
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const frames = [];

  for await (const frame of framesOf(body)) frames.push(frame);

  expect(frames).toEqual([{ kind: "delta", data: { text: "한글" } }]);
});

test("ids sort by the time of making", () => {
  const zeros = (size: number) => new Uint8Array(size);

  expect(newId("op", 1000, zeros) < newId("op", 1001, zeros)).toBe(true);
  expect(newId("op", 1000, zeros)).toMatch(/^op_[0-9a-z]{26}$/);
});

test("a push always becomes a notification, whatever arrives", () => {
  for (const odd of [undefined, "", "{", "null", "[]", '{"notification":7}']) {
    expect(noticeOf(odd).shown.title).toBe("Deskhand");
  }
});

test("a declarative push is shown as it says, and its delivery is known for the acknowledgement", () => {
  const notification = { title: "Finished", body: "b", tag: "t", navigate: "/#/x", data: { delivery: "dlv_1" } };

  const notice = noticeOf(JSON.stringify({ web_push: 8030, notification, app_badge: 2 }) + "   ");

  expect(notice).toMatchObject({ delivery: "dlv_1", badge: 2, shown: { title: "Finished", tag: "t" } });
});

test("every sentence is there in both languages with the same places", () => {
  const places = (sentence: string) => [...sentence.matchAll(/\{\w+\}/g)].map(String).sort();

  expect(Object.keys(ko).sort()).toEqual(Object.keys(en).sort());
  for (const [id, sentence] of Object.entries(en)) {
    expect([id, places(ko[id as keyof typeof ko])]).toEqual([id, places(sentence)]);
  }
});

test("texts: languages, plurals and values", () => {
  expect(languageOf(["fr-FR", "ko-KR"])).toBe("ko");
  expect(plural("en", "task.steps", 1)).toBe("1 step");
  expect(plural("ko", "task.steps", 2)).toBe("2단계");
  expect(text("en", "task.try", { n: 2 })).toBe("try 2");
});

test("routes survive the way there and back, and a foreign address leads home", () => {
  const place = { name: "thread", thread: "local:op_1", task: "tsk_1" } as const;

  expect(routeOf(addressOf(place))).toEqual(place);
  expect(routeOf("#/nowhere")).toEqual({ name: "home" });
});

test("tables: quotes, breaks in cells, other separators, and no more rows than asked for", () => {
  expect(rowsOf('a,b\n"x, ""y""","1\n2"\n', 10)).toEqual([["a", "b"], ['x, "y"', "1\n2"]]);
  expect(rowsOf("\uFEFFa;b\r\n1;\r\n", 10)).toEqual([["a", "b"], ["1", ""]]);
  expect(rowsOf("a\nb\nc", 2)).toEqual([["a"], ["b"]]);
  expect(rowsOf('a,"open', 5)).toEqual([["a", '"open']]);
});
