import { NoAnswerError, ProblemError } from "./problem";

/** Longest wait for an answer. */
export const TIMEOUT_MS = 20_000;

/**
 * `fetch` that throws: `NoAnswerError` when no whole answer came, `ProblemError` when the answer is no success.
 * The body is read here: an answer that breaks off in it says no more than none.
 */
export async function request(input: Request | string, init?: RequestInit): Promise<Response> {
  const given = init?.signal ?? (input instanceof Request ? input.signal : undefined);
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = given ? AbortSignal.any([given, timeout]) : timeout;
  let response: Response;
  try {
    response = await whole(await fetch(input, { ...init, signal }));
  } catch (cause) {
    // Who has cancelled a request wants no error shown for it.
    if (given?.aborted) throw cause;
    throw new NoAnswerError(cause);
  }
  if (!response.ok) throw await ProblemError.of(response);
  return response;
}

async function whole(response: Response): Promise<Response> {
  return response.body === null ? response : new Response(await response.arrayBuffer(), response);
}

/** Answers what `read` makes of a success; what is not JSON is no answer of ours, but of something on the way. */
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
