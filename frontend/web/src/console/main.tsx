import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startI18n } from "../common/i18n";
import { makeQueryClient } from "../common/query";
import { CrashBoundary } from "../common/ui/Crash";
import { LocaleProvider } from "../common/ui/LocaleProvider";
import en from "./i18n/en.json";
import ko from "./i18n/ko.json";
import { makeRouter } from "./router";
import "../common/styles/base.css";
import "./console.css";

startI18n({ namespace: "console", ko, en });
const client = makeQueryClient();
const router = makeRouter();

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <LocaleProvider>
        <CrashBoundary>
          <QueryClientProvider client={client}>
            <RouterProvider router={router} />
          </QueryClientProvider>
        </CrashBoundary>
      </LocaleProvider>
    </StrictMode>,
  );
}
