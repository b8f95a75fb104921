import { webcrypto } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { commandOf, optionsLeft, told, waysOn } from "../src/bindings/completing";
import { labelOf, modelOf, timeline, unlabelled } from "../src/bindings/select";
import type { CommandInfo, Event, Suggestion, Task } from "../src/protocol/generated";
import { sha256Of } from "../src/sync/canonical";
import { Client, type View } from "../src/sync/client";
import { Database } from "../src/sync/database";
import { sealOf } from "../src/sync/deciding";
import { stateOf } from "../src/sync/state";
import { FakeEnvironment, FakeHub, settle } from "./fakes";

const subtle = webcrypto.subtle as SubtleCrypto;
const AT = "2026-11-22T10:00:00.000Z";

let hub: FakeHub;
let environment: FakeEnvironment;
let name = 0;

beforeEach(() => {
  hub = new FakeHub();
  environment = new FakeEnvironment(hub.fetch);
  name += 1;
});

async function opened(): Promise<Client> {
  const client = new Client(environment, new Database(`agent-${name}`));
  await client.load();
  await client.signIn({ key: "half", device: "dev_me" });
  client.start();
  await settle();
  return client;
}

test("the stream says which thread is looked at, anew with each one, and none when none is", async () => {
  const client = await opened();

  await client.open("thr_a");
  await settle();
  client.watch("thr_a");
  await settle();
  client.watch(null);
  await settle();

  expect(hub.lives).toEqual([null, "thr_a", null]);
  expect(client.view.link).toBe("live");
});

test("opening a thread shows no reconnecting, and loses no event in between", async () => {
  const client = await opened();
  const links: string[] = [];
  client.subscribe(() => links.push(client.view.link));

  await client.open("thr_a");
  hub.happen("thread.created", { title: "Meanwhile" }, { thread: "thr_b" });
  await settle();

  expect(new Set(links)).toEqual(new Set(["live"]));
  expect(client.view.state.objects.threads.get("thr_b")?.title).toBe("Meanwhile");
});

test("live text outlives guidance, and ends with whatever the hub ends it with, and with looking away", async () => {
  const client = await opened();
  await client.open("thr_a");
  await settle();
  const say = (message: string) => {
    hub.write(`event: draft\ndata: ${JSON.stringify({ message, text: "I", task: "tsk_l" })}\n\n`);
  };
  say("guided");
  await settle();
  hub.happen("message.posted", { message: "m", role: "user", text: "shorter", files: [] }, { thread: "thr_a", task: "tsk_l" });
  await settle();
  const guided = client.view.drafts.size;
  const left: number[] = [];
  for (const kind of ["step.started", "task.moved", "question.asked"]) {
    say(kind);
    await settle();
    hub.happen(kind, { epoch: 1, question: { id: "q" } }, { thread: "thr_a", task: "tsk_l" });
    await settle();
    left.push(client.view.drafts.size);
  }
  say("msg_last");
  await settle();

  client.watch(null);

  expect(guided).toBe(1);
  expect(left).toEqual([0, 0, 0]);
  expect(client.view.drafts.size).toBe(0);
});

const at = (seq: number, kind: string, body: object): Event =>
  ({ seq, kind, at: AT, actor: "run", thread: "thr_a", task: "tsk_1", v: 1, body }) as Event;

const viewOf = (tasks: object[], runners: object[] = []): View =>
  ({
    state: stateOf(1, [
      ...tasks.map((value) => ({ collection: "tasks" as const, id: "tsk_1", value: value as never })),
      ...runners.map((value) => ({ collection: "runners" as const, id: "run_1", value: value as never })),
    ]),
    drafts: new Map(),
    outbox: [],
    presence: new Map(),
  }) as unknown as View;

const TALK = [
  at(1, "message.posted", { message: "m1", role: "user", text: "How many?", files: [] }),
  at(2, "task.created", { task: { id: "tsk_1", thread: "thr_a" } }),
  at(3, "message.posted", { message: "m2", role: "agent", text: "Let me count.", files: [] }),
  at(4, "message.posted", { message: "m3", role: "agent", text: "Seven.", files: [] }),
];

test("a plain answer is a message without a card, and its last message carries what it used", () => {
  const task = { id: "tsk_1", thread: "thr_a", state: "completed", verdict: "unverified", answer: true };

  const items = timeline(viewOf([task]), TALK, "thr_a");

  expect(items.map((item) => item.key)).toEqual(["said/m1", "said/m2", "said/m3"]);
  expect(items.map((item) => item.kind === "said" && item.result?.id)).toEqual([undefined, undefined, "tsk_1"]);
});

test("an answer whose message is not here keeps its card, and so does any other result", () => {
  const answer = { id: "tsk_1", thread: "thr_a", state: "completed", answer: true };
  const work = { ...answer, answer: false };

  expect(timeline(viewOf([answer]), TALK.slice(0, 2), "thr_a").map((item) => item.kind)).toEqual(["said", "task"]);
  expect(timeline(viewOf([work]), TALK, "thr_a").map((item) => item.kind)).toEqual(["said", "task", "said", "said"]);
});

