/** Notifications of this device: the worker, the subscription, the test. Only asked for inside a tap. */
import { app } from "./app.svelte";
import { program } from "./program";
import { base64url } from "../sync/ids";
import { isOver } from "../sync/over";

/** Another road for notices, to a topic that nobody guesses: typed at the computer. */
export const NTFY = `deskhand notify set ntfy https://ntfy.sh/deskhand-${base64url(crypto.getRandomValues(new Uint8Array(12)))}`;

export type PushState = "insecure" | "unsupported" | "denied" | "off" | "on";

export async function registerWorker(): Promise<void> {
  if (!isSecureContext || !("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register(program("/worker.js")).catch(() => undefined);
  app.client.subscribe(tidySoon);
  document.addEventListener("visibilitychange", tidySoon);
  navigator.serviceWorker.addEventListener("message", (event) => {
    const said = event.data as { open?: unknown };
    if (typeof said.open === "string") location.hash = new URL(said.open, location.href).hash;
  });
}

export async function pushState(): Promise<PushState> {
  if (!isSecureContext) return "insecure";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  const registration = await navigator.serviceWorker.getRegistration();
  const subscription = await registration?.pushManager.getSubscription();
  return subscription ? "on" : "off";
}

/** Roads beside the browser's own that the hub has. */
export async function otherRoads(): Promise<readonly string[]> {
  return (await app.client.hub.one<{ roads?: string[] }>("/v1/push/key")).roads ?? [];
}

/** Take away what is shown of things that were decided or read, here or on another device. */
async function tidy(): Promise<void> {
  const registration = await navigator.serviceWorker.getRegistration();
  for (const shown of (await registration?.getNotifications()) ?? []) {
    const { at } = (shown.data ?? {}) as { at?: number };
    if (document.visibilityState === "visible" && isOver(app.client.view, shown.tag, at)) shown.close();
  }
}

function tidySoon(): void {
  clearTimeout(tidying);
  tidying = setTimeout(() => void tidy().catch(() => undefined), TIDY_MS);
}

let tidying: ReturnType<typeof setTimeout> | undefined;
const TIDY_MS = 300;

export async function enablePush(): Promise<PushState> {
  if ((await Notification.requestPermission()) !== "granted") return pushState();
  const { key } = await app.client.hub.one<{ key: string }>("/v1/push/key");
  const registration = await navigator.serviceWorker.ready;
  const subscription = await registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: key,
  });
  await app.client.hub.post("/v1/push/subscriptions", subscription.toJSON());
  return pushState();
}

export async function disablePush(): Promise<PushState> {
  const registration = await navigator.serviceWorker.getRegistration();
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
  return pushState();
}
