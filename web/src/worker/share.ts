/** What another app shares with this one: kept until the page opens, which begins a message with it. Nothing is sent. */

export const SHARED = "shared";

/** Put words and files aside, and lead to the page. */
export async function takeShared(request: Request): Promise<Response> {
  const form = await request.formData();
  const words = ["title", "text", "url"].map((name) => form.get(name)).filter((one): one is string => typeof one === "string" && one !== "");
  const files = form.getAll("files").filter((one): one is File => one instanceof File);
  const cache = await caches.open(SHARED);
  await cache.put("/shared/words", new Response([...new Set(words)].join("\n")));
  for (const [place, file] of files.entries()) {
    const headers = { "Content-Type": file.type || "application/octet-stream", "X-Name": encodeURIComponent(file.name) };
    await cache.put(`/shared/files/${place}`, new Response(file, { headers }));
  }
  return Response.redirect("/#/shared", 303);
}
