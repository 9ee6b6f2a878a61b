import { useQueries } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ProblemError } from "../../common/api/problem";
import { useFormat } from "../../common/format";
import { useNow } from "../../common/now";
import { Button } from "../../common/ui/Button";
import { ErrorNotice } from "../../common/ui/ErrorNotice";
import { Notice } from "../../common/ui/Notice";
import { add, keptCart, without } from "../cart/cart";
import { productQuery } from "../data";
import { cartOf, checkout } from "./checkout";
import {
  asBackorder,
  mayWait,
  type OrderBody,
  type ShortLine,
  type Submission,
  whatIsLeft,
} from "./submission";

/** The state of the submitted order, as far as it is known, and the shopper's options. */
export function Outcome({ submission }: { submission: Submission }) {
  const { t } = useTranslation("shop");
  switch (submission.name) {
    case "idle":
    case "placed":
      return null;
    case "sending":
      return <Notice tone="info" role="status" title={t("checkout.sending")} />;
    case "waiting":
      return <Waiting submission={submission} />;
    case "short":
      return <Short body={submission.attempt.body} lines={submission.lines} />;
    case "refused":
      return <ErrorNotice error={new ProblemError(submission.problem, undefined)} showsDetail={false} />;
  }
}

function Waiting({ submission }: { submission: Extract<Submission, { name: "waiting" }> }) {
  const { t } = useTranslation("shop");
  const [isAsking, setAsking] = useState(false);
  const now = useNow(1_000);
  const seconds = Math.max(0, Math.ceil((submission.retryAt - now) / 1000));
  return (
    <Notice tone="warn" role="status" title={t(`checkout.waiting.${submission.why}`)}>
      <p>{t("checkout.waiting.kept")}</p>
      {/* Changes every second, so it is hidden from screen readers. */}
      {submission.why !== "offline" && (
        <p aria-hidden="true">{t("checkout.waiting.again", { count: seconds })}</p>
      )}
      {/* Asked inline: the code of a dialog could not be loaded while offline. */}
      {isAsking && <p>{t("checkout.waiting.stopText")}</p>}
      <p className="button-row">
        {isAsking ? (
          <>
            <Button size="small" variant="danger" onPress={() => checkout.leave()}>
              {t("checkout.waiting.stop")}
            </Button>
            <Button size="small" autoFocus onPress={() => setAsking(false)}>
              {t("checkout.waiting.goOn")}
            </Button>
          </>
        ) : (
          <>
            <Button size="small" onPress={() => checkout.hurry()}>
              {t("checkout.waiting.now")}
            </Button>
            <Button size="small" variant="quiet" onPress={() => setAsking(true)}>
              {t("checkout.waiting.stop")}
            </Button>
          </>
        )}
      </p>
    </Notice>
  );
}

function Short({ body, lines }: { body: OrderBody; lines: readonly ShortLine[] }) {
  const { t } = useTranslation("shop");
  const left = whatIsLeft(body, lines);
  const products = useQueries({ queries: lines.map((line) => productQuery(line.sku)) });
  const policies = products.map((product) => product.data?.shortage);
  const later = mayWait(policies) ? asBackorder(body) : undefined;
  const order = (changed: OrderBody) => {
    // The cart then contains the changed order, and the units that another tab has added.
    const rest = without(keptCart.fresh(), cartOf(body));
    keptCart.set(cartOf(changed).reduce((cart, line) => add(cart, line.sku, line.quantity), rest));
    checkout.place(changed);
  };
  return (
    <Notice tone="bad" role="alert" title={t("checkout.short.title")} scrollTo>
      <p>{t("checkout.short.text")}</p>
      <ul className="short-lines">
        <ShortLines lines={lines} />
      </ul>
      {body.on_shortage === "backorder" && <p>{t("checkout.short.noMoreWaiting")}</p>}
      <p className="button-row">
        {left && (
          <Button variant="primary" onPress={() => order(left)}>
            {t("checkout.short.takeLeft")}
          </Button>
        )}
        {later && (
          <Button variant={left ? "secondary" : "primary"} onPress={() => order(later)}>
            {t("checkout.short.backorder")}
          </Button>
        )}
        <Button variant="quiet" onPress={() => checkout.leave()}>
          {t("checkout.short.change")}
        </Button>
      </p>
    </Notice>
  );
}

function ShortLines({ lines }: { lines: readonly ShortLine[] }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const now = useNow(5_000);
  const products = useQueries({ queries: lines.map((line) => productQuery(line.sku)) });
  return lines.map((line, number) => {
    const time = line.restock_eta ? format.expected(line.restock_eta, now) : undefined;
    const more = !line.restock_eta
      ? t("checkout.short.noMore")
      : time
        ? t("stock.back", { time })
        : t("stock.soon");
    return (
      <li key={line.sku}>
        <strong>{products[number]?.data?.name ?? line.sku}</strong>
        {": "}
        {line.available === 0
          ? t("checkout.short.none", { requested: format.number(line.requested) })
          : t("checkout.short.some", {
              count: line.available,
              available: format.number(line.available),
              requested: format.number(line.requested),
            })}{" "}
        {more}
      </li>
    );
  });
}
