/** Comma-separated values to rows, quotes and line breaks inside them included. Never more than asked for. */

export function rowsOf(text: string, most: number): string[][] {
  const separator = separatorOf(text);
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  const source = text.replace(/^\uFEFF/, "");
  for (let i = 0; i < source.length && rows.length < most; i += 1) {
    const letter = source[i] ?? "";
    if (quoted && letter === '"' && source[i + 1] === '"') {
      cell += '"';
      i += 1;
    } else if (letter === '"' && (quoted || cell === "")) quoted = !quoted;
    else if (!quoted && letter === separator) {
      row.push(cell);
      cell = "";
    } else if (!quoted && letter === "\n") {
      rows.push([...row, cell.replace(/\r$/, "")]);
      row = [];
      cell = "";
    } else cell += letter;
  }
  if (rows.length < most && (cell || row.length)) rows.push([...row, cell]);
  return rows;
}

function separatorOf(text: string): string {
  const first = text.split("\n", 1)[0] ?? "";
  const count = (letter: string) => first.split(letter).length;
  return [",", ";", "\t"].reduce((best, letter) => (count(letter) > count(best) ? letter : best));
}
