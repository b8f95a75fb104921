/** A device that was away for long, and a hub that was restored: what is shown is the hub's log, and nothing else. */
import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { threadRows } from "../src/bindings/select";
import { Client } from "../src/sync/client";
import { Database } from "../src/sync/database";
import { apply, emptyState, type State } from "../src/sync/state";
import { FakeEnvironment, FakeHub, json, settle } from "./fakes";

const PAGE = 500;

/** A hub whose snapshot is the fold of its log, that says which log it is, and that can be restored. */
class LongHub extends FakeHub {
  incarnation = "";
  threads: object[] = [];
  readonly heard: number[] = [];

  readonly answer = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const inner = await this.fetch(input, init);
    const url = new URL(input as string, "http://hub.test");
    const after = Number(url.searchParams.get("after"));
    const log = { incarnation: this.incarnation, head: this.log.length };
    switch (url.pathname) {
      case "/v1/snapshot":
        return json({ ...this.folded(), incarnation: this.incarnation });
      case "/v1/sync": {
        const events = this.log.filter((one) => one.seq > after).slice(0, PAGE);
        const more = after + PAGE < this.log.length;
        this.heard.push(...events.map((one) => one.seq));
        return json({ events, next: more ? after + PAGE : this.log.length, more, ...log });
      }
      case "/v1/stream":
        return after > this.log.length
          ? framed(`id: ${this.log.length}\nevent: reset\ndata: ${JSON.stringify(log)}\n\n`, inner)
          : framed(`id: ${after}\nevent: heartbeat\ndata: ${JSON.stringify(log)}\n\n`, inner);
      case "/v1/threads": {
        const before = url.searchParams.get("before");
        const from = before ? Number(before) : 0;
        const next = from + 200 < this.threads.length ? String(from + 200) : null;
        return json({ items: this.threads.slice(from, from + 200), next });
      }
      default:
        return inner;
    }
  };

  override known(id: string): object | undefined {
    return this.state().objects.threads.get(id);
  }

  state(): State {
    return apply(emptyState(), this.log).state;
  }

  folded(): object {
    const { cursor, objects } = this.state();
    const lists = Object.entries(objects).map(([name, of]) => [name, [...of.values()]] as const);
    return { cursor, ...Object.fromEntries(lists), read: {} };
  }

  /** Go back to an earlier state; from there on the same numbers are other events. */
  restore(length: number): void {
    this.log = this.log.slice(0, length);
    this.seen.clear();
    this.incarnation = `log_${length}_${this.incarnation}`;
    this.drop();
  }

  /** End every stream, as a hub that goes away does. */
  drop(): void {
    for (const stream of this.streams.splice(0)) stream.close();
  }
}

function framed(first: string, answer: Response): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  void writer
    .write(new TextEncoder().encode(first))
    .then(() => {
      writer.releaseLock();
      return answer.body?.pipeTo(writable);
    })
    .catch(() => undefined);
  return new Response(readable, { headers: { "Content-Type": "text/event-stream" } });
}

let hub: LongHub;
let environment: FakeEnvironment;
let name = 0;

beforeEach(() => {
  hub = new LongHub();
  environment = new FakeEnvironment(hub.answer);
  name += 1;
});

async function opened({ start = true } = {}): Promise<Client> {
  const client = new Client(environment, new Database(`reset-${name}`));
  if (!(await client.load())) await client.signIn({ key: "half", device: "dev_me" });
  if (start) client.start();
  await settle(30);
  return client;
}

/** Let things happen until this device shows what the hub's log says, and has nothing more to send. */
async function equal(client: Client): Promise<void> {
  const same = () =>
    client.view.state.cursor === hub.log.length &&
    JSON.stringify(sorted(client.view.state)) === JSON.stringify(sorted(hub.state()));
  for (let turn = 0; turn < 400 && !(same() && client.view.outbox.length === 0); turn += 1) await settle(5);
  expect(sorted(client.view.state)).toEqual(sorted(hub.state()));
  expect(client.view.outbox).toEqual([]);
}

const sorted = ({ cursor, objects }: State) => ({
  cursor,
  ...Object.fromEntries(
    Object.entries(objects).map(([of, map]) => [of, [...map.entries()].sort(([a], [b]) => (a < b ? -1 : 1))]),
  ),
});

/** So many events about few things. */
const rename = (count: number, word: string) => {
  for (let n = 0; n < count; n += 1) {
    hub.happen("thread.renamed", { title: `${word} ${n}` }, { thread: `thr_base_${n % 20}` });
  }
};

const begin = (count: number, word: string) => {
  for (let n = 0; n < count; n += 1) {
    hub.happen("thread.created", { title: `${word} ${n}` }, { thread: `thr_${word}_${n}` });
  }
};

test("a device that was away for a month starts from a snapshot and fetches no event of that month", async () => {
  begin(20, "base");
  const client = await opened();
  client.stop();
  rename(6000, "month");
  hub.heard.length = 0;

  client.start();

  await equal(client);
  expect(new Set(hub.heard.filter((seq) => seq > 20)).size).toBeLessThanOrEqual(PAGE);
});

