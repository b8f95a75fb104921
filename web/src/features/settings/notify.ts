/** What the settings of notifications mean on the page. */

export type Hours = readonly [string, string];

/** What quiet hours begin with when they are switched on. */
export const NIGHT: Hours = ["22:00", "07:00"];

/** `22:00-07:00` as its two ends; nothing where there are none. */
export function hoursOf(value: unknown): Hours | undefined {
  const [from, to] = typeof value === "string" ? value.split("-") : [];
  return from && to ? [from, to] : undefined;
}

export const listed = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];

/** The list with or without one entry. */
export function switched(all: readonly string[], entry: string, on: boolean): readonly string[] {
  const others = all.filter((one) => one !== entry);
  return on ? [...others, entry] : others;
}
