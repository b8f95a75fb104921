/** What the screens show, derived from one view: plain functions, tested without a browser. */
import type {
  Approval,
  CommandInfo,
  Event,
  EventBodies,
  FileRef,
  Folder,
  ModelInfo,
  PairRequest,
  Presence,
  Question,
  Runner,
  Task,
  Thread,
} from "../protocol/generated";
import type { Draft, View } from "../sync/client";
import type { Link } from "../sync/connection";
import type { Parcel, Queued } from "../sync/database";
import { isFinal } from "../sync/fold";
import { isLocal, localThread } from "../sync/outbox";

export { isFinal };

export type Tick = "waiting" | "sent" | "queued" | "picked" | "rejected";

export interface ThreadRow {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly at: string;
  readonly unread: boolean;
  readonly needs: boolean;
  readonly pending: boolean;
  readonly atWork: number;
  readonly last: Task | undefined;
}

export interface Said {
  readonly kind: "said";
  readonly key: string;
  readonly role: "user" | "agent" | "system";
  readonly text: string;
  readonly at: string;
  readonly meant: string;
  readonly actor: string;
  readonly files: readonly FileRef[];
  readonly tick: Tick | undefined;
  /** When it got that far. */
  readonly tickAt?: string | undefined;
  readonly queued: Queued | undefined;
  /** It is being said just now, and may still change. */
  readonly live?: boolean;
  /** The task that this is the whole result of: a plain answer needs no card. */
  readonly result?: Task | undefined;
}

export type Item =
  | Said
  | { readonly kind: "task"; readonly key: string; readonly task: Task }
  | { readonly kind: "approval"; readonly key: string; readonly approval: Approval }
  | { readonly kind: "question"; readonly key: string; readonly question: Question };

export type Need =
  | { readonly kind: "approval"; readonly id: string; readonly at: string; readonly approval: Approval }
  | { readonly kind: "question"; readonly id: string; readonly at: string; readonly question: Question }
  | { readonly kind: "join"; readonly id: string; readonly at: string; readonly request: PairRequest };

export type Away = Exclude<Presence["state"], "up">;
export type Pill = Link | "hub_asleep" | "hub_stopped" | `runner_${Away}`;

const recent = <T extends { readonly at: string }>(a: T, b: T) => (a.at < b.at ? 1 : -1);

/** Threads newest first: those in use, those put away, or (`null`) both. */
export function threadRows(view: View, { archived = false }: { archived?: boolean | null } = {}): ThreadRow[] {
  const tasks = new Map<string, Task[]>();
  for (const task of view.state.objects.tasks.values()) {
    const others = tasks.get(task.thread);
    if (others) others.push(task);
    else tasks.set(task.thread, [task]);
  }
  const needing = new Map(needs(view, Infinity).flatMap((need) => whatThreadNeeds(need)));
  const known = [...view.state.objects.threads.values()]
    .filter((thread) => thread.state === "open" && (archived ?? thread.archived) === thread.archived)
    .map((thread) => rowOf(view, thread, tasks.get(thread.id) ?? [], needing.get(thread.id)));
  return [...(archived ? [] : localRows(view)), ...known].sort(recent);
}

function rowOf(view: View, thread: Thread, tasks: Task[], asked: string | undefined): ThreadRow {
  const ordered = tasks.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  const going = ordered.filter((task) => AT_WORK.has(task.state));
  const last = going[0] ?? ordered[0];
  const text = asked ?? last?.summary ?? last?.now_doing ?? thread.last_text ?? "";
  return {
    id: thread.id,
    title: thread.title,
    text: text === thread.title ? "" : bareText(text),
    at: thread.updated_at,
    unread: (view.latest.get(thread.id) ?? 0) > (view.read.get(thread.id) ?? 0),
    needs: asked !== undefined,
    pending: false,
    atWork: going.length,
    last,
  };
}

const AT_WORK = new Set<string>(["working", "verifying"]);

