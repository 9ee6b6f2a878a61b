import { render, screen } from "@testing-library/react";
import { beforeEach, describe, expect, it } from "vitest";
import { NoAnswerError, ProblemError } from "../api/problem";
import { chooseLanguage, startI18n } from "../i18n";
import { ErrorNotice } from "./ErrorNotice";

const problem = (slug: string) =>
  new ProblemError(
    { type: `/problems/${slug}`, title: "Its title", status: 409, detail: "Its detail.", trace_id: "4bf92f" },
    undefined,
  );

beforeEach(() => {
  startI18n({ namespace: "shop", ko: {}, en: {} });
  chooseLanguage("ko");
});

describe("a notice of an error", () => {
  it("marks the services' own words as English", () => {
    render(<ErrorNotice error={problem("conflict")} />);
    expect(screen.getByText("지금 상태에서는 할 수 없습니다").hasAttribute("lang")).toBe(false);
    expect(screen.getByText("Its detail.").getAttribute("lang")).toBe("en");
  });

  it("has the service's title where there is no translation", () => {
    render(<ErrorNotice error={problem("brand-new")} />);
    expect(screen.getByText("Its title").getAttribute("lang")).toBe("en");
  });

  it("has translated words alone for shoppers, and the trace id", () => {
    render(<ErrorNotice error={problem("brand-new")} showsDetail={false} />);
    expect(screen.getByText("처리하지 못했습니다")).toBeTruthy();
    expect(screen.queryByText(/^Its/)).toBeNull();
    expect(screen.getByText("4bf92f")).toBeTruthy();
  });

  it("says when no answer came", () => {
    render(<ErrorNotice error={new NoAnswerError("cut")} showsDetail={false} />);
    expect(screen.getByText(/^응답이 없습니다/)).toBeTruthy();
  });
});
