import { type Instant, useFormat, utcTitle } from "../format";

/** A time in the reader's time zone, with UTC as its tooltip. */
export function Time({ at, withSeconds }: { at: Instant; withSeconds?: boolean }) {
  const format = useFormat();
  return (
    <time dateTime={new Date(at).toISOString()} title={utcTitle(at)}>
      {withSeconds ? format.timestamp(at) : format.time(at)}
    </time>
  );
}
