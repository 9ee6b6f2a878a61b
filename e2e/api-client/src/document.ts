// A service's OpenAPI document, as data to validate responses against.
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

interface Content {
  schema?: unknown;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
interface Answer {
  $ref?: string;
  content?: Record<string, Content>;
}
interface Operation {
  operationId: string;
  parameters?: { name: string; schema: unknown; example?: unknown }[];
  requestBody?: { content: Record<string, Content> };
  responses: Record<string, Answer>;
}
interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { example?: unknown }>; responses: Record<string, Answer> };
}

const JSON_TYPES = ["application/json", "application/problem+json"];

export class Document {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #document: OpenApi;

  constructor(readonly service: string) {
    const file = new URL(`../generated/${service}.json`, import.meta.url);
    this.#document = JSON.parse(readFileSync(file, "utf8")) as OpenApi;
    addFormats.default(this.#ajv);
    this.#ajv.addSchema(this.#document, service);
  }

  /** Every success response of every operation, in the format of `success`. */
  successes(): string[] {
    return this.#operations().flatMap(({ path, method, operation }) =>
      Object.entries(operation.responses)
        .filter(([status]) => status.startsWith("2"))
        .flatMap(([status, answer]) => {
          const mediaTypes = Object.keys(answer.content ?? {});
          return (mediaTypes.length > 0 ? mediaTypes : [""]).map((type) => success(method, path, Number(status), type));
        }),
    );
  }

  /** Throws unless this response is documented and its body matches the documented schema. */
  check(method: string, path: string, status: number, mediaType: string, body: string): void {
    const place = `/paths/${escape(path)}/${method.toLowerCase()}/responses/${status}`;
    const answer = this.#document.paths[path]?.[method.toLowerCase()]?.responses[status];
    const content = answer && this.#resolve(answer).content;
    if (!answer || (mediaType !== "" && !content?.[mediaType])) {
      throw new Error(`${success(method, path, status, mediaType)} is not documented: ${body}`);
    }
    if (JSON_TYPES.includes(mediaType)) {
      const at = answer.$ref?.slice(1) ?? place;
      this.#validate(`${at}/content/${escape(mediaType)}/schema`, JSON.parse(body), `the answer to ${method} ${path}`);
    }
  }

  /** Throws unless every example matches its schema; returns the number of examples. */
  checkExamples(): number {
    let count = 0;
    const check = (schema: string, example: unknown, of: string): void => {
      this.#validate(schema, example, `the example of ${of}`);
      count += 1;
    };
    const checkContents = (place: string, contents: Record<string, Content> | undefined, of: string): void => {
      for (const [type, content] of Object.entries(contents ?? {})) {
        const examples = Object.values(content.examples ?? { only: { value: content.example } });
        for (const example of examples) {
          check(`${place}/content/${escape(type)}/schema`, example.value, `${of} as ${type}`);
        }
      }
    };
    for (const { path, method, operation } of this.#operations()) {
      const place = `/paths/${escape(path)}/${method}`;
      for (const [index, { name, example }] of (operation.parameters ?? []).entries()) {
        check(`${place}/parameters/${index}/schema`, example, `${operation.operationId}'s parameter ${name}`);
      }
      checkContents(`${place}/requestBody`, operation.requestBody?.content, `${operation.operationId}'s request`);
      for (const [status, { content }] of Object.entries(operation.responses)) {
        checkContents(`${place}/responses/${status}`, content, `${operation.operationId}'s ${status}`);
      }
    }
    for (const [name, { content }] of Object.entries(this.#document.components.responses)) {
      checkContents(`/components/responses/${name}`, content, `the answer ${name}`);
    }
    for (const [name, { example }] of Object.entries(this.#document.components.schemas)) {
      if (example !== undefined) {
        check(`/components/schemas/${escape(name)}`, example, `the schema ${name}`);
      }
    }
    return count;
  }

  #operations(): { path: string; method: string; operation: Operation }[] {
    return Object.entries(this.#document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
    );
  }

  #resolve(answer: Answer): Answer {
    const name = answer.$ref?.replace("#/components/responses/", "");
    return (name !== undefined && this.#document.components.responses[name]) || answer;
  }

  #validate(schema: string, value: unknown, what: string): void {
    const reference = `${this.service}#${encodeURI(schema)}`;
    const validate: ValidateFunction = this.#ajv.getSchema(reference) ?? this.#ajv.compile({ $ref: reference });
    if (!validate(value)) {
      const faults = this.#ajv.errorsText(validate.errors, { dataVar: "" });
      throw new Error(`${this.service}: ${what} is not as documented: ${faults}\n${JSON.stringify(value, null, 2)}`);
    }
  }
}

/** Formats one success response of one operation, such as `GET /api/v1/stock 200 application/json`. */
export function success(method: string, path: string, status: number, mediaType: string): string {
  return `${method.toUpperCase()} ${path} ${status} ${mediaType}`.trim();
}

/** Escapes one segment of a JSON pointer. */
function escape(text: string): string {
  return text.replaceAll("~", "~0").replaceAll("/", "~1");
}
