/** Where the person is, kept in the fragment: it never reaches a server log, and notifications point into it. */

export type Route =
  | { readonly name: "home" | "needs" | "computers" | "settings" }
  | { readonly name: "thread"; readonly thread: string; readonly task: string | undefined };

const PLAIN = ["needs", "computers", "settings"] as const;

export function routeOf(fragment: string): Route {
  const parts = fragment.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [first, thread, second, task] = parts;
  if (first === "threads" && thread) {
    return { name: "thread", thread, task: second === "tasks" ? task : undefined };
  }
  const plain = PLAIN.find((name) => name === first);
  return { name: plain ?? "home" };
}

export function addressOf(route: Route): string {
  if (route.name === "thread") {
    const task = route.task ? `/tasks/${encodeURIComponent(route.task)}` : "";
    return `#/threads/${encodeURIComponent(route.thread)}${task}`;
  }
  return route.name === "home" ? "#/" : `#/${route.name}`;
}
