/** Which preview a file gets, and its content, bounded. What could run is text; what we do not know has none. */
import type { Artifact } from "../../protocol/generated";
import type { Hub } from "../../bindings/app.svelte";
import { rowsOf } from "../../ui/table";

export type Kind = "markdown" | "image" | "table" | "html" | "text" | "none";

export interface Preview {
  readonly kind: Exclude<Kind, "html">;
  readonly text: string;
  readonly rows: readonly (readonly string[])[];
  readonly url: string | undefined;
  readonly cut: boolean;
}

const TEXT_BYTES_MAX = 512 * 1024;
const IMAGE_BYTES_MAX = 20 * 1024 * 1024;
const ROWS_MAX = 300;
const IMAGES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);
const TEXTUAL = /\.(txt|log|json|ya?ml|toml|ini|py|js|ts|css|sh|sql|xml|diff|patch|ics|vcf|srt)$/i;

export function kindOf(artifact: Artifact): Kind {
  const type = artifact.media_type.split(";", 1)[0] ?? "";
  if (IMAGES.has(type)) return "image";
  if (type === "text/markdown" || /\.(md|markdown)$/i.test(artifact.name)) return "markdown";
  if (type === "text/csv" || /\.[ct]sv$/i.test(artifact.name)) return "table";
  if (type === "text/html" || /\.(x?html?|svg)$/i.test(artifact.name)) return "html";
  if (type.startsWith("text/") || type === "application/json" || TEXTUAL.test(artifact.name)) return "text";
  return "none";
}

export async function load(hub: Hub, artifact: Artifact): Promise<Preview> {
  const kind = kindOf(artifact);
  const nothing: Preview = { kind: "none", text: "", rows: [], url: undefined, cut: false };
  if (kind === "none" || (kind === "image" && artifact.size > IMAGE_BYTES_MAX)) return nothing;
  if (kind === "image") {
    const bytes = await (await hub.content(artifact.id)).arrayBuffer();
    const type = artifact.media_type.split(";", 1)[0] ?? "";
    return { ...nothing, kind, url: URL.createObjectURL(new Blob([bytes], { type })) };
  }
  const cut = artifact.size > TEXT_BYTES_MAX;
  const answer = await hub.content(artifact.id, cut ? TEXT_BYTES_MAX : undefined);
  const text = new TextDecoder().decode(await answer.arrayBuffer());
  if (kind !== "table") return { ...nothing, kind: kind === "html" ? "text" : kind, text, cut };
  const rows = rowsOf(text, ROWS_MAX + 1);
  return { ...nothing, kind, rows, cut: cut || rows.length > ROWS_MAX };
}
