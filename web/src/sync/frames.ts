/**
 * Server-sent events read from a fetch body: EventSource cannot send the header that carries our half of the key.
 *
 * Every block is a sign of life, comments too. A block with an id moves the cursor, whatever it is called.
 */
import type { Event } from "../protocol/generated";

export interface Frame {
  readonly kind: "event" | "delta" | "draft" | "reset" | "heartbeat" | "presence" | "read" | "bye";
  readonly seq?: number;
  readonly event?: Event;
  readonly data?: Readonly<Record<string, unknown>>;
}

export async function* framesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let waiting = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      waiting += decoder.decode(value, { stream: true });
      const blocks = waiting.split(/\r?\n\r?\n/);
      waiting = blocks.pop() ?? "";
      for (const block of blocks) yield frameOf(block);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

export function frameOf(block: string): Frame {
  const fields = fieldsOf(block);
  const id = fields.get("id") ?? "";
  const place = /^\d+$/.test(id) ? { seq: Number(id) } : {};
  const data = parsed(fields.get("data"));
  const kind = fields.get("event") ?? (data ? "event" : "heartbeat");
  if (data && kind === "event") return { kind, event: data as unknown as Event };
  if (data && isSaid(kind)) return { kind, data };
  const log = data && "incarnation" in data ? { data } : {};
  return { kind: kind === "reset" ? "reset" : "heartbeat", ...place, ...log };
}

/** What is said beside the log: it moves no cursor. */
const SAID = ["delta", "draft", "presence", "read", "bye"] as const;
const isSaid = (kind: string): kind is (typeof SAID)[number] => SAID.some((one) => one === kind);

function fieldsOf(block: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const before = name === "data" && fields.has("data") ? `${fields.get("data") ?? ""}\n` : "";
    fields.set(name, before + line.slice(colon + 1).replace(/^ /, ""));
  }
  return fields;
}

function parsed(text: string | undefined): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
