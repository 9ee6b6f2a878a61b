// Typed clients, as a frontend would create them, that record every response.
import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { paths as Access } from "../generated/access.js";
import type { paths as Production } from "../generated/production.js";
import type { paths as Restock } from "../generated/restock.js";
import type { paths as Sales } from "../generated/sales.js";
import { Document, success } from "./document.js";

export interface Clients {
  sales: Client<Sales>;
  production: Client<Production>;
  restock: Client<Restock>;
  access: Client<Access>;
}

export class Api {
  readonly clients: Clients;
  readonly #documents: Document[] = [];
  readonly #seen = new Map<string, Set<string>>();

  constructor() {
    const token = fromEnvironment("OPERATOR_TOKEN");
    const options = (service: string) => ({
      baseUrl: fromEnvironment(`${service.toUpperCase()}_URL`),
      headers: { Authorization: `Bearer ${token}` },
    });
    const clients: Clients = {
      sales: createClient<Sales>(options("sales")),
      production: createClient<Production>(options("production")),
      restock: createClient<Restock>(options("restock")),
      access: createClient<Access>(options("access")),
    };
    for (const [service, client] of Object.entries(clients)) {
      const document = new Document(service);
      this.#documents.push(document);
      (client as Client<object>).use(this.#note(document));
    }
    this.clients = clients;
  }

  /** Returns the number of examples in the documents; throws when one does not match its schema. */
  checkExamples(): number {
    return this.#documents.reduce((count, document) => count + document.checkExamples(), 0);
  }

  /** Every documented success response, and whether a call has received it. */
  coverage(): { name: string; seen: boolean }[] {
    return this.#documents.flatMap((document) =>
      document.successes().map((success) => ({
        name: `${document.service} ${success}`,
        seen: this.#seen.get(document.service)?.has(success) ?? false,
      })),
    );
  }

  #note(document: Document): Middleware {
    const seen = new Set<string>();
    this.#seen.set(document.service, seen);
    return {
      onResponse: async ({ request, response, schemaPath }) => {
        const mediaType = response.headers.get("content-type")?.split(";")[0]?.trim() ?? "";
        document.check(request.method, schemaPath, response.status, mediaType, await response.clone().text());
        if (response.ok) {
          seen.add(success(request.method, schemaPath, response.status, mediaType));
        }
        return undefined;
      },
    };
  }
}

export function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: start a stack with \`cargo xtask up\`, then \`source target/dev/env\``);
  }
  return value;
}

type Result<Data, Problem> = { data?: Data; error?: Problem; response: Response };

/** Returns the body; throws when the response has another status. */
export async function answered<Data>(status: number, call: Promise<Result<Data, unknown>>): Promise<Data> {
  const { data, error, response } = await call;
  if (response.status !== status) {
    throw new Error(`${response.url} answers ${response.status}, not ${status}: ${JSON.stringify(error ?? data)}`);
  }
  return data as Data;
}

/** Returns the problem of an error response; throws when the response has another status. */
export async function refused<Problem>(status: number, call: Promise<Result<unknown, Problem>>): Promise<Problem> {
  const { data, error, response } = await call;
  if (response.status !== status) {
    throw new Error(`${response.url} answers ${response.status}, not ${status}: ${JSON.stringify(error ?? data)}`);
  }
  return error as Problem;
}

/** The `ETag` of the response, for `If-Match`. */
export async function etag(call: Promise<Result<unknown, unknown>>): Promise<string> {
  const { response } = await call;
  const tag = response.headers.get("etag");
  if (!response.ok || tag === null) {
    throw new Error(`${response.url} answers ${response.status} without an ETag`);
  }
  return tag;
}
