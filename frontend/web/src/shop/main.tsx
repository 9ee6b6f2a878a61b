import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startI18n } from "../common/i18n";
import { makeQueryClient } from "../common/query";
import { CrashBoundary } from "../common/ui/Crash";
import { checkout } from "./checkout/checkout";
import { productsQuery } from "./data";
import en from "./i18n/en.json";
import ko from "./i18n/ko.json";
import { makeRouter } from "./router";
import "../common/styles/base.css";
import "./shop.css";

startI18n({ namespace: "shop", ko, en });
const client = makeQueryClient();
const router = makeRouter();
// Requested before the first render, because the page waits for it.
if (location.pathname === "/") void client.prefetchInfiniteQuery(productsQuery);
checkout.start();

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <CrashBoundary>
        <QueryClientProvider client={client}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CrashBoundary>
    </StrictMode>,
  );
}
