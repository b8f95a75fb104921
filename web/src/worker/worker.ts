/**
 * The service worker: shows every push it gets, says so to the hub, opens the right place on a tap, and keeps the
 * page's own files for when there is no network. It refuses to hold back a notification (phones end the subscription
 * of a worker that does): what should not be shown must not be sent.
 */
import { acknowledge } from "./hub";
import { isRepeated, noticeOf, overOf } from "./notice";
import { takeShared } from "./share";

declare const self: ServiceWorkerGlobalScope;
declare const DESKHAND_FILES: readonly string[];
declare const DESKHAND_BUILD: string;

const CACHE = `deskhand-${DESKHAND_BUILD}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      // What is named by its content is the same for ever: the page that brought this worker has just taken it.
      const how = (name: string): RequestCache => (name.startsWith("/assets/") ? "default" : "reload");
      await cache.addAll(DESKHAND_FILES.map((name) => new Request(name, { cache: how(name) })));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const names = await caches.keys();
      const old = names.filter((name) => name.startsWith("deskhand-") && name !== CACHE);
      await Promise.all(old.map((name) => caches.delete(name)));
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method === "POST" && url.pathname === "/share") event.respondWith(takeShared(event.request));
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  if (event.request.mode === "navigate" && url.pathname === "/") {
    event.respondWith(shell());
  } else if (DESKHAND_FILES.includes(url.pathname)) {
    event.respondWith(kept(event.request));
  }
});

self.addEventListener("push", (event) => {
  event.waitUntil(
    (async () => {
      const notice = noticeOf(event.data?.text());
      const { title, ...options } = notice.shown;
      const others = await self.registration.getNotifications();
      const quiet = isRepeated(notice, others) ? { renotify: false, silent: true } : {};
      const data = { ...(options.data as object), at: Date.now() };
      await self.registration.showNotification(title, { ...options, ...quiet, data });
      for (const over of overOf(notice, others)) over.close();
      await Promise.allSettled([badge(notice.badge), acknowledge(notice.delivery, "shown")]);
    })(),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const data = event.notification.data as { navigate?: string; delivery?: string } | null;
  event.waitUntil(
    Promise.allSettled([open(data?.navigate ?? "/"), acknowledge(data?.delivery, "tapped")]),
  );
});

/** From the cache at once: the composer must stand before the network does. A new build comes with the next worker. */
async function shell(): Promise<Response> {
  const cached = await caches.match("/", { cacheName: CACHE });
  return cached ?? fetch("/");
}

async function kept(request: Request): Promise<Response> {
  return (await caches.match(request, { cacheName: CACHE })) ?? fetch(request);
}

async function badge(count: number | undefined): Promise<void> {
  if (count === undefined || !("setAppBadge" in navigator)) return;
  await (navigator as unknown as { setAppBadge(count: number): Promise<void> }).setAppBadge(count);
}

/** Only ever to a place of our own. */
async function open(address: string): Promise<void> {
  const wanted = new URL(address, self.location.origin);
  const place = wanted.origin === self.location.origin ? wanted.href : self.location.origin;
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((one) => one.visibilityState === "visible") ?? pages[0];
  if (!page) {
    await self.clients.openWindow(place);
    return;
  }
  page.postMessage({ open: place });
  await page.focus();
}
