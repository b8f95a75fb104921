/** Comma-separated values to rows, quotes and line breaks inside them included. Never more than asked for. */

/** A quoted cell, or a plain one, and what ends it. */
const cellOf = (separator: string) =>
  new RegExp(`(?:"((?:[^"]|"")*)"|([^${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`, "y");

export function rowsOf(text: string, most: number): string[][] {
  const source = text.replace(/^\uFEFF/, "");
  const cell = cellOf(separatorOf(source));
  const rows: string[][] = [];
  let row: string[] = [];
  while (rows.length < most && cell.lastIndex < source.length) {
    const found = cell.exec(source);
    if (!found) return [...rows, [...row, source.slice(cell.lastIndex)]];
    const [, quoted, plain, end] = found;
    row.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (end && !end.endsWith("\n")) continue;
    rows.push(row);
    row = [];
  }
  return rows.length < most && row.length ? [...rows, [...row, ""]] : rows;
}

function separatorOf(text: string): string {
  const first = text.split("\n", 1)[0] ?? "";
  const count = (letter: string) => first.split(letter).length;
  return [",", ";", "\t"].reduce((best, letter) => (count(letter) > count(best) ? letter : best));
}
