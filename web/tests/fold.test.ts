import { readFileSync, readdirSync } from "node:fs";
import { webcrypto } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Approval, Event } from "../src/protocol/generated";
import { canonical, sha256Of } from "../src/sync/canonical";
import { apply, emptyState, type State } from "../src/sync/state";

interface Golden {
  events: Event[];
  objects: Record<string, Record<string, unknown>>;
}

const folder = new URL("../../fixtures/", import.meta.url);
/** What both sides sign lies beside the logs. */
const golden = readdirSync(folder)
  .filter((name) => name !== "signing.json")
  .map(
    (name) => [name, JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Golden] as const,
  );

const plain = (state: State) =>
  Object.fromEntries(
    Object.entries(state.objects)
      .filter(([, objects]) => objects.size > 0)
      .map(([name, objects]) => [name, Object.fromEntries(objects)]),
  );

describe.each(golden)("golden log %s", (_, log) => {
  test("folds to the objects that Python folds it to", () => {
    const { state } = apply(emptyState(), log.events);

    expect(plain(state)).toEqual(log.objects);
    expect(state.cursor).toBe(log.events.length);
  });

  test("gives the same state after any cut, repeat and order within a page", () => {
    const pages = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: log.events.length });
    const seed = fc.infiniteStream(fc.nat({ max: 1 << 30 }));

    fc.assert(
      fc.property(pages, seed, (sizes, chance) => {
        let state = emptyState();
        for (const page of cut(log.events, sizes, () => chance.next().value as number)) {
          state = apply(state, page).state;
        }
        expect(plain(state)).toEqual(log.objects);
      }),
      { numRuns: 60 },
    );
  });
});

/** Cut a log into pages; each begins with some events that were seen before, and is shuffled. */
function* cut(events: Event[], sizes: number[], chance: () => number): Generator<Event[]> {
  for (let at = 0, page = 0; at < events.length; page += 1) {
    const end = at + (sizes[page] ?? 1);
    const repeated = events.slice(Math.max(0, at - (chance() % 4)), end);
    yield [...repeated, ...repeated.slice(0, chance() % 2)]
      .map((event) => [chance(), event] as const)
      .sort(([a], [b]) => a - b)
      .map(([, event]) => event);
    at = end;
  }
}

test("an unknown kind and a body nobody can read move the cursor and change nothing", () => {
  const at = "2026-11-22T10:00:00.000Z";
  const odd = { seq: 7, kind: "device.added", at, actor: "hub", v: 1, body: {} } as Event;
  const unknown = { ...odd, seq: 8, kind: "never.heard" };

  const { state, changes, fresh } = apply(emptyState(), [odd, unknown]);

  expect(changes).toEqual([]);
  expect(fresh).toHaveLength(2);
  expect(state.cursor).toBe(8);
});

test("a heartbeat moves the cursor over rows that are hidden from us", () => {
  expect(apply(emptyState(4), [], 9).state.cursor).toBe(9);
});

test("an action hashes to what Python hashed it to", async () => {
  const approvals = golden.flatMap(([, log]) => Object.values(log.objects["approvals"] ?? {}));

  for (const approval of approvals as Approval[]) {
    const shown = await sha256Of(approval.action, webcrypto.subtle as SubtleCrypto);
    expect(shown).toBe(approval.action_sha256);
  }
  expect(approvals.length).toBeGreaterThan(2);
});

test("one changed letter of an action gives another hash, and a float none", async () => {
  const subtle = webcrypto.subtle as SubtleCrypto;

  expect(await sha256Of({ argv: ["rm", "a"] }, subtle)).not.toBe(
    await sha256Of({ argv: ["rm", "b"] }, subtle),
  );
  expect(() => canonical({ n: 0.5 })).toThrow();
});
