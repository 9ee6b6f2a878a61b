import { memo, useId } from "react";
import { type Picture, pictureOf } from "./picture";

/** The picture of a product. It adds nothing to the name, so it is hidden from screen readers. */
export const Doughnut = memo(function Doughnut({ sku }: { sku: string }) {
  const picture = pictureOf(sku);
  const clip = useId();
  return (
    <svg className="doughnut" viewBox="-15 -15 230 230" aria-hidden="true" focusable="false">
      <rect className="doughnut-backdrop" x="-15" y="-15" width="230" height="230" fill={picture.backdrop} />
      <ellipse cx="100" cy="176" rx="66" ry="9" fill="#000" opacity="0.12" />
      {picture.shape === "twist" ? <Twist picture={picture} /> : <Round picture={picture} clip={clip} />}
    </svg>
  );
});

function Round({ picture, clip }: { picture: Picture; clip: string }) {
  const isRing = picture.shape === "ring";
  return (
    <>
      <circle cx="100" cy="102" r="76" fill={picture.crust} />
      <circle cx="100" cy="100" r="75" fill={picture.dough} />
      <path d={glazePath(isRing ? 68 : 64)} fill={picture.glaze} />
      <clipPath id={clip}>
        <circle cx="100" cy="100" r="64" />
      </clipPath>
      {picture.drizzle && (
        <path
          d={picture.drizzle.path}
          clipPath={`url(#${clip})`}
          fill="none"
          stroke={picture.drizzle.colour}
          strokeWidth="4"
          strokeLinejoin="round"
        />
      )}
      {picture.sprinkles.map(({ x, y, angle, colour }) => (
        <rect
          key={`${x} ${y}`}
          x={x - 5}
          y={y - 1.6}
          width="10"
          height="3.2"
          rx="1.6"
          fill={colour}
          transform={`rotate(${angle} ${x} ${y})`}
        />
      ))}
      {isRing && (
        <>
          <circle cx="100" cy="100" r="27" fill={picture.crust} />
          <circle className="doughnut-backdrop" cx="100" cy="101" r="22" fill={picture.backdrop} />
        </>
      )}
      <path
        d="M52 76A54 54 0 0 1 86 48"
        fill="none"
        stroke="#fff"
        strokeWidth="6"
        strokeLinecap="round"
        opacity="0.45"
      />
    </>
  );
}

/** A circle with a soft, wavy edge, like icing that has run a little. */
function glazePath(radius: number): string {
  const points = Array.from({ length: 48 }, (_, step) => {
    const turn = (step / 48) * 2 * Math.PI;
    const wave = radius + 3 * Math.sin(turn * 7) + 1.5 * Math.sin(turn * 3 + 1);
    return `${(100 + wave * Math.cos(turn)).toFixed(1)} ${(100 + wave * Math.sin(turn)).toFixed(1)}`;
  });
  return `M${points.join("L")}Z`;
}

function Twist({ picture }: { picture: Picture }) {
  const parts = [44, 72, 100, 128, 156];
  return (
    <>
      {parts.map((x, number) => (
        <g key={x} transform={`rotate(${number % 2 === 0 ? 32 : 24} ${x} 100)`}>
          <ellipse cx={x} cy="102" rx="20" ry="44" fill={picture.crust} />
          <ellipse cx={x} cy="100" rx="19" ry="43" fill={picture.dough} />
          <ellipse cx={x - 5} cy="92" rx="5" ry="26" fill="#fff" opacity="0.28" />
          <circle cx={x + 4} cy="80" r="1.8" fill="#fff" />
          <circle cx={x - 2} cy="118" r="1.8" fill="#fff" />
          <circle cx={x + 7} cy="108" r="1.8" fill="#fff" />
        </g>
      ))}
    </>
  );
}
