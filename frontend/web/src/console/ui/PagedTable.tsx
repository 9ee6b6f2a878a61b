import { type QueryKey, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Button } from "../../common/ui/Button";
import { ErrorNotice } from "../../common/ui/ErrorNotice";
import { Notice } from "../../common/ui/Notice";
import { type Column, Table } from "../../common/ui/Table";
import { useLiveInterval } from "../live";
import { type Page, Trail } from "../logic/paging";
import { Held } from "./Held";
import { useFilters } from "./To";

const trail = new Trail();

interface PagedTableProps<Row> {
  label: string;
  /** Identifies the list and its filters; the cursor is appended. */
  queryKey: QueryKey;
  fetchPage(cursor: string | undefined, signal: AbortSignal): Promise<Page<Row> & { exhausted?: boolean }>;
  columns: readonly Column<Row>[];
  rowKey(row: Row): string;
  empty?: string;
}

/** One page of a list, with the cursor in the URL. Only this page is kept in memory, however long the list is. */
export function PagedTable<Row>({
  label,
  queryKey,
  fetchPage,
  columns,
  rowKey,
  empty,
}: PagedTableProps<Row>) {
  const { t } = useTranslation("console");
  const { search, goTo } = useFilters();
  const refetchInterval = useLiveInterval();
  const { cursor } = search;
  const list = JSON.stringify(queryKey);
  const query = useQuery({
    queryKey: [...queryKey, cursor ?? ""],
    queryFn: ({ signal }) => fetchPage(cursor, signal),
    // The previous page stays visible while the next one loads, but not rows of another filter: they would be wrong.
    placeholderData: (before, query) =>
      JSON.stringify(query?.queryKey.slice(0, -1)) === list ? before : undefined,
    refetchInterval,
  });
  const previous = trail.previous(list, cursor);
  const next = query.data?.next_cursor;
  return (
    <>
      {query.error && <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />}
      {(query.data || !query.error) && (
        <Held name={`${list} ${cursor ?? ""}`} value={query.data?.items}>
          {(rows) => (
            <Table
              label={label}
              columns={columns}
              rows={rows}
              rowKey={rowKey}
              {...(empty ? { empty } : {})}
            />
          )}
        </Held>
      )}
      {query.data?.exhausted === false && <Notice tone="info" title={t("paging.lookedThrough")} />}
      {(cursor !== undefined || next) && (
        <nav className="pager" aria-label={t("paging.label")}>
          <Button size="small" isDisabled={cursor === undefined} onPress={() => goTo(undefined)}>
            {t("paging.first")}
          </Button>
          <Button
            size="small"
            isDisabled={previous === undefined}
            onPress={() => goTo(previous === "" ? undefined : previous)}
          >
            {t("paging.previous")}
          </Button>
          <Button
            size="small"
            isDisabled={!next || query.isPlaceholderData}
            onPress={() => {
              if (!next) return;
              trail.went(list, cursor, next);
              goTo(next);
            }}
          >
            {t("paging.next")}
          </Button>
        </nav>
      )}
    </>
  );
}
