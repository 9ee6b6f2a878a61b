import { brotliCompressSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** What the shop's first load may weigh, all of it, compressed. */
const SHOP_BYTES_MAX = 180 * 1024;

const FORWARDED = ["/sales", "/production", "/restock", "/live", "/session", "/settings.json", "/demo"];

/**
 * react-aria carries its few words in 34 languages. The pages speak two, so the others are left out.
 */
function onlyOurLanguages(): Plugin {
  return {
    name: "only-our-languages",
    enforce: "pre",
    load(id) {
      const isStrings = /react-(aria|stately)[^?]*\/intl\/.*\/(?!ko-KR|en-US)[a-z]{2}-[A-Z]{2}\.m?js$/.test(
        id,
      );
      return isStrings ? "export default {};" : null;
    },
  };
}

/** Fails the build when the shop's entry reaches console code, or has become too heavy. */
function shopBudget(): Plugin {
  return {
    name: "shop-budget",
    generateBundle(_, bundle) {
      const entry = Object.values(bundle).find(
        (file) => file.type === "chunk" && file.isEntry && file.name === "shop",
      );
      if (entry?.type !== "chunk") return this.error("there is no chunk of the shop");
      const files = new Set<string>();
      const visit = (name: string) => {
        const file = bundle[name];
        if (!file || files.has(name)) return;
        files.add(name);
        if (file.type === "asset") return;
        const foreign = file.moduleIds.find((id) => id.includes("/src/console/") || id.includes("/uplot/"));
        if (foreign) this.error(`the shop would load ${foreign}`);
        for (const next of file.imports) visit(next);
        for (const style of file.viteMetadata?.importedCss ?? []) visit(style);
      };
      visit(entry.fileName);
      let bytes = 0;
      for (const name of files) {
        const file = bundle[name];
        if (file) bytes += brotliCompressSync(file.type === "asset" ? file.source : file.code).length;
      }
      this.info(`shop: ${files.size} files, ${(bytes / 1024).toFixed(1)} KiB compressed`);
      if (bytes > SHOP_BYTES_MAX)
        this.error(`the shop weighs ${bytes} bytes compressed, more than ${SHOP_BYTES_MAX}`);
    },
  };
}

export default defineConfig({
  base: "/",
  plugins: [react(), onlyOurLanguages(), shopBudget()],
  build: {
    target: "es2022",
    // Fonts and pictures as files: the pages' Content-Security-Policy knows no data: styles.
    assetsInlineLimit: 0,
    // The server reads from it which files only the console needs, and keeps them from shoppers.
    manifest: true,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { shop: "index.html", console: "console.html" } },
  },
  server: {
    // `FRONTEND_URL` of target/dev/env: pages from here, everything else from the running stack.
    proxy: Object.fromEntries(
      FORWARDED.map((path) => [path, { target: process.env.FRONTEND_URL ?? "http://127.0.0.1:8480" }]),
    ),
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/common/test-setup.ts"],
    restoreMocks: true,
  },
});
