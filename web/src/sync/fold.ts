/**
 * State as a fold of the log: the TypeScript twin of `src/deskhand/core/folding.py`, held equal by `fixtures/`.
 *
 * It works on the JSON objects as they travel (absent means none). What is in the log has happened: it refuses to
 * judge, skips kinds it does not know and bodies it cannot read, and never throws.
 */
import type {
  Collection,
  Collections,
  Event,
  EventBodies,
  FolderMode,
  Task,
  Thread,
  Waiting,
} from "../protocol/generated";

export type Anything = { readonly [name: string]: unknown };
export interface Touched {
  readonly collection: Collection;
  readonly id: string;
}

type Rule = (before: Anything | undefined, event: Event, body: never) => unknown;
type Rules = { [K in keyof EventBodies]?: { [C in Collection]?: FoldOf<K, C> } };
type FoldOf<K extends keyof EventBodies, C extends Collection> = (
  before: Collections[C] | undefined,
  event: Event,
  body: EventBodies[K],
) => Collections[C] | undefined;
type Names = { [K in keyof EventBodies]?: (body: EventBodies[K]) => Touched[] };

/** The objects an event touches; `fold` must be called for each. */
export function touched(event: Event): Touched[] {
  if (event.body["redacted"] === true) return [];
  const rules = RULES[event.kind as keyof EventBodies];
  const named = NAMED[event.kind as keyof EventBodies] as ((body: unknown) => Touched[]) | undefined;
  if (!rules && !named) return [];
  const found: Touched[] = [];
  if (event.thread && rules && "threads" in rules) {
    found.push({ collection: "threads", id: event.thread });
  }
  if (event.task && rules && "tasks" in rules) found.push({ collection: "tasks", id: event.task });
  return named ? [...found, ...named(event.body)] : found;
}

/** What one object is after the event. */
export function fold(key: Touched, before: Anything | undefined, event: Event): Anything | undefined {
  if (event.kind === "runner.advertised" && key.collection === "folders") {
    return folderAdvertised(before, key.id, event);
  }
  const rules = RULES[event.kind as keyof EventBodies] as { [c: string]: Rule } | undefined;
  const rule = rules?.[key.collection];
  return rule ? (rule(before, event, event.body as never) as Anything | undefined) : before;
}

const one = (collection: Collection, id: string): Touched[] => [{ collection, id }];

const NAMED: Names = {
  "device.added": (body) => one("devices", body.device.id),
  "device.revoked": (body) => [...one("devices", body.device), ...one("runners", body.device)],
  "pair.requested": (body) => one("pair_requests", body.request.id),
  "pair.decided": (body) => one("pair_requests", body.request),
  "runner.advertised": (body) => [
    ...one("runners", body.runner.id),
    ...body.folders.flatMap((folder) => one("folders", folder.id)),
  ],
  "folder.put": (body) => one("folders", body.folder.id),
  "folder.removed": (body) => one("folders", body.folder),
  "approval.requested": (body) => one("approvals", body.approval.id),
  "approval.decided": (body) => one("approvals", body.approval),
  "approval.voided": (body) => one("approvals", body.approval),
  "question.asked": (body) => one("questions", body.question.id),
  "question.answered": (body) => one("questions", body.question),
  "question.voided": (body) => one("questions", body.question),
  "artifact.created": (body) => one("artifacts", body.artifact.id),
  "setting.changed": (body) => one("settings", body.name),
};

