import { useQueries, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import type { Money } from "../../common/api";
import { useFormat } from "../../common/format";
import { useNow } from "../../common/now";
import { announce } from "../../common/ui/Announcer";
import { Button } from "../../common/ui/Button";
import { Skeleton } from "../../common/ui/Skeleton";
import { checkout } from "../checkout/checkout";
import { Outcome } from "../checkout/Outcome";
import { pending } from "../checkout/submission";
import { useSubmission } from "../checkout/useSubmission";
import { productQuery } from "../data";
import { useKept } from "../kept";
import { useTitle } from "../title";
import { CartLineRow } from "./CartLineRow";
import { type Cart, keptCart } from "./cart";

export function CartPage() {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const cart = useKept(keptCart);
  const submission = useSubmission();
  const now = useNow(5_000);
  const total = useTotal(cart);
  const isBeyond = useIsBeyond(cart);
  const isLocked = pending(submission) !== undefined;
  useTitle(t("cart.title"));
  useGoToOrder();
  useFreshProducts(submission.name === "short");

  if (cart.length === 0) {
    return (
      <>
        <h1>{t("cart.title")}</h1>
        <Outcome submission={submission} />
        {submission.name !== "placed" && (
          <p>
            {t("cart.empty")} <Link to="/">{t("cart.goShopping")}</Link>
          </p>
        )}
      </>
    );
  }
  return (
    <>
      <h1>{t("cart.title")}</h1>
      <ul className="cart-lines" aria-label={t("cart.title")}>
        {cart.map((line) => (
          <CartLineRow key={line.sku} line={line} now={now} isLocked={isLocked} />
        ))}
      </ul>
      <section className="cart-end" aria-label={t("cart.sum")}>
        <p className="cart-total">
          <span>{t("cart.sum")}</span>{" "}
          <strong>{total ? format.money(total) : <Skeleton size="word" />}</strong>
        </p>
        <Button
          variant="primary"
          size="large"
          isPending={isLocked}
          isDisabled={isBeyond && !isLocked}
          onPress={() => checkout.place({ lines: cart.map(({ sku, quantity }) => ({ sku, quantity })) })}
        >
          {isLocked ? t("checkout.pending") : t("checkout.order")}
        </Button>
      </section>
      <Outcome submission={submission} />
    </>
  );
}

/** True when a line exceeds its product's limit per order: the shop would refuse the order. */
function useIsBeyond(cart: Cart): boolean {
  const products = useQueries({ queries: cart.map((line) => productQuery(line.sku)) });
  return cart.some(
    (line, number) => line.quantity > (products[number]?.data?.max_per_order ?? line.quantity),
  );
}

/** The total at current prices; undefined until all prices are loaded. */
function useTotal(cart: Cart): Money | undefined {
  const products = useQueries({ queries: cart.map((line) => productQuery(line.sku)) });
  const prices = products.map((query) => query.data?.price);
  const first = prices[0];
  if (!first || prices.includes(undefined)) return undefined;
  const amount = cart.reduce((sum, line, number) => sum + line.quantity * (prices[number]?.amount ?? 0), 0);
  return { ...first, amount };
}

/** Refetches the products after a refusal, which shows that the cart's stock data is stale. */
function useFreshProducts(isRefused: boolean): void {
  const client = useQueryClient();
  useEffect(() => {
    if (isRefused) void client.invalidateQueries({ queryKey: ["products"] });
  }, [isRefused, client]);
}

/** Opens the order's page once the order is accepted. */
function useGoToOrder(): void {
  const { t } = useTranslation("shop");
  const navigate = useNavigate();
  const submission = useSubmission();
  const id = submission.name === "placed" ? submission.order.id : undefined;
  const isWaiting = submission.name === "placed" && submission.order.status === "backordered";
  useEffect(() => {
    if (!id) return;
    announce(isWaiting ? t("checkout.saidBackordered") : t("checkout.saidConfirmed"));
    checkout.leave();
    void navigate({ to: "/orders/$id", params: { id } });
  }, [id, isWaiting, navigate, t]);
}
