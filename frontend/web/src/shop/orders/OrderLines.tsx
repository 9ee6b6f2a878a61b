import { useQueries } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useFormat } from "../../common/format";
import type { Order } from "../checkout/submission";
import { productQuery } from "../data";
import { Doughnut } from "../products/Doughnut";

/** The ordered products, with the quantity that is reserved of each. */
export function OrderLines({ order }: { order: Order }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const products = useQueries({ queries: order.lines.map((line) => productQuery(line.sku)) });
  return (
    <ul className="order-lines" aria-label={t("order.lines")}>
      {order.lines.map((line, number) => (
        <li className="order-line" key={line.sku} data-sku={line.sku}>
          <div className="cart-picture">
            <Doughnut sku={line.sku} />
          </div>
          <div className="cart-text">
            <h2>{products[number]?.data?.name ?? line.sku}</h2>
            <p>
              {t("order.quantity", {
                quantity: format.number(line.quantity),
                price: format.money(line.unit_price),
              })}
            </p>
          </div>
          <div className="order-filled">
            <progress
              max={line.quantity}
              value={line.filled}
              aria-label={t("order.filledOf", { name: products[number]?.data?.name ?? line.sku })}
            />
            <span>{t("order.filled", { filled: line.filled, ordered: line.quantity })}</span>
          </div>
        </li>
      ))}
    </ul>
  );
}
