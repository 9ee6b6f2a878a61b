import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Skeleton } from "./Skeleton";
import "./parts.css";

export interface Column<Row> {
  id: string;
  title: string;
  /** `number` aligns right, `wrap` lets long texts take several lines. */
  kind?: "text" | "number" | "wrap";
  cell(row: Row): ReactNode;
}

export interface TableProps<Row> {
  /** Accessible name of the table. */
  label: string;
  columns: readonly Column<Row>[];
  /** Undefined while the first page is loading. */
  rows: readonly Row[] | undefined;
  rowKey(row: Row): string;
  /** Text for an empty table. */
  empty?: string;
  /** Number of placeholder rows while loading. */
  skeletonRows?: number;
}

const CLASS = { text: undefined, number: "table-number", wrap: "table-wrap" };

/** A table in a container that scrolls horizontally on narrow screens. */
export function Table<Row>({ label, columns, rows, rowKey, empty, skeletonRows = 5 }: TableProps<Row>) {
  const { t } = useTranslation();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard.
    <section className="table-scroll" aria-label={label} tabIndex={0}>
      <table className="table" aria-busy={rows === undefined}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.id} scope="col" className={CLASS[column.kind ?? "text"]}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows?.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map((column) => (
                <td key={column.id} className={CLASS[column.kind ?? "text"]}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {rows === undefined &&
            Array.from({ length: skeletonRows }, (_, number) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: placeholder rows have no other key.
              <tr key={number}>
                {columns.map((column) => (
                  <td key={column.id}>
                    <Skeleton />
                  </td>
                ))}
              </tr>
            ))}
          {rows?.length === 0 && (
            <tr>
              <td colSpan={columns.length} className="table-empty">
                {empty ?? t("empty")}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}
