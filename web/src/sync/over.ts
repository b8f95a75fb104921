/** Which notification is about nothing any more: it was answered, or read, on whatever device. */
import type { View } from "./client";

/** The tag is an approval, a question, a task, a computer, or a digest of several things; shown `at` a moment. */
export function isOver(view: View, tag: string, at = 0): boolean {
  const { approvals, questions, tasks } = view.state.objects;
  const asked = approvals.get(tag) ?? questions.get(tag);
  if (asked) return asked.state !== "open";
  const thread = tasks.get(tag)?.thread;
  if (thread) return (view.latest.get(thread) ?? 0) <= (view.read.get(thread) ?? 0);
  if (tag.startsWith("run_")) return view.presence.get(tag)?.connected === true;
  // What is not here though everything was asked for since waits for nobody; a digest was read by coming here.
  return tag === "digest" || (view.asked > at && /^(apr|qst)_/.test(tag));
}
