import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** What is built in goes out with its license. */
const licenses = (): Plugin => ({
  name: "licenses",
  generateBundle() {
    const whole = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: Record<string, string> };
    const texts = Object.entries(whole.dependencies).map(([name, version]) => {
      const folder = join("node_modules", name);
      const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one)) ?? "package.json";
      return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8")}`;
    });
    this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join("\n\n") });
  },
});

/** The page as the hub serves it: files named by their content, so that they may be cached for ever. */
export default defineConfig({
  base: "/",
  plugins: [svelte(), licenses()],
  publicDir: "public",
  build: {
    outDir: process.env["DESKHAND_PAGE"] ?? "../src/deskhand/hub/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
  worker: { format: "es" },
  server: { proxy: { "/v1": process.env["DESKHAND_URL"] ?? "http://127.0.0.1:3375" } },
  test: {
    include: ["tests/**/*.test.ts"],
    environment: "node",
    setupFiles: ["tests/setup.ts"],
  },
});
