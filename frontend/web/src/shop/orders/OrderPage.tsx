import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { ProblemError } from "../../common/api/problem";
import { useFormat } from "../../common/format";
import { useNow } from "../../common/now";
import { announce } from "../../common/ui/Announcer";
import { ErrorNotice } from "../../common/ui/ErrorNotice";
import { Notice } from "../../common/ui/Notice";
import { Skeleton } from "../../common/ui/Skeleton";
import { Time } from "../../common/ui/Time";
import type { Order } from "../checkout/submission";
import { lookAgain, orderQuery } from "../data";
import { useLiveState } from "../live";
import { useTitle } from "../title";
import { OrderLines } from "./OrderLines";
import { noteStatus } from "./own-orders";
import { type Progress, progressOf } from "./progress";
import { Steps } from "./Steps";

/** One order, from ordered to fulfilled, updated live. */
export function OrderPage({ id }: { id: string }) {
  const { t } = useTranslation("shop");
  const live = useLiveState();
  const query = useQuery({ ...orderQuery(id), refetchInterval: lookAgain(live) });
  const order = query.data;
  useTitle(t("order.title", { number: shortNumber(id) }));
  useEffect(() => {
    if (order) noteStatus(order);
  }, [order]);

  const { error } = query;
  const isUnknown = error instanceof ProblemError && error.isOurs && [400, 404].includes(error.status);
  return (
    <>
      <h1>{t("order.title", { number: shortNumber(id) })}</h1>
      {isUnknown && <Notice tone="warn" title={t("order.unknown")} />}
      {query.isError && !isUnknown && !order && (
        <ErrorNotice error={error} showsDetail={false} onRetry={() => void query.refetch()} />
      )}
      {query.isPending && <OrderSkeleton />}
      {order && <OrderView order={order} />}
      <p>
        <Link to="/">{t("order.goShopping")}</Link>
      </p>
    </>
  );
}

/** The end of the id, which is enough for shoppers to distinguish their orders. */
export function shortNumber(id: string): string {
  return id.slice(-8).toUpperCase();
}

function OrderView({ order }: { order: Order }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const progress = progressOf(order);
  useAnnouncedProgress(progress);
  return (
    <>
      <section className="order-head" aria-label={t("order.state")} data-stage={progress.stage}>
        <p className="order-stage">{t(`order.stage.${progress.stage}`)}</p>
        <p className="order-detail">
          <Expectation progress={progress} />
        </p>
        <Steps progress={progress} />
      </section>
      <OrderLines order={order} />
      <dl className="facts">
        <dt>{t("order.total")}</dt>
        <dd>{format.money(order.total)}</dd>
        <dt>{t("order.placedAt")}</dt>
        <dd>
          <Time at={order.created_at} />
        </dd>
        <dt>{t("order.number")}</dt>
        <dd>
          <code>{order.id}</code>
        </dd>
      </dl>
    </>
  );
}

function Expectation({ progress }: { progress: Progress }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const now = useNow(5_000);
  if (progress.stage !== "waiting") return <>{t(`order.text.${progress.stage}`)}</>;
  if (!progress.eta) return <>{t("order.text.waitingUnknown")}</>;
  const time = format.expected(progress.eta, now);
  return <>{time ? t("order.text.waitingAround", { time }) : t("order.text.waitingSoon")}</>;
}

function useAnnouncedProgress({ stage, filled, ordered }: Progress): void {
  const { t } = useTranslation("shop");
  const before = useRef({ stage, filled });
  useEffect(() => {
    const was = before.current;
    before.current = { stage, filled };
    if (was.stage !== stage) announce(t(`order.stage.${stage}`));
    else if (was.filled !== filled) announce(t("order.saidFilled", { filled, ordered }));
  }, [stage, filled, ordered, t]);
}

function OrderSkeleton() {
  return (
    <div aria-busy="true">
      <Skeleton size="block" />
      <p>
        <Skeleton size="line" />
      </p>
    </div>
  );
}
