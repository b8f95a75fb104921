/** Which preview a file gets, and its content, bounded. What could run is text; what we do not know has none. */
import type { Artifact } from "../../protocol/generated";
import type { Hub } from "../../bindings/app.svelte";
import { rowsOf } from "../../ui/table";

export type Kind = "markdown" | "image" | "table" | "diff" | "html" | "pdf" | "text" | "none";

export interface Preview {
  readonly kind: Kind;
  readonly text: string;
  readonly rows: readonly (readonly string[])[];
  readonly url: string | undefined;
  readonly bytes: ArrayBuffer | undefined;
  readonly cut: boolean;
}

const TEXT_BYTES_MAX = 512 * 1024;
const WHOLE_BYTES_MAX = 20 * 1024 * 1024;
const ROWS_MAX = 300;
const IMAGES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);
const TEXTUAL = /\.(txt|log|json|ya?ml|toml|ini|py|js|ts|css|sh|sql|xml|ics|vcf|srt)$/i;

/** By what the bytes are where that says enough, else by the name; the first that fits. */
const KINDS: readonly (readonly [Kind, (type: string, name: string) => boolean])[] = [
  ["image", (type) => IMAGES.has(type)],
  ["pdf", (type) => type === "application/pdf"],
  ["markdown", (type, name) => type === "text/markdown" || /\.(md|markdown)$/i.test(name)],
  ["table", (type, name) => type === "text/csv" || /\.[ct]sv$/i.test(name)],
  ["html", (type, name) => type === "text/html" || /\.(x?html?|svg)$/i.test(name)],
  ["diff", (_, name) => /\.(diff|patch)$/i.test(name)],
  ["text", (type, name) => type.startsWith("text/") || type === "application/json" || TEXTUAL.test(name)],
];

export function kindOf({ media_type, name }: Artifact): Kind {
  const type = media_type.split(";", 1)[0] ?? "";
  return KINDS.find(([, fits]) => fits(type, name))?.[0] ?? "none";
}

export async function load(hub: Hub, artifact: Artifact): Promise<Preview> {
  const kind = kindOf(artifact);
  const nothing: Preview = { kind: "none", text: "", rows: [], url: undefined, bytes: undefined, cut: false };
  if (kind === "none") return nothing;
  if (kind === "image" || kind === "pdf") {
    if (artifact.size > WHOLE_BYTES_MAX) return nothing;
    const bytes = await (await hub.content(artifact.id)).arrayBuffer();
    if (kind === "pdf") return { ...nothing, kind, bytes };
    const type = artifact.media_type.split(";", 1)[0] ?? "";
    return { ...nothing, kind, url: URL.createObjectURL(new Blob([bytes], { type })) };
  }
  const cut = artifact.size > TEXT_BYTES_MAX;
  const answer = await hub.content(artifact.id, cut ? TEXT_BYTES_MAX : undefined);
  const text = new TextDecoder().decode(await answer.arrayBuffer());
  if (kind !== "table") return { ...nothing, kind, text, cut };
  const rows = rowsOf(text, ROWS_MAX + 1);
  return { ...nothing, kind, rows, cut: cut || rows.length > ROWS_MAX };
}
