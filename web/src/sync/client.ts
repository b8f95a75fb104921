/**
 * The page without its face: state, outbox and connection put together. No UI framework below this line.
 *
 * Everything shown comes from one `View` that is replaced as a whole; `subscribe` tells when.
 */
import type { Collection, Event, OpResult, Presence, Task, Thread } from "../protocol/generated";
import { Connection, type Link } from "./connection";
import { Database, type Credential, type Parcel, type Queued } from "./database";
import type { Environment } from "./environment";
import { isFinal } from "./fold";
import type { Frame } from "./frames";
import { newId } from "./ids";
import { Hub, type Log, type Snapshot } from "./hub";
import { isLocal, Outbox, type Wish } from "./outbox";
import { Uploads } from "./uploads";
import { apply, COLLECTIONS, emptyState, stateOf, type Change, type State } from "./state";

/** Raise this when the fold learns a kind: what was skipped before is folded again, from a new snapshot. */
export const FOLD = "4";

const SNAPSHOT_TRIES = 3;
/** Further behind than this, a snapshot is less to fetch than the events. */
const FAR_BEHIND = 2000;
/** How many threads a snapshot holds; with fewer there are no others. */
const SNAPSHOT_THREADS = 200;
/** The stream tells at once; this is for whoever polls, and where several hubs serve one account. */
const PRESENCE_MS = 15_000;

export interface Draft {
  readonly text: string;
  readonly task?: string | undefined;
}

/** Why the hub is not heard: its own last word, or nothing at all; and since when. */
export interface Silence {
  readonly reason: "asleep" | "stopped" | "unreachable";
  readonly since: number;
}

interface LiveText {
  readonly message: string;
  readonly text: string;
  readonly offset: number;
  readonly task: string;
}

export interface View {
  readonly state: State;
  readonly link: Link;
  /** What happened before this moment is known here, or is over and forgotten. */
  readonly asked: number;
  readonly silence: Silence | undefined;
  readonly outbox: readonly Queued[];
  readonly parcels: readonly Parcel[];
  readonly presence: ReadonlyMap<string, Presence>;
  readonly read: ReadonlyMap<string, number>;
  /** What is newest in a thread, as far as this device heard. */
  readonly latest: ReadonlyMap<string, number>;
  readonly drafts: ReadonlyMap<string, Draft>;
  readonly device: string | undefined;
  /** Whether the hub may have threads that are not here. */
  readonly older: boolean;
  readonly ready: boolean;
}

export class Client {
  readonly hub: Hub;
  readonly outbox: Outbox;
  readonly uploads: Uploads;
  readonly #environment: Environment;
  readonly #database: Database;
  readonly #connection: Connection;
  readonly #listeners = new Set<() => void>();
  readonly #timelines = new Map<string, Map<number, Event>>();
  #credential: Credential | undefined;
  #cursor: number | undefined;
  #incarnation = "";
  #olderThan: string | undefined;
  #live: string | null = null;
  #stopPresence: () => void = () => undefined;
  #view: View;

