// Calls every operation of every service through its generated client. Exits with 0 when each
// documented success response was received and matched its document.
import { grantAndEnd } from "./access.js";
import { Api, answered, type Clients } from "./client.js";
import { sortAndGiveUp } from "./dead-letters.js";
import { behaveAsEver } from "./factory.js";
import { retryAndCancel } from "./production.js";
import { quarantine, receiveAndJudge } from "./restock.js";
import { replenishments, sellAndKeepStock } from "./sales.js";
import { open } from "./shop.js";
import { assert, everything } from "./wait.js";

async function books({ sales, production, restock, access }: Clients): Promise<void> {
  for (const call of [sales.GET("/api/v1/audit"), production.GET("/api/v1/audit"), restock.GET("/api/v1/audit")]) {
    const { ok, checks } = await answered(200, call);
    assert(ok, `the books do not agree: ${JSON.stringify(checks)}`);
  }
  for (const logs of [
    await everything((query) => answered(200, sales.GET("/api/v1/audit-log", { params: { query } }))),
    await everything((query) => answered(200, production.GET("/api/v1/audit-log", { params: { query } }))),
    await everything((query) => answered(200, restock.GET("/api/v1/audit-log", { params: { query } }))),
    await everything((query) => answered(200, access.GET("/api/v1/audit-log", { params: { query } }))),
  ]) {
    assert(logs.every(({ actor }) => actor !== ""), "every action has its operator");
  }
}

const api = new Api();
console.log(`${api.checkExamples()} examples are as their schemas say`);
try {
  await open(api.clients);
  await sellAndKeepStock(api.clients);
  const ids = [...(await retryAndCancel(api.clients)), ...(await receiveAndJudge(api.clients))];
  await quarantine(api.clients);
  await replenishments(api.clients, ids);
  await sortAndGiveUp(api.clients);
  await grantAndEnd(api.clients);
  await books(api.clients);
} finally {
  await behaveAsEver();
}
const coverage = api.coverage();
const missing = coverage.filter(({ seen }) => !seen);
for (const { name, seen } of coverage) {
  console.log(`${seen ? "answered" : "MISSING "} ${name}`);
}
assert(missing.length === 0, `never answered: ${missing.map(({ name }) => name).join(", ")}`);
