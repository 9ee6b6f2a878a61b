import { createRootRoute, createRoute, createRouter, Outlet } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { Announcer } from "../common/ui/Announcer";
import { LanguageSwitch } from "../common/ui/LanguageSwitch";
import { ToastRegion } from "../common/ui/Toast";

function Shell() {
  const { t } = useTranslation();
  return (
    <>
      <a className="skip-link" href="#main">
        {t("skip")}
      </a>
      <header>
        <LanguageSwitch />
      </header>
      <main id="main" className="page" tabIndex={-1}>
        <Outlet />
      </main>
      <Announcer />
      <ToastRegion />
    </>
  );
}

function Home() {
  const { t } = useTranslation("shop");
  return <h1>{t("title")}</h1>;
}

const rootRoute = createRootRoute({ component: Shell });
const home = createRoute({ getParentRoute: () => rootRoute, path: "/", component: Home });

export const router = createRouter({ routeTree: rootRoute.addChildren([home]) });
