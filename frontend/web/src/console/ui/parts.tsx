/** Small components that many pages of the console share. */
import { type FormEvent, type ReactNode, useEffect, useId, useState } from "react";
import { useTranslation } from "react-i18next";
import { Badge, type Tone } from "../../common/ui/Badge";
import { Button } from "../../common/ui/Button";
import { Skeleton } from "../../common/ui/Skeleton";
import type { Count } from "../logic/paging";
import { useWords } from "../words";
import { To } from "./To";

/** Heading of a page, with its introduction and actions. */
export function PageHead(props: { title: ReactNode; intro?: ReactNode; children?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1>{props.title}</h1>
        {props.intro && <p className="soft">{props.intro}</p>}
      </div>
      {props.children && <div className="row">{props.children}</div>}
    </header>
  );
}

/** A section with a heading. Not a landmark, because the table or form in it may be one. */
export function Section(props: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <section className="section">
      <div className="section-head">
        <h2>{props.title}</h2>
        {props.actions && <div className="row">{props.actions}</div>}
      </div>
      {props.children}
    </section>
  );
}

export function Facts({ facts }: { facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Shortens a long id to its beginning and end; the tooltip shows all of it. */
export function ShortId({ id }: { id: string }) {
  return <code title={id}>{id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id}</code>;
}

/** Link to the timeline of an order or a request. */
export function TimelineLink(props: { order: string } | { request: string }) {
  const { t } = useTranslation("console");
  const id = "order" in props ? props.order : props.request;
  return (
    <To to="/timeline" search={{ ...props }} aria-label={t("timeline.linkLabel", { id })}>
      {t("timeline.link")}
    </To>
  );
}

const TONES: Record<string, Tone> = {
  confirmed: "good",
  complete: "good",
  received: "good",
  accepted: "info",
  open: "info",
  requested: "info",
  sending: "info",
  proposed: "warn",
  waiting: "warn",
  redriving: "info",
  processed: "good",
  backordered: "warn",
  partly_received: "warn",
  retrying: "warn",
  stalled: "bad",
  dead_lettered: "bad",
  refused: "bad",
  rejected: "bad",
  closed: "good",
  half_open: "warn",
};

/** A status as a badge; `group` selects the translations. */
export function Status({ group, value, tone }: { group: string; value: string; tone?: Tone }) {
  const words = useWords();
  return <Badge tone={tone ?? TONES[value] ?? "neutral"}>{words(group, value)}</Badge>;
}

/** A count, with "+" when there are more than one page holds. */
export function CountText({ count }: { count: Count | undefined }) {
  return count === undefined ? <Skeleton size="word" /> : `${count.value}${count.more ? "+" : ""}`;
}

/** The filters of a list; `label` distinguishes them when a page has several. */
export function Filters({ label, children }: { label?: string; children: ReactNode }) {
  const { t } = useTranslation("console");
  return (
    <search className="filters" aria-label={label ?? t("filter.label")}>
      {children}
    </search>
  );
}

interface FilterSelectProps {
  label: string;
  group: string;
  value: string | undefined;
  options: readonly string[];
  onChange(value: string | undefined): void;
  /** Text of the option that selects nothing. */
  all?: string;
}

/** A filter with fixed options. It uses a native select, which is fast and familiar on every device. */
export function FilterSelect({ label, group, value, options, onChange, all }: FilterSelectProps) {
  const { t } = useTranslation("console");
  const words = useWords();
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        className="native-select"
        value={value ?? ""}
        onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.value)}
      >
        <option value="">{all ?? t("filter.all")}</option>
        {options.map((option) => (
          <option key={option} value={option}>
            {words(group, option)}
          </option>
        ))}
      </select>
    </div>
  );
}

/** A text filter that applies when it is confirmed, not on each keystroke. */
export function FilterText(props: {
  label: string;
  value: string | undefined;
  onChange(value: string | undefined): void;
}) {
  const { t } = useTranslation("console");
  const [text, setText] = useState(props.value ?? "");
  const id = useId();
  useEffect(() => setText(props.value ?? ""), [props.value]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onChange(text.trim() || undefined);
  };
  return (
    <form className="field" onSubmit={submit}>
      <label htmlFor={id}>{props.label}</label>
      <div className="joined">
        <input id={id} value={text} onChange={(event) => setText(event.target.value)} />
        <Button type="submit" size="small" aria-label={t("filter.applyLabel", { label: props.label })}>
          {t("filter.apply")}
        </Button>
      </div>
    </form>
  );
}

/** A JSON value, or text that may be JSON, formatted for reading. */
export function Json({ value, label }: { value: unknown; label: string }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms, and one landmark per response is too many.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard.
    <div role="group" className="json" aria-label={label} tabIndex={0}>
      <pre>{readable(value)}</pre>
    </div>
  );
}

export function readable(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value;
  }
}
