import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";
import svelteConfig from "./svelte.config.js";

const FRAMEWORK = ["svelte", "svelte/*", "*.svelte", "**/bindings/**", "**/features/**", "**/ui/**"];
const wall = (files, patterns) => ({
  files,
  rules: { "no-restricted-imports": ["error", { patterns }] },
});
const FEATURES = [
  "composing", "computers", "connection", "conversation", "deciding", "joining", "reading", "settings", "threads",
];

export default ts.config(
  { ignores: ["node_modules", "src/protocol/generated.ts"] },
  js.configs.recommended,
  ...ts.configs.strictTypeChecked,
  ...svelte.configs.recommended,
  {
    languageOptions: {
      globals: { ...globals.browser },
      parserOptions: {
        project: ["./tsconfig.json", "./tsconfig.worker.json", "./tsconfig.tools.json"],
        tsconfigRootDir: import.meta.dirname,
        extraFileExtensions: [".svelte"],
      },
    },
    rules: {
      // Two more than in Python, where `or` and a missing value count for less than `??` and `?.` do here.
      complexity: ["error", 12],
      "max-lines": ["error", { max: 600, skipBlankLines: false }],
      "max-lines-per-function": ["error", { max: 70 }],
      // `void signal` is how an effect names what it follows.
      "@typescript-eslint/no-meaningless-void-operator": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // A promise handed to a callback is started there on purpose; floating ones are still reported.
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: false }],
    },
  },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
    rules: {
      // Addresses here are fragments, not routes of a router.
      "svelte/no-navigation-without-resolve": "off",
      // svelte-check reports the same, and knows comments with a reason.
      "svelte/no-unused-svelte-ignore": "off",
      // A space between two marks is a string on purpose.
      "svelte/no-useless-mustaches": "off",
    },
  },
  // The walls: sync knows no framework and no screen; the worker knows nothing of the page; ui knows no data;
  // a feature knows no other feature and reaches the core through bindings only.
  wall(["src/sync/**"], [{ group: [...FRAMEWORK, "**/texts/**"], message: "sync knows no framework." }]),
  wall(["src/worker/**"], [{ group: ["../*"], message: "The worker is a program of its own." }]),
  wall(["src/ui/**"], [{ group: ["**/sync/**", "**/bindings/**", "**/features/**"], message: "ui draws what it is given." }]),
  wall(["src/bindings/**"], [{ group: ["**/features/**"], message: "bindings know no feature." }]),
  ...FEATURES.map((name) =>
    wall(
      [`src/features/${name}/**`],
      [
        { group: ["**/sync/**"], message: "Features reach the core through bindings." },
        {
          group: FEATURES.filter((other) => other !== name).map((other) => `**/${other}/*`),
          message: "A feature knows no other feature.",
        },
      ],
    ),
  ),
  { files: ["tests/**", "scripts/**", "*.config.*"], languageOptions: { globals: { ...globals.node } } },
  { files: ["scripts/**", "*.js"], ...ts.configs.disableTypeChecked },
  { files: ["scripts/**", "*.js"], languageOptions: { parserOptions: { project: null } } },
);
