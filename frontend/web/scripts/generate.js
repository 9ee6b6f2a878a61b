// Makes the types of the services' APIs from their OpenAPI documents.
//
//   node scripts/generate.js           writes generated/*.d.ts from openapi/*.json, after replacing these documents by
//                                      those of the running services, when SALES_URL, PRODUCTION_URL, RESTOCK_URL and
//                                      ACCESS_URL say where they are (`source target/dev/env`)
//   node scripts/generate.js --check   fails when a running service's document is not the one in openapi/
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");
const stale = [];
await mkdir(`${root}generated`, { recursive: true });

for (const service of ["sales", "production", "restock", "access"]) {
  const kept = `openapi/${service}.json`;
  const before = await readFile(root + kept, "utf8").catch(() => "");
  const document = (await fromService(service)) ?? before;
  if (document !== before && check) {
    stale.push(kept);
  } else if (document !== before) {
    await writeFile(root + kept, document);
    console.log(`wrote ${kept}`);
  }
  await writeFile(`${root}generated/${service}.d.ts`, astToString(await openapiTS(document)));
}

if (stale.length > 0) {
  console.error(
    `stale: ${stale.join(", ")}\nStart a stack, \`source target/dev/env\`, then \`npm run generate\`.`,
  );
  process.exit(1);
}

/** The document of a running service, with its keys in order, so that a change is a small difference. */
async function fromService(service) {
  const url = process.env[`${service.toUpperCase()}_URL`];
  if (!url) return undefined;
  const answer = await fetch(`${url}/openapi.json`);
  if (!answer.ok) throw new Error(`${answer.url} answers ${answer.status}`);
  return `${JSON.stringify(ordered(await answer.json()), null, 1)}\n`;
}

function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, ordered(value[key])]),
  );
}
