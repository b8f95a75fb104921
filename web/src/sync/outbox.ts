/**
 * Wishes on their way to the hub. Stored before they are shown, sent in order, idempotent by `op_id`.
 *
 * An answer that never came back is no answer: the same op is sent again and the hub says `duplicate`. A wish that
 * must follow another (a second message to a thread that does not exist yet) names it as `local:OP_ID`.
 */
import type { Op, OpBodies, OpResult } from "../protocol/generated";
import type { Database, Queued } from "./database";
import type { Environment } from "./environment";
import { HubError, isUnreachable, type Hub } from "./hub";
import { newId } from "./ids";

const BATCH = 50;
const RETRY_SECONDS = 5;
const LOCAL = "local:";

export interface Wish<K extends keyof OpBodies = keyof OpBodies> {
  readonly kind: K;
  readonly body: OpBodies[K];
  readonly thread?: string | undefined;
  readonly task?: string | undefined;
}

/** Where a thread that begins offline is found until the hub has named it. */
export const localThread = (opId: string): string => `${LOCAL}${opId}`;
export const isLocal = (thread: string): boolean => thread.startsWith(LOCAL);

export const filesOf = (entry: Queued): readonly string[] => (entry.body["files"] ?? []) as readonly string[];

export class Outbox {
  readonly #environment: Environment;
  readonly #database: Database;
  readonly #hub: Hub;
  readonly #changed: () => void;
  readonly #threadOf: (task: string) => string | undefined;
  readonly #fileOf: (file: string) => string | undefined;
  #entries: readonly Queued[] = [];
  #sending: Promise<void> | undefined;
  #cancelRetry: () => void = () => undefined;
  readonly #waiters = new Map<string, (result: OpResult) => void>();

  constructor(parts: {
    environment: Environment;
    database: Database;
    hub: Hub;
    changed: () => void;
    threadOf: (task: string) => string | undefined;
    /** The hub's name for a file, once all of it is there. */
    fileOf?: (file: string) => string | undefined;
  }) {
    this.#environment = parts.environment;
    this.#database = parts.database;
    this.#hub = parts.hub;
    this.#changed = parts.changed;
    this.#threadOf = parts.threadOf;
    this.#fileOf = parts.fileOf ?? ((file) => file);
  }

  get entries(): readonly Queued[] {
    return this.#entries;
  }

  async load(): Promise<void> {
    this.#entries = (await this.#database.outbox()).sort((a, b) => (a.op_id < b.op_id ? -1 : 1));
  }

