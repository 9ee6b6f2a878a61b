import { NoAnswerError, ProblemError } from "./problem";

/** Maximum time for a request and its whole response body. */
export const TIMEOUT_MS = 20_000;

/**
 * `fetch` that throws: `NoAnswerError` when no complete response arrived, `ProblemError` when its status is an error.
 * The body is read here, because a response that breaks off in its body is as inconclusive as no response.
 */
export async function request(input: Request | string, init?: RequestInit): Promise<Response> {
  const given = init?.signal ?? (input instanceof Request ? input.signal : undefined);
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = given ? AbortSignal.any([given, timeout]) : timeout;
  let response: Response;
  try {
    response = await whole(await fetch(input, { ...init, signal }));
  } catch (cause) {
    // A cancelled request is not an error to show.
    if (given?.aborted) throw cause;
    throw new NoAnswerError(cause);
  }
  if (!response.ok) throw await ProblemError.of(response);
  return response;
}

async function whole(response: Response): Promise<Response> {
  return response.body === null ? response : new Response(await response.arrayBuffer(), response);
}

/** Returns what `read` returns. A body that is not JSON is not from our services but from a proxy or portal. */
export async function understood<T>(read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (error) {
    throw error instanceof SyntaxError ? new NoAnswerError(error) : error;
  }
}

/** The frontend server's own routes (`/session`, `/settings.json`, `/demo/..`), which have no OpenAPI document. */
export async function requestJson<T>(path: string, method = "GET", body?: unknown): Promise<T> {
  const response = await request(path, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });
  const read = async () => {
    const text = await response.text();
    return (text === "" ? undefined : JSON.parse(text)) as T;
  };
  return understood(read());
}
