/** The flow diagram: the layout of its stations, and the age of the oldest waiting request. */
import type { Count } from "./paging";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface FlowLayout {
  width: number;
  height: number;
  boxes: Box[];
  /** One arrow from each station to the next, and one from the last back to the second. */
  arrows: string[];
}

const WIDTH = 176;
const HEIGHT = 104;
const GAP = 36;
const BACK = 44;

/** A row on wide screens, a column on phones. */
export function flowLayout(stations: number, direction: "row" | "column"): FlowLayout {
  const boxes = Array.from({ length: stations }, (_, place) =>
    direction === "row"
      ? { x: 4 + place * (WIDTH + GAP), y: 4, width: WIDTH, height: HEIGHT }
      : { x: 4, y: 4 + place * (HEIGHT + GAP), width: WIDTH + 2 * GAP, height: HEIGHT },
  );
  const arrows = boxes.slice(1).map((to, place) => {
    const from = boxes[place] ?? to;
    return direction === "row"
      ? `M${from.x + from.width} ${middle(from).y}H${to.x - 6}`
      : `M${middle(from).x} ${from.y + from.height}V${to.y - 6}`;
  });
  const [second, last] = [boxes[1], boxes.at(-1)];
  if (second && last && last !== second) {
    arrows.push(
      direction === "row"
        ? `M${middle(last).x} ${last.y + HEIGHT}V${last.y + HEIGHT + BACK - 14}H${middle(second).x}V${second.y + HEIGHT + 6}`
        : `M${last.x + last.width} ${middle(last).y}H${last.x + last.width + BACK - 14}V${middle(second).y}H${second.x + second.width + 6}`,
    );
  }
  const end = last ?? { x: 0, y: 0, width: 0, height: 0 };
  const isRow = direction === "row";
  return {
    width: end.x + end.width + (isRow ? 4 : BACK),
    height: end.y + end.height + (isRow ? BACK : 4),
    boxes,
    arrows,
  };
}

function middle(box: Box) {
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** Waiting entries of one kind; `oldest` is known only if one page contains them all. */
export interface Waiting extends Count {
  oldest: string | undefined;
}

/** Creation time of the oldest waiting entry; `hidden` when there are more entries than one page shows. */
export type Oldest = "loading" | "hidden" | "none" | { ms: number };

export function oldestOf(...counts: (Waiting | undefined)[]): Oldest {
  const known = counts.filter((count) => count !== undefined);
  if (known.length < counts.length) return "loading";
  if (known.some((count) => count.more)) return "hidden";
  const times = known.flatMap(({ oldest }) => (oldest === undefined ? [] : [Date.parse(oldest)]));
  return times.length === 0 ? "none" : { ms: Math.min(...times) };
}