test("the card of a result stands where the work ended, below what was said on the way", () => {
  const work = { id: "tsk_1", thread: "thr_a", state: "completed", answer: false };
  const ended = { ...at(5, "task.finished", { state: "completed" }), task: "tsk_1" };

  const items = timeline(viewOf([work]), [...TALK, ended], "thr_a");

  expect(items.map((item) => item.key)).toEqual(["said/m1", "said/m2", "said/m3", "task/tsk_1"]);
});

test("a scripted program is named as one by its name alone; other labels come with the computer", () => {
  const model = { name: "llama:tiny", source: "embedded", label: "too_small" };
  const view = viewOf([], [{ id: "run_1", state: "active", model, models: [] }]);

  expect(labelOf(view, "openai-chat:stand-in")).toBe("stand_in");
  expect(labelOf(view, "Stand-in 2")).toBe("stand_in");
  expect(labelOf(view, "stand-in (a scripted program, not a language model)")).toBe("stand_in");
  expect(unlabelled("stand-in (a scripted program, not a language model)")).toBe("stand-in");
  expect(labelOf(view, "llama:tiny")).toBe("too_small");
  expect(labelOf(view, "openai:gpt-outstanding-in")).toBeUndefined();
});

test("the model shown is the one that was used; a command has none", () => {
  const runner = { id: "run_1", state: "active", model: { name: "own", source: "key" }, models: ["own"] };
  const task = { id: "tsk_1", state: "working", agent: "builtin", runner: "run_1" } as Task;
  const view = viewOf([], [runner]);

  expect(modelOf(view, task)).toBe("own");
  expect(modelOf(view, { ...task, model: "other" })).toBe("other");
  expect(modelOf(view, { ...task, model: "other", model_used: "third" })).toBe("third");
  expect(modelOf(view, { ...task, agent: "commands" })).toBeUndefined();
  expect(modelOf(view, { ...task, state: "queued" })).toBeUndefined();
});

test("a suggestion is bound to everything it shows", async () => {
  const shown = {
    id: "1",
    command: "/brief notes/",
    preview: "Makes a briefing.",
    not_honored: ["and send it"],
    runner: "run_1",
    preview_sha256: "",
  };
  const bound: Suggestion = { ...shown, preview_sha256: (await sha256Of(shown, subtle)) ?? "" };

  expect(await sealOf(bound, subtle)).toBe("fits");
  expect(await sealOf({ ...bound, not_honored: [] }, subtle)).toBe("differs");
  expect(await sealOf({ ...bound, folder: "fld_other" }, subtle)).toBe("differs");
  expect(await sealOf(bound, undefined)).toBe("unknown");
});

const command = (changes: Partial<CommandInfo>): CommandInfo => ({
  name: "brief",
  summary: "Makes a briefing",
  usage: "/brief PATH...",
  examples: ["Brief me on notes", "회의록을 요약해 줘"],
  summary_ko: "브리핑을 만듭니다",
  takes: "path",
  endings: [],
  least: 1,
  most: 50,
  options: [
    { name: "pages", metavar: "N", choices: [], most: 20 },
    { name: "as", metavar: "KIND", choices: ["md", "docx"] },
  ],
  ...changes,
});
const COMMANDS = [command({}), command({ name: "help", takes: "name", options: [] })];
const lines = (typed: string) => waysOn(COMMANDS, typed).map((way) => way.line);

test("a command line is completed word by word: names, options once each, and their values", () => {
  expect(lines("/")).toEqual(["/brief ", "/help "]);
  expect(lines("/B")).toEqual(["/brief "]);
  expect(lines("/brief notes -")).toEqual(["/brief notes --pages ", "/brief notes --as "]);
  expect(lines("/brief --pages 2 --")).toEqual(["/brief --pages 2 --as "]);
  expect(lines("/brief --as d")).toEqual(["/brief --as docx "]);
  expect(lines("/help b")).toEqual(["/help brief"]);
  expect(lines("/brief notes")).toEqual([]);
  expect(lines("brief -")).toEqual([]);
});

test("help belongs to the command that is being typed, in the person's language", () => {
  const found = commandOf(COMMANDS, "/Brief --pages 2 ");

  expect(found?.name).toBe("brief");
  expect(commandOf(COMMANDS, "/nothing here")).toBeUndefined();
  expect(optionsLeft(command({}), "/brief --pages 2 ").map((one) => one.name)).toEqual(["as"]);
  expect(told(command({}), "ko")).toEqual({ summary: "브리핑을 만듭니다", examples: ["회의록을 요약해 줘"] });
  expect(told(command({ summary_ko: "" }), "ko").summary).toBe("Makes a briefing");
  expect(told(command({}), "en").examples).toEqual(["Brief me on notes"]);
});
