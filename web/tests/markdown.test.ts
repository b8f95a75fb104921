import fc from "fast-check";
import { expect, test } from "vitest";
import { wordsOf } from "../src/ui/inline";
import { piecesOf, type Inner } from "../src/ui/markdown";

/** As a person would draw it: `p(one em(two))`. */
const drawn = (inner: Inner): string =>
  inner.map((one) => (typeof one === "string" ? one : `${one.tag}${one.href ? `→${one.href}` : ""}(${drawn(one.inner)})`)).join(" ");

const READ: readonly (readonly [string, string])[] = [
  ["# Title #\n\nwords", "h1(Title) p(words)"],
  ["one\ntwo  \nthree", "p(one\ntwo br() three)"],
  ["a **bold *and* soft** `co*d*e` ~~gone~~", "p(a  strong(bold  em(and)  soft)   code(co*d*e)   del(gone))"],
  ["snake_case_name and 2 * 3 * 4", "p(snake_case_name and 2 * 3 * 4)"],
  ["- one\n  - inner\n- [x] two\n1. first\n2. second", "ul(li(one ul(li(inner))) li(☑ two)) ol(li(first) li(second))"],
  ["```py\n# not a title\n```\nafter", "pre(code(# not a title)) p(after)"],
  ["> said\n> - twice", "blockquote(p(said) ul(li(twice)))"],
  ["| a | b |\n|---|:-:|\n| 1 | 2 \\| 3 |", "table(thead(tr(th(a) th(b))) tbody(tr(td(1) td(2 | 3))))"],
  ["- one\n\n- two\n\nend", "ul(li(one) li(two)) p(end)"],
  ["---\n**민준** 씨", "hr() p(strong(민준)  씨)"],
  ["see https://a.example/x_y_z.", "p(see  a→https://a.example/x_y_z(https://a.example/x_y_z) .)"],
]; // prettier-ignore

test.each(READ)("%j is read as people write it", (text, expected) => {
  expect(drawn(piecesOf(text))).toBe(expected);
});

test("markup, pictures and odd addresses of an agent stay words (PI-07)", () => {
  const text = "<img src=x onerror=alert(1)> ![pixel](https://evil.example/p.png) [go](javascript:alert(1)) <script>x</script>";

  expect(drawn(piecesOf(text))).toBe("p(<img src=x onerror=alert(1)> pixel go <script>x</script>)");
});

test("a link says where it leads, whatever its words are (PI-07)", () => {
  expect(drawn(piecesOf("[bank.example](https://evil.example/?leak=1)"))).toBe(
    "p(a→https://evil.example/?leak=1(bank.example  (evil.example)))",
  );
});

test("no text makes anything but the tags and addresses that are meant, and none is lost", () => {
  const bits = fc.constantFrom(...Array.from("*_~`[]()<>!#|-+>\\ \n1.ab한"), "**", "```", "https://e.example/", "javascript:", "| - |", "    ");
  const hostile = fc.array(bits, { maxLength: 60 }).map((all) => all.join(""));
  const within = (inner: Inner): boolean =>
    inner.every((one) => typeof one === "string" || (/^(https?:\/\/|mailto:)/i.test(one.href ?? "https://") && within(one.inner)));
  const letters = (text: string) => text.replace(/[^ab한]/g, "");

  fc.assert(
    fc.property(hostile, (text) => {
      const made = piecesOf(text);

      expect(within(made)).toBe(true);
      if (!/[[`]/.test(text)) expect(letters(wordsOf(made)).length).toBeGreaterThanOrEqual(letters(text).length);
    }),
    { numRuns: 2000 },
  );
});

test.each(["*a ", "[", "[a](", "`", "**", "_a", "> ", "- ", "<https://", "|", "- a\n\n", "~~~", "![["])(
  "a hundred thousand letters of %j take no longer than others",
  (bit) => {
    const text = bit.repeat(100_000 / bit.length);
    const began = performance.now();

    piecesOf(text);

    expect(performance.now() - began).toBeLessThan(3000);
  },
);
