/** Lead times of requests, as points of a chart. */

interface Took {
  created_at: string;
  updated_at: string;
}

/** Ordered by arrival time; requests that arrived at the same time form one point, the longest of them. */
export function waitsOf(requests: readonly Took[]): { at: number[]; seconds: number[] } {
  const longest = new Map<number, number>();
  for (const request of requests) {
    const end = Date.parse(request.updated_at) / 1000;
    const took = end - Date.parse(request.created_at) / 1000;
    longest.set(end, Math.max(took, longest.get(end) ?? 0));
  }
  const points = [...longest].sort(([one], [other]) => one - other);
  return { at: points.map(([at]) => at), seconds: points.map(([, took]) => took) };
}
