/**
 * The page by keyboard: `/` searches, `j` and `k` go through what can be opened, `a` opens what waits for a yes and puts
 * Enter on it. Keys mean this only while nobody types and nothing lies over the page.
 */
import { app } from "./app.svelte";

const shown = (node: HTMLElement): boolean => node.offsetParent !== null;
const all = (what: string): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(what)].filter(shown);

export function onKey(event: KeyboardEvent): void {
  const { target } = event;
  const typing = target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  const act = ACTS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** From wherever the focus is to the next or last row; from nowhere to the first. */
function step(by: 1 | -1): void {
  const rows = all("[data-step]");
  const at = rows.findIndex((row) => row === document.activeElement);
  const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[next]?.focus();
}

/** What waits in the thread that is open, else the oldest of all. */
function review(): void {
  const { route } = app;
  const open = app.needs.flatMap((need) => (need.kind === "approval" ? [need.approval] : []));
  const here = open.find((one) => route.name === "thread" && one.thread === route.thread);
  const chosen = document.activeElement?.closest<HTMLElement>("[data-approval]")?.dataset["approval"];
  const approval = chosen ?? here?.id ?? open[0]?.id;
  if (!approval) return;
  app.byKey = true;
  app.approval = approval;
}

const ACTS: Readonly<Record<string, () => void>> = {
  "/": () => {
    const search = all("[data-search]")[0];
    if (search) search.focus();
    else app.go({ name: "home" });
  },
  j: () => { step(1); },
  k: () => { step(-1); },
  a: review,
}; // prettier-ignore
