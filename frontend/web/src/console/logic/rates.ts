/** How often things happen, counted from live events over the last minute. */

const SECONDS = 60;

export class RateMeter<Name extends string> {
  /** Counts by name, one for each of the last seconds; a place is used again a minute later. */
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

  /** Counted in the last minute, or since the meter runs when that is less. */
  total(name: Name, now = Date.now()): number {
    const oldest = Math.floor(now / 1000) - SECONDS;
    const places = this.counts.get(name) ?? [];
    return places.reduce((sum, place) => sum + (place.second > oldest ? place.count : 0), 0);
  }

  /** A minute; for the first minute what was counted is not stretched to one. */
  watchedS(now = Date.now()): number {
    return Math.min(SECONDS, Math.max(1, Math.round((now - this.startedMs) / 1000)));
  }
}
