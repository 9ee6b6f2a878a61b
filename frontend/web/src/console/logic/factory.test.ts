import { expect, it } from "vitest";
import { factoryFaults, factoryOfForm, formOfFactory, NEW_FACTORY } from "./factory";

const factory = {
  id: "FF-500293",
  name: "부산도너츠 공장",
  base_url: "https://factory.example",
  requester: "재고담당",
  enabled: true,
  timeout_ms: 5000,
  max_in_flight: 8,
  rate_per_s: 2.5,
  lead_time_s: 60,
  overdue_factor: 2,
  fallback_factory_id: "FF-500294",
  retry_schedule: [1, 0.5, 120],
  callback_sources: ["203.0.113.0/24"],
  breaker: { state: "closed", failures_in_a_row: 0 },
  revision: 7,
};

it("gives back what a factory has", () => {
  const { id: _, breaker: _breaker, revision: _revision, ...settings } = factory;
  expect(factoryOfForm(formOfFactory(factory))).toEqual(settings);
  expect(factoryFaults(formOfFactory(factory))).toEqual([]);
});

it("takes nothing for no limit, no fallback and the service's own schedule", () => {
  const form = {
    ...formOfFactory(factory),
    rate_per_s: " ",
    fallback_factory_id: "",
    retry_schedule: "",
    callback_sources: "",
  };
  expect(factoryFaults(form)).toEqual([]);
  expect(factoryOfForm(form)).toMatchObject({
    rate_per_s: null,
    fallback_factory_id: null,
    retry_schedule: null,
    callback_sources: [],
  });
});

it("names what cannot work", () => {
  expect(factoryFaults(NEW_FACTORY)).toEqual(["name", "base_url"]);
  const form = {
    ...formOfFactory(factory),
    base_url: "ftp://factory.example",
    timeout_ms: "99",
    max_in_flight: "1.5",
    rate_per_s: "-1",
    lead_time_s: "",
    overdue_factor: "0.5",
    fallback_factory_id: "a b",
    retry_schedule: "1, x",
  };
  expect(factoryFaults(form)).toEqual([
    "base_url",
    "timeout_ms",
    "max_in_flight",
    "rate_per_s",
    "lead_time_s",
    "overdue_factor",
    "fallback_factory_id",
    "retry_schedule",
  ]);
});
