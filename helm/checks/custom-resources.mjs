// Checks custom resources against their operators' own schemas: a JSON object a line in, a list of problems a line out.

import { createInterface } from "node:readline";

// Groups, and the packages that have the schemas of their kinds.
const PACKAGES = {
  "keda.sh": "keda",
  "gateway.envoyproxy.io": "envoy-gateway",
  "gateway.networking.k8s.io": "gateway-api",
  "monitoring.coreos.com": "prometheus-operator",
  "postgresql.cnpg.io": "cloudnative-pg",
};

async function classOf(object) {
  const from = PACKAGES[object.apiVersion.split("/")[0]];
  const found = from && (await import(`@kubernetes-models/${from}/${object.apiVersion}`));
  return found?.[object.kind];
}

// The schemas say what fields are like, not that there are no others, which an API server refuses (or forgets).
// A validator reads every field that it knows: what it has left unread in an object that it looked into is unknown.
function watched(value, place, seen) {
  if (value === null || typeof value !== "object") return value;
  const read = new Map();
  let complete = false;
  seen.push(() => {
    if (Array.isArray(value) || complete || read.size === 0) return [];
    return Object.keys(value).filter((key) => !read.has(key)).map((key) => `${place}: there is no field ${key}`);
  });
  return new Proxy(value, {
    get(target, key) {
      if (!read.has(key)) read.set(key, watched(target[key], `${place}/${String(key)}`, seen));
      return read.get(key);
    },
    ownKeys(target) {
      complete = true; // A map: any key is a field.
      return Reflect.ownKeys(target);
    },
  });
}

async function problems(object) {
  const Class = await classOf(object);
  if (Class === undefined) return [`there is no schema for ${object.apiVersion} ${object.kind}`];
  const { apiVersion, kind, metadata, spec, ...rest } = object;
  const seen = [];
  const model = new Class({ metadata });
  model.spec = watched(spec, "/spec", seen); // Afterwards: the constructor makes copies.
  try {
    model.validate();
  } catch (error) {
    if (error.errors === undefined) throw error;
    return error.errors.map((one) => `${one.instancePath}: ${one.message}`);
  }
  return [...Object.keys(rest).map((key) => `there is no field ${key}`), ...seen.flatMap((unknown) => unknown())];
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await problems(JSON.parse(line)))}\n`);
}
