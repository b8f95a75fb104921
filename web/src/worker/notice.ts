/** A push as it is shown. Whatever arrives, something is: also an empty, broken or unknown message. */

export interface Notice {
  readonly shown: NotificationOptions & { readonly title: string; readonly renotify?: boolean };
  readonly delivery: string | undefined;
  readonly badge: number | undefined;
  /** Which approvals and questions still wait; nothing where not all of them were said. */
  readonly waiting: readonly string[] | undefined;
}

type Said = Readonly<Record<string, unknown>>;

export function noticeOf(text: string | undefined): Notice {
  const message = parsed(text);
  const said = objectOf(message["notification"]);
  const data = objectOf(said["data"]);
  const delivery = textOf(data["delivery"]) ?? textOf(message["delivery"]);
  const tag = textOf(said["tag"]);
  const badge = message["app_badge"];
  const waiting = Array.isArray(data["waiting"]) ? data["waiting"].map(String) : undefined;
  return {
    shown: {
      title: textOf(said["title"]) ?? "Deskhand",
      body: textOf(said["body"]) ?? "",
      icon: "/icon-192.png",
      badge: "/badge-96.png",
      ...(tag ? { tag, renotify: true } : {}),
      data: { navigate: textOf(said["navigate"]) ?? "/", delivery },
    },
    delivery,
    badge: typeof badge === "number" && badge >= 0 ? Math.trunc(badge) : undefined,
    waiting: waiting?.length === badge ? waiting : undefined,
  };
}

interface Shown {
  readonly tag: string;
  readonly data?: unknown;
}

/** What else is shown and was decided meanwhile, on another device. */
export const overOf = <T extends Shown>(notice: Notice, shown: readonly T[]): T[] =>
  shown.filter(({ tag }) => /^(apr|qst)_/.test(tag) && notice.waiting?.includes(tag) === false);

/** Whether this very message is shown already: then it stands once, and does not ring again. */
export const isRepeated = (notice: Notice, shown: readonly Shown[]): boolean =>
  shown.some(({ data }) => notice.delivery !== undefined && objectOf(data)["delivery"] === notice.delivery);

function parsed(text: string | undefined): Said {
  try {
    return objectOf(JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
}

const objectOf = (value: unknown): Said =>
  typeof value === "object" && value !== null ? (value as Said) : {};

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
