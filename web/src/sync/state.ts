/**
 * What this device knows: the fold of a snapshot and everything after it. Immutable, so that a view can be compared.
 *
 * One cursor for all: list, thread and notification derive from the same place and cannot disagree.
 */
import type { Collection, Collections, Event } from "../protocol/generated";
import { fold, touched, type Anything } from "./fold";

export const COLLECTIONS = [
  "threads",
  "tasks",
  "approvals",
  "questions",
  "artifacts",
  "devices",
  "pair_requests",
  "runners",
  "folders",
  "settings",
] as const satisfies readonly Collection[];

export type Objects = { readonly [C in Collection]: ReadonlyMap<string, Collections[C]> };

export interface State {
  readonly cursor: number;
  readonly objects: Objects;
}

export interface Change {
  readonly collection: Collection;
  readonly id: string;
  readonly value: Anything;
}

export interface Applied {
  readonly state: State;
  readonly changes: readonly Change[];
  readonly fresh: readonly Event[];
}

export function emptyState(cursor = 0): State {
  const maps = COLLECTIONS.map((name) => [name, new Map()] as const);
  return { cursor, objects: Object.fromEntries(maps) as unknown as Objects };
}

export function stateOf(cursor: number, changes: Iterable<Change>): State {
  const state = emptyState(cursor);
  for (const { collection, id, value } of changes) {
    (state.objects[collection] as unknown as Map<string, Anything>).set(id, value);
  }
  return state;
}

/**
 * Fold a page of events in. Order inside the page, repeats and what was seen before make no difference;
 * `lookedAt` moves the cursor over rows that were hidden from us.
 */
export function apply(before: State, page: readonly Event[], lookedAt = 0): Applied {
  const fresh = freshOf(page, before.cursor);
  const draft = new Map<Collection, Map<string, Anything>>();
  const changed = new Map<string, Change>();
  const mapOf = (name: Collection) =>
    draft.get(name) ?? (before.objects[name] as unknown as Map<string, Anything>);
  for (const event of fresh) {
    for (const key of touchedBy(event)) {
      const old = mapOf(key.collection).get(key.id);
      const value = foldedBy(key, old, event);
      if (!value || value === old) continue;
      if (!draft.has(key.collection)) draft.set(key.collection, new Map(mapOf(key.collection)));
      draft.get(key.collection)?.set(key.id, value);
      changed.set(`${key.collection}/${key.id}`, { ...key, value });
    }
  }
  const cursor = Math.max(before.cursor, lookedAt, fresh.at(-1)?.seq ?? 0);
  const objects = draft.size ? { ...before.objects, ...Object.fromEntries(draft) } : before.objects;
  return { state: { cursor, objects: objects }, changes: [...changed.values()], fresh };
}

/** Each once, in log order, without what was seen before. */
function freshOf(page: readonly Event[], cursor: number): Event[] {
  return [...new Map(page.map((event) => [event.seq, event])).values()]
    .filter((event) => event.seq > cursor)
    .sort((a, b) => a.seq - b.seq);
}

/** A known kind with a body this build cannot read is skipped like an unknown one: the stream must go on. */
function touchedBy(event: Event): ReturnType<typeof touched> {
  try {
    return touched(event);
  } catch {
    return [];
  }
}

function foldedBy(...[key, old, event]: Parameters<typeof fold>): Anything | undefined {
  try {
    return fold(key, old, event);
  } catch {
    return old;
  }
}
