import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ProblemError } from "../../common/api/problem";
import { type Instant, useFormat } from "../../common/format";
import { Button } from "../../common/ui/Button";
import { Skeleton } from "../../common/ui/Skeleton";
import { lookAgain, productQuery } from "../data";
import { useLiveState } from "../live";
import { Doughnut } from "../products/Doughnut";
import { StockBadge } from "../products/StockBadge";
import { QuantityField } from "../QuantityField";
import { type CartLine, keptCart, remove, setQuantity } from "./cart";

/** One line of the cart, with current price and availability. */
export function CartLineRow({ line, now, isLocked }: { line: CartLine; now: Instant; isLocked: boolean }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const live = useLiveState();
  const { data: product, error } = useQuery({ ...productQuery(line.sku), refetchInterval: lookAgain(live) });
  const isGone = error instanceof ProblemError && error.isOurs && error.status === 404;
  const name = product?.name ?? line.sku;
  const most = product?.max_per_order ?? Number.POSITIVE_INFINITY;
  const isShort = product?.status === "low" && line.quantity > product.available;

  return (
    <li className="cart-line" data-sku={line.sku}>
      <div className="cart-picture">
        <Doughnut sku={line.sku} />
      </div>
      <div className="cart-text">
        <h2 aria-label={name}>{product || isGone ? name : <Skeleton size="title" />}</h2>
        <p>
          {product ? (
            <StockBadge product={product} now={now} />
          ) : isGone ? (
            t("cart.gone")
          ) : (
            <Skeleton size="word" />
          )}
        </p>
        <p className="cart-hint">
          {line.quantity > most
            ? t("cart.mostPerOrder", { most: format.number(most) })
            : isShort
              ? t("cart.moreThanThere", { count: product.available })
              : "\u00a0"}
        </p>
      </div>
      <div className="cart-numbers">
        <QuantityField
          label={t("quantityOf", { name })}
          value={line.quantity}
          max={product?.max_per_order}
          isDisabled={isLocked}
          onChange={(quantity) => keptCart.set(setQuantity(keptCart.fresh(), line.sku, quantity))}
        />
        <p className="cart-price">
          {product ? (
            format.money({ ...product.price, amount: product.price.amount * line.quantity })
          ) : (
            <Skeleton size="word" />
          )}
        </p>
        <Button
          variant="quiet"
          size="small"
          isDisabled={isLocked}
          aria-label={t("cart.removeLabel", { name })}
          onPress={() => keptCart.set(remove(keptCart.fresh(), line.sku))}
        >
          {t("cart.remove")}
        </Button>
      </div>
    </li>
  );
}
