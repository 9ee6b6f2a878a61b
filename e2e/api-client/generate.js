// Reads the documents of the running services, and makes their types: the names of the variables are
// those of `target/dev/env`.
import { mkdir, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

await mkdir("generated", { recursive: true });
for (const service of ["sales", "production", "restock", "access"]) {
  const variable = `${service.toUpperCase()}_URL`;
  const url = process.env[variable];
  if (!url) {
    throw new Error(`${variable} is not set: start a stack with \`cargo xtask up\`, then \`source target/dev/env\``);
  }
  const answer = await fetch(`${url}/openapi.json`);
  if (!answer.ok) {
    throw new Error(`${answer.url} answers ${answer.status}`);
  }
  const document = await answer.text();
  await writeFile(`generated/${service}.json`, document);
  await writeFile(`generated/${service}.d.ts`, astToString(await openapiTS(document)));
  console.log(`generated/${service}.d.ts from ${answer.url}`);
}
