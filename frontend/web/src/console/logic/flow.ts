/** Where the stations of the flow picture stand: in a row on wide screens, below each other on phones. */

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
  /** From one station to the next, and at last from the last back to the second. */
  arrows: string[];
}

const WIDTH = 176;
const HEIGHT = 104;
const GAP = 36;
const BACK = 44;

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
