/** The words of a line: strong, emphasis, code, links. Every search has an end, so hostile text costs no more than long text. */
import { piece, type Inner, type Piece, type Tag } from "./markdown";

const DEEP = 6;
/** How far a mark looks for its partner. */
const FAR = 4000;
/** How long the words of a link may be. */
const NEAR = 600;
const MARKS: readonly (readonly [string, Tag])[] = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]]; // prettier-ignore
const PLAIN = /[^\\`![<*_~h\n]+|h(?!ttps?:\/\/)/y;
const BARE = /https?:\/\/[^\s<>"'`*]*[^\s<>"'`*.,;:!?)\]]/y;
const ANGLED = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const BREAK = /\\\n|<br ?\/?>/y;
const TARGET = /\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y;

interface Found {
  readonly made: Inner;
  readonly end: number;
}

export function inlineOf(text: string, depth = 0): (Piece | string)[] {
  const made: (Piece | string)[] = [];
  for (let at = 0; at < text.length; ) {
    const { made: next, end } = (depth < DEEP && foundAt(text, at, depth)) || plainAt(text, at);
    for (const one of next) {
      const last = made.at(-1);
      if (typeof one === "string" && typeof last === "string") made[made.length - 1] = last + one;
      else made.push(one);
    }
    at = end;
  }
  return made;
}

function plainAt(text: string, at: number): Found {
  const said = stuck(PLAIN, text, at)?.[0] ?? text.charAt(at);
  return { made: [said], end: at + said.length };
}

function stuck(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

const READERS: { readonly [letter: string]: (text: string, at: number, depth: number) => Found | undefined } = {
  "\\": (text, at) => broken(text, at) ?? escaped(text, at),
  "`": code,
  "<": (text, at) => broken(text, at) ?? address(stuck(ANGLED, text, at), at),
  h: (text, at) => address(stuck(BARE, text, at), at),
  "!": (text, at, depth) => (text[at + 1] === "[" ? link(text, at + 1, depth, { picture: true }) : undefined),
  "[": (text, at, depth) => link(text, at, depth, { picture: false }),
  "*": marked,
  _: marked,
  "~": marked,
};

const foundAt = (text: string, at: number, depth: number): Found | undefined =>
  READERS[text.charAt(at)]?.(text, at, depth);

function broken(text: string, at: number): Found | undefined {
  const found = stuck(BREAK, text, at);
  return found ? { made: [piece("br")], end: at + found[0].length } : undefined;
}

function escaped(text: string, at: number): Found | undefined {
  const next = text.charAt(at + 1);
  return /[!-/:-@[-`{-~]/.test(next) ? { made: [next], end: at + 2 } : undefined;
}

function code(text: string, at: number): Found | undefined {
  const fence = /^`+/.exec(text.slice(at, at + 20))?.[0] ?? "`";
  const end = text.slice(at + fence.length, at + FAR).search(new RegExp(`(?<!\`)${fence}(?!\`)`));
  if (end < 0) return { made: [fence], end: at + fence.length };
  const inside = text.slice(at + fence.length, at + fence.length + end).replaceAll("\n", " ");
  const said = /^ .*[^ ].* $/.test(inside) ? inside.slice(1, -1) : inside;
  return { made: [piece("code", [said])], end: at + 2 * fence.length + end };
}

function address(found: RegExpExecArray | null, at: number): Found | undefined {
  if (!found) return undefined;
  const href = found[1] ?? found[0];
  return { made: [piece("a", [href], { href })], end: at + found[0].length };
}

function link(text: string, at: number, depth: number, { picture }: { picture: boolean }): Found | undefined {
  const close = closing(text, at);
  const target = close < 0 ? null : stuck(TARGET, text, close + 1);
  if (!target) return undefined;
  const end = close + 1 + target[0].length;
  const label = text.slice(at + 1, close);
  if (picture) return { made: [label], end };
  const inner = inlineOf(label, depth + 1).map((one) => (typeof one !== "string" && one.tag === "a" ? wordsOf([one]) : one));
  const href = target[1] ?? "";
  if (!/^(https?:\/\/|mailto:)/i.test(href)) return { made: inner, end };
  const where = whereTo(href);
  const shown = wordsOf(inner).includes(where) ? inner : [...inner, ` (${where})`];
  return { made: [piece("a", shown, { href })], end };
}

function closing(text: string, at: number): number {
  if (!text.slice(at, at + NEAR).includes("]")) return -1;
  let open = 0;
  for (let place = at; place < Math.min(text.length, at + NEAR); place += 1) {
    if (text[place] === "\\") place += 1;
    else if (text[place] === "[") open += 1;
    else if (text[place] === "]" && (open -= 1) === 0) return place;
  }
  return -1;
}

function marked(text: string, at: number, depth: number): Found | undefined {
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark, at)) continue;
    const end = partner(text, at, mark);
    if (end < 0) continue;
    return { made: [piece(tag, inlineOf(text.slice(at + mark.length, end), depth + 1))], end: end + mark.length };
  }
  // A run of marks without a partner is told as it stands, once.
  const run = /^[*_~]+/.exec(text.slice(at, at + 40))?.[0];
  return run ? { made: [run], end: at + run.length } : undefined;
}

const WORD = /[\p{L}\p{N}]/u;

/** Where a mark that opens here is closed; inside a word an underscore is a letter. */
function partner(text: string, at: number, mark: string): number {
  const from = at + mark.length;
  const near = text.slice(from, from + FAR);
  if (!/^\S/.test(near) || inWord(mark, text.charAt(at - 1))) return -1;
  for (let tries = 0, end = near.indexOf(mark, 1); end > 0 && tries < 50; tries += 1) {
    const before = near.charAt(end - 1);
    const after = near.charAt(end + mark.length);
    const longer = mark.length === 1 && (after === mark || before === mark);
    if (!longer && /\S/.test(before) && !inWord(mark, after)) return from + end + Number(mark === after + after);
    end = near.indexOf(mark, end + (longer ? 2 : 1));
  }
  return -1;
}

const inWord = (mark: string, beside: string): boolean => mark.startsWith("_") && WORD.test(beside);

export const wordsOf = (inner: Inner): string =>
  inner.map((one) => (typeof one === "string" ? one : wordsOf(one.inner))).join("");

function whereTo(address: string): string {
  try {
    const url = new URL(address);
    return url.host || url.pathname;
  } catch {
    return address;
  }
}