const RULES: Rules = {
  "device.added": { devices: (_, __, body) => body.device },
  "device.revoked": {
    devices: (before, event) => but(before, { state: "revoked", revoked_at: event.at }),
    runners: (before) => but(before, { state: "revoked" }),
  },
  "pair.requested": { pair_requests: (_, __, body) => body.request },
  "pair.decided": { pair_requests: (before, _, body) => but(before, { state: body.state }) },
  "runner.advertised": { runners: (_, __, body) => body.runner },
  "folder.put": { folders: (_, __, body) => body.folder },
  "folder.removed": { folders: (before) => but(before, { state: "removed" }) },
  "setting.changed": {
    settings: (_, event, body) =>
      but<Collections["settings"]>(
        { id: body.name, changed_at: event.at, changed_by: event.actor },
        { value: body.value },
      ),
  },
  "thread.created": {
    threads: (_, event, body) => freshThread(event, body, { title: body.title, state: "open" }),
  },
  "thread.renamed": {
    threads: (before, event, body) => but(before, { title: body.title, updated_at: event.at }),
  },
  "thread.archived": {
    threads: (before, event, body) =>
      but(before, { archived: body.archived, updated_at: event.at }),
  },
  "thread.shared": { threads: (before, _, body) => but(before, { shared: body.shared }) },
  "thread.muted": { threads: (before, _, body) => but(before, { muted: body.muted }) },
  "thread.model_set": {
    threads: (before, event, body) => but(before, { model: body.model, updated_at: event.at }),
  },
  "thread.erased": {
    threads: (_, event, body) => freshThread(event, body, { title: "", state: "erased" }),
  },
  "message.posted": {
    threads: (before, event, body) =>
      but(before, { last_text: firstCharacters(body.text, 200), updated_at: event.at }),
  },
  "task.created": {
    threads: (before, event, body) =>
      before &&
      but(before, {
        tasks: before.tasks + 1,
        latest_task: body.task.id,
        updated_at: event.at,
      }),
    tasks: (_, __, body) => body.task,
  },
  "task.queued": {
    tasks: (before, _, body) =>
      but(before, { state: "queued", reason: body.reason, now_doing: undefined }),
  },
  "task.assigned": {
    tasks: (before, _, body) =>
      but(before, {
        state: "working",
        reason: undefined,
        runner: body.runner,
        epoch: body.epoch,
      }),
  },
  "task.accepted": {
    tasks: (before, event, body) => {
      const at = body.happened_at ?? event.at;
      return but(before, {
        accepted_at: before?.accepted_at ?? at,
        started_at: before?.started_at ?? at,
      });
    },
  },
  "task.moved": {
    tasks: (before, _, body) =>
      before &&
      but(before, {
        state: body.state,
        reason: body.reason,
        tries: before.tries + (body.state === "verifying" ? 1 : 0),
      }),
  },
  "task.edited": {
    tasks: (before, _, body) =>
      before &&
      but(before, {
        title: body.title ?? before.title,
        criteria: body.criteria ?? before.criteria,
        criteria_by: body.criteria ? "owner" : before.criteria_by,
      }),
  },
  "criteria.restated": {
    tasks: (before, _, body) => {
      const theirs = before?.criteria_by ?? (before?.criteria.length ? "owner" : "agent");
      if (theirs === "owner") return before;
      return but(before, { criteria: body.criteria, criteria_by: "agent" });
    },
  },
  "task.suggested": { tasks: (before, _, body) => but(before, { suggestions: body.suggestions }) },
  "suggestion.chosen": {
    tasks: (before, _, body) => {
      const chosen = body.suggestion;
      return but(before, {
        said: before?.text,
        text: chosen.command,
        agent: "commands",
        runner: chosen.runner,
        pinned: true,
        folder: chosen.folder,
        mode: body.mode,
        state: "queued",
        reason: undefined,
      });
    },
  },
  "task.paused": { tasks: (before) => but(before, { state: "paused", now_doing: undefined }) },
  "task.resumed": { tasks: (before) => but(before, { state: "queued", reason: undefined }) },
  "task.archived": { tasks: (before, _, body) => but(before, { archived: body.archived }) },
  "task.finished": {
    threads: (before, event) => but(before, { updated_at: event.at }),
    tasks: (before, event, body) =>
      but(before, {
        state: body.state,
        reason: undefined,
        verdict: body.verdict,
        summary: body.summary,
        not_done_because: body.not_done_because,
        changes: body.changes,
        usage: body.usage,
        model_used: body.model,
        answer: body.answer,
        epoch: body.epoch,
        waiting_for: [],
        now_doing: undefined,
        label: body.label ?? before?.label,
        finished_at: body.happened_at ?? event.at,
      }),
  },
  "step.started": { tasks: (before, _, body) => but(before, { now_doing: body.title }) },
  "step.finished": {
    tasks: (before, _, body) =>
      before &&
      but(before, {
        usage: body.usage ?? {
          ...before.usage,
          steps: Math.max(before.usage.steps, body.step),
        },
        label: body.label ?? before.label,
      }),
  },
  "plan.updated": { tasks: (before, _, body) => but(before, { plan: body.items }) },
  "check.finished": {
    tasks: (before, _, body) => before && but(before, { checks: [...before.checks, body.check] }),
  },
  "checks.reset": { tasks: (before) => but(before, { checks: [] }) },
  "artifact.created": {
    artifacts: (_, __, body) => body.artifact,
    tasks: (before, _, body) => {
      if (!before) return undefined;
      const others = before.artifacts.filter((other) => other.path !== body.artifact.path);
      return but(before, { artifacts: [...others, body.artifact] });
    },
  },
  "approval.requested": {
    approvals: (_, __, body) => body.approval,
    tasks: (before, event, body) =>
      waits(before, {
        kind: "approval",
        id: body.approval.id,
        since: event.at,
        ...(body.approval.expires_at ? { expires_at: body.approval.expires_at } : {}),
        then: body.approval.then,
      }),
  },
  "approval.decided": {
    approvals: (before, event, body) =>
      but(before, {
        state: body.decision === "allow" ? "allowed" : "denied",
        decided_by: event.actor,
        decided_at: event.at,
        scope: body.scope,
        reason: body.reason,
      }),
    tasks: (before, _, body) => goesOn(before, body.approval),
  },
  "approval.voided": {
    approvals: (before, _, body) => but(before, { state: "void", reason: body.reason }),
    tasks: (before, _, body) => goesOn(before, body.approval),
  },
  "question.asked": {
    questions: (_, __, body) => body.question,
    tasks: (before, event, body) =>
      waits(before, { kind: "question", id: body.question.id, since: event.at, then: "wait" }),
  },
  "question.answered": {
    questions: (before, event, body) =>
      but(before, {
        state: "answered",
        answer: body.answer,
        answered_by: event.actor,
        answered_at: event.at,
      }),
    tasks: (before, _, body) => goesOn(before, body.question),
  },
  "question.voided": { questions: (before) => but(before, { state: "void" }) },
};

