/** Errors of our services: problem details as in RFC 9457. */

/** The body of a problem; further members depend on its type. */
export interface Problem {
  /** `/problems/<slug>`; stable across releases. */
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  trace_id?: string;
  [extension: string]: unknown;
}

/** A response with an error status. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly problem: Problem,
    /** Seconds to wait before the next attempt, when the response has a `Retry-After`. */
    readonly retryAfterS: number | undefined,
  ) {
    super(problem.detail ?? problem.title);
  }

  get status(): number {
    return this.problem.status;
  }

  /** True when the problem comes from one of our services, not from a proxy or a captive portal. */
  get isOurs(): boolean {
    return this.problem.type.startsWith("/problems/");
  }

  /** The stable last part of the problem's type, such as `out-of-stock`. */
  get slug(): string {
    return this.problem.type.replace(/^.*\/problems\//, "");
  }

  /** Reads an error response. A body that is not a problem (a proxy's page) is converted into one. */
  static async of(response: Response): Promise<ProblemError> {
    const body: unknown = await response.json().catch(() => undefined);
    const problem: Problem = isProblem(body)
      ? body
      : {
          type: "about:blank",
          title: response.statusText || `HTTP ${response.status}`,
          status: response.status,
        };
    return new ProblemError(problem, retryAfter(response.headers.get("Retry-After")));
  }
}

/** No complete response: the connection failed or timed out. The request may or may not have arrived. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";

  constructor(cause: unknown) {
    super("no answer", { cause });
  }
}

/**
 * True when a retry can help: no response, a response that asks for one, or a response that is not from our services.
 * The last leaves the outcome of the request unknown, too.
 */
export function isTemporary(error: unknown): boolean {
  if (error instanceof NoAnswerError) return true;
  if (!(error instanceof ProblemError)) return false;
  return !error.isOurs || error.status >= 500 || [408, 425, 429].includes(error.status);
}

/** `Retry-After` in seconds: a number, or a date. */
export function retryAfter(header: string | null, now = Date.now()): number | undefined {
  if (!header) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== "object" || body === null) return false;
  const { type, title, status } = body as Record<string, unknown>;
  return typeof type === "string" && typeof title === "string" && typeof status === "number";
}
