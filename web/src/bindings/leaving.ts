/** Signing out, or being removed: nothing of what this device kept stays here (OR-09). */
import type { Client } from "../sync/client";

/** Says nothing of anybody. */
const KEPT = "deskhand.language";

/** Forget everything that is kept here. What fails fails alone: the rest is forgotten all the same. */
export async function forgetAll(client: Client): Promise<void> {
  await client.signOut();
  for (const name of Object.keys(localStorage)) if (name !== KEPT) localStorage.removeItem(name);
  sessionStorage.clear();
  await Promise.allSettled([forgetWorkers(), forgetCaches()]);
  if ("clearAppBadge" in navigator) await navigator.clearAppBadge().catch(() => undefined);
}

async function forgetWorkers(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  for (const registration of await navigator.serviceWorker.getRegistrations()) {
    for (const shown of await registration.getNotifications()) shown.close();
    await (await registration.pushManager.getSubscription())?.unsubscribe().catch(() => false);
    await registration.unregister();
  }
}

/** The page's own files, and what was shared with it and not yet sent. */
async function forgetCaches(): Promise<void> {
  if (!("caches" in globalThis)) return;
  await Promise.all((await caches.keys()).map((name) => caches.delete(name)));
}
