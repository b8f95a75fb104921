/** Times, durations and sizes in the person's language. */
import { app } from "./app.svelte";

export function clock(at: string): string {
  return new Intl.DateTimeFormat(app.language, { hour: "2-digit", minute: "2-digit", hour12: false })
    .format(new Date(at));
}

/** The time if it was today, else the day too. */
export function moment(at: string): string {
  const then = new Date(at);
  if (then.toDateString() === new Date(app.now).toDateString()) return clock(at);
  const sameYear = then.getFullYear() === new Date(app.now).getFullYear();
  return new Intl.DateTimeFormat(app.language, {
    day: "numeric",
    month: "short",
    ...(sameYear ? { hour: "2-digit", minute: "2-digit", hour12: false } : { year: "numeric" }),
  }).format(then);
}

/** How long ago, in one short word. */
export function ago(at: string): string {
  const seconds = Math.max(0, Math.round((app.now - Date.parse(at)) / 1000));
  if (seconds < 60) return app.t("time.now");
  const format = new Intl.RelativeTimeFormat(app.language, { style: "narrow", numeric: "always" });
  if (seconds < 3600) return format.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return format.format(-Math.floor(seconds / 3600), "hour");
  if (seconds < 7 * 86_400) return format.format(-Math.floor(seconds / 86_400), "day");
  return moment(at);
}

export function duration(from: string, to: string | undefined): string {
  const end = to ? Date.parse(to) : app.now;
  const seconds = Math.max(0, Math.floor((end - Date.parse(from)) / 1000));
  if (seconds < 60) return app.t("time.s", { s: seconds });
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return app.t("time.ms", { m: minutes, s: seconds % 60 });
  return app.t("time.hm", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** A number as people write it; from a thousand on in short. */
export function count(number: number): string {
  return new Intl.NumberFormat(app.language, {
    notation: number < 10_000 ? "standard" : "compact",
    maximumFractionDigits: 1,
  }).format(number);
}

export function size(bytes: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  const step = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return new Intl.NumberFormat(app.language, {
    style: "unit",
    unit: units[step] ?? "byte",
    unitDisplay: step ? "short" : "long",
    maximumFractionDigits: step ? 1 : 0,
  }).format(bytes / 1024 ** step);
}
