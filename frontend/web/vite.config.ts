import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Size limit of the shop's first load with gzip: over plain HTTP browsers do not accept Brotli. */
const SHOP_BYTES_MAX = 180 * 1024;

/** Temporary manifest of the console's build, until it is merged into the shop's. */
const CONSOLE_MANIFEST = ".vite/manifest-console.json";

const FORWARDED = [
  "/sales",
  "/production",
  "/restock",
  "/access",
  "/live",
  "/session",
  "/settings.json",
  "/demo",
];

/** react-aria ships its strings in 34 languages. The pages use two, so the others are left out of the build. */
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

/** Fails the build when the shop's entry imports console code or exceeds its size limit. */
function shopBudget(): Plugin {
  return {
    name: "shop-budget",
    generateBundle(_, bundle) {
      const entry = Object.values(bundle).find(
        (file) => file.type === "chunk" && file.isEntry && file.name === "shop",
      );
      if (entry?.type !== "chunk")
        return this.error('the build has no entry chunk named "shop": see build.rolldownOptions.input');
      const files = new Set<string>();
      const visit = (name: string) => {
        const file = bundle[name];
        if (!file || files.has(name)) return;
        files.add(name);
        if (file.type === "asset") return;
        const foreign = file.moduleIds.find((id) => id.includes("/src/console/") || id.includes("/uplot/"));
        if (foreign) this.error(`the shop's entry imports ${foreign}: only the console may`);
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
      this.info(`shop: ${files.size} files, ${kib(sizes.brotli)} with Brotli, ${kib(sizes.gzip)} with gzip`);
      if (sizes.gzip > SHOP_BYTES_MAX)
        this.error(
          `the shop's first load exceeds ${kib(SHOP_BYTES_MAX)} with gzip: remove a dependency, or import it lazily`,
        );
    },
  };
}

/** Precompresses each text file of the build in two encodings, so that the server only selects one. */
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
 * The shop and the console are built one after the other, so that the shop's files contain no part of a shared module
 * that only the console needs. The second build adds its files to the manifest of the first.
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
    // The console is built last, into the same folder as the shop.
    mode === "console" && compressedForms(),
    mode === "shop" && shopBudget(),
  ],
  build: {
    target: "es2022",
    // Emit fonts and images as files: the pages' Content-Security-Policy does not allow data: URLs.
    assetsInlineLimit: 0,
    // The server reads the manifest to find the files that only the console needs, and hides them from shoppers.
    manifest: mode === "console" ? CONSOLE_MANIFEST : true,
    modulePreload: { polyfill: false },
    emptyOutDir: mode === "shop",
    rolldownOptions: { input: { [mode]: mode === "shop" ? "index.html" : "console.html" } },
  },
  server: {
    // `FRONTEND_URL` of target/dev/env: pages come from Vite, everything else from the running stack.
    proxy: Object.fromEntries(
      FORWARDED.map((path) => [path, { target: process.env.FRONTEND_URL ?? "http://127.0.0.1:8480" }]),
    ),
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/common/test-setup.ts"],
    restoreMocks: true,
    // Generous, because test files run in parallel on machines of any speed: only a test that hangs reaches it.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
}));
