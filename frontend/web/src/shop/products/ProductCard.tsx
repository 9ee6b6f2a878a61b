import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Instant, useFormat } from "../../common/format";
import { Button } from "../../common/ui/Button";
import { toast } from "../../common/ui/Toast";
import { add, keptCart, LINES_MAX, QUANTITY_MAX, unitsOf } from "../cart/cart";
import { QuantityField } from "../QuantityField";
import { isOrderable, type Product } from "./availability";
import { Doughnut } from "./Doughnut";
import { StockBadge, StockDetail } from "./StockBadge";

export function ProductCard({ product, now }: { product: Product; now: Instant }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const [quantity, setQuantity] = useState(1);
  const orderable = isOrderable(product);

  const putIntoCart = () => {
    const before = keptCart.fresh();
    // The previous release of the service does not return `max_per_order`.
    const most = Math.min(product.max_per_order ?? QUANTITY_MAX, QUANTITY_MAX);
    const after = add(before, product.sku, quantity, most);
    if (after === before) {
      toast(t("cart.full", { count: LINES_MAX }));
      return;
    }
    keptCart.set(after);
    setQuantity(1);
    const added = unitsOf(after, product.sku) - unitsOf(before, product.sku);
    if (added > 0) toast(t("cart.added", { name: product.name, quantity: format.number(added) }));
    if (added < quantity) toast(t("cart.mostPerOrder", { most: format.number(most) }));
  };

  return (
    <li className="card" data-sku={product.sku}>
      <div className="card-picture" data-gone={!orderable}>
        <Doughnut sku={product.sku} />
      </div>
      <div className="card-text">
        <h2>{product.name}</h2>
        <p className="card-price">{format.money(product.price)}</p>
        <p className="card-stock">
          <StockBadge product={product} now={now} />
        </p>
        <p className="card-detail">
          <StockDetail product={product} now={now} />
        </p>
      </div>
      <div className="card-order">
        <QuantityField
          label={t("quantityOf", { name: product.name })}
          value={quantity}
          max={product.max_per_order}
          onChange={setQuantity}
          isDisabled={!orderable}
        />
        <Button
          variant="primary"
          isDisabled={!orderable}
          onPress={putIntoCart}
          aria-label={t("cart.addLabel", { name: product.name })}
        >
          {t("cart.add")}
        </Button>
      </div>
    </li>
  );
}

/** Placeholder for a card while the products load, with parts of the same size as a card's. */
export function CardSkeleton() {
  return (
    <li className="card" aria-hidden="true">
      <div className="card-picture skeleton" />
      <div className="card-text">
        <h2>
          <span className="skeleton skeleton-title" />
        </h2>
        <p className="card-price">
          <span className="skeleton skeleton-word" />
        </p>
        <p className="card-stock">
          <span className="skeleton skeleton-word" />
        </p>
        <p className="card-detail">{"\u00a0"}</p>
      </div>
      <div className="card-order">
        <span className="skeleton card-order-skeleton" />
        <span className="skeleton card-order-skeleton" />
      </div>
    </li>
  );
}
