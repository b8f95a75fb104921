/** Finding by words in what this device knows: threads, results, files. The likeliest is what happened last. */
import type { Artifact, Task } from "../protocol/generated";
import type { View } from "../sync/client";
import { threadRows, type ThreadRow } from "./select";

/** More than this nobody reads. */
const MOST = 30;

export interface Finds {
  readonly threads: readonly ThreadRow[];
  readonly tasks: readonly Task[];
  readonly files: readonly { readonly artifact: Artifact; readonly task: Task }[];
}

/** All words must be there, in any order and any case, wherever they stand. */
export function search(view: View, words: string): Finds {
  const wanted = fold(words).split(/\s+/).filter(Boolean);
  const holds = (...texts: readonly (string | undefined)[]): boolean => {
    const whole = fold(texts.filter(Boolean).join(" "));
    return wanted.length > 0 && wanted.every((word) => whole.includes(word));
  };
  const rows = threadRows(view, { archived: null });
  const open = new Set(rows.map((row) => row.id));
  const tasks = [...view.state.objects.tasks.values()]
    .filter((task) => open.has(task.thread))
    .sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  return {
    threads: rows.filter((row) => holds(row.title)).slice(0, MOST),
    tasks: tasks.filter((task) => holds(task.title, task.text, task.said, task.summary)).slice(0, MOST),
    files: tasks
      .flatMap((task) => task.artifacts.map((artifact) => ({ artifact, task })))
      .filter(({ artifact }) => holds(artifact.name, artifact.path))
      .slice(0, MOST),
  };
}

const fold = (text: string): string => text.normalize("NFKC").toLocaleLowerCase();
