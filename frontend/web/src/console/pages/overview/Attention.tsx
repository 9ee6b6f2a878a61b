import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ok, production } from "../../../common/api";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import {
  PAGE_MAX,
  SERVICES,
  type Service,
  useAudit,
  useDeadLetterGroups,
  useQuarantineCount,
  useReplenishmentCount,
  useRequestCount,
} from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import type { Count } from "../../logic/paging";
import { CountText } from "../../ui/parts";
import { type ConsolePath, type Search, To } from "../../ui/To";

/** Older refusals are assumed to have been seen. */
const REFUSED_WITHIN_MS = 24 * 3600_000;

function useRefusedCount() {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.requests, "count", "refused"],
    queryFn: async ({ signal }): Promise<Count> => {
      const query = { status: "refused", limit: PAGE_MAX } as const;
      const page = await ok(production.GET("/api/v1/production-requests", { params: { query }, signal }));
      const since = Date.now() - REFUSED_WITHIN_MS;
      const value = page.items.filter((request) => Date.parse(request.updated_at) >= since).length;
      return { value, more: value === PAGE_MAX };
    },
    refetchInterval,
  });
}

/** Counts of everything that needs attention, with links to the pages where it is resolved. */
export function Attention() {
  const { t } = useTranslation("console");
  const overdue = useRequestCount({ overdue: true }, "overdue");
  const refused = useRefusedCount();
  const quarantine = useQuarantineCount();
  const proposed = useReplenishmentCount("proposed");
  const stalled = useReplenishmentCount("stalled");
  const errors = [overdue.error, refused.error, quarantine.error, proposed.error, stalled.error];
  const error = errors.find((each) => each !== null);
  return (
    <>
      <ul className="attention">
        {SERVICES.map((service) => (
          <DeadLettersItem key={service} service={service} />
        ))}
        <Item
          name={t("attention.stalled")}
          count={stalled.data}
          isUnknown={stalled.isError}
          to="/replenishments"
          search={{ status: "stalled" }}
        />
        <Item
          name={t("attention.overdue")}
          count={overdue.data}
          isUnknown={overdue.isError}
          to="/requests"
          search={{ overdue: "true" }}
        />
        <Item
          name={t("attention.refused")}
          count={refused.data}
          isUnknown={refused.isError}
          to="/requests"
          search={{ status: "refused" }}
        />
        <Item
          name={t("attention.quarantine")}
          count={quarantine.data}
          isUnknown={quarantine.isError}
          to="/quarantine"
        />
        <Item
          name={t("attention.proposed")}
          count={proposed.data}
          isUnknown={proposed.isError}
          to="/replenishments"
          search={{ status: "proposed" }}
        />
        {SERVICES.map((service) => (
          <AuditItem key={service} service={service} />
        ))}
      </ul>
      {error && <ErrorNotice error={error} />}
    </>
  );
}

function DeadLettersItem({ service }: { service: Service }) {
  const { t } = useTranslation("console");
  const groups = useDeadLetterGroups(service);
  const count = groups.data && {
    value: groups.data.items.reduce((sum, group) => sum + group.count, 0),
    more: groups.data.next_cursor !== null,
  };
  const name = t("attention.deadLetters", { service: t(`service.${service}`) });
  return (
    <Item name={name} count={count} isUnknown={groups.isError} to="/dead-letters" search={{ service }} />
  );
}

function AuditItem({ service }: { service: Service }) {
  const { t } = useTranslation("console");
  const audit = useAudit(service);
  const count = audit.data && { value: audit.data.checks.filter((check) => !check.ok).length, more: false };
  const name = t("attention.audit", { service: t(`service.${service}`) });
  return <Item name={name} count={count} isUnknown={audit.isError} to="/audit" search={{ service }} />;
}

function Item(props: {
  name: string;
  count: Count | undefined;
  isUnknown?: boolean;
  to: ConsolePath;
  search?: Search;
}) {
  const { count, name, to, search } = props;
  const tone = props.isUnknown ? "unknown" : count && count.value > 0 ? "needed" : "fine";
  return (
    <li className={`attention-${tone}`}>
      <To to={to} {...(search ? { search } : {})}>
        <span className="attention-count">{props.isUnknown ? "?" : <CountText count={count} />}</span>
        <span>{name}</span>
      </To>
    </li>
  );
}
