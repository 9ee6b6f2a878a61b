/** Faults of the simulated factory: the form, and the body of `PUT /demo/faults`. */

export interface Faults {
  refuse_status?: number | null;
  retry_after?: string | null;
  delay_ms?: number;
  drop_connection?: "before_accepting" | "after_accepting" | null;
  never_call_back?: boolean;
  callback_twice?: boolean;
  split?: { parts: number; delivery_ids: boolean } | null;
  deliver_extra?: number;
  count_as_number?: boolean;
  count_under_order_stock_cnt?: boolean;
  leave_out?: string[];
  with_delivery_id?: boolean;
  stage_ms?: number | null;
  callback_via?: string | null;
  for_next?: number | null;
  for_ms?: number | null;
}

export const NUMBERS = [
  "refuse_status",
  "delay_ms",
  "stage_ms",
  "deliver_extra",
  "split_parts",
  "for_next",
] as const;
export const SWITCHES = [
  "never_call_back",
  "callback_twice",
  "with_delivery_id",
  "count_as_number",
  "count_under_order_stock_cnt",
] as const;
export type NumberField = (typeof NUMBERS)[number];
export type SwitchField = (typeof SWITCHES)[number];

export type FaultForm = Record<NumberField, string> &
  Record<SwitchField, boolean> & { drop_connection: "" | "before_accepting" | "after_accepting" };

/** Bounds of each number; the same as in the simulator. */
export const BOUNDS: Record<NumberField, readonly [number, number]> = {
  refuse_status: [300, 599],
  delay_ms: [0, 600_000],
  stage_ms: [0, 3_600_000],
  deliver_extra: [0, 1_000_000],
  split_parts: [2, 1_000],
  for_next: [1, 1_000_000],
};

const shown = (value: number | null | undefined) => (value == null || value === 0 ? "" : String(value));

export function formOfFaults(faults: Faults): FaultForm {
  return {
    refuse_status: shown(faults.refuse_status),
    delay_ms: shown(faults.delay_ms),
    // 0 is a valid stage time; an empty field selects the simulator's default.
    stage_ms: faults.stage_ms == null ? "" : String(faults.stage_ms),
    deliver_extra: shown(faults.deliver_extra),
    split_parts: shown(faults.split?.parts),
    for_next: shown(faults.for_next),
    never_call_back: faults.never_call_back ?? false,
    callback_twice: faults.callback_twice ?? false,
    with_delivery_id: faults.with_delivery_id ?? false,
    count_as_number: faults.count_as_number ?? false,
    count_under_order_stock_cnt: faults.count_under_order_stock_cnt ?? false,
    drop_connection: faults.drop_connection ?? "",
  };
}

export type FaultTrouble = NumberField | "refuse_and_drop" | "silent_and_loud";

/** Invalid fields and invalid combinations. */
export function faultTroubles(form: FaultForm): FaultTrouble[] {
  const troubles: FaultTrouble[] = NUMBERS.filter((field) => {
    const text = form[field].trim();
    const [least, most] = BOUNDS[field];
    return text !== "" && !(/^\d+$/.test(text) && Number(text) >= least && Number(text) <= most);
  });
  if (form.refuse_status.trim() !== "" && form.drop_connection !== "") troubles.push("refuse_and_drop");
  if (form.never_call_back && (form.callback_twice || form.split_parts.trim() !== ""))
    troubles.push("silent_and_loud");
  return troubles;
}

/** The complete set of faults; settings that the form does not show keep their values from `kept`. */
export function faultsOfForm(form: FaultForm, kept: Faults): Faults {
  const number = (text: string) => (text.trim() === "" ? null : Number(text));
  const parts = number(form.split_parts);
  const refuse = number(form.refuse_status);
  return {
    ...kept,
    refuse_status: refuse,
    retry_after: refuse === null ? null : (kept.retry_after ?? null),
    delay_ms: number(form.delay_ms) ?? 0,
    stage_ms: number(form.stage_ms),
    deliver_extra: number(form.deliver_extra) ?? 0,
    split: parts === null ? null : { parts, delivery_ids: form.with_delivery_id },
    for_next: number(form.for_next),
    for_ms: null,
    drop_connection: form.drop_connection === "" ? null : form.drop_connection,
    never_call_back: form.never_call_back,
    callback_twice: form.callback_twice,
    with_delivery_id: form.with_delivery_id,
    count_as_number: form.count_as_number,
    count_under_order_stock_cnt: form.count_under_order_stock_cnt,
  };
}

/** Ready-made faults for the demo. */
export const PRESETS = {
  fail: { refuse_status: 503 },
  slow: { delay_ms: 8_000 },
  forget: { never_call_back: true },
  double: { callback_twice: true },
  extra: { deliver_extra: 5 },
  parts: { split: { parts: 3, delivery_ids: true } },
} as const satisfies Record<string, Faults>;
export type Preset = keyof typeof PRESETS;
