// The factory simulator. It is not part of Jaego, so it has no OpenAPI document.
import { fromEnvironment } from "./client.js";
import { assert } from "./wait.js";

export interface Faults {
  refuse_status?: number;
  never_call_back?: boolean;
  deliver_extra?: number;
  /** Number of requests that are affected; without it, all until the next change. */
  for_next?: number;
}

/** Overrides the stage time that the stack was started with, so that the run is short. */
const STAGE_MS = 20;

export const FACTORY_URL = fromEnvironment("FACTORY_URL");

/** Makes the simulator answer with these faults; after `for_next` requests it works normally again. */
export async function behave(faults: Faults): Promise<void> {
  const answer = await fetch(`${FACTORY_URL}/sim/faults`, {
    method: "PUT",
    body: JSON.stringify({ stage_ms: STAGE_MS, ...faults }),
  });
  assert(answer.ok, `the simulator does not take ${JSON.stringify(faults)}: ${await answer.text()}`);
}

export async function behaveAsEver(): Promise<void> {
  await fetch(`${FACTORY_URL}/sim/faults`, { method: "DELETE" });
}

/** The callback token that came with a production request. */
export async function tokenOf(requestId: string): Promise<string> {
  const answer = await fetch(`${FACTORY_URL}/sim/requests`);
  const { items } = (await answer.json()) as { items: { idempotency_key: string; body: string }[] };
  const asked = items.find((item) => item.idempotency_key === requestId);
  assert(asked !== undefined, `the factory was never asked for ${requestId}`);
  const { CallbackUrl } = JSON.parse(asked.body) as { CallbackUrl: string };
  return CallbackUrl.slice(CallbackUrl.lastIndexOf("/") + 1);
}
