/** How a task is marked: a word, a tone, a sign. The verdict speaks where there is one. */
import type { Task } from "../protocol/generated";
import { app } from "./app.svelte";

export interface Mark {
  readonly word: string;
  readonly tone: "good" | "care" | "bad" | "accent" | "plain";
  readonly icon: "check" | "alert" | "cross" | "clock" | "needs" | "pause" | "stop" | "question";
  readonly busy: boolean;
  readonly settled: boolean;
}

const STILL = { busy: false, settled: true } as const;
const VERDICTS = {
  verified: { tone: "good", icon: "check" },
  unverified: { tone: "care", icon: "question" },
  not_done: { tone: "bad", icon: "cross" },
} as const;

export function markOf(task: Task): Mark {
  if (task.answer) return { word: app.t("state.answered"), tone: "plain", icon: "check", ...STILL };
  if (task.verdict) {
    return { word: app.t(`verdict.${task.verdict}`), ...VERDICTS[task.verdict], ...STILL };
  }
  const word = app.t(`state.${task.state}`);
  switch (task.state) {
    case "working":
    case "verifying":
      return { word, tone: "accent", icon: "clock", busy: true, settled: false };
    case "input_required":
      return { word: app.asked(task.id) ? word : app.t("state.input_required.other"), tone: "care", icon: "needs", busy: false, settled: false };
    case "failed":
      return { word, tone: "bad", icon: "cross", ...STILL };
    case "paused":
      return { word, tone: "plain", icon: "pause", busy: false, settled: false };
    case "queued":
      return { word, tone: "plain", icon: "clock", busy: false, settled: false };
    case "completed":
    case "canceled":
      return { word, tone: "plain", icon: "stop", ...STILL };
  }
}
