import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

/** The page as the hub serves it: files named by their content, so that they may be cached for ever. */
export default defineConfig({
  base: "/",
  plugins: [svelte()],
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
