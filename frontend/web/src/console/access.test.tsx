import { cleanup, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { OPERATOR, page, problem, renderConsole, VIEWER } from "./test-support";

afterEach(async () => {
  cleanup();
  await new Promise((resolve) => setTimeout(resolve));
  vi.unstubAllGlobals();
});

const at = "2026-11-22T10:00:00Z";
const token = {
  id: "01a2051b-cedc-7700-a805-c2579d04fa51",
  person: "kim",
  name: "nightly report",
  role: "viewer",
  created_at: at,
  expires_at: "2126-11-22T10:00:00Z",
  last_used_at: null,
  revoked_at: null,
  revoked_by: null,
};
const session = {
  id: "01a2051b-cedc-7700-a805-c2579d04fa52",
  person: "lee",
  source: "192.0.2.17",
  created_at: at,
  last_seen_at: at,
  expires_at: "2126-11-22T10:00:00Z",
  ended_at: null,
  ended_by: null,
};

it("shows a new token once, and forgets it when the page is left", async () => {
  const secret = "jaego_pat_shown-only-once";
  const drawn = renderConsole("/tokens", OPERATOR, {
    "GET /access/api/v1/tokens": () => page([token]),
    "POST /access/api/v1/tokens": () => ({ token: secret, ...token }),
    "GET /access/api/v1/sessions": () => page([session]),
  });
  expect(await screen.findByRole("cell", { name: "nightly report" })).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Create token" }));
  const dialog = await screen.findByRole("dialog");
  fireEvent.change(within(dialog).getByLabelText(/Name/), { target: { value: " laptop " } });
  fireEvent.click(within(dialog).getByRole("button", { name: "Create token" }));
  expect(await screen.findByText(secret)).toBeTruthy();
  expect(drawn.of("POST", "/access/api/v1/tokens").map(({ body }) => body)).toEqual([
    { name: "laptop", role: "viewer", expires_in_days: 90 },
  ]);
  fireEvent.click(screen.getByRole("link", { name: "Sessions" }));
  expect(await screen.findByRole("cell", { name: "192.0.2.17" })).toBeTruthy();
  fireEvent.click(screen.getByRole("link", { name: "Access tokens" }));
  expect(await screen.findByRole("cell", { name: "nightly report" })).toBeTruthy();
  expect(screen.queryByText(secret)).toBeNull();
  expect(JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage })).not.toContain(secret);
});

it("offers the identity provider, goes there, and says why nobody was signed in", async () => {
  const assign = vi.fn();
  vi.stubGlobal("location", { ...window.location, href: location.href, search: "?sign-in=no-role", assign });
  const settings = () => ({ console: true, demo: false, provider: "Example", version: "0.1.0" });
  let isAway = true;
  renderConsole("/", null, {
    "GET /settings.json": settings,
    "POST /session/provider": () =>
      isAway
        ? problem(503, "unavailable", "It does not answer.")
        : { url: "https://login.example/authorize" },
  });
  expect((await screen.findByRole("alert")).textContent).toContain("none of your groups");
  const button = screen.getByRole("button", { name: "Sign in with Example" });
  fireEvent.click(button);
  await waitFor(() => expect(screen.getByRole("alert").textContent).toContain("It does not answer."));
  expect(assign).not.toHaveBeenCalled();
  isAway = false;
  fireEvent.click(button);
  await waitFor(() => expect(assign).toHaveBeenCalledWith("https://login.example/authorize"));
  expect(screen.getByLabelText(/Operator token/)).toBeTruthy();
});

it("shows no text of its address, and no provider where there is none", async () => {
  vi.stubGlobal("location", { ...window.location, href: location.href, search: "?sign-in=made-up" });
  renderConsole("/", null, {
    "GET /settings.json": () => ({ console: true, demo: false, provider: "Example", version: "0.1.0" }),
  });
  expect(await screen.findByRole("button", { name: "Sign in with Example" })).toBeTruthy();
  expect(screen.queryByRole("alert")).toBeNull();
  cleanup();
  renderConsole("/", null);
  expect(await screen.findByRole("button", { name: "Sign in" })).toBeTruthy();
  expect(screen.queryByRole("button", { name: /Example/ })).toBeNull();
});

it("ends one session with a reason, and shows a viewer no such button", async () => {
  const sessions = { "GET /access/api/v1/sessions": () => page([session]) };
  const drawn = renderConsole("/sessions", OPERATOR, {
    ...sessions,
    [`POST /access/api/v1/sessions/${session.id}/end`]: () => ({ ...session, ended_at: at, ended_by: "kim" }),
  });
  fireEvent.click(await screen.findByRole("button", { name: "End a session of lee" }));
  const dialog = await screen.findByRole("alertdialog");
  fireEvent.change(within(dialog).getByLabelText(/Reason/), { target: { value: "left open" } });
  fireEvent.click(within(dialog).getByRole("button", { name: "End" }));
  await waitFor(() =>
    expect(drawn.of("POST", `/access/api/v1/sessions/${session.id}/end`).map(({ body }) => body)).toEqual([
      { reason: "left open" },
    ]),
  );
  cleanup();
  renderConsole("/sessions", VIEWER, sessions);
  expect(await screen.findByRole("cell", { name: "192.0.2.17" })).toBeTruthy();
  expect(screen.queryByRole("button", { name: /End/ })).toBeNull();
});