const FINAL = new Set<string>(["completed", "failed", "canceled"]);
const MODES: readonly FolderMode[] = ["read-only", "ask", "workspace", "trusted"];

export const isFinal = (task: Task): boolean => FINAL.has(task.state);

type Whose = Pick<Thread, "person">;

function freshThread(event: Event, { person }: Whose, said: Pick<Thread, "title" | "state">): Thread {
  return {
    id: event.thread ?? "",
    ...said,
    archived: false,
    muted: false,
    created_at: event.at,
    updated_at: event.at,
    created_by: event.actor,
    ...(person ? { person } : {}),
    shared: false,
    tasks: 0,
  };
}

/** A copy with changes; what becomes `undefined` is left out, as on the wire. */
function but<T extends object>(before: T | undefined, changes: Partial<T>): T | undefined {
  if (!before) return undefined;
  const whole = Object.entries({ ...before, ...changes });
  return Object.fromEntries(whole.filter(([, value]) => value !== undefined && value !== null)) as T;
}

function waits(before: Task | undefined, waiting: Waiting): Task | undefined {
  return (
    before &&
    but(before, {
      state: "input_required",
      waiting_for: [...before.waiting_for, waiting],
      now_doing: undefined,
    })
  );
}

function goesOn(before: Task | undefined, waited: string): Task | undefined {
  if (!before || isFinal(before)) return before;
  const left = before.waiting_for.filter((waiting) => waiting.id !== waited);
  const stays = left.length > 0 || before.state !== "input_required";
  return but(before, { waiting_for: left, state: stays ? before.state : "working" });
}

/** Take what the runner says, but never wider than what the hub had narrowed. */
function folderAdvertised(
  before: Anything | undefined,
  id: string,
  event: Event,
): Anything | undefined {
  const body = event.body as unknown as EventBodies["runner.advertised"];
  const said = body.folders.find((folder) => folder.id === id);
  if (!said || !before) return (said as Anything | undefined) ?? before;
  const known = before as unknown as Collections["folders"];
  const mode = MODES[Math.min(MODES.indexOf(known.mode), MODES.indexOf(said.mode))];
  return { ...said, state: known.state, mode: mode ?? said.mode };
}

/** Python counts code points. */
function firstCharacters(text: string, count: number): string {
  return text.length <= count ? text : Array.from(text).slice(0, count).join("");
}