  /** Store a wish; it is safe from a reload when the promise is fulfilled. */
  async add(wish: Wish, after = 0): Promise<Queued> {
    const now = this.#environment.now();
    const entry: Queued = {
      op_id: newId("op", now, this.#environment.randomness),
      kind: wish.kind,
      thread: wish.thread,
      task: wish.task,
      body: { ...wish.body },
      at: new Date(now).toISOString(),
      state: "waiting",
      after,
    };
    await this.#database.putQueued(entry);
    this.#entries = [...this.#entries, entry];
    this.#changed();
    return entry;
  }

  /** Send a wish and wait for what the hub says; it is queued like any other if the hub is away. */
  async ask(wish: Wish): Promise<OpResult> {
    const entry = await this.add(wish);
    const answer = new Promise<OpResult>((resolve) => this.#waiters.set(entry.op_id, resolve));
    void this.flush();
    return answer;
  }

  /** Take a wish back while it was not sent; answers whether it still could be. What followed it begins the thread then. */
  async cancel(id: string): Promise<boolean> {
    const entry = this.#entries.find((one) => one.op_id === id);
    if (!entry || entry.state === "sent") return false;
    await this.#drop(id);
    const [next, ...others] = this.#entries.filter((one) => one.thread === localThread(id));
    if (next) await this.#replace({ ...next, thread: entry.thread });
    for (const one of others) await this.#replace({ ...one, thread: localThread(next?.op_id ?? id) });
    this.#changed();
    return true;
  }

  /** Whether a thread that began here still has, or had, the message it began with. */
  begun(thread: string): boolean {
    return !isLocal(thread) || this.#entries.some((entry) => localThread(entry.op_id) === thread);
  }

  /** Forget what the fold has caught up with: from there on the log itself shows it. */
  async settle(cursor: number): Promise<void> {
    const seen = this.#entries.filter(
      (entry) => entry.state === "sent" && (entry.seq ?? 0) <= cursor && !this.#leads(entry),
    );
    for (const entry of seen) await this.#drop(entry.op_id);
  }

  /** The hub may have forgotten what it took: send all of it once more; what it still knows is a repeat to it. */
  async again(): Promise<void> {
    for (const entry of this.#entries) {
      if (entry.state === "sent") await this.#replace({ ...entry, state: "waiting", seq: undefined });
    }
    this.#changed();
  }

  /** The thread that a local one became, once known. */
  resolved(thread: string): string | undefined {
    if (!isLocal(thread)) return thread;
    const lead = this.#entries.find((entry) => entry.op_id === thread.slice(LOCAL.length));
    return lead?.result?.task ? this.#threadOf(lead.result.task) : undefined;
  }

  /** Send what waits; calls while sending join the one under way. */
  async flush(): Promise<void> {
    this.#sending ??= this.#flush().finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #flush(): Promise<void> {
    for (;;) {
      const batch = this.#ready().slice(0, BATCH);
      if (batch.length === 0) return;
      let results: readonly OpResult[];
      try {
        results = await this.#hub.send(batch.map((entry) => this.#opOf(entry)));
      } catch (error) {
        if (isUnreachable(error) || !(error instanceof HubError) || error.status === 401) {
          this.#later(error);
          return;
        }
        results = batch.map((entry) => refusedWhole(entry, error));
      }
      for (const result of results) await this.#take(result);
      this.#changed();
    }
  }

  /** The stream may well be open while a request got lost: then nobody else would try again. */
  #later(error: unknown): void {
    this.#cancelRetry();
    const wait = error instanceof HubError ? error.retryAfter : undefined;
    this.#cancelRetry = this.#environment.after((wait ?? RETRY_SECONDS) * 1000, () => {
      void this.flush();
    });
  }

  #ready(): Queued[] {
    return this.#entries.filter(
      (entry) =>
        entry.state === "waiting" &&
        filesOf(entry).every((file) => this.#fileOf(file) !== undefined) &&
        (!entry.thread || !isLocal(entry.thread) || this.resolved(entry.thread) !== undefined),
    );
  }

  #opOf(entry: Queued): Op {
    const thread = entry.thread ? this.resolved(entry.thread) : undefined;
    return {
      op_id: entry.op_id,
      kind: entry.kind,
      ...(thread ? { thread } : {}),
      ...(entry.task ? { task: entry.task } : {}),
      body: {
        ...entry.body,
        ...(entry.body["files"] ? { files: filesOf(entry).map((file) => this.#fileOf(file)) } : {}),
      },
    };
  }

  async #take(result: OpResult): Promise<void> {
    const entry = this.#entries.find((one) => one.op_id === result.op_id);
    if (!entry) return;
    const waiter = this.#waiters.get(result.op_id);
    this.#waiters.delete(result.op_id);
    waiter?.(result);
    if (result.status === "rejected") {
      const error = result.error ?? { code: "invalid", message: "", cure: "" };
      if (waiter || entry.kind !== "message.post") await this.#drop(entry.op_id);
      else await this.#replace({ ...entry, state: "rejected", error });
      return;
    }
    if (result.seq === undefined) {
      await this.#drop(entry.op_id);
      return;
    }
    const { id, task } = result;
    await this.#replace({ ...entry, state: "sent", seq: result.seq, result: { id, task } });
  }

  #leads(entry: Queued): boolean {
    const name = localThread(entry.op_id);
    return this.#entries.some((other) => other.thread === name && other.state === "waiting");
  }

  async #replace(entry: Queued): Promise<void> {
    await this.#database.putQueued(entry);
    this.#entries = this.#entries.map((one) => (one.op_id === entry.op_id ? entry : one));
  }

  async #drop(id: string): Promise<void> {
    await this.#database.dropQueued(id);
    this.#entries = this.#entries.filter((one) => one.op_id !== id);
    this.#changed();
  }
}

function refusedWhole(entry: Queued, error: HubError): OpResult {
  const { code, message, cure, retryable } = error;
  return { op_id: entry.op_id, status: "rejected", error: { code, message, cure, retryable } };
}
