import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { newKey, ok, sales } from "../../../common/api";
import { ProblemError } from "../../../common/api/problem";
import { useFormat } from "../../../common/format";
import { Button } from "../../../common/ui/Button";
import { TextField } from "../../../common/ui/TextField";
import { PAGE_MAX } from "../../api";
import { KEYS } from "../../logic/events";
import { wholeNumber } from "../../logic/policy";
import { type Answer, runSurge, type Tally } from "../../logic/surge";
import { Facts } from "../../ui/parts";

const COUNT_MAX = 10_000;
/** Without HTTP/2 a browser opens six connections to one server, and the live events use one of them. */
const AT_ONCE = 5;
/** Interval of redrawing the counters; a redraw per order would be slower than the orders. */
const DRAW_MS = 100;
const ANSWERS: readonly Answer[] = ["confirmed", "backordered", "rejected", "overloaded", "failed"];

/** Simulates many shoppers at once. */
export function Surge() {
  const { t } = useTranslation("console");
  const [sku, setSku] = useState("");
  const [countText, setCount] = useState("200");
  const [quantityText, setQuantity] = useState("1");
  const [tally, setTally] = useState<Tally>();
  const stop = useRef<AbortController>(undefined);
  const skuId = useId();
  useEffect(() => () => stop.current?.abort(), []);
  const products = useQuery({
    queryKey: [...KEYS.stock, "on-sale"],
    queryFn: ({ signal }) =>
      ok(sales.GET("/api/v1/products", { params: { query: { limit: PAGE_MAX } }, signal })),
  });
  const chosen = sku || products.data?.items[0]?.sku || "";
  const [count, quantity] = [wholeNumber(countText), wholeNumber(quantityText)];
  const isCount = count >= 1 && count <= COUNT_MAX;
  const isQuantity = quantity >= 1 && quantity <= 1_000;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!isCount || !isQuantity || chosen === "" || tally?.running) return;
    const controller = new AbortController();
    stop.current = controller;
    void start({ sku: chosen, count, quantity, stop: controller.signal, onProgress: setTally });
  };
  return (
    <form className="stack" onSubmit={submit}>
      <p>{t("surge.what")}</p>
      <div className="fields">
        <div className="field">
          <label htmlFor={skuId}>{t("field.sku")}</label>
          <select
            id={skuId}
            className="native-select"
            value={chosen}
            onChange={(event) => setSku(event.target.value)}
          >
            {products.data?.items.map((product) => (
              <option key={product.sku} value={product.sku}>
                {product.sku} {product.name}
              </option>
            ))}
          </select>
        </div>
        <TextField
          label={t("surge.count")}
          inputMode="numeric"
          value={countText}
          onChange={setCount}
          isInvalid={!isCount}
          error={t("surge.countWrong")}
        />
        <TextField
          label={t("surge.quantity")}
          inputMode="numeric"
          value={quantityText}
          onChange={setQuantity}
          isInvalid={!isQuantity}
          error={t("surge.quantityWrong")}
        />
      </div>
      <div className="row">
        <Button
          type="submit"
          variant="primary"
          size="small"
          isDisabled={!isCount || !isQuantity || tally?.running === true}
        >
          {t("surge.start")}
        </Button>
        <Button size="small" isDisabled={tally?.running !== true} onPress={() => stop.current?.abort()}>
          {t("surge.stop")}
        </Button>
      </div>
      {tally && <Counters tally={tally} />}
    </form>
  );
}

function Counters({ tally }: { tally: Tally }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const answered = ANSWERS.reduce((sum, answer) => sum + tally.answers[answer], 0);
  return (
    <div className="stack">
      <progress max={tally.wanted} value={answered} aria-label={t("surge.title")} />
      <Facts
        facts={[
          [t("surge.answered"), `${format.number(answered)} / ${format.number(tally.wanted)}`],
          ...ANSWERS.map((answer) => [t(`surge.${answer}`), format.number(tally.answers[answer])] as const),
          [t("surge.median"), tally.medianMs === null ? "–" : format.duration(tally.medianMs)],
          [t("surge.slowest"), tally.slowestMs === null ? "–" : format.duration(tally.slowestMs)],
        ]}
      />
      <p role="status">{tally.running ? "" : t("surge.done", { answered })}</p>
    </div>
  );
}

async function start(options: {
  sku: string;
  count: number;
  quantity: number;
  stop: AbortSignal;
  onProgress(tally: Tally): void;
}): Promise<void> {
  const { sku, count, quantity, stop, onProgress } = options;
  let drawn = 0;
  const send = async () => {
    const params = { header: { "Idempotency-Key": newKey() } };
    const body = { lines: [{ sku, quantity }], customer: "surge" };
    try {
      const { response } = await sales.POST("/api/v1/orders", { params, body });
      return response.status;
    } catch (error) {
      return error instanceof ProblemError ? error.status : 0;
    }
  };
  await runSurge({
    count,
    atOnce: AT_ONCE,
    send,
    stop,
    onProgress: (tally) => {
      const now = performance.now();
      if (tally.running && now - drawn < DRAW_MS) return;
      drawn = now;
      onProgress(tally);
    },
  });
}
