/** Event rates, counted from live events over the last minute. */

const SECONDS = 60;

export class RateMeter<Name extends string> {
  /** Counts by name, one per second; a ring buffer of one minute. */
  private readonly counts = new Map<Name, { second: number; count: number }[]>();
  private readonly startedMs: number;

  constructor(now = Date.now()) {
    this.startedMs = now;
  }

  add(name: Name, count: number, now = Date.now()): void {
    const second = Math.floor(now / 1000);
    let places = this.counts.get(name);
    if (!places) {
      places = Array.from({ length: SECONDS }, () => ({ second: 0, count: 0 }));
      this.counts.set(name, places);
    }
    const place = places[second % SECONDS];
    if (!place) return;
    if (place.second !== second) {
      place.second = second;
      place.count = 0;
    }
    place.count += count;
  }

  /** The count of the last minute, or since the start when that is shorter. */
  total(name: Name, now = Date.now()): number {
    const oldest = Math.floor(now / 1000) - SECONDS;
    const places = this.counts.get(name) ?? [];
    return places.reduce((sum, place) => sum + (place.second > oldest ? place.count : 0), 0);
  }

  /** Seconds that the count covers: at most 60, less during the first minute. */
  watchedS(now = Date.now()): number {
    return Math.min(SECONDS, Math.max(1, Math.round((now - this.startedMs) / 1000)));
  }
}
