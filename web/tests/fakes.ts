/** A hub, a clock and a wire for tests: everything turned by hand, nothing waits for real. */
import { webcrypto } from "node:crypto";
import type { Event, Op, OpResult } from "../src/protocol/generated";
import type { Environment } from "../src/sync/environment";

/** Surroundings whose time stands still until told otherwise. */
export class FakeEnvironment implements Environment {
  time = Date.parse("2026-11-22T10:00:00.000Z");
  visible = true;
  online = true;
  readonly #timers = new Map<number, { at: number; callback: () => void }>();
  readonly #wakes = new Set<() => void>();
  readonly #hides = new Set<() => void>();
  #count = 0;
  #random = 0;

  constructor(readonly fetch: typeof globalThis.fetch) {}

  readonly subtle = webcrypto.subtle as SubtleCrypto;
  readonly now = () => this.time;
  readonly isVisible = () => this.visible;
  readonly isOnline = () => this.online;
  readonly language = () => "en";

  readonly randomness = (size: number) => {
    this.#random += 1;
    return new Uint8Array(size).fill(this.#random % 251);
  };

  readonly after = (milliseconds: number, callback: () => void) => {
    const id = (this.#count += 1);
    this.#timers.set(id, { at: this.time + milliseconds, callback });
    return () => {
      this.#timers.delete(id);
    };
  };

  readonly onWake = (callback: () => void) => {
    this.#wakes.add(callback);
    return () => this.#wakes.delete(callback);
  };

  readonly onHide = (callback: () => void) => {
    this.#hides.add(callback);
    return () => this.#hides.delete(callback);
  };

  wake(): void {
    this.visible = true;
    for (const callback of this.#wakes) callback();
  }

  hide(): void {
    this.visible = false;
    for (const callback of this.#hides) callback();
  }

  /** Turn the clock and let everything happen that was due. */
  async pass(milliseconds: number): Promise<void> {
    this.time += milliseconds;
    for (const [id, timer] of [...this.#timers]) {
      if (timer.at > this.time) continue;
      this.#timers.delete(id);
      timer.callback();
    }
    await settle();
  }
}

/** Let promises and the (fake) database come to rest. */
export async function settle(turns = 12): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

type Stream = ReadableStreamDefaultController<Uint8Array>;

/** Speaks the hub's HTTP: a log, ops by `op_id`, a stream, and faults on demand. */
export class FakeHub {
  log: Event[] = [];
  readonly seen = new Map<string, OpResult>();
  readonly calls: string[] = [];
  readonly received: Op[] = [];
  streams: Stream[] = [];
  /** The thread each stream asked to be told live. */
  readonly lives: (string | null)[] = [];
  reachable = true;
  /** Whether it takes requests and never answers, as a process that stands still. */
  mute = false;
  streaming = true;
  signedIn = true;
  loseAnswers = 0;
  claims: (() => Response)[] = [];
  refuse: string | undefined;

  readonly fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    await Promise.resolve();
    const url = new URL(input as string, "http://hub.test");
    this.calls.push(`${init.method ?? "GET"} ${url.pathname}`);
    if (!this.reachable) throw new TypeError("no route");
    if (this.mute) {
      return new Promise((_, reject) => {
        init.signal?.addEventListener("abort", () => {
          reject(new DOMException("aborted", "AbortError"));
        });
      });
    }
    if (!this.signedIn && !url.pathname.startsWith("/v1/pair")) return failure(401, "unauthorized");
    return this.#answer(url, init);
  };

  /** Append a fact and tell everybody who listens. */
  happen(kind: string, body: object, at: { thread?: string; task?: string } = {}): Event {
    const seq = this.log.length + 1;
    const stamp = "2026-11-22T10:00:00.000Z";
    const event = { seq, kind, at: stamp, actor: "hub", v: 1, ...at, body } as Event;
    this.log.push(event);
    this.write(lineOf(event));
    return event;
  }

  write(text: string): void {
    for (const stream of this.streams) stream.enqueue(new TextEncoder().encode(text));
  }

  #answer(url: URL, init: RequestInit): Response {
    const after = Number(url.searchParams.get("after"));
    switch (url.pathname) {
      case "/v1/ops":
        return this.#take((JSON.parse(init.body as string) as { ops: Op[] }).ops);
      case "/v1/snapshot":
        return json({ cursor: this.log.length, read: { thr_a: 3 }, threads: [thread("thr_a", "From the snapshot")] });
      case "/v1/sync":
        return json({
          events: this.log.filter((one) => one.seq > after),
          next: this.log.length,
          head: this.log.length,
          more: false,
        });
      case "/v1/stream":
        this.lives.push(url.searchParams.get("live"));
        return this.#stream(after, init.signal ?? undefined);
      case "/v1/pair":
        return this.refuse ? failure(410, this.refuse) : json({ request: "req_1", secret: "s", match: "7302" }, 202);
      case "/v1/pair/claim":
        return (this.claims.shift() ?? (() => json({ state: "waiting" }, 202)))();
      default:
        return this.#found(url.pathname);
    }
  }

  #found(path: string): Response {
    const [, named] = /^\/v1\/threads\/(\w+)$/.exec(path) ?? [];
    const [, told] = /^\/v1\/threads\/(\w+)\/events$/.exec(path) ?? [];
    if (!named) return json({ items: this.log.filter((one) => one.thread !== undefined && one.thread === told) });
    const found = this.known(named);
    return found ? json(found) : failure(404, "not_found");
  }

  /** A thread by its id. */
  known(id: string): object | undefined {
    return thread(id, "From long ago");
  }

  #take(ops: Op[]): Response {
    const results = ops.map((op) => this.#one(op));
    if (this.loseAnswers > 0) {
      this.loseAnswers -= 1;
      throw new TypeError("the answer got lost");
    }
    return json({ results });
  }

  #one(op: Op): OpResult {
    const known = this.seen.get(op.op_id);
    if (known) return { ...known, status: "duplicate" };
    this.received.push(op);
    if (this.refuse) {
      const error = { code: this.refuse, message: "No.", cure: "Do this.", retryable: false };
      return { op_id: op.op_id, status: "rejected", error };
    }
    const name = op.thread ?? `thr_${this.received.length}`;
    const task = `tsk_${this.received.length}`;
    if (!op.thread) this.happen("thread.created", { title: "New" }, { thread: name });
    const said = { message: `msg_${this.received.length}`, role: "user", text: op.body?.["text"], files: [] };
    this.happen("message.posted", said, { thread: name, task });
    const { seq } = this.happen("task.created", { task: { id: task, thread: name, state: "queued" } }, { thread: name, task });
    const result: OpResult = { op_id: op.op_id, status: "ok", seq, task };
    this.seen.set(op.op_id, result);
    return result;
  }

  #stream(after: number, signal: AbortSignal | undefined): Response {
    let mine: Stream;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        mine = controller;
        if (this.streaming) this.streams.push(controller);
        for (const event of this.streaming ? this.log.slice(after) : []) {
          controller.enqueue(new TextEncoder().encode(lineOf(event)));
        }
        signal?.addEventListener("abort", () => {
          this.streams = this.streams.filter((one) => one !== mine);
          controller.error(new DOMException("aborted", "AbortError"));
        });
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }
}

const lineOf = (event: Event): string =>
  `id: ${event.seq}\nevent: event\ndata: ${JSON.stringify(event)}\n\n`;

export const json = (value: unknown, status = 200): Response => Response.json(value, { status });

export const failure = (status: number, code: string): Response =>
  json({ error: { code, message: `${code}.`, cure: "Cure.", retryable: false } }, status);

export function thread(id: string, title: string): object {
  const at = "2026-11-22T09:00:00.000Z";
  return { id, title, state: "open", archived: false, created_at: at, updated_at: at, created_by: "x", tasks: 0 };
}
