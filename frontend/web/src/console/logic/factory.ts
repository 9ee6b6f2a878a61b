/** The settings of a factory as a form. */
import type { ProductionComponents } from "../../common/api";

type Factory = ProductionComponents["schemas"]["FactoryBody"];
export type FactoryInput = ProductionComponents["schemas"]["FactoryInput"];

/** Text fields; lists are comma-separated. */
export const FACTORY_FIELDS = [
  "name",
  "base_url",
  "requester",
  "timeout_ms",
  "max_in_flight",
  "rate_per_s",
  "lead_time_s",
  "overdue_factor",
  "fallback_factory_id",
  "retry_schedule",
  "callback_sources",
] as const;
export type FactoryField = (typeof FACTORY_FIELDS)[number];
export type FactoryForm = Record<FactoryField, string> & { enabled: boolean };

export const NEW_FACTORY: FactoryForm = {
  name: "",
  base_url: "",
  requester: "재고담당",
  enabled: true,
  timeout_ms: "5000",
  max_in_flight: "8",
  rate_per_s: "",
  lead_time_s: "60",
  overdue_factor: "2",
  fallback_factory_id: "",
  retry_schedule: "",
  callback_sources: "",
};

export function formOfFactory(factory: Factory): FactoryForm {
  return {
    name: factory.name,
    base_url: factory.base_url,
    requester: factory.requester,
    enabled: factory.enabled,
    timeout_ms: String(factory.timeout_ms),
    max_in_flight: String(factory.max_in_flight),
    rate_per_s: factory.rate_per_s == null ? "" : String(factory.rate_per_s),
    lead_time_s: String(factory.lead_time_s),
    overdue_factor: String(factory.overdue_factor),
    fallback_factory_id: factory.fallback_factory_id ?? "",
    retry_schedule: factory.retry_schedule.join(", "),
    callback_sources: factory.callback_sources.join(", "),
  };
}

/** Minimum, maximum, and whether the value must be an integer; the same bounds as in the service. */
const BOUNDS = {
  timeout_ms: [100, 120_000, true],
  max_in_flight: [1, 1_000, true],
  rate_per_s: [0, 10_000, false],
  lead_time_s: [1, 31_536_000, true],
  overdue_factor: [1, 100, false],
} as const satisfies Partial<Record<FactoryField, readonly [number, number, boolean]>>;

const CODE = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;

const members = (text: string) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function isWithin(field: keyof typeof BOUNDS, text: string): boolean {
  const [least, most, isWhole] = BOUNDS[field];
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return value >= least && value <= most && (!isWhole || Number.isInteger(value));
}

/** The invalid fields. Checks that only the service can make (is the address allowed?) are left to it. */
export function factoryFaults(form: FactoryForm): FactoryField[] {
  const faults: FactoryField[] = [];
  if (form.name.trim() === "") faults.push("name");
  if (!/^https?:\/\/[^\s/?#]+/i.test(form.base_url.trim())) faults.push("base_url");
  for (const field of Object.keys(BOUNDS) as (keyof typeof BOUNDS)[]) {
    const isLeftOut = field === "rate_per_s" && form.rate_per_s.trim() === "";
    if (!isLeftOut && !isWithin(field, form[field])) faults.push(field);
  }
  const fallback = form.fallback_factory_id.trim();
  if (fallback !== "" && !CODE.test(fallback)) faults.push("fallback_factory_id");
  if (members(form.retry_schedule).some((wait) => !(Number(wait) >= 0))) faults.push("retry_schedule");
  return faults;
}

/** The body of a PUT, from a valid form. An empty schedule selects the service's default. */
export function factoryOfForm(form: FactoryForm): FactoryInput {
  const schedule = members(form.retry_schedule).map(Number);
  return {
    name: form.name.trim(),
    base_url: form.base_url.trim(),
    requester: form.requester,
    enabled: form.enabled,
    timeout_ms: Number(form.timeout_ms),
    max_in_flight: Number(form.max_in_flight),
    rate_per_s: form.rate_per_s.trim() === "" ? null : Number(form.rate_per_s),
    lead_time_s: Number(form.lead_time_s),
    overdue_factor: Number(form.overdue_factor),
    fallback_factory_id: form.fallback_factory_id.trim() || null,
    retry_schedule: schedule.length === 0 ? null : schedule,
    callback_sources: members(form.callback_sources),
  };
}
