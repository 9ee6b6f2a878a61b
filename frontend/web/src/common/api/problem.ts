/** Errors of our own services: problem details of RFC 9457. */

/** What a problem's body holds; further members depend on the kind. */
export interface Problem {
  /** `/problems/<slug>`; stable. */
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  trace_id?: string;
  [extension: string]: unknown;
}

/** A service answered, and the answer was no. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly problem: Problem,
    /** Seconds to wait before the next try, when the answer named a time. */
    readonly retryAfterS: number | undefined,
  ) {
    super(problem.detail ?? problem.title);
  }

  get status(): number {
    return this.problem.status;
  }

  /** Whether one of our services has said it, and not a proxy or a portal on the way. */
  get isOurs(): boolean {
    return this.problem.type.startsWith("/problems/");
  }

  /** The stable last part of the problem's type, such as `out-of-stock`. */
  get slug(): string {
    return this.problem.type.replace(/^.*\/problems\//, "");
  }

  /** Reads an answer that is no success. One that is no problem body (a proxy's page) becomes one. */
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

/** No whole answer came: the line is down, or it took too long. Whether the request arrived is not known. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";

  constructor(cause: unknown) {
    super("no answer", { cause });
  }
}

/**
 * Whether asking again later can help: no answer, one that says so, or one that is not ours. After the last, too,
 * it is not known what became of the request.
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
