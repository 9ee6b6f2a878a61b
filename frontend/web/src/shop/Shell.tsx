import { Link, Outlet, useParams, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { useOnline } from "../common/online";
import { Announcer } from "../common/ui/Announcer";
import { LanguageSwitch } from "../common/ui/LanguageSwitch";
import { clearToasts, ToastRegion } from "../common/ui/Toast";
import { keptCart, units } from "./cart/cart";
import { checkout } from "./checkout/checkout";
import { useSubmission } from "./checkout/useSubmission";
import { useKept } from "./kept";
import { LiveProvider, useLiveState } from "./live";

/** Frame of every page of the shop. */
export function Shell() {
  const { t } = useTranslation(["shop", "common"]);
  const { id } = useParams({ strict: false }) as { id?: string };
  const main = useFocusAfterNavigation();
  return (
    <LiveProvider shownOrder={id}>
      <a className="skip-link" href="#main">
        {t("common:skip")}
      </a>
      <Header />
      <main id="main" className="page" tabIndex={-1} ref={main}>
        <Outlet />
      </main>
      <Footer />
      <StatusBar />
      <Announcer />
      <ToastRegion />
    </LiveProvider>
  );
}

function Header() {
  const { t } = useTranslation("shop");
  const count = units(useKept(keptCart));
  return (
    <header className="shop-header">
      <div className="shop-header-inner">
        <Link to="/" className="brand" activeOptions={{ exact: true }}>
          <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <circle cx="16" cy="16" r="9.5" fill="none" stroke="#d9a05b" strokeWidth="10" />
            <circle cx="16" cy="16" r="9.5" fill="none" stroke="#d6336c" strokeWidth="7" />
          </svg>
          <span className="brand-name">{t("title")}</span>
        </Link>
        <nav aria-label={t("nav.label")}>
          <Link to="/orders" activeOptions={{ exact: true }}>
            {t("nav.orders")}
          </Link>
          <Link to="/cart">
            {t("nav.cart")}{" "}
            <span className="cart-count">
              {count}
              <span className="visually-hidden"> {t("nav.units", { count })}</span>
            </span>
          </Link>
          <LanguageSwitch />
        </nav>
      </div>
    </header>
  );
}

function Footer() {
  const { t } = useTranslation(["shop", "common"]);
  const live = useLiveState();
  return (
    <footer className="shop-footer" data-live={live}>
      {t(`common:live.${live}`)}
    </footer>
  );
}

/** Messages for the whole shop: no network, or an order that was placed on another page and its result. */
function StatusBar() {
  const { t } = useTranslation("shop");
  const isOnline = useOnline();
  const submission = useSubmission();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const isElsewhere = path !== "/cart" && submission.name !== "idle";
  return (
    <div className="status-bar" role="status">
      {!isOnline && <p>{t("status.offline")}</p>}
      {isElsewhere && submission.name === "placed" && (
        <p>
          {t("status.placed")}{" "}
          <Link to="/orders/$id" params={{ id: submission.order.id }} onClick={() => checkout.leave()}>
            {t("status.see")}
          </Link>
        </p>
      )}
      {isElsewhere && submission.name !== "placed" && (
        <p>
          {t(
            submission.name === "sending" || submission.name === "waiting"
              ? "status.pending"
              : "status.refused",
          )}{" "}
          <Link to="/cart">{t("status.toCart")}</Link>
        </p>
      )}
    </div>
  );
}

/** Moves scroll position and focus to the top after navigation; the browser does so for the first page. */
function useFocusAfterNavigation() {
  const main = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const last = useRef(path);
  useEffect(() => {
    if (last.current === path) return;
    last.current = path;
    clearToasts();
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [path]);
  return main;
}
