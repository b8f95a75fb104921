import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig, type UserConfig } from "vite";

const page = process.env["DESKHAND_PAGE"] ?? join(import.meta.dirname, "../src/deskhand/hub/page");
const mine = new Set(["worker.js"]);

/** The worker is a program of its own, built after the page, because it must know the page's files by name. */
export default defineConfig((): UserConfig => {
  const files = readdirSync(page, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !mine.has(entry.name))
    .map((entry) => relative(page, join(entry.parentPath, entry.name)))
    .sort();
  const whole = createHash("sha256");
  for (const name of files) whole.update(name).update(readFileSync(join(page, name)));
  // The reader of PDFs is larger than all the rest, and without the network there is no PDF to read.
  const kept = files.filter((name) => !/^(icon-512|icon-maskable|licenses|assets\/(Pages|pdf\.worker))/.test(name));
  const paths = kept.map((name) => (name === "index.html" ? "/" : `/${name}`));
  return {
    publicDir: false,
    define: {
      DESKHAND_FILES: JSON.stringify(paths),
      DESKHAND_BUILD: JSON.stringify(whole.digest("hex").slice(0, 16)),
    },
    build: {
      outDir: page,
      emptyOutDir: false,
      target: "es2022",
      lib: { entry: "src/worker/worker.ts", formats: ["iife"], name: "worker", fileName: () => "worker.js" },
    },
  };
});
