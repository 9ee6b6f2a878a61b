import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** What the shop's first load may weigh by gzip: over plain http browsers take nothing better. */
const SHOP_BYTES_MAX = 180 * 1024;

/** Where the console's build leaves its own manifest for a moment. */
const CONSOLE_MANIFEST = ".vite/manifest-console.json";

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
      const sizes = { brotli: 0, gzip: 0 };
      for (const name of files) {
        const file = bundle[name];
        const content = file?.type === "asset" ? file.source : (file?.code ?? "");
        sizes.brotli += brotliCompressSync(content).length;
        sizes.gzip += gzipSync(content, { level: 9 }).length;
      }
      const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
      this.info(`shop: ${files.size} files, ${kib(sizes.brotli)} by brotli, ${kib(sizes.gzip)} by gzip`);
      if (sizes.gzip > SHOP_BYTES_MAX) this.error(`the shop weighs more than ${kib(SHOP_BYTES_MAX)}`);
    },
  };
}

/** Each text file of the build once more in two compressed forms: the server only chooses among them. */
function compressedForms(): Plugin {
  let folder = "dist";
  return {
    name: "compressed-forms",
    apply: "build",
    configResolved(config) {
      folder = join(config.root, config.build.outDir);
    },
    closeBundle() {
      const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
      const texts = files.filter((name) => /\.(html|js|css|svg|json|webmanifest|txt)$/.test(name));
      for (const name of texts.filter((name) => !name.startsWith(".vite"))) {
        const content = readFileSync(join(folder, name));
        for (const [ending, form] of Object.entries({
          br: brotliCompressSync(content),
          gz: gzipSync(content, { level: 9 }),
        })) {
          if (form.length < content.length) writeFileSync(join(folder, `${name}.${ending}`), form);
        }
      }
    },
  };
}

/**
 * The faces are built one after the other, so that the shop's files hold nothing that only the console needs
 * of a shared module. The second build adds its files to the first one's manifest.
 */
function oneManifest(): Plugin {
  return {
    name: "one-manifest",
    async closeBundle(error) {
      if (error) return;
      const [all, added] = ["dist/.vite/manifest.json", `dist/${CONSOLE_MANIFEST}`];
      const read = async (path: string) => JSON.parse(await readFile(path, "utf8"));
      await writeFile(all, `${JSON.stringify({ ...(await read(all)), ...(await read(added)) }, null, 2)}\n`);
      await rm(added);
    },
  };
}

export default defineConfig(({ mode }) => ({
  base: "/",
  plugins: [
    react(),
    onlyOurLanguages(),
    mode === "console" && oneManifest(),
    // The console's build is the last, and its folder is the shop's, too.
    mode === "console" && compressedForms(),
    mode === "shop" && shopBudget(),
  ],
  build: {
    target: "es2022",
    // Fonts and pictures as files: the pages' Content-Security-Policy knows no data: styles.
    assetsInlineLimit: 0,
    // The server reads from it which files only the console needs, and keeps them from shoppers.
    manifest: mode === "console" ? CONSOLE_MANIFEST : true,
    modulePreload: { polyfill: false },
    emptyOutDir: mode === "shop",
    rolldownOptions: { input: { [mode]: mode === "shop" ? "index.html" : "console.html" } },
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
    // Only a broken page takes as long: files are tested side by side, on any machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
}));
