import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { type Language, useLanguage } from "../../common/i18n";

const HEIGHT = 260;

export interface ChartSeries {
  label: string;
  /** A CSS custom property, such as `--accent`. */
  color: string;
  kind: "steps" | "dashes" | "points";
}

export interface ChartProps {
  /** Description of the chart for screen readers, one sentence. */
  label: string;
  /** Seconds since 1970, ascending. */
  at: readonly number[];
  series: readonly ChartSeries[];
  /** One list per series. */
  values: readonly (readonly (number | null)[])[];
  /** Label of the time in the legend. */
  timeLabel: string;
  formatValue(value: number): string;
}

/** Values over time. The chart is redrawn completely on each change; it has a few thousand points at most. */
export function Chart({ label, timeLabel, at, series, values, formatValue }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const language = useLanguage();
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--text-soft"),
      grid: { stroke: color("--line") },
      ticks: { stroke: color("--line") },
    };
    const time = new Intl.DateTimeFormat(language, {
      dateStyle: "short",
      timeStyle: "medium",
      hourCycle: "h23",
    });
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(1, high * 1.05)] } },
        axes: [
          { ...axis, values: (_, ticks, _axis, _space, step) => ticks.map(timeTick(step, language)) },
          { ...axis, size: 64, values: (_, ticks) => ticks.map(formatValue) },
        ],
        series: [
          { label: timeLabel, value: (_, second) => (second == null ? "" : time.format(second * 1000)) },
          ...series.map((each) => lineOf(each, color(each.color), formatValue)),
        ],
      },
      [at, ...values] as unknown as uPlot.AlignedData,
      element,
    );
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.destroy();
    };
  }, [at, series, values, formatValue, language, timeLabel]);
  return (
    <figure className="chart">
      <div ref={place} className="chart-place" />
      <figcaption className="soft small">{label}</figcaption>
    </figure>
  );
}

/** Formats a time on the axis, with the precision that the tick distance requires. */
function timeTick(stepS: number, language: Language): (second: number) => string {
  const day: Intl.DateTimeFormatOptions = { month: "numeric", day: "numeric" };
  const minute: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const options =
    stepS >= 86_400
      ? day
      : stepS >= 3_600
        ? { ...day, ...minute }
        : stepS >= 60
          ? minute
          : { ...minute, second: "2-digit" as const };
  const format = new Intl.DateTimeFormat(language, options);
  return (second) => format.format(second * 1000);
}

function lineOf(series: ChartSeries, stroke: string, formatValue: (value: number) => string): uPlot.Series {
  const { label, kind } = series;
  const line: uPlot.Series = {
    label,
    stroke,
    width: 2,
    value: (_, value) => (value == null ? "" : formatValue(value)),
  };
  const steps = uPlot.paths.stepped?.({ align: 1 });
  if (kind === "points") return { ...line, paths: () => null, points: { show: true, size: 6, fill: stroke } };
  if (kind === "dashes") return { ...line, width: 1, dash: [6, 4], points: { show: false } };
  return { ...line, ...(steps ? { paths: steps } : {}), points: { show: false } };
}