  constructor(environment: Environment, database: Database) {
    this.#environment = environment;
    this.#database = database;
    this.hub = new Hub(environment, () => this.#credential?.key);
    this.outbox = new Outbox({
      environment,
      database,
      hub: this.hub,
      changed: () => {
        this.#show({ outbox: this.outbox.entries });
      },
      threadOf: (task) => this.#view.state.objects.tasks.get(task)?.thread,
      fileOf: (file) => this.uploads.resolved(file),
    });
    this.uploads = new Uploads({
      environment,
      database,
      hub: this.hub,
      changed: () => {
        this.#show({ parcels: this.uploads.entries });
        if (this.uploads.entries.every((one) => one.state === "done")) void this.outbox.flush();
      },
    });
    this.#view = {
      state: emptyState(),
      link: "connecting",
      asked: 0,
      silence: undefined,
      outbox: [],
      parcels: [],
      presence: new Map(),
      read: new Map(),
      latest: new Map(),
      drafts: new Map(),
      device: undefined,
      older: false,
      ready: false,
    };
    this.#connection = new Connection(environment, this.hub, {
      cursor: () => this.#cursor,
      reset: (signal) => this.#reset(signal),
      page: async (page) => {
        if (this.#lost(page)) this.#cursor = undefined;
        else await this.#take(page.events, page.next);
      },
      frame: (frame) => this.#frame(frame),
      link: (link, asked) => {
        this.#linked(link, asked);
      },
      live: () => this.#live,
    });
  }

  get view(): View {
    return this.#view;
  }

  get credential(): Credential | undefined {
    return this.#credential;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Show what is stored, before any network; answers whether this device is signed in. */
  async load(): Promise<boolean> {
    this.#credential = await this.#database.get<Credential>("credential");
    const { state, incarnation } = await this.#database.load(FOLD);
    await this.outbox.load();
    await this.uploads.load();
    this.#cursor = state?.cursor;
    this.#incarnation = incarnation;
    this.#show({
      state: state ?? emptyState(),
      older: (state?.objects.threads.size ?? 0) >= SNAPSHOT_THREADS,
      outbox: this.outbox.entries,
      parcels: this.uploads.entries,
      read: new Map((await this.#database.get<[string, number][]>("read")) ?? []),
      latest: new Map((await this.#database.get<[string, number][]>("latest")) ?? []),
      device: this.#credential?.device,
      ready: true,
    });
    return this.#credential !== undefined;
  }

  start(): void {
    this.#connection.start();
    const again = () => {
      this.#stopPresence = this.#environment.after(PRESENCE_MS, () => {
        if (this.#environment.isVisible() && this.#view.link === "live") void this.#lookAround();
        again();
      });
    };
    again();
  }

  stop(): void {
    this.#stopPresence();
    this.#connection.stop();
  }

  retry(): void {
    this.#connection.reopen();
  }

  async signIn(credential: Credential): Promise<void> {
    await this.#database.forgetEverything();
    await this.#database.put("credential", credential);
    this.#timelines.clear();
    await this.load();
  }

  /** Give up what this device may do; answers whether the hub took it. Nothing is queued: later would be too late. */
  async leave(): Promise<boolean> {
    const op_id = newId("op", this.#environment.now(), this.#environment.randomness);
    const body = { device: this.#credential?.device ?? "" };
    const sent = this.hub.send([{ op_id, kind: "device.revoke", body }]);
    return sent.then(([result]) => result?.status === "ok", () => false);
  }

  async signOut(): Promise<void> {
    this.stop();
    await this.#database.forgetEverything();
    this.#credential = undefined;
  }

  async post(wish: Wish): Promise<Queued> {
    const entry = await this.outbox.add(wish, this.#view.state.cursor);
    void this.outbox.flush().then(() => this.outbox.settle(this.#view.state.cursor));
    return entry;
  }

  async ask(wish: Wish): Promise<OpResult> {
    const result = await this.outbox.ask(wish);
    void this.outbox.settle(this.#view.state.cursor);
    return result;
  }

  /** The events of a thread as far as they are here, oldest first. */
  timeline(thread: string): readonly Event[] {
    return [...(this.#timelines.get(thread)?.values() ?? [])].sort((a, b) => a.seq - b.seq);
  }

  /** Open a thread: from this device at once, then what the hub has before that. */
  async open(thread: string): Promise<void> {
    this.watch(thread);
    this.#remember(thread, await this.#database.threadEvents(thread), { open: true });
    this.#show({});
    if (!this.#credential || isLocal(thread)) return;
    const events = await this.hub.threadEvents(thread);
    const named = encodeURIComponent(thread);
    const tasks = () => this.hub.list<Task>(`/v1/tasks?thread=${named}&limit=200`);
    // One that was found by words, or that a notification leads to, may be older than all that are here.
    const known = this.#view.state.objects.threads.has(thread);
    const itself = () => (known ? [] : [this.hub.one<Thread>(`/v1/threads/${named}`)]);
    const read = () => Promise.all([tasks(), ...itself()]);
    const taken = await this.#still(read, ([found, ...whole]) => {
      this.#merge("tasks", found);
      this.#merge("threads", whole);
    });
    // Of an unknown moment only what is final is taken: no later event moves it.
    if (!taken) this.#merge("tasks", (await tasks()).filter(isFinal));
    await this.#database.add([], events);
    this.#remember(thread, events, { open: true });
    // What a device that came later did not hear itself is read here, too.
    const seq = Math.max(this.#view.latest.get(thread) ?? 0, ...events.filter(isTelling).map((event) => event.seq));
    this.#show({ latest: new Map(this.#view.latest).set(thread, seq) });
  }

  /** What was in a thread before all that is here; answers how much there was. */
  async earlier(thread: string): Promise<number> {
    const first = this.timeline(thread)[0]?.seq;
    if (first === undefined || isLocal(thread)) return 0;
    const events = await this.hub.threadEvents(thread, first);
    await this.#database.add([], events);
    this.#remember(thread, events, { open: true });
    this.#show({});
    return events.length;
  }

  /** Say which thread is looked at: what a model says there just now comes too. */
  watch(thread: string | null): void {
    const live = thread && !isLocal(thread) ? thread : null;
    if (live === this.#live) return;
    this.#live = live;
    if (this.#view.drafts.size) this.#show({ drafts: new Map() });
    this.#connection.look();
  }

  /** Everything of the thread that is here was seen. */
  async markRead(thread: string): Promise<void> {
    const latest = this.#view.latest.get(thread) ?? 0;
    if (latest <= (this.#view.read.get(thread) ?? 0)) return;
    const read = new Map(this.#view.read).set(thread, latest);
    this.#show({ read });
    await this.#database.put("read", [...read]);
    await this.post({ kind: "read.mark", thread, body: { seq: latest } });
  }

  /** Another device of the same person has read so far. */
  async #readElsewhere({ thread, seq }: Readonly<Record<string, unknown>>): Promise<void> {
    if (typeof thread !== "string" || typeof seq !== "number" || seq <= (this.#view.read.get(thread) ?? 0)) return;
    const read = new Map(this.#view.read).set(thread, seq);
    this.#show({ read });
    await this.#database.put("read", [...read]);
  }

  /** Take objects in that are not here yet. */
  #merge(name: "tasks" | "threads", found: readonly (Task | Thread)[]): void {
    const known: ReadonlyMap<string, Task | Thread> = this.#view.state.objects[name];
    const missing = found.filter((one) => !known.has(one.id));
    if (missing.length === 0) return;
    const merged = new Map([...missing.map((one) => [one.id, one] as const), ...known]);
    const objects = { ...this.#view.state.objects, [name]: merged };
    this.#show({ state: { ...this.#view.state, objects } });
    void this.#database.add(changesOf(name, missing), []);
  }

  /** Threads from before those that are here, newest first. */
  async loadOlder(): Promise<void> {
    const { size } = this.#view.state.objects.threads;
    let read = true;
    while (read && this.#view.older && this.#view.state.objects.threads.size === size) {
      const before = this.#olderThan ? `&before=${encodeURIComponent(this.#olderThan)}` : "";
      read = await this.#still(
        () => this.hub.page<Thread>(`/v1/threads?limit=200${before}`),
        ({ items, next }) => {
          this.#olderThan = next ?? undefined;
          this.#show({ older: typeof next === "string" });
          this.#merge("threads", items);
        },
      );
    }
  }

  /** What a list says is folded up to some moment: it is taken if that is the moment of our own fold. */
  async #still<T>(read: () => Promise<T>, take: (found: T) => void): Promise<boolean> {
    for (let tries = 0; tries < SNAPSHOT_TRIES; tries += 1) {
      const cursor = this.#cursor;
      const found = await read();
      const { head } = await this.hub.sync(cursor ?? 0, 0);
      if (head !== cursor || cursor !== this.#cursor) continue;
      take(found);
      return true;
    }
    return false;
  }

  /** Whether what we hold is of no use: folded from another log, or so far behind that a snapshot is quicker. */
  #lost({ incarnation = this.#incarnation, head }: Log): boolean {
    const cursor = this.#cursor ?? 0;
    const far = head !== undefined && (head < cursor || head - cursor > FAR_BEHIND);
    return far || incarnation !== this.#incarnation;
  }

  async #reset(signal: AbortSignal): Promise<void> {
    let snapshot = await this.hub.snapshot(signal);
    for (let tries = 1; tries < SNAPSHOT_TRIES; tries += 1) {
      // Nothing happened while it was taken: folding the tail twice is then impossible.
      const tail = await this.hub.sync(snapshot.cursor, 0, signal);
      if (tail.events.length === 0) break;
      snapshot = await this.hub.snapshot(signal);
    }
    const { cursor, incarnation = "" } = snapshot;
    const other = incarnation !== this.#incarnation || cursor < this.#view.state.cursor;
    if (other) await this.outbox.again();
    const changes = changesOfSnapshot(snapshot);
    await this.#database.replace(snapshot, changes, FOLD);
    this.#cursor = cursor;
    this.#incarnation = incarnation;
    this.#olderThan = undefined;
    this.#timelines.clear();
    const read = new Map(Object.entries(snapshot.read ?? {}));
    const latest = other ? new Map<string, number>() : this.#view.latest;
    await this.#database.put("read", [...read]);
    await this.#database.put("latest", [...latest]);
    this.#show({
      state: stateOf(snapshot.cursor, changes),
      presence: byRunner(snapshot.presence ?? []),
      read,
      latest,
      older: (snapshot.threads?.length ?? 0) >= SNAPSHOT_THREADS,
      drafts: new Map(),
    });
    if (this.#live) void this.open(this.#live).catch(() => undefined);
  }

  async #take(events: readonly Event[], lookedAt: number): Promise<void> {
    const applied = apply(this.#view.state, events, lookedAt);
    if (applied.state.cursor === this.#view.state.cursor) return;
    this.#cursor = applied.state.cursor;
    const latest = new Map(this.#view.latest);
    const drafts = new Map(this.#view.drafts);
    for (const event of applied.fresh) {
      if (event.thread) this.#hear(event, latest, drafts);
    }
    this.#show({ state: applied.state, latest, drafts });
    await this.#database.keep(applied);
    // What is seen here is more or less now: it begins again from a snapshot, and what was taken back is gone from here.
    if (applied.fresh.some(({ kind }) => kind === "thread.shared")) this.#cursor = undefined;
    if (latest.size) await this.#database.put("latest", [...latest]);
    await this.outbox.settle(applied.state.cursor);
    await this.#letGo();
    // A thread that began here may have its name now.
    void this.outbox.flush();
  }

  /** The bytes of a file are kept here until no message of ours waits with them. */
  async #letGo(): Promise<void> {
    const kept = new Set(this.outbox.entries.map((entry) => entry.op_id));
    const gone = this.uploads.entries.filter(({ where }) => where.startsWith("op_") && !kept.has(where));
    if (gone.length) await this.uploads.drop(gone.map((one) => one.id));
  }

  #hear(event: Event, latest: Map<string, number>, drafts: Map<string, Draft>): void {
    const thread = event.thread ?? "";
    if (event.kind === "thread.erased") this.#timelines.delete(thread);
    else this.#remember(thread, [event], { open: false });
    if (isTelling(event)) latest.set(thread, event.seq);
    if (!ENDING.has(event.kind) || event.body["role"] === "user") return;
    for (const [message, draft] of drafts) {
      if (draft.task === event.task || message === event.body["message"]) drafts.delete(message);
    }
  }

  async #frame(frame: Frame): Promise<void> {
    if (frame.kind === "bye") {
      this.#fallSilent(frame.data?.["reason"] === "asleep" ? "asleep" : "stopped");
      return;
    }
    if (this.#view.silence) this.#show({ silence: undefined });
    if (frame.kind === "presence") this.#notice(frame.data as unknown as Presence);
    else if (frame.kind === "read") await this.#readElsewhere(frame.data ?? {});
    else if (frame.kind === "event" && frame.event) await this.#take([frame.event], frame.event.seq);
    else if (frame.kind === "delta" || frame.kind === "draft") this.#type(frame);
    else await this.#beat(frame);
  }

  /** A heartbeat moves the cursor over what was hidden; the first one of a stream says which log it is. */
  async #beat({ seq = 0, data }: Frame): Promise<void> {
    if (data && this.#lost(data)) this.#cursor = undefined;
    else await this.#take([], seq);
  }

  /** Live text: a draft replaces, a delta adds at its offset; one that does not fit waits for the durable message. */
  #type({ kind, data = {} }: Frame): void {
    const { message, text, offset, task } = data as Partial<LiveText>;
    if (typeof message !== "string" || typeof text !== "string") return;
    const before = this.#view.drafts.get(message)?.text ?? "";
    const from = kind === "draft" ? 0 : (offset ?? before.length);
    if (from > before.length) return;
    const draft = { text: before.slice(0, from) + text, task };
    this.#show({ drafts: new Map(this.#view.drafts).set(message, draft) });
  }

  #notice(presence: Presence): void {
    this.#show({ presence: new Map(this.#view.presence).set(presence.runner, presence) });
  }

  #fallSilent(reason: Silence["reason"]): void {
    if (!this.#view.silence) this.#show({ silence: { reason, since: this.#environment.now() } });
  }

  #linked(link: Link, asked = this.#view.asked): void {
    if (link === "reconnecting") this.#fallSilent("unreachable");
    if (link !== this.#view.link) this.#show({ link });
    if (link === "live") {
      this.#show({ silence: undefined, asked });
      void this.uploads.flush();
      void this.outbox.flush().then(() => this.outbox.settle(this.#view.state.cursor));
      void this.#lookAround();
    }
  }

  /** Who is there is no fact of the log: it is asked for. */
  async #lookAround(): Promise<void> {
    try {
      const seen = await this.hub.list<Seen>("/v1/runners");
      const known = seen.flatMap(({ link, ...row }) =>
        link ? [{ ...row, runner: row.id, state: link }] : [],
      );
      this.#show({ presence: byRunner(known) });
    } catch {
      // The next look will tell.
    }
  }

  #remember(thread: string, events: readonly Event[], { open }: { open: boolean }): void {
    if (!open && !this.#timelines.has(thread)) return;
    const timeline = this.#timelines.get(thread) ?? new Map<number, Event>();
    for (const event of events) timeline.set(event.seq, event);
    this.#timelines.set(thread, timeline);
  }

  #show(changes: Partial<View>): void {
    this.#view = { ...this.#view, ...changes };
    for (const listener of this.#listeners) listener();
  }
}

/** A row of `/v1/runners`: its `state` is the device's, so that of the link is called `link`. */
type Seen = Omit<Presence, "runner" | "state"> & { readonly id: string; readonly link?: Presence["state"] };

/** Facts of a task in whose place its draft stood, but for a person's word; the hub forgets it with the same. */
const ENDING = new Set(["message.posted", "question.asked", "step.started", "task.moved", "task.finished"]);

/** What makes a thread unread. */
const TELLING = new Set([
  "message.posted",
  "task.finished",
  "approval.requested",
  "question.asked",
]);

const isTelling = ({ kind, body }: Event): boolean => TELLING.has(kind) && body["role"] !== "user";

function byRunner(presence: readonly Presence[]): Map<string, Presence> {
  return new Map(presence.map((one) => [one.runner, one]));
}

function changesOf(collection: Collection, items: readonly { id: string }[]): Change[] {
  return items.map((value) => ({ collection, id: value.id, value }));
}

function changesOfSnapshot(snapshot: Snapshot): Change[] {
  const said = snapshot as unknown as Record<string, readonly { id: string }[] | undefined>;
  return COLLECTIONS.flatMap((name) => changesOf(name, said[name] ?? []));
}

