/** Finding by words in what this device knows: threads, results, files. The likeliest is what happened last. */
import type { Artifact, Task } from "../protocol/generated";
import type { View } from "../sync/client";
import { isFinal, threadRows, type ThreadRow } from "./select";

/** More than this nobody reads. */
const MOST = 30;

export interface Finds {
  readonly threads: readonly ThreadRow[];
  readonly tasks: readonly Task[];
  readonly files: readonly { readonly artifact: Artifact; readonly task: Task }[];
}

/** What is shown only: a state, or one computer by its id. */
export type Only = "needs" | "running" | "failed" | `run_${string}`;

/** Whether a task is among what is shown only. */
function isAmong(task: Task, only: Only): boolean {
  if (only === "needs") return task.state === "input_required";
  if (only === "running") return !isFinal(task);
  return only === "failed" ? task.state === "failed" : task.runner === only;
}

/** The threads among what is shown only: by what they need, else by their last task, else by any. */
export function rowsAmong(view: View, rows: readonly ThreadRow[], only: Only | undefined): readonly ThreadRow[] {
  if (!only) return rows;
  const { tasks } = view.state.objects;
  const used = new Set([...tasks.values()].filter((task) => isAmong(task, only)).map((task) => task.thread));
  return rows.filter((row) => {
    if (only === "needs") return row.needs;
    return only === "failed" ? row.last !== undefined && isAmong(row.last, only) : used.has(row.id);
  });
}

/** All words must be there, in any order and any case, wherever they stand. */
export function search(view: View, words: string, only?: Only): Finds {
  const wanted = fold(words).split(/\s+/).filter(Boolean);
  const holds = (...texts: readonly (string | undefined)[]): boolean => {
    const whole = fold(texts.filter(Boolean).join(" "));
    return wanted.length > 0 && wanted.every((word) => whole.includes(word));
  };
  const rows = threadRows(view, { archived: null });
  const open = new Set(rows.map((row) => row.id));
  const tasks = [...view.state.objects.tasks.values()]
    .filter((task) => open.has(task.thread) && (!only || isAmong(task, only)))
    .sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  return {
    threads: rowsAmong(view, rows, only).filter((row) => holds(row.title)).slice(0, MOST),
    tasks: tasks.filter((task) => holds(task.title, task.text, task.said, task.summary)).slice(0, MOST),
    files: tasks
      .flatMap((task) => task.artifacts.map((artifact) => ({ artifact, task })))
      .filter(({ artifact }) => holds(artifact.name, artifact.path))
      .slice(0, MOST),
  };
}

const fold = (text: string): string => text.normalize("NFKC").toLocaleLowerCase();
