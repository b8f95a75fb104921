import { beforeEach, expect, test } from "vitest";
import { needs, pill, threadRows, timeline } from "../src/bindings/select";
import { Client } from "../src/sync/client";
import { Database } from "../src/sync/database";
import { localThread } from "../src/sync/outbox";
import { FakeEnvironment, FakeHub, settle } from "./fakes";

let hub: FakeHub;
let environment: FakeEnvironment;
let name = 0;

beforeEach(() => {
  hub = new FakeHub();
  environment = new FakeEnvironment(hub.fetch);
  name += 1;
});

async function opened({ start = true } = {}): Promise<Client> {
  const client = new Client(environment, new Database(`test-${name}`));
  if (!(await client.load())) await client.signIn({ key: "half", device: "dev_me" });
  if (start) client.start();
  await settle();
  return client;
}

const post = (client: Client, text: string, thread?: string) =>
  client.post({ kind: "message.post", thread, body: { text } });

const titles = (client: Client) => threadRows(client.view).map((row) => row.title);

test("a new device starts from the snapshot and follows the stream", async () => {
  const client = await opened();

  hub.happen("thread.created", { title: "From the stream" }, { thread: "thr_b" });
  await settle();

  expect(titles(client).sort()).toEqual(["From the snapshot", "From the stream"]);
  expect(client.view.link).toBe("live");
});

test("after a reload everything is there before the network is", async () => {
  const first = await opened();
  hub.happen("thread.created", { title: "Kept" }, { thread: "thr_b" });
  await settle();
  first.stop();
  hub.reachable = false;

  const again = await opened({ start: false });

  expect(titles(again)).toContain("Kept");
  expect(again.view.state.cursor).toBe(1);
});

test("a message written offline survives a reload and is sent once when the hub is back", async () => {
  hub.reachable = false;
  const first = await opened();
  await post(first, "hello");
  first.stop();
  const again = await opened();
  const waiting = again.view.outbox.map((entry) => entry.state);

  hub.reachable = true;
  environment.wake();
  await settle(30);

  expect(waiting).toEqual(["waiting"]);
  expect(hub.received.map((op) => op.body?.["text"])).toEqual(["hello"]);
  expect(again.view.outbox).toEqual([]);
});

test("an answer that got lost is asked for again with the same op, and nothing happens twice", async () => {
  const client = await opened();
  hub.loseAnswers = 1;

  await post(client, "once", "thr_a");
  await settle();
  environment.wake();
  await settle(30);

  expect(hub.received).toHaveLength(1);
  expect(hub.calls.filter((call) => call === "POST /v1/ops").length).toBeGreaterThan(1);
  expect(client.view.outbox).toEqual([]);
});

test("a waiting message can be taken back and is then never sent", async () => {
  hub.reachable = false;
  const client = await opened();
  const entry = await post(client, "not this");

  const taken = await client.outbox.cancel(entry.op_id);
  hub.reachable = true;
  environment.wake();
  await settle(30);

  expect(taken).toBe(true);
  expect(hub.received).toEqual([]);
});

test("two messages to a thread that began offline end in the same thread", async () => {
  hub.reachable = false;
  const client = await opened();
  const first = await post(client, "first");
  await post(client, "second", localThread(first.op_id));

  hub.reachable = true;
  environment.wake();
  await settle(60);

  expect(hub.received.map((op) => [op.body?.["text"], op.thread])).toEqual([
    ["first", undefined],
    ["second", "thr_1"],
  ]);
});

test("a refused message stays with its cause and its cure", async () => {
  const client = await opened();
  hub.refuse = "unknown_command";

  await post(client, "/nonsense");
  await settle();

  expect(client.view.outbox[0]?.state).toBe("rejected");
  expect(client.view.outbox[0]?.error?.cure).toBe("Do this.");
});

test("waking up reopens a stream that died in silence, and fetches the gap first", async () => {
  const client = await opened();
  hub.streams = [];
  hub.happen("thread.created", { title: "Missed" }, { thread: "thr_c" });
  await settle();
  const before = titles(client);

  environment.wake();
  await settle();

  expect(before).not.toContain("Missed");
  expect(titles(client)).toContain("Missed");
  expect(hub.streams).toHaveLength(1);
});

test("a stream that falls silent is left after two missed heartbeats", async () => {
  await opened();
  hub.write(": alive\n\n");
  await settle();
  hub.streams = [];

  await environment.pass(36_000);
  await environment.pass(2000);

  expect(hub.streams).toHaveLength(1);
});

