/** A unified diff as rows of two sides: what was taken away left, what came right, beside each other where both changed. */

export interface Side {
  readonly line: number;
  readonly text: string;
}
export type DiffRow =
  | { readonly kind: "head"; readonly text: string }
  | { readonly kind: "lines"; readonly left: Side | undefined; readonly right: Side | undefined };

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/;
const NAME = /^(?:---|\+\+\+) (?:[ab]\/)?(.*?)(?:\t.*)?$/;
/** What names nothing that the two names do not. */
const NOISE = /^(?:diff --git |index [0-9a-f]+\.\.[0-9a-f]+)/;

export const isDiff = (text: string): boolean => /^@@ -\d+(,\d+)? \+\d+/m.test(text);

export function diffRows(text: string, most = 5000): DiffRow[] {
  const reader = new Reader();
  for (const line of text.replace(/\n$/, "").split("\n")) {
    if (reader.rows.length >= most) break;
    reader.take(line);
  }
  reader.settle();
  return reader.rows;
}

/** No line is left out but the noise: what fits nowhere is shown as it stands. */
class Reader {
  readonly rows: DiffRow[] = [];
  #gone: Side[] = [];
  #come: Side[] = [];
  #left = { at: 0, still: 0 };
  #right = { at: 0, still: 0 };
  #old = "";

  take(line: string): void {
    if (this.#left.still <= 0 && this.#right.still <= 0) this.#between(line);
    else if (line.startsWith("-")) this.#gone.push(next(this.#left, line));
    else if (line.startsWith("+")) this.#come.push(next(this.#right, line));
    else if (line.startsWith(" ") || line === "") {
      this.settle();
      this.rows.push({ kind: "lines", left: next(this.#left, line), right: next(this.#right, line) });
    } else this.#head(line);
  }

  /** What was gathered stands side by side now. */
  settle(): void {
    for (let at = 0; at < Math.max(this.#gone.length, this.#come.length); at += 1) {
      this.rows.push({ kind: "lines", left: this.#gone[at], right: this.#come[at] });
    }
    this.#gone = [];
    this.#come = [];
  }

  #between(line: string): void {
    const hunk = HUNK.exec(line);
    const name = NAME.exec(line)?.[1];
    if (hunk) {
      const [, left, lefts = "1", right, rights = "1"] = hunk;
      this.#left = { at: Number(left), still: Number(lefts) };
      this.#right = { at: Number(right), still: Number(rights) };
      this.#head(line);
    } else if (name && line.startsWith("-")) this.#old = name;
    else if (name) {
      const same = this.#old === name || this.#old === "/dev/null";
      this.#head(same || !this.#old ? name : `${this.#old} → ${name}`);
      this.#old = "";
    } else if (!NOISE.test(line)) this.#head(line);
  }

  #head(text: string): void {
    this.settle();
    this.rows.push({ kind: "head", text });
  }
}

function next(side: { at: number; still: number }, line: string): Side {
  side.still -= 1;
  return { line: side.at++, text: line.slice(1) };
}
