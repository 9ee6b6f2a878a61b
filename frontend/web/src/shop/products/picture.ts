/** Generated pictures of doughnuts. A picture depends only on the SKU, so it is the same everywhere. */

export type Shape = "ring" | "filled" | "twist";

export interface Sprinkle {
  x: number;
  y: number;
  angle: number;
  colour: string;
}

export interface Picture {
  shape: Shape;
  backdrop: string;
  dough: string;
  crust: string;
  glaze: string;
  /** Thin lines of icing, as a path; some doughnuts have none. */
  drizzle: { path: string; colour: string } | undefined;
  sprinkles: readonly Sprinkle[];
}

const DOUGHS = [
  { dough: "#e8b26a", crust: "#c98a3f" },
  { dough: "#dba05a", crust: "#b57732" },
  { dough: "#b97a45", crust: "#8f5a2e" },
  { dough: "#efc383", crust: "#d39a52" },
] as const;
const GLAZES = [
  "#f58fb0",
  "#6b3f2a",
  "#fdf3e3",
  "#b7d9a8",
  "#c9a7eb",
  "#f6c453",
  "#f28b66",
  "#8ecae6",
] as const;
const BACKDROPS = ["#f9d5df", "#fbe3b9", "#d8ecd0", "#d6e6fb", "#e6dbf8", "#fbd9c6"] as const;
const TOPPINGS = [
  ["#ffffff", "#ffd166", "#06d6a0", "#ef476f"],
  ["#fff3d6", "#f4a259", "#8c5e58"],
  ["#5f0f40", "#fb8b24", "#0f4c5c"],
  ["#ffffff"],
] as const;
const SHAPES: readonly Shape[] = ["ring", "ring", "ring", "filled", "twist"];

/** Centre of the picture; inner and outer radius of the area for sprinkles, by shape. */
const CENTRE = 100;
const RING = { from: 34, to: 62 };
const DISC = { from: 0, to: 56 };

export function pictureOf(sku: string): Picture {
  const random = generator(sku);
  const pick = <T>(from: readonly [T, ...T[]] | readonly T[]): T =>
    from[Math.floor(random() * from.length)] as T;
  const shape = pick(SHAPES);
  const { dough, crust } = pick(DOUGHS);
  const glaze = pick(GLAZES);
  const others = GLAZES.filter((colour) => colour !== glaze);
  const toppings = pick(TOPPINGS);
  const amount = shape === "twist" ? 0 : 8 + Math.floor(random() * 22);
  const area = shape === "ring" ? RING : DISC;
  const sprinkles = Array.from({ length: amount }, (_, number) => {
    // Steps of the golden angle spread the sprinkles evenly.
    const turn = number * 2.399963 + random() * 0.4;
    const radius = area.from + (area.to - area.from) * Math.sqrt((number + 0.5) / amount);
    return {
      x: rounded(CENTRE + radius * Math.cos(turn)),
      y: rounded(CENTRE + radius * Math.sin(turn)),
      angle: Math.floor(random() * 180),
      colour: pick(toppings),
    };
  });
  const drizzle = random() < 0.45 ? { path: zigzag(random), colour: pick(others) } : undefined;
  return { shape, backdrop: pick(BACKDROPS), dough, crust, glaze, drizzle, sprinkles };
}

function zigzag(random: () => number): string {
  const lean = rounded((random() - 0.5) * 24);
  const points = Array.from({ length: 9 }, (_, step) => {
    const [x, y] = [44 + step * 14, step % 2 === 0 ? 58 : 142];
    return `${rounded(x + (y > CENTRE ? lean : -lean))} ${y}`;
  });
  return `M${points.join("L")}`;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Initial hash value, chosen so that the doughnuts of the demo match their names. */
const SEED = 0xe5e9a;

/** A generator of pseudorandom numbers from 0 to below 1, seeded with a string (FNV-1a, then mulberry32). */
function generator(text: string): () => number {
  let state = SEED;
  for (const character of text) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
