import { type FormEvent, useId, useState } from "react";
import { useTranslation } from "react-i18next";
import { useFormat } from "../../../common/format";
import { Button } from "../../../common/ui/Button";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Notice } from "../../../common/ui/Notice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { TextField } from "../../../common/ui/TextField";
import { readId } from "../../logic/timeline";
import { useDocumentTitle } from "../../title";
import { PageHead, Section, ShortId } from "../../ui/parts";
import { To, useFilters } from "../../ui/To";
import { NextSteps } from "./NextSteps";
import { Steps } from "./Steps";
import { type About, useChain } from "./useChain";

/** The whole chain of one order or request across the three services, with the upcoming steps. */
export function Timeline() {
  const { t } = useTranslation("console");
  const { search } = useFilters();
  useDocumentTitle(t("nav.timeline"));
  const { order, request } = search;
  const about: About | undefined = order ? { order } : request ? { request } : undefined;
  return (
    <>
      <PageHead title={t("nav.timeline")} intro={t("timeline.intro")} />
      <Ask key={`${order} ${request}`} about={about} />
      {about && <Chain about={about} />}
    </>
  );
}

function Ask({ about }: { about: About | undefined }) {
  const { t } = useTranslation("console");
  const { set } = useFilters();
  const given = about === undefined ? "" : "order" in about ? about.order : about.request;
  const [text, setText] = useState(given);
  const [kind, setKind] = useState<"order" | "request">(about && "request" in about ? "request" : "order");
  const kindId = useId();
  const id = readId(text);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (id) set({ order: undefined, request: undefined, [kind]: id });
  };
  return (
    <form className="filters" onSubmit={submit}>
      <div className="field">
        <label htmlFor={kindId}>{t("timeline.kind")}</label>
        <select
          id={kindId}
          className="native-select"
          value={kind}
          onChange={(event) => setKind(event.target.value === "request" ? "request" : "order")}
        >
          <option value="order">{t("field.order")}</option>
          <option value="request">{t("timeline.request")}</option>
        </select>
      </div>
      <div className="grow">
        <TextField
          label={t("timeline.id")}
          value={text}
          onChange={setText}
          isInvalid={text.trim() !== "" && id === undefined}
          error={t("timeline.idWrong")}
        />
      </div>
      <Button type="submit" variant="primary" isDisabled={id === undefined}>
        {t("timeline.show")}
      </Button>
    </form>
  );
}

function Chain({ about }: { about: About }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const { chain, orders, requests, errors, isPending, retry } = useChain(about);
  return (
    <>
      {errors.map(({ service, error }) => (
        <div key={service}>
          <p>{t("timeline.partMissing", { service: t(`service.${service}`) })}</p>
          <ErrorNotice error={error} onRetry={retry} />
        </div>
      ))}
      <Related orders={"order" in about ? [] : orders} requests={"request" in about ? [] : requests} />
      {isPending && <Skeleton size="block" />}
      {chain && (
        <>
          <Section title={t("timeline.next")}>
            <NextSteps next={chain.next} />
          </Section>
          <Section title={t("timeline.steps")}>
            {chain.truncated && <Notice tone="info" title={t("timeline.truncated")} />}
            {chain.steps.length === 0 && !isPending && <p className="soft">{t("timeline.nothing")}</p>}
            {chain.steps.length > 1 && (
              <p className="soft">
                {t("timeline.lasted", {
                  count: chain.steps.length,
                  duration: format.duration(chain.lastedMs),
                })}
              </p>
            )}
            <Steps steps={chain.steps} />
          </Section>
        </>
      )}
    </>
  );
}

/** Maximum number of linked orders; in a surge thousands may wait for one request. */
const RELATED_MAX = 10;

function Related({ orders, requests }: { orders: string[]; requests: string[] }) {
  const { t } = useTranslation("console");
  if (orders.length === 0 && requests.length === 0) return null;
  return (
    <ul className="related">
      {requests.map((id) => (
        <li key={id}>
          <To to="/timeline" search={{ request: id }}>
            {t("timeline.request")} <ShortId id={id} />
          </To>
        </li>
      ))}
      {orders.slice(0, RELATED_MAX).map((id) => (
        <li key={id}>
          <To to="/timeline" search={{ order: id }}>
            {t("field.order")} <ShortId id={id} />
          </To>
        </li>
      ))}
    </ul>
  );
}
