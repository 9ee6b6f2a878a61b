import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { useNow } from "../../common/now";
import { announce } from "../../common/ui/Announcer";
import { Button } from "../../common/ui/Button";
import { ErrorNotice } from "../../common/ui/ErrorNotice";
import { Notice } from "../../common/ui/Notice";
import { lookAgain, productsQuery } from "../data";
import { useLiveState } from "../live";
import { useTitle } from "../title";
import { isOrderable, type Product } from "./availability";
import { CardSkeleton, ProductCard } from "./ProductCard";

const SKELETONS = ["a", "b", "c", "d", "e", "f", "g", "h"];
/** Update interval of the texts with times: "Back around 14:05" must not be shown at 14:06. */
const LOOK_AT_CLOCK_MS = 5_000;

export function Catalog() {
  const { t } = useTranslation(["shop", "common"]);
  const live = useLiveState();
  const query = useInfiniteQuery({ ...productsQuery, refetchInterval: lookAgain(live) });
  const products = query.data?.pages.flatMap((page) => page.items);
  const now = useNow(LOOK_AT_CLOCK_MS);
  useAnnouncedStock(products);
  useTitle(undefined);

  return (
    <>
      <h1>{t("catalog.title")}</h1>
      <p className="lead">{t("catalog.lead")}</p>
      {query.isError && !products && (
        <ErrorNotice error={query.error} showsDetail={false} onRetry={() => void query.refetch()} />
      )}
      {products?.length === 0 && <Notice tone="info" title={t("catalog.empty")} />}
      <ul className="cards" aria-busy={query.isPending} aria-label={t("catalog.title")}>
        {products?.map((product) => (
          <ProductCard key={product.sku} product={product} now={now} />
        ))}
        {query.isPending && SKELETONS.map((name) => <CardSkeleton key={name} />)}
      </ul>
      {query.hasNextPage && (
        <p className="centred">
          <Button isPending={query.isFetchingNextPage} onPress={() => void query.fetchNextPage()}>
            {t("common:action.more")}
          </Button>
        </p>
      )}
    </>
  );
}

/** Announces to screen readers when a product sells out or is back in stock. */
function useAnnouncedStock(products: readonly Product[] | undefined): void {
  const { t } = useTranslation("shop");
  const before = useRef(new Map<string, boolean>());
  useEffect(() => {
    if (!products) return;
    const said = products.flatMap((product) => {
      const was = before.current.get(product.sku);
      const is = isOrderable(product);
      if (was === undefined || was === is) return [];
      return [is ? t("stock.saidBack", { name: product.name }) : t("stock.saidGone", { name: product.name })];
    });
    before.current = new Map(products.map((product) => [product.sku, isOrderable(product)]));
    if (said.length > 0) announce(said.join(" "));
  }, [products, t]);
}
