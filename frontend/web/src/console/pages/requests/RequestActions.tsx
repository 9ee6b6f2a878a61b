import { useTranslation } from "react-i18next";
import { ok, production } from "../../../common/api";
import type { ProductionRequest } from "../../api";
import { KEYS } from "../../logic/events";
import { Action } from "../../ui/Action";

const ENDED: readonly string[] = ["received", "refused", "cancelled"];
const WITHDRAWABLE: readonly string[] = ["requested", "retrying", "dead_lettered"];

/** True when a request can be sent again; the same rule as in the service. */
export function isRetryable(request: ProductionRequest): boolean {
  return (
    ["retrying", "dead_lettered"].includes(request.status) ||
    (request.overdue && request.status === "accepted")
  );
}

export function RequestActions({ request }: { request: ProductionRequest }) {
  const { t } = useTranslation("console");
  const { sku, quantity, received } = request;
  const params = { path: { id: request.id } };
  const touches = [
    KEYS.requests,
    KEYS.replenishments,
    KEYS.deadLetters,
    KEYS.stock,
    KEYS.timeline,
    KEYS.auditLog,
  ];
  return (
    <div className="row">
      {isRetryable(request) && (
        <Action
          label={t("requests.retry")}
          variant="primary"
          title={t("requests.retryTitle")}
          what={
            <>
              <p>{t("requests.retryWhat", { quantity, sku, factory: request.factory_id })}</p>
              {request.overdue && <p>{t("requests.retryOverdue")}</p>}
            </>
          }
          run={() => ok(production.POST("/api/v1/production-requests/{id}/retry", { params }))}
          done={t("requests.retried")}
          touches={touches}
        />
      )}
      {WITHDRAWABLE.includes(request.status) && request.fallback_from == null && (
        <Action
          label={t("requests.fallback")}
          title={t("requests.fallbackTitle")}
          what={<p>{t("requests.fallbackWhat", { factory: request.factory_id })}</p>}
          danger
          run={() =>
            ok(
              production.POST("/api/v1/production-requests/{id}/retry", { params, body: { fallback: true } }),
            )
          }
          done={t("requests.handedOver")}
          touches={touches}
        />
      )}
      {!ENDED.includes(request.status) && (
        <Action
          label={t("requests.cancel")}
          title={t("requests.cancelTitle")}
          what={
            <>
              <p>{t("requests.cancelWhat", { missing: quantity - received, sku })}</p>
              {request.status === "accepted" && <p>{t("requests.cancelAccepted")}</p>}
            </>
          }
          danger
          run={() => ok(production.POST("/api/v1/production-requests/{id}/cancel", { params }))}
          done={t("requests.cancelled")}
          touches={touches}
        />
      )}
    </div>
  );
}
