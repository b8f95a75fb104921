/** What was shared from another app, as the worker put it aside: words for the composer and files for its draft. */
import { app } from "./app.svelte";

const SHARED = "shared";

/** Take it over, once; answers whether there was any. */
export async function takeOver(): Promise<boolean> {
  if (!("caches" in globalThis) || !(await caches.has(SHARED))) return false;
  const cache = await caches.open(SHARED);
  for (const request of await cache.keys()) {
    const kept = await cache.match(request);
    if (!kept) continue;
    const name = decodeURIComponent(kept.headers.get("x-name") ?? "");
    if (!name) app.prefill = await kept.text();
    else await app.client.uploads.add(new File([await kept.blob()], name), "deskhand.draft.new");
  }
  await caches.delete(SHARED);
  return true;
}