test("where no stream passes, long polls take over after 20 seconds", async () => {
  hub.streaming = false;
  const client = await opened();

  await environment.pass(21_000);
  await environment.pass(1000);
  hub.happen("thread.created", { title: "Polled" }, { thread: "thr_d" });
  await environment.pass(1000);
  await settle(30);

  expect(titles(client)).toContain("Polled");
});

test("a reset begins again from a snapshot", async () => {
  const client = await opened();
  hub.happen("thread.created", { title: "From the old log" }, { thread: "thr_old" });
  await settle();
  hub.log = [];

  hub.write("id: 0\nevent: reset\ndata: {}\n\n");
  await settle(30);

  expect(titles(client)).toEqual(["From the snapshot"]);
  expect(client.view.state.cursor).toBe(0);
});

test("a device that was removed is told so and stops asking", async () => {
  const client = await opened();
  hub.signedIn = false;

  environment.wake();
  await settle();
  const calls = hub.calls.length;
  await environment.pass(60_000);

  expect(client.view.link).toBe("signed_out");
  expect(hub.calls.length).toBe(calls);
});

function advertise(id: string): void {
  const runner = { id, name: id, state: "active", commands: [], models: [] };
  hub.happen("runner.advertised", { runner, folders: [] });
}

/** What the hub says beside the log. */
function say(kind: string, data: object): void {
  hub.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
}

const linkOf = (runner: string, state: string) => {
  const connected = state === "up";
  return { runner, connected, state, seen_at: "2026-11-22T10:00:00.000Z" };
};

test.each(["asleep", "off", "no_network", "stopped"])("a computer that is %s is shown so the moment the hub says it", async (state) => {
  const client = await opened();
  advertise("run_1");

  say("presence", linkOf("run_1", state));
  await settle();
  const away = pill(client.view);
  say("presence", linkOf("run_1", "up"));
  await settle();

  expect([away, pill(client.view)]).toEqual([`runner_${state}`, "live"]);
});

test("as long as one computer is there, no other makes the page say that nobody is", async () => {
  const client = await opened();
  advertise("run_1");
  advertise("run_2");

  say("presence", linkOf("run_1", "asleep"));
  say("presence", linkOf("run_2", "up"));
  await settle();

  expect(pill(client.view)).toBe("live");
});

test("a hub that says goodbye is asleep or stopped, not unreachable, and since then", async () => {
  const client = await opened();

  say("bye", { reason: "asleep" });
  await settle();
  const asleep = pill(client.view);
  say("heartbeat", {});
  await settle();
  const awake = pill(client.view);
  say("bye", { reason: "stopped" });
  hub.reachable = false;
  for (const stream of hub.streams.splice(0)) stream.close();
  await settle();

  expect([asleep, awake, pill(client.view)]).toEqual(["hub_asleep", "live", "hub_stopped"]);
  expect(client.view.silence?.since).toBe(environment.time);
});

test("a hub that takes the question and never answers is noticed within 45 s, and asked again within 20 s", async () => {
  const client = await opened();
  const began = environment.time;
  hub.mute = true;

  while (pill(client.view) === "live") await environment.pass(1000);
  const noticed = environment.time - began;
  const asked = hub.calls.length;
  while (hub.calls.length === asked) await environment.pass(1000);
  const again = environment.time - began - noticed;
  hub.mute = false;
  while (pill(client.view) !== "live") await environment.pass(1000);

  expect(noticed).toBeLessThanOrEqual(45_000);
  expect(again).toBeLessThanOrEqual(20_000);
  expect(client.view.silence).toBeUndefined();
});

test("a hub that is away is asked again every five seconds at least, however long it is away", async () => {
  const client = await opened();
  hub.reachable = false;
  for (const stream of hub.streams.splice(0)) stream.close();
  await settle();
  const gaps: number[] = [];

  for (let asked = hub.calls.length, last = environment.time; gaps.length < 40; ) {
    await environment.pass(100);
    if (hub.calls.length === asked) continue;
    gaps.push(environment.time - last);
    asked = hub.calls.length;
    last = environment.time;
  }

  expect(Math.max(...gaps)).toBeLessThanOrEqual(5000);
  expect(pill(client.view)).toBe("reconnecting");
});

test("no network is called offline, a silent hub reconnecting, an absent computer by its name", async () => {
  const client = await opened();
  advertise("run_1");
  say("presence", linkOf("run_1", "stopped"));
  await settle();
  const away = pill(client.view);
  hub.reachable = false;

  environment.wake();
  await settle();
  const silent = pill(client.view);
  environment.online = false;
  environment.wake();
  await settle();

  expect([away, silent, pill(client.view)]).toEqual(["runner_stopped", "reconnecting", "offline"]);
});

