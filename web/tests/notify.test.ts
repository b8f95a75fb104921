/** What a push shows, which notifications are over, and what the settings mean. */
import { expect, test } from "vitest";
import { hoursOf, listed, switched } from "../src/features/settings/notify";
import { isOver } from "../src/sync/over";
import { emptyState } from "../src/sync/state";
import type { View } from "../src/sync/client";
import { isRepeated, noticeOf, overOf } from "../src/worker/notice";

const push = (more: object = {}, data: object = {}) =>
  noticeOf(
    JSON.stringify({
      web_push: 8030,
      notification: {
        title: "Deskhand needs you",
        body: "A task waits.",
        tag: "apr_2",
        navigate: "https://hub.example/#/threads/t",
        data: { delivery: "dlv_2", waiting: ["apr_2", "apr_3"], ...data },
      },
      app_badge: 2,
      mutable: true,
      ...more,
    }),
  );

test("a declarative message is shown as the browser would show it alone", () => {
  const notice = push();

  expect(notice.shown).toMatchObject({ title: "Deskhand needs you", body: "A task waits.", tag: "apr_2", renotify: true });
  expect(notice.shown.data).toEqual({ navigate: "https://hub.example/#/threads/t", delivery: "dlv_2" });
  expect([notice.delivery, notice.badge, notice.waiting]).toEqual(["dlv_2", 2, ["apr_2", "apr_3"]]);
});

test("whatever arrives, something is shown", () => {
  for (const text of [undefined, "", "not JSON", "[]", "null", '{"notification":7}']) {
    const notice = noticeOf(text);
    expect(notice.shown.title).toBe("Deskhand");
    expect([notice.badge, notice.waiting]).toEqual([undefined, undefined]);
  }
});

test("what was decided elsewhere is taken away by the next push, and nothing else is", () => {
  const shown = [{ tag: "apr_1" }, { tag: "qst_1" }, { tag: "apr_3" }, { tag: "tsk_1" }, { tag: "run_1" }, { tag: "" }];

  expect(overOf(push(), shown).map(({ tag }) => tag)).toEqual(["apr_1", "qst_1"]);
  // Not all that waits was said: nothing can be told from it.
  expect(overOf(push({ app_badge: 30 }), shown)).toEqual([]);
  expect(overOf(noticeOf("{}"), shown)).toEqual([]);
});

test("the same message twice stands once and rings once", () => {
  expect(isRepeated(push(), [{ tag: "apr_2", data: { delivery: "dlv_2" } }])).toBe(true);
  expect(isRepeated(push(), [{ tag: "apr_2", data: { delivery: "dlv_1" } }, { tag: "x" }])).toBe(false);
  expect(isRepeated(noticeOf("{}"), [{ tag: "", data: {} }])).toBe(false);
});

function view(more: Partial<View> = {}): View {
  const state = emptyState();
  const put = (name: "approvals" | "questions" | "tasks", id: string, value: object) =>
    (state.objects[name] as unknown as Map<string, object>).set(id, value);
  put("approvals", "apr_open", { state: "open" });
  put("approvals", "apr_done", { state: "denied" });
  put("questions", "qst_open", { state: "open" });
  put("questions", "qst_done", { state: "answered" });
  put("tasks", "tsk_1", { thread: "thr_1" });
  return {
    state,
    asked: 10,
    latest: new Map([["thr_1", 9]]),
    read: new Map([["thr_1", 9]]),
    presence: new Map([["run_1", { runner: "run_1", connected: true, state: "up", seen_at: "" }]]),
    ...more,
  } as View;
}

test("a notification is over when its thing is decided, read or back, on whatever device", () => {
  const over = ["apr_done", "qst_done", "tsk_1", "run_1", "digest", "apr_forgotten"];
  const standing = ["apr_open", "qst_open", "run_2", "tsk_unknown", "try_1", ""];

  expect(over.filter((tag) => !isOver(view(), tag))).toEqual([]);
  expect(standing.filter((tag) => isOver(view(), tag))).toEqual([]);
  expect(isOver(view({ read: new Map([["thr_1", 8]]) }), "tsk_1")).toBe(false);
  // What came after the hub was asked for everything may be new, however it stands with the hub.
  expect([isOver(view(), "apr_forgotten", 9), isOver(view(), "apr_forgotten", 11)]).toEqual([true, false]);
  expect(isOver(view({ asked: 0 }), "apr_forgotten")).toBe(false);
});

test("quiet hours and the matrix are read from settings that may be anything", () => {
  expect(hoursOf("22:00-07:00")).toEqual(["22:00", "07:00"]);
  expect([hoursOf(""), hoursOf(undefined), hoursOf(7)]).toEqual([undefined, undefined, undefined]);
  expect(listed(["finished dev_1", 7])).toEqual(["finished dev_1"]);
  expect(listed("finished")).toEqual([]);
  expect(switched(["a"], "b", true)).toEqual(["a", "b"]);
  expect(switched(["a", "b"], "b", true)).toEqual(["a", "b"]);
  expect(switched(["a", "b"], "a", false)).toEqual(["b"]);
});
