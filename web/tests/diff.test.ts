import { expect, test } from "vitest";
import { diffRows, isDiff } from "../src/ui/diff";

const TEXT = `diff --git a/offer.md b/offer.md
index 1a2b..3c4d 100644
--- a/offer.md
+++ b/offer.md
@@ -1,4 +1,4 @@ Offer
 Dear Hana
-We ask 1,200
--- less
+We ask 1,400
 Yours
\\ No newline at end of file
+++ rm -rf
`;

const lines = (text: string) =>
  diffRows(text).map((row) =>
    row.kind === "head" ? `# ${row.text}` : `${row.left?.line ?? ""} ${row.left?.text ?? ""} | ${row.right?.line ?? ""} ${row.right?.text ?? ""}`,
  );

test("what went and what came stand beside each other with their numbers, and nothing is left out", () => {
  expect(isDiff(TEXT)).toBe(true);
  expect(lines(TEXT)).toEqual([
    "# offer.md",
    "# @@ -1,4 +1,4 @@ Offer",
    "1 Dear Hana | 1 Dear Hana",
    "2 We ask 1,200 | 2 We ask 1,400",
    "3 -- less |  ",
    "4 Yours | 3 Yours",
    "# \\ No newline at end of file",
    "  | 4 ++ rm -rf",
  ]);
});

test("a new file has one side, and text that is no diff stays what it is", () => {
  expect(lines("--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n")).toEqual([
    "# a.txt",
    "# @@ -0,0 +1,2 @@",
    "  | 1 one",
    "  | 2 two",
  ]);
  expect(isDiff("- a list\n+ of things")).toBe(false);
});