test("live text is a draft until the durable message replaces it", async () => {
  const client = await opened();
  hub.happen("task.created", { task: { id: "tsk_l", thread: "thr_a", state: "working" } }, { thread: "thr_a", task: "tsk_l" });
  const say = (kind: string, data: object) => {
    hub.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  say("draft", { message: "msg_x", text: "Hello", task: "tsk_l" });
  say("delta", { message: "msg_x", offset: 5, text: " world", task: "tsk_l" });
  say("delta", { message: "msg_x", offset: 99, text: "lost", task: "tsk_l" });
  await settle();
  const live = timeline(client.view, [], "thr_a").at(-1);

  hub.happen(
    "message.posted",
    { message: "msg_x", role: "agent", text: "Hello world", files: [] },
    { thread: "thr_a", task: "tsk_l" },
  );
  await settle();
  const durable = timeline(client.view, hub.log, "thr_a").at(-1);

  expect(live).toMatchObject({ kind: "said", role: "agent", text: "Hello world", live: true });
  expect(durable).toMatchObject({ key: live?.key, text: "Hello world" });
  expect(durable).not.toHaveProperty("live");
  expect(client.view.drafts.size).toBe(0);
});

test("a message whose event comes before the hub's answer does not stand there twice", async () => {
  const client = await opened();
  await client.open("thr_a");
  hub.mute = true;
  await post(client, "Hello", "thr_a");
  await settle();
  const before = timeline(client.view, client.timeline("thr_a"), "thr_a").map((item) => item.key.split("/")[0]);

  const event = hub.happen("message.posted", { message: "m", role: "user", text: "Hello", files: [] }, { thread: "thr_a" });
  const mine = { ...event, actor: "dev_me" };

  expect(before).toEqual(["queued"]);
  expect(timeline(client.view, [mine], "thr_a").map((item) => item.key)).toEqual(["said/m"]);
  expect(timeline(client.view, [event], "thr_a")).toHaveLength(2);
});

test("a thread that is older than all that are here is there when it is opened", async () => {
  const client = await opened();
  const before = client.view.state.objects.threads.has("thr_old");

  await client.open("thr_old");

  expect(before).toBe(false);
  expect(client.view.state.objects.threads.get("thr_old")?.title).toBe("From long ago");
});

test("what happened before this device came is read when its thread is opened", async () => {
  for (const text of ["a", "b", "c", "d"]) hub.happen("message.posted", { message: text, role: "agent", text, files: [] }, { thread: "thr_a" });
  const client = await opened();

  await client.open("thr_a");
  await client.markRead("thr_a");
  await settle();

  expect(hub.received.map((op) => [op.kind, op.body])).toEqual([["read.mark", { seq: 4 }]]);
});

test("an erased thread leaves no words behind on the device", async () => {
  const client = await opened();
  await client.open("thr_a");
  hub.happen("message.posted", { message: "m", role: "user", text: "secret", files: [] }, { thread: "thr_a" });
  await settle();
  hub.happen("thread.erased", {}, { thread: "thr_a" });
  await settle(30);

  const stored = await new Database(`test-${name}`).threadEvents("thr_a");

  expect(JSON.stringify([stored, client.timeline("thr_a")])).not.toContain("secret");
});

test("what waits for a person is one list, and what was answered here leaves it at once", async () => {
  const client = await opened();
  const approval = { id: "apr_1", task: "t", thread: "thr_a", state: "open", requested_at: "2026-11-22T10:00:00Z" };
  hub.happen("approval.requested", { epoch: 1, approval }, { thread: "thr_a", task: "t" });
  await settle();
  const before = needs(client.view, environment.time).map((need) => need.id);
  hub.reachable = false;

  const body = { approval: "apr_1", decision: "deny", action_sha256: "" } as const;
  await client.post({ kind: "approval.decide", body });
  await settle();

  expect(before).toEqual(["apr_1"]);
  expect(needs(client.view, environment.time)).toEqual([]);
});

test("two tabs on one store never lose a fact", async () => {
  const one = await opened();
  const two = await opened();
  for (const id of ["thr_x", "thr_y", "thr_z"]) {
    hub.happen("thread.created", { title: id }, { thread: id });
    await settle(4);
  }
  await settle(30);
  one.stop();
  two.stop();

  const again = await opened({ start: false });

  expect(titles(again).sort()).toEqual(["From the snapshot", "thr_x", "thr_y", "thr_z"]);
  expect(again.view.state.cursor).toBe(3);
});
