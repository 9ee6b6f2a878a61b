import { createRootRoute, createRoute, createRouter, Link, type RouterHistory } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { CartPage } from "./cart/CartPage";
import { OrderPage } from "./orders/OrderPage";
import { OrdersPage } from "./orders/OrdersPage";
import { Catalog } from "./products/Catalog";
import { Shell } from "./Shell";
import { useTitle } from "./title";

function NotFound() {
  const { t } = useTranslation(["shop", "common"]);
  useTitle(t("common:error.notFoundTitle"));
  return (
    <>
      <h1>{t("common:error.notFoundTitle")}</h1>
      <p>
        {t("common:error.notFound")} <Link to="/">{t("cart.goShopping")}</Link>
      </p>
    </>
  );
}

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const catalog = createRoute({ getParentRoute: () => root, path: "/", component: Catalog });
const cart = createRoute({ getParentRoute: () => root, path: "/cart", component: CartPage });
const orders = createRoute({ getParentRoute: () => root, path: "/orders", component: OrdersPage });
const order = createRoute({
  getParentRoute: () => root,
  path: "/orders/$id",
  component: function Page() {
    const { id } = order.useParams();
    // The key remounts the page for another order, so that no state of the previous one remains.
    return <OrderPage key={id} id={id} />;
  },
});

/** The shop's pages; tests pass their own history. */
export function makeRouter(history?: RouterHistory) {
  return createRouter({
    routeTree: root.addChildren([catalog, cart, orders, order]),
    ...(history ? { history } : {}),
  });
}