function localRows(view: View): ThreadRow[] {
  return view.outbox
    .filter((entry) => entry.kind === "message.post" && !entry.thread && entry.state !== "sent")
    .map((entry) => ({
      id: localThread(entry.op_id),
      title: firstLine(String(entry.body["text"])),
      text: "",
      at: entry.at,
      unread: false,
      needs: false,
      pending: true,
      atWork: 0,
      last: undefined,
    }));
}

/** A request to join is worth nothing after this: its invitation is gone. */
const JOIN_MS = 10 * 60 * 1000;

/** Whether this device may do something about a task: the owner's about every one, a member's about its own. */
export function moves(view: View, task: Task | undefined): boolean {
  const me = view.state.objects.devices.get(view.device ?? "");
  const role = me?.role ?? "owner";
  const mine = task?.created_by === view.device || (me?.person !== undefined && task?.origin.person === me.person);
  return role === "owner" || (role === "member" && mine);
}

/** Nobody is asked for what only others may answer. */
export function needs(view: View, now: number): Need[] {
  const { approvals, questions, pair_requests, tasks } = view.state.objects;
  const owns = moves(view, undefined);
  const decided = new Set(
    view.outbox.map((entry) => entry.body["approval"] ?? entry.body["request"]).filter(Boolean),
  );
  const open: Need[] = [
    ...[...approvals.values()]
      .filter((approval) => approval.state === "open" && owns && !decided.has(approval.id))
      .map((approval): Need => ({ kind: "approval", id: approval.id, at: approval.requested_at, approval })),
    ...[...questions.values()]
      .filter((question) => question.state === "open" && moves(view, tasks.get(question.task)))
      .map((question): Need => ({ kind: "question", id: question.id, at: question.asked_at, question })),
    ...[...pair_requests.values()]
      .filter((one) => one.state === "waiting" && !decided.has(one.id))
      .filter((one) => now - Date.parse(one.asked_at) < JOIN_MS)
      .map((request): Need => ({ kind: "join", id: request.id, at: request.asked_at, request })),
  ];
  return open.sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** The thread and what is asked there; the oldest of several questions is shown. */
function whatThreadNeeds(need: Need): [string, string][] {
  if (need.kind === "approval") return [[need.approval.thread, need.approval.sentence]];
  return need.kind === "question" ? [[need.question.thread, need.question.text]] : [];
}

/** A thread as it is read: what was said, the cards of its tasks where they ended, what they asked; then what waits. */
export function timeline(view: View, events: readonly Event[], thread: string): Item[] {
  const items = new Map<string, Item>();
  for (const event of events) {
    const item = itemOf(view, event, events);
    if (event.kind === "task.finished") items.delete(`task/${event.task ?? ""}`);
    if (item) items.set(item.key, item);
  }
  for (const task of view.state.objects.tasks.values()) {
    const key = `task/${task.id}`;
    if (task.thread === thread && !items.has(key)) items.set(key, { kind: "task", key, task });
  }
  const drafts = [...view.drafts].filter(
    ([id, draft]) =>
      !items.has(`said/${id}`) && view.state.objects.tasks.get(draft.task ?? "")?.thread === thread,
  );
  return [
    ...answersInPlace([...items.values()]),
    ...drafts.map(([id, draft]) => draftItem(id, draft)),
    ...view.outbox.filter((entry) => belongs(view, entry, thread) && !heard(view, entry, events)).map((entry) => queuedItem(view, entry)),
  ];
}

const idIn = (event: Event, name: string): string =>
  (event.body[name] as { readonly id: string } | undefined)?.id ?? "";

/** An event of an erased thread has an empty body: then there is nothing to show. */
function itemOf(view: View, event: Event, events: readonly Event[]): Item | undefined {
  const { tasks, approvals, questions } = view.state.objects;
  switch (event.kind) {
    case "message.posted":
      return saidItem(view, event, events);
    case "task.created":
    case "task.finished": {
      const task = tasks.get(event.task ?? idIn(event, "task")) ?? (event.body["task"] as Task | undefined);
      return task && { kind: "task", key: `task/${task.id}`, task };
    }
    case "approval.requested": {
      const approval = approvals.get(idIn(event, "approval"));
      return approval && { kind: "approval", key: `approval/${approval.id}`, approval };
    }
    case "question.asked": {
      const question = questions.get(idIn(event, "question"));
      return question && { kind: "question", key: `question/${question.id}`, question };
    }
    default:
      return undefined;
  }
}

/** A plain answer is a message: the last one of its task stands for its card, as soon as it is here. */
function answersInPlace(items: Item[]): Item[] {
  const told = new Map<string, string>();
  for (const item of items) {
    if (item.kind === "said" && item.result && item.role === "agent") told.set(item.result.id, item.key);
  }
  return items.flatMap((item): Item[] => {
    if (item.kind === "task" && told.has(item.task.id)) return [];
    if (item.kind !== "said" || !item.result) return [item];
    return [told.get(item.result.id) === item.key ? item : { ...item, result: undefined }];
  });
}

function draftItem(id: string, draft: Draft): Said {
  const at = "";
  const said = { kind: "said", role: "agent", at, meant: "say", actor: "", files: [] } as const;
  return { ...said, key: `said/${id}`, text: draft.text, tick: undefined, queued: undefined, live: true };
}

/** How far words of a person got. Guidance is read before a next step, so it is so far only when one began. */
function tickOf(task: Task | undefined, event: Event, events: readonly Event[]): readonly [Tick, string | undefined] {
  if (event.body["meant"] !== "steer") return task?.accepted_at ? ["picked", task.accepted_at] : ["sent", event.at];
  const after = events.filter((one) => one.seq > event.seq && one.task === event.task);
  const ended = after.findIndex((one) => one.kind === "step.finished");
  const next = ended < 0 ? undefined : after.slice(ended).find((one) => one.kind === "step.started");
  if (next) return ["picked", next.at];
  return task && isFinal(task) ? ["sent", event.at] : ["queued", event.at];
}

function saidItem(view: View, event: Event, events: readonly Event[]): Said | undefined {
  if (!event.body["message"]) return undefined;
  const body = event.body as unknown as EventBodies["message.posted"];
  const task = view.state.objects.tasks.get(event.task ?? "");
  const [tick, tickAt] = body.role === "user" ? tickOf(task, event, events) : [];
  return {
    kind: "said",
    key: `said/${body.message}`,
    role: body.role,
    text: body.text,
    at: body.happened_at ?? event.at,
    meant: body.meant,
    actor: event.actor,
    files: body.files,
    tick,
    tickAt,
    queued: undefined,
    result: task?.answer ? task : undefined,
  };
}

function belongs(view: View, entry: Queued, thread: string): boolean {
  if (entry.kind !== "message.post") return false;
  if (entry.state === "sent" && (entry.seq ?? 0) <= view.state.cursor) return false;
  if (entry.thread === thread) return true;
  return isLocal(thread) && localThread(entry.op_id) === thread;
}

/** The event of what was sent can be here before the hub's answer to it: then it must not stand here twice. */
function heard(view: View, { after, body, state }: Queued, events: readonly Event[]): boolean {
  if (after === undefined || state === "rejected") return false;
  return events.some(
    ({ kind, seq, actor, body: said }) =>
      kind === "message.posted" && seq > after && actor === view.device && said["text"] === body["text"],
  );
}

/** Files that wait for a message, or go along with one. */
export const parcelsAt = (view: View, where: string): readonly Parcel[] =>
  view.parcels.filter((one) => one.where === where);

function queuedItem(view: View, entry: Queued): Said {
  return {
    kind: "said",
    key: `queued/${entry.op_id}`,
    role: "user",
    text: String(entry.body["text"]),
    at: entry.at,
    meant: entry.body["as"] === "steer" ? "steer" : "task",
    actor: "",
    files: parcelsAt(view, entry.op_id).map(({ id, name, size, type }) => ({ id, name, size, sha256: "", media_type: type })),
    tick: entry.state,
    queued: entry,
  };
}

export function pill(view: View): Pill {
  const reason = view.silence?.reason;
  const reached = view.link === "live" || view.link === "reconnecting";
  if (reached && (reason === "asleep" || reason === "stopped")) return `hub_${reason}`;
  if (view.link !== "live") return view.link;
  const state = awayAs(lastSeen(view));
  return state ? `runner_${state}` : "live";
}

/** Why a computer is away, if it is; a line that was down for a moment is nothing yet. */
export function awayAs(link: Presence | undefined): Away | undefined {
  return link && link.state !== "up" ? link.state : undefined;
}

/** How the computer that was here last stands; one that is here still, if there is any. */
export function lastSeen(view: View): Presence | undefined {
  const links = runners(view).flatMap((runner) => view.presence.get(runner.id) ?? []);
  links.sort((a, b) => (a.seen_at < b.seen_at ? 1 : -1));
  if (links.length < runners(view).length) return undefined;
  return links.find((link) => !awayAs(link)) ?? links[0];
}

export function runners(view: View): Runner[] {
  return [...view.state.objects.runners.values()].filter((one) => one.state === "active");
}

export function folders(view: View): Folder[] {
  const active = new Set(runners(view).map((runner) => runner.id));
  return [...view.state.objects.folders.values()]
    .filter((folder) => folder.state === "granted" && active.has(folder.runner))
    .sort((a, b) => a.label.localeCompare(b.label));
}

/** Every command by its bare name; each once, whichever computer has it. */
export function commands(view: View): CommandInfo[] {
  const all = runners(view).flatMap((runner) => runner.commands);
  const byName = new Map(all.map((command) => [bare(command.name), command]));
  return [...byName.values()].sort((a, b) => a.name.localeCompare(b.name));
}

export const bare = (name: string): string => name.replace(/^\//, "");

/** Every model that a task may name on some computer. */
export function models(view: View): string[] {
  return [...new Set(runners(view).flatMap((runner) => runner.models))].sort();
}

/** With which model a task was, is, or would be done; a command needs none. */
export function modelOf(view: View, task: Task): string | undefined {
  if (task.model_used) return task.model_used;
  if (task.agent !== "builtin" || isFinal(task) || task.state === "queued") return undefined;
  return task.model ?? view.state.objects.runners.get(task.runner ?? "")?.model?.name;
}

/** A name that says in English what it is; that is said in the person's language beside it. */
export const unlabelled = (model: string): string => model.replace(/ \(.*\)$/, "");

/** What has to stand beside a model's name wherever it shows. */
export function labelOf(view: View, model: string): ModelInfo["label"] {
  if (/(^|[:/])stand-in\b/i.test(model)) return "stand_in";
  return runners(view).find((runner) => runner.model?.name === model)?.model?.label;
}

/** The task of a thread that a message may guide. */
export function underWay(view: View, thread: string): Task | undefined {
  return [...view.state.objects.tasks.values()].find(
    (task) => task.thread === thread && !isFinal(task) && task.state !== "queued",
  );
}

export function nameOf(view: View, actor: string | undefined): string {
  if (!actor) return "";
  const { devices, runners: computers } = view.state.objects;
  return computers.get(actor)?.name ?? devices.get(actor)?.name ?? actor;
}

/** A line of markdown as plain words. */
export const bareText = (text: string): string =>
  (text.trim().split("\n", 1)[0] ?? "").replace(/^#+ |[`*]+|!?\[([^\]]*)\]\([^)]*\)/g, "$1").trim();

const firstLine = (text: string): string => text.trim().split("\n")[0]?.slice(0, 80) ?? "";
