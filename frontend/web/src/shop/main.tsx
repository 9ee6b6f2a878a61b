import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startI18n } from "../common/i18n";
import { makeQueryClient } from "../common/query";
import { CrashBoundary } from "../common/ui/Crash";
import en from "./i18n/en.json";
import ko from "./i18n/ko.json";
import { router } from "./router";
import "../common/styles/base.css";

startI18n({ namespace: "shop", ko, en });

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <CrashBoundary>
        <QueryClientProvider client={makeQueryClient()}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CrashBoundary>
    </StrictMode>,
  );
}
