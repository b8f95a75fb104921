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

export function markOf(task: Task): Mark {
  const still = { busy: false, settled: true } as const;
  if (task.verdict) {
    const word = app.t(`verdict.${task.verdict}`);
    if (task.verdict === "verified") return { word, tone: "good", icon: "check", ...still };
    if (task.verdict === "unverified") return { word, tone: "care", icon: "question", ...still };
    return { word, tone: "bad", icon: "cross", ...still };
  }
  const word = app.t(`state.${task.state}`);
  switch (task.state) {
    case "working":
    case "verifying":
      return { word, tone: "accent", icon: "clock", busy: true, settled: false };
    case "input_required":
      return { word, tone: "care", icon: "needs", busy: false, settled: false };
    case "failed":
      return { word, tone: "bad", icon: "cross", ...still };
    case "paused":
      return { word, tone: "plain", icon: "pause", busy: false, settled: false };
    case "queued":
      return { word, tone: "plain", icon: "clock", busy: false, settled: false };
    case "completed":
    case "canceled":
      return { word, tone: "plain", icon: "stop", ...still };
  }
}
