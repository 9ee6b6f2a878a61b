import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Skeleton } from "./Skeleton";
import "./parts.css";

export interface Column<Row> {
  id: string;
  title: string;
  /** Numbers stand at the right, long texts may take several lines. */
  kind?: "text" | "number" | "wrap";
  cell(row: Row): ReactNode;
}

export interface TableProps<Row> {
  /** What the table shows; read before it. */
  label: string;
  columns: readonly Column<Row>[];
  /** Undefined while the first page is on its way. */
  rows: readonly Row[] | undefined;
  rowKey(row: Row): string;
  /** What to say when there is no row. */
  empty?: string;
  /** Rows that are kept free while loading. */
  skeletonRows?: number;
}

const CLASS = { text: undefined, number: "table-number", wrap: "table-wrap" };

/** A table in a frame that scrolls sideways by itself on narrow screens. */
export function Table<Row>({ label, columns, rows, rowKey, empty, skeletonRows = 5 }: TableProps<Row>) {
  const { t } = useTranslation();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
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
              // biome-ignore lint/suspicious/noArrayIndexKey: places without a content have no other name.
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
