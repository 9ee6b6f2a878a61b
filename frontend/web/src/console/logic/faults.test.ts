import { expect, it } from "vitest";
import { type Faults, faultsOfForm, faultTroubles, formOfFaults, PRESETS } from "./faults";

const good = formOfFaults({});

it("gives back every ready-made trouble", () => {
  for (const [name, preset] of Object.entries(PRESETS)) {
    const form = formOfFaults(preset);
    expect(faultTroubles(form), name).toEqual([]);
    const { split, ...rest } = preset as Faults;
    expect(faultsOfForm(form, {}), name).toMatchObject(rest);
    if (split) expect(faultsOfForm(form, {}).split?.parts, name).toBe(split.parts);
  }
});

it("keeps what the form does not show, and means a good day when it is empty", () => {
  const faults = faultsOfForm(good, {
    callback_via: "http://restock:8281",
    leave_out: ["MessageAttributeFactoryId"],
  });
  expect(faults).toMatchObject({
    callback_via: "http://restock:8281",
    leave_out: ["MessageAttributeFactoryId"],
    refuse_status: null,
    delay_ms: 0,
    stage_ms: null,
    split: null,
    drop_connection: null,
    never_call_back: false,
  });
});

it("drops Retry-After with the refusal it belongs to", () => {
  expect(faultsOfForm(good, { retry_after: "7" }).retry_after).toBeNull();
  expect(faultsOfForm({ ...good, refuse_status: "503" }, { retry_after: "7" }).retry_after).toBe("7");
});

it("refuses what the simulator refuses", () => {
  expect(faultTroubles({ ...good, refuse_status: "201" })).toEqual(["refuse_status"]);
  expect(faultTroubles({ ...good, delay_ms: "1.5", split_parts: "1", for_next: "0" })).toEqual([
    "delay_ms",
    "split_parts",
    "for_next",
  ]);
  expect(faultTroubles({ ...good, refuse_status: "500", drop_connection: "before_accepting" })).toEqual([
    "refuse_and_drop",
  ]);
  expect(faultTroubles({ ...good, never_call_back: true, callback_twice: true })).toEqual([
    "silent_and_loud",
  ]);
});
