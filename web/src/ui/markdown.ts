/**
 * Agent text to harmless nodes. No HTML is ever made of it: the reader yields pieces from a closed list of tags, and the
 * page makes nodes of those, so there is nothing to sanitise. Markup of the agent's own stays the text it is, a picture
 * becomes its words, and a link leads only to https or mail, shows where, and opens outside without saying from where.
 */
import { inlineOf } from "./inline";

export type Tag =
  | "a" | "blockquote" | "br" | "code" | "del" | "em" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "hr" | "li" | "ol"
  | "p" | "pre" | "strong" | "table" | "tbody" | "td" | "th" | "thead" | "tr" | "ul"; // prettier-ignore
export type Inner = readonly (Piece | string)[];
export interface Piece {
  readonly tag: Tag;
  readonly inner: Inner;
  readonly href?: string;
  readonly start?: number;
}

/** Deeper than this, structure is shown as text. */
const DEEP = 8;
/** More lines than this are not one item of a list. */
const ITEM_LINES = 500;
/** Nor this many one block, but for what is fenced. */
const BLOCK_LINES = 2000;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:([ \t]+)(.*))?$/;
const UNDER = /^ *\|? *:?-+:? *(\| *:?-+:? *)*\|? *$/;
const BOX = /^\[([ xX])\] /;

export const piece = (tag: Tag, inner: Inner = [], more: Partial<Piece> = {}): Piece => ({ tag, inner, ...more });

export function piecesOf(text: string): Piece[] {
  return blocksOf(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}

export function fragmentOf(text: string): DocumentFragment {
  const whole = document.createDocumentFragment();
  whole.append(...piecesOf(text).map(nodeOf));
  return whole;
}

function nodeOf(made: Piece | string): Node {
  if (typeof made === "string") return document.createTextNode(made);
  const node = document.createElement(made.tag);
  if (made.start !== undefined) node.setAttribute("start", String(made.start));
  if (made.href !== undefined) {
    node.setAttribute("href", made.href);
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
  node.append(...made.inner.map(nodeOf));
  return node;
}

/** One block and how many lines it took. */
type Taken = readonly [Piece, number];

const KINDS: readonly (readonly [RegExp, (lines: readonly string[], depth: number) => Taken])[] = [
  [HEADING, headed],
  [RULE, () => [piece("hr"), 1]],
  [FENCE, fenced],
  [QUOTE, quoted],
  [ITEM, listed],
];

function blocksOf(lines: readonly string[], depth: number): Piece[] {
  const made: Piece[] = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at]?.trim()) {
      at += 1;
      continue;
    }
    const [block, took] = blockOf(lines.slice(at, FENCE.test(lines[at] ?? "") ? undefined : at + BLOCK_LINES), depth);
    made.push(block);
    at += took;
  }
  return made;
}

function blockOf(lines: readonly string[], depth: number): Taken {
  if (depth >= DEEP) return [piece("p", [lines.join("\n")]), lines.length];
  const [first = "", second = ""] = lines;
  const kind = KINDS.find(([pattern]) => pattern.test(first));
  if (kind) return kind[1](lines, depth);
  return first.includes("|") && second.includes("|") && UNDER.test(second) ? tabled(lines) : paragraph(lines);
}

function headed([first = ""]: readonly string[]): Taken {
  const [, signs = "", said = ""] = HEADING.exec(first) ?? [];
  return [piece(`h${signs.length as 1}`, inlineOf(said)), 1];
}

