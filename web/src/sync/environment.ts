/** What the page takes from its surroundings, injected so that tests turn the clock and cut the wire by hand. */
import type { Randomness } from "./ids";

export interface Environment {
  readonly fetch: typeof fetch;
  readonly now: () => number;
  readonly randomness: Randomness;
  /** Call back once after some milliseconds; the answer cancels it. */
  readonly after: (milliseconds: number, callback: () => void) => () => void;
  readonly isVisible: () => boolean;
  readonly isOnline: () => boolean;
  /** Tell of anything after which an old connection must not be believed: shown again, resumed, back online. */
  readonly onWake: (callback: () => void) => () => void;
  readonly onHide: (callback: () => void) => () => void;
  /** The network went: what is open is dead, even if nothing says so. */
  readonly onOffline?: (callback: () => void) => () => void;
  /** Absent on a plain-HTTP page. */
  readonly subtle: SubtleCrypto | undefined;
  readonly language: () => string;
}

export function browserEnvironment(language: () => string): Environment {
  const listen = (target: EventTarget, name: string, callback: () => void) => {
    target.addEventListener(name, callback);
    return () => {
      target.removeEventListener(name, callback);
    };
  };
  return {
    fetch: (...request) => fetch(...request),
    now: () => Date.now(),
    randomness: (size) => crypto.getRandomValues(new Uint8Array(size)),
    after: (milliseconds, callback) => {
      const timer = setTimeout(callback, milliseconds);
      return () => {
        clearTimeout(timer);
      };
    },
    isVisible: () => document.visibilityState === "visible",
    isOnline: () => navigator.onLine,
    onWake: (callback) => {
      const shown = () => {
        if (document.visibilityState === "visible") callback();
      };
      const stops = [
        listen(document, "visibilitychange", shown),
        listen(window, "pageshow", callback),
        listen(window, "online", callback),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
    onHide: (callback) =>
      listen(document, "visibilitychange", () => {
        if (document.visibilityState === "hidden") callback();
      }),
    onOffline: (callback) => listen(window, "offline", callback),
    subtle: isSecureContext ? crypto.subtle : undefined,
    language,
  };
}
