import { useTranslation } from "react-i18next";
import { useFormat } from "../../../common/format";
import { useNow } from "../../../common/now";
import { useFactories, useRequestCount } from "../../api";
import { useLiveEvents } from "../../live";
import { flowLayout, oldestOf } from "../../logic/flow";
import type { Count } from "../../logic/paging";
import { type ConsolePath, type Search, To } from "../../ui/To";

interface Station {
  name: "orders" | "stock" | "requests" | "factory" | "receipts";
  to: ConsolePath;
  search?: Search;
  figure: string;
  lines: string[];
  isFlowing: boolean;
  isTroubled?: boolean;
}

const shown = (...counts: (Count | undefined)[]) => {
  const known = counts.filter((count) => count !== undefined);
  if (known.length < counts.length) return "…";
  return `${known.reduce((sum, count) => sum + count.value, 0)}${known.some((count) => count.more) ? "+" : ""}`;
};

/** The current flow, from the shopper's order to the goods in stock. */
export function Flow() {
  const { t } = useTranslation("console");
  const stations = useStations();
  const arrowNames = stations.map((station) => station.isFlowing);
  return (
    <div className="flow">
      {(["row", "column"] as const).map((direction) => {
        const layout = flowLayout(stations.length, direction);
        return (
          // biome-ignore lint/a11y/useSemanticElements: an SVG has no fieldset; the group holds links.
          <svg
            key={direction}
            className={`flow-${direction}`}
            viewBox={`0 0 ${layout.width} ${layout.height}`}
            role="group"
            aria-label={t("flow.label")}
          >
            <defs>
              <marker
                id={`tip-${direction}`}
                viewBox="0 0 8 8"
                refX="5"
                refY="4"
                markerWidth="6"
                markerHeight="6"
                orient="auto"
              >
                <path d="M0 0L8 4L0 8z" className="flow-tip" />
              </marker>
            </defs>
            {layout.arrows.map((path, place) => (
              <path
                key={path}
                d={path}
                className={
                  arrowNames[Math.min(place, arrowNames.length - 1)] ? "flow-arrow flow-moving" : "flow-arrow"
                }
                markerEnd={`url(#tip-${direction})`}
              />
            ))}
            {stations.map((station, place) => {
              const box = layout.boxes[place];
              return box && <StationBox key={station.name} station={station} box={box} />;
            })}
          </svg>
        );
      })}
      <p className="soft small">{t("flow.note")}</p>
    </div>
  );
}

function StationBox({
  station,
  box,
}: {
  station: Station;
  box: { x: number; y: number; width: number; height: number };
}) {
  const { t } = useTranslation("console");
  return (
    <To to={station.to} {...(station.search ? { search: station.search } : {})} className="flow-station">
      <rect
        x={box.x}
        y={box.y}
        width={box.width}
        height={box.height}
        rx="10"
        className={station.isTroubled ? "flow-box flow-troubled" : "flow-box"}
      />
      <text x={box.x + 12} y={box.y + 22} className="flow-name">
        {t(`flow.${station.name}`)}
      </text>
      <text x={box.x + 12} y={box.y + 52} className="flow-figure">
        {station.figure}
      </text>
      {station.lines.map((line, place) => (
        <text key={line} x={box.x + 12} y={box.y + 73 + place * 17} className="flow-line">
          {line}
        </text>
      ))}
    </To>
  );
}

function useStations(): Station[] {
  const { t } = useTranslation("console");
  const format = useFormat();
  const now = useNow(1_000);
  const { meter } = useLiveEvents();
  const requested = useRequestCount({ status: "requested" }, "requested");
  const retrying = useRequestCount({ status: "retrying" }, "retrying");
  const accepted = useRequestCount({ status: "accepted" }, "accepted");
  const factories = useFactories();
  const count = (name: Parameters<typeof meter.total>[0]) => meter.total(name, now);
  const perMinute = (value: number) => t("flow.perMinute", { formatted: format.number(value) });

  const oldest = oldestOf(requested.data, retrying.data);
  const waits = {
    loading: ["…"],
    none: [t("flow.none")],
    // The oldest may be on a page that was not fetched, so its age is left out.
    hidden: [],
  };
  const broken = factories.data?.items.filter((factory) => factory.breaker.state !== "closed") ?? [];
  const rejected = count("rejected");
  return [
    {
      name: "orders",
      to: "/orders",
      figure: perMinute(count("ordered")),
      lines: [
        t("flow.rejected", { value: rejected }),
        t("flow.backordered", { value: count("backordered") }),
      ],
      isFlowing: count("ordered") > 0,
    },
    {
      name: "stock",
      to: "/products",
      figure: perMinute(count("changed")),
      lines: [t("flow.changes"), t("flow.arrived", { value: count("receivedUnits") })],
      isFlowing: count("requested") > 0,
    },
    {
      name: "requests",
      to: "/requests",
      figure: t("flow.waiting", { value: shown(requested.data, retrying.data) }),
      lines: [
        ...(typeof oldest === "string"
          ? waits[oldest]
          : [t("flow.oldest", { age: format.duration(Math.max(0, now - oldest.ms)) })]),
        perMinute(count("requested")),
      ],
      isFlowing: count("accepted") > 0,
    },
    {
      name: "factory",
      to: "/factories",
      figure: t("flow.making", { value: shown(accepted.data) }),
      lines: [
        broken[0] ? t("flow.breaker", { factory: broken[0].id }) : t("flow.factoryWell"),
        t("flow.failed", { value: count("failed") }),
      ],
      isFlowing: count("received") > 0,
      isTroubled: broken.length > 0,
    },
    {
      name: "receipts",
      to: "/receipts",
      figure: perMinute(count("received")),
      lines: [t("flow.units", { value: count("receivedUnits") })],
      isFlowing: count("received") > 0,
    },
  ];
}
