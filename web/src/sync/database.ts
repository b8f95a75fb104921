/**
 * What survives a reload: the fold up to one cursor, the events behind it, the outbox, this device's credential.
 *
 * All but outbox and credential is a cache, rebuildable from snapshot and tail. Two tabs may write: what is stored is
 * always the fold up to the stored cursor, because a tab that is behind keeps its hands off.
 */
import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Event } from "../protocol/generated";
import { stateOf, type Applied, type Change, type State } from "./state";

export interface Credential {
  readonly key: string;
  readonly device: string;
  readonly account?: string | undefined;
  readonly signing?: CryptoKeyPair | undefined;
}

export interface Queued {
  readonly op_id: string;
  readonly kind: string;
  readonly thread?: string | undefined;
  readonly task?: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
  readonly at: string;
  readonly state: "waiting" | "sent" | "rejected";
  readonly seq?: number | undefined;
  /** How far the log was here when it was written. */
  readonly after?: number;
  readonly result?: { readonly id?: string | undefined; readonly task?: string | undefined };
  readonly error?: { readonly code: string; readonly message: string; readonly cure: string };
}

/** A file that somebody hands over, whole, until a message that has it was taken by the hub. */
export interface Parcel {
  readonly id: string;
  readonly name: string;
  readonly size: number;
  readonly type: string;
  readonly bytes: Blob;
  /** The place where it is being written for, or the op that takes it along. */
  readonly where: string;
  /** The hub's name for it, once it has one. */
  readonly upload?: string;
  readonly offset: number;
  readonly state: "waiting" | "done" | "refused";
  readonly error?: { readonly code: string; readonly message: string; readonly cure: string };
}

interface Shape extends DBSchema {
  meta: { key: string; value: unknown };
  objects: { key: [string, string]; value: Change };
  events: { key: number; value: Event; indexes: { thread: [string, number] } };
  outbox: { key: string; value: Queued };
  parcels: { key: string; value: Parcel };
}

const VERSION = 2;

export class Database {
  readonly #opened: Promise<IDBPDatabase<Shape>>;

  constructor(name = "deskhand") {
    this.#opened = openDB<Shape>(name, VERSION, {
      upgrade(database, from) {
        database.createObjectStore("parcels", { keyPath: "id" });
        if (from > 0) return;
        database.createObjectStore("meta");
        database.createObjectStore("objects", { keyPath: ["collection", "id"] });
        const events = database.createObjectStore("events", { keyPath: "seq" });
        events.createIndex("thread", ["thread", "seq"]);
        database.createObjectStore("outbox", { keyPath: "op_id" });
      },
    });
  }

  async get<T>(name: string): Promise<T | undefined> {
    return (await (await this.#opened).get("meta", name)) as T | undefined;
  }

  async put(name: string, value: unknown): Promise<void> {
    await (await this.#opened).put("meta", value, name);
  }

  /**
   * The stored state, if it was folded by this build of the fold, and of which log it is: both of one moment, because
   * another tab may be putting a new log in the place of the old one.
   */
  async load(fold: string): Promise<{ readonly state: State | undefined; readonly incarnation: string }> {
    const at = (await this.#opened).transaction(["meta", "objects"]);
    const [cursor, folded, incarnation = "", objects] = (await Promise.all([
      ...["cursor", "fold", "incarnation"].map((name) => at.objectStore("meta").get(name)),
      at.objectStore("objects").getAll(),
    ])) as [number | undefined, string | undefined, string | undefined, Change[]];
    const state = cursor === undefined || folded !== fold ? undefined : stateOf(cursor, objects);
    return { state, incarnation };
  }

  async keep(applied: Applied): Promise<void> {
    const at = (await this.#opened).transaction(["meta", "objects", "events"], "readwrite");
    const stored = ((await at.objectStore("meta").get("cursor")) as number | undefined) ?? -1;
    if (stored < applied.state.cursor) {
      for (const change of applied.changes) void at.objectStore("objects").put(change);
      for (const event of applied.fresh) void at.objectStore("events").put(event);
      void at.objectStore("meta").put(applied.state.cursor, "cursor");
    }
    await at.done;
    for (const { kind, thread, seq } of applied.fresh) {
      if (kind === "thread.erased" && thread) await this.#forget(thread, seq);
    }
  }

  /** Begin again from a snapshot of the log of this name. */
  async replace(
    { cursor, incarnation = "" }: { cursor: number; incarnation?: string | undefined },
    changes: readonly Change[],
    fold: string,
  ): Promise<void> {
    const at = (await this.#opened).transaction(["meta", "objects", "events"], "readwrite");
    void at.objectStore("objects").clear();
    void at.objectStore("events").clear();
    for (const change of changes) void at.objectStore("objects").put(change);
    void at.objectStore("meta").put(cursor, "cursor");
    void at.objectStore("meta").put(incarnation, "incarnation");
    void at.objectStore("meta").put(fold, "fold");
    await at.done;
  }

  async add(changes: readonly Change[], events: readonly Event[]): Promise<void> {
    const at = (await this.#opened).transaction(["objects", "events"], "readwrite");
    for (const change of changes) void at.objectStore("objects").put(change);
    for (const event of events) void at.objectStore("events").put(event);
    await at.done;
  }

  async threadEvents(thread: string): Promise<Event[]> {
    const range = IDBKeyRange.bound([thread, 0], [thread, Number.MAX_SAFE_INTEGER]);
    return (await this.#opened).getAllFromIndex("events", "thread", range);
  }

  async outbox(): Promise<Queued[]> {
    return (await this.#opened).getAll("outbox");
  }

  async putQueued(entry: Queued): Promise<void> {
    await (await this.#opened).put("outbox", entry);
  }

  async dropQueued(id: string): Promise<void> {
    await (await this.#opened).delete("outbox", id);
  }

  async parcels(): Promise<Parcel[]> {
    return (await this.#opened).getAll("parcels");
  }

  async putParcel(parcel: Parcel): Promise<void> {
    await (await this.#opened).put("parcels", parcel);
  }

  async dropParcel(id: string): Promise<void> {
    await (await this.#opened).delete("parcels", id);
  }

  async forgetEverything(): Promise<void> {
    const names = ["meta", "objects", "events", "outbox", "parcels"] as const;
    const at = (await this.#opened).transaction(names, "readwrite");
    for (const name of names) void at.objectStore(name).clear();
    await at.done;
  }

  async close(): Promise<void> {
    (await this.#opened).close();
  }

  async #forget(thread: string, before: number): Promise<void> {
    const at = (await this.#opened).transaction("events", "readwrite");
    const range = IDBKeyRange.bound([thread, 0], [thread, before], false, true);
    for (const key of await at.store.index("thread").getAllKeys(range)) void at.store.delete(key);
    await at.done;
  }
}