function fenced(lines: readonly string[]): Taken {
  const fence = FENCE.exec(lines[0] ?? "")?.[1] ?? "";
  const end = lines.findIndex((line, at) => at > 0 && line.trim().startsWith(fence) && !/[^`~ ]/.test(line));
  const inside = lines.slice(1, end < 0 ? undefined : end).join("\n");
  return [piece("pre", [piece("code", [inside])]), end < 0 ? lines.length : end + 1];
}

function quoted(lines: readonly string[], depth: number): Taken {
  const took = untilNot(lines, (line) => QUOTE.test(line));
  const inside = lines.slice(0, took).map((line) => line.replace(QUOTE, ""));
  return [piece("blockquote", blocksOf(inside, depth + 1)), took];
}

/** One line that begins an item: how far in it stands, its sign, and what it says from which place on. */
interface Point {
  readonly indent: number;
  readonly numbered: boolean;
  readonly number: number;
  readonly inward: number;
  readonly said: string;
}

function pointOf(line: string | undefined): Point | undefined {
  const found = line === undefined || RULE.test(line) ? null : ITEM.exec(line);
  if (!found) return undefined;
  const [, own = "", sign = "", gap = " ", said = ""] = found;
  const number = Number.parseInt(sign, 10);
  const inward = own.length + sign.length + Math.min(gap.length, 4);
  return { indent: own.length, numbered: !Number.isNaN(number), number, inward, said };
}

const alike = (first: Point, point: Point): boolean =>
  point.indent <= first.indent + 3 && point.numbered === first.numbered;

function listed(lines: readonly string[], depth: number): Taken {
  const first = pointOf(lines[0]);
  const items: Piece[] = [];
  let at = 0;
  for (let point = first; first && point; point = pointOf(lines[at])) {
    const { indent, inward, said } = point;
    if (!alike(first, point)) break;
    const rest = lines.slice(at + 1, at + ITEM_LINES);
    const more = untilNot(rest, (line, place) => goesOn(rest, place, line, indent));
    items.push(item([said, ...rest.slice(0, more).map((line) => outdented(line, inward))], depth));
    at += 1 + more;
    at += Number(!lines[at]?.trim() && pointOf(lines[at + 1]) !== undefined);
  }
  const start = first?.numbered && first.number !== 1 ? { start: first.number } : {};
  return [piece(first?.numbered ? "ol" : "ul", items, start), Math.max(at, 1)];
}

/** What stands further in belongs to the item, and so do words that go on without a blank line before them. */
function goesOn(lines: readonly string[], place: number, line: string, indent: number): boolean {
  const deep = line.search(/\S/);
  if (deep < 0) return (lines.slice(place).find((one) => one.trim())?.search(/\S/) ?? 0) > indent;
  if (deep > indent) return true;
  return Boolean(lines[place - 1]?.trim() ?? "before") && !begins(line);
}

const outdented = (line: string, by: number): string => line.slice(Math.min(by, Math.max(line.search(/\S/), 0)));

function item(lines: readonly string[], depth: number): Piece {
  const [first = "", ...rest] = lines;
  const box = BOX.exec(first);
  const said = box ? `${box[1] === " " ? "☐" : "☑"} ${first.slice(4)}` : first;
  const blocks = blocksOf([said, ...rest], depth + 1);
  // A short item is not a paragraph of its own.
  const loose = blocks.length > 1 && blocks.filter((one) => one.tag === "p").length > 1;
  return piece("li", loose ? blocks : blocks.flatMap((one) => (one.tag === "p" ? one.inner : [one])));
}

function tabled(lines: readonly string[]): Taken {
  const took = untilNot(lines, (line) => line.includes("|"));
  const row = (line: string, tag: Tag) => piece("tr", cellsOf(line).map((cell) => piece(tag, inlineOf(cell))));
  const body = lines.slice(2, took).map((line) => row(line, "td"));
  return [piece("table", [piece("thead", [row(lines[0] ?? "", "th")]), piece("tbody", body)]), took];
}

function cellsOf(line: string): string[] {
  const bare = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return bare.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines: readonly string[]): Taken {
  const took = Math.max(untilNot(lines, (line, at) => Boolean(line.trim()) && (at === 0 || !begins(line))), 1);
  const under = /^ {0,3}=+ *$/.test(lines[took - 1] ?? "") && took > 1;
  const said = lines.slice(0, under ? took - 1 : took).map((line) => line.trimStart());
  return [piece(under ? "h1" : "p", inlineOf(said.join("\n").trimEnd().replace(/ {2,}\n/g, "\\\n"))), took];
}

const begins = (line: string): boolean =>
  [HEADING, RULE, FENCE, QUOTE].some((one) => one.test(line)) || /^ *([-*+]|\d{1,2}[.)]) +\S/.test(line);

function untilNot(lines: readonly string[], holds: (line: string, at: number) => boolean): number {
  const end = lines.findIndex((line, at) => !holds(line, at));
  return end < 0 ? lines.length : end;
}