test("a device that was away for an hour fetches what happened and keeps what it has", async () => {
  begin(20, "base");
  const client = await opened();
  client.stop();
  rename(700, "hour");
  const snapshots = () => hub.calls.filter((call) => call === "GET /v1/snapshot").length;
  const before = snapshots();

  client.start();

  await equal(client);
  expect(snapshots()).toBe(before);
});

test.each([
  ["shorter than what we know", 0],
  ["as long as what we know", 7],
  ["longer than what we know", 20],
])("a hub that was restored, its log %s, is followed and not mixed in", async (_, grown) => {
  begin(10, "old");
  const client = await opened();
  hub.restore(3);
  begin(grown, "new");

  environment.wake();

  await equal(client);
  expect(threadRows(client.view).some((row) => row.title.startsWith("old 5"))).toBe(false);
});

test("a hub that is restored between the gap and the stream is noticed by the stream's first words", async () => {
  begin(10, "old");
  const client = await opened();
  const answer = hub.answer;
  const once = new FakeEnvironment(async (input, init) => {
    if ((input as string).startsWith("/v1/stream") && hub.incarnation === "") {
      hub.restore(2);
      begin(15, "new");
    }
    return answer(input, init);
  });
  client.stop();
  const other = new Client(once, new Database(`reset-${name}`));
  await other.load();
  other.start();

  await equal(other);
});

test("what waits in the outbox outlives a reset, and what a restored hub forgot is sent to it again", async () => {
  const client = await opened();
  hub.streams = [];
  await client.post({ kind: "message.post", body: { text: "taken, and forgotten" } });
  await settle();
  hub.reachable = false;
  await client.post({ kind: "message.post", body: { text: "never sent so far" } });
  hub.reachable = true;
  hub.restore(0);
  hub.received.length = 0;

  environment.wake();

  await equal(client);
  expect(hub.received.map((op) => op.body?.["text"])).toEqual(["taken, and forgotten", "never sent so far"]);
});

test("what an older build skipped is folded again after its upgrade", async () => {
  const client = await opened();
  begin(3, "skipped");
  await settle();
  client.stop();
  const database = new Database(`reset-${name}`);
  await database.put("fold", "0");
  hub.reachable = false;
  const upgraded = await opened();
  const offline = upgraded.view.state.cursor;

  hub.reachable = true;
  environment.wake();

  expect(offline).toBe(0);
  await equal(upgraded);
});

test("threads that no snapshot holds are loaded when they are asked for, and end", async () => {
  const at = "2026-11-22T09:00:00.000Z";
  const listed = (n: number) => ({ id: `thr_list_${n}`, title: `listed ${n}`, state: "open", created_at: at, updated_at: at });
  begin(200, "recent");
  hub.threads = [...hub.state().objects.threads.values(), ...Array.from({ length: 250 }, (_, n) => listed(n))];
  const client = await opened();
  await equal(client);
  const first = client.view.older;

  await client.loadOlder();
  const between = client.view.state.objects.threads.size;
  await client.loadOlder();

  expect([first, between]).toEqual([true, 400]);
  expect([client.view.older, client.view.state.objects.threads.size]).toEqual([false, 450]);
});

type Fault = "cut" | "away" | "far" | "restore" | "reload" | "wake";

test("any cuts, absences, restores and reloads end in the state of a fresh snapshot", { timeout: 60_000 }, async () => {
  const fault = fc.constantFrom<Fault>("cut", "away", "far", "restore", "reload", "wake");
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fault, fc.nat({ max: 12 })), { maxLength: 6 }), async (faults) => {
      hub = new LongHub();
      environment = new FakeEnvironment(hub.answer);
      name += 1;
      begin(20, "base");
      let client = await opened();
      for (const [number, [what, size]] of faults.entries()) {
        if (what === "away" || what === "far") hub.reachable = false;
        if (what !== "wake") hub.drop();
        if (what === "restore") hub.restore(Math.max(0, hub.log.length - size));
        if (what === "reload") {
          client.stop();
          client = await opened();
        }
        begin(size, `${what}${number}`);
        rename(what === "far" ? 2100 : 0, what);
        hub.reachable = true;
        await environment.pass(size * 1000);
      }
      environment.wake();

      await equal(client);
      client.stop();
    }),
    { numRuns: 20 },
  );
});

test("events that come twice or in any order within a page change nothing", () => {
  begin(30, "page");
  const order = fc.shuffledSubarray(hub.log, { minLength: 30 });

  fc.assert(
    fc.property(order, (events) => {
      const { state } = apply(emptyState(), [...events, ...events.slice(0, 5)]);
      expect(sorted(state)).toEqual(sorted(hub.state()));
    }),
    { numRuns: 30 },
  );
});

test("whatever the cuts between pages, and however much comes again with the next one, the state is the same", () => {
  begin(40, "cuts");
  const piece = fc.tuple(fc.nat({ max: 12 }), fc.nat({ max: 20 }));

  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.boolean(), (pieces, backwards) => {
      let state = emptyState();
      let at = 0;
      for (const [more, again] of [...pieces, [hub.log.length, 0]] as [number, number][]) {
        const page = hub.log.slice(Math.max(0, at - again), at + more);
        ({ state } = apply(state, backwards ? page.reverse() : page));
        at = Math.min(at + more, hub.log.length);
      }
      expect(sorted(state)).toEqual(sorted(hub.state()));
    }),
    { numRuns: 200 },
  );
});
