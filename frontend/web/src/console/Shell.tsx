import { Outlet, useLocation } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Announcer } from "../common/ui/Announcer";
import { Badge } from "../common/ui/Badge";
import { Button } from "../common/ui/Button";
import { ErrorNotice } from "../common/ui/ErrorNotice";
import { LanguageSwitch } from "../common/ui/LanguageSwitch";
import { Skeleton } from "../common/ui/Skeleton";
import { ToastRegion } from "../common/ui/Toast";
import { LiveProvider, useLiveEvents } from "./live";
import { SignIn } from "./SignIn";
import { type Operator, useSession, useSessionWatch, useSettings, useSignOut } from "./session";
import { type ConsolePath, To } from "./ui/To";

const NAVIGATION = [
  [
    "watch",
    [
      ["/", "overview"],
      ["/timeline", "timeline"],
    ],
  ],
  [
    "goods",
    [
      ["/products", "products"],
      ["/orders", "orders"],
      ["/replenishments", "replenishments"],
    ],
  ],
  [
    "making",
    [
      ["/requests", "requests"],
      ["/factories", "factories"],
    ],
  ],
  [
    "arriving",
    [
      ["/receipts", "receipts"],
      ["/quarantine", "quarantine"],
    ],
  ],
  [
    "care",
    [
      ["/dead-letters", "deadLetters"],
      ["/audit", "audit"],
      ["/audit-log", "auditLog"],
    ],
  ],
  [
    "access",
    [
      ["/tokens", "tokens"],
      ["/sessions", "sessions"],
    ],
  ],
] as const satisfies readonly (readonly [string, readonly (readonly [ConsolePath, string])[]])[];

/** Frame of every page, with the navigation and the signed-in operator; without a session, the sign-in form. */
export function Shell() {
  const { t } = useTranslation();
  const session = useSession();
  useSessionWatch();
  const operator = session.data?.operator;
  return (
    <>
      <a className="skip-link" href="#main">
        {t("skip")}
      </a>
      {operator ? (
        <LiveProvider>
          <SignedIn operator={operator} />
        </LiveProvider>
      ) : (
        <>
          <header className="top">
            <Brand />
            <LanguageSwitch />
          </header>
          <main id="main" className="page" tabIndex={-1}>
            {session.error && <ErrorNotice error={session.error} onRetry={() => void session.refetch()} />}
            {session.isPending && <Skeleton size="block" />}
            {session.data && <SignIn />}
          </main>
        </>
      )}
      <Announcer />
      <ToastRegion />
    </>
  );
}

function Brand() {
  const { t } = useTranslation("console");
  return (
    <To to="/" className="brand">
      {t("title")}
    </To>
  );
}

function SignedIn({ operator }: { operator: Operator }) {
  const { t } = useTranslation("console");
  const { state } = useLiveEvents();
  const { t: common } = useTranslation();
  const signOut = useSignOut();
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const last = useRef(pathname);
  // After navigation, scroll to the top and move the focus there, for keyboard and screen reader users.
  useEffect(() => {
    if (last.current === pathname) return;
    last.current = pathname;
    main.current?.focus();
    scrollTo(0, 0);
  }, [pathname]);
  return (
    <div className="frame">
      <header className="top">
        <Brand />
        <span className="row">
          <Badge tone={state === "online" ? "good" : "warn"}>{common(`live.${state}`)}</Badge>
          <span>{operator.name}</span>
          <Badge tone={operator.role === "operator" ? "info" : "neutral"}>{t(`role.${operator.role}`)}</Badge>
          <LanguageSwitch />
          <Button size="small" variant="quiet" onPress={() => signOut.mutate()}>
            {t("signOut")}
          </Button>
        </span>
      </header>
      <Navigation />
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

function Navigation() {
  const { t } = useTranslation("console");
  const settings = useSettings();
  return (
    <nav className="navigation" aria-label={t("nav.label")}>
      {NAVIGATION.map(([group, pages]) => (
        <ul key={group} aria-label={t(`nav.${group}`)}>
          {pages.map(([path, name]) => (
            <li key={path}>
              <To to={path}>{t(`nav.${name}`)}</To>
            </li>
          ))}
        </ul>
      ))}
      {settings.data?.demo && (
        <ul aria-label={t("nav.try")}>
          <li>
            <To to="/demo">{t("nav.demo")}</To>
          </li>
        </ul>
      )}
    </nav>
  );
}
