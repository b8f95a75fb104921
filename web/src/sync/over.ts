/** Which notification is about nothing any more: it was answered, or read, on whatever device. */
import type { View } from "./client";

/** The tag is an approval, a question, a task, a computer, or a digest of several things. */
export function isOver(view: View, tag: string): boolean {
  const { approvals, questions, tasks } = view.state.objects;
  const asked = approvals.get(tag) ?? questions.get(tag);
  if (asked) return asked.state !== "open";
  const thread = tasks.get(tag)?.thread;
  if (thread) return (view.latest.get(thread) ?? 0) <= (view.read.get(thread) ?? 0);
  if (tag.startsWith("run_")) return view.presence.get(tag)?.connected === true;
  // What a snapshot no longer holds waits for nobody, and a digest was read by coming here.
  return tag === "digest" || (view.link === "live" && /^(apr|qst)_/.test(tag));
}
