import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useFormat } from "../common/format";
import { announce } from "../common/ui/Announcer";
import { Button } from "../common/ui/Button";
import "../common/ui/fields.css";
import { QUANTITY_MAX } from "./cart/cart";

interface QuantityFieldProps {
  /** Accessible name; not displayed, because the context makes it clear. */
  label: string;
  value: number;
  onChange(value: number): void;
  isDisabled?: boolean;
  /** Maximum quantity of the product per order. */
  max?: number;
}

/**
 * A quantity: the browser's number field between two buttons. The native field has keyboard support and the right
 * role, and a tenth of the size of a library's, which matters for the shop's first load.
 */
export function QuantityField({ label, value, onChange, isDisabled = false, max }: QuantityFieldProps) {
  const { t } = useTranslation();
  const format = useFormat();
  // While the shopper types, an empty field is kept as it is instead of being forced to a number.
  const most = Math.min(max ?? QUANTITY_MAX, QUANTITY_MAX);
  const [draft, setDraft] = useState<string>();

  const step = (by: number) => {
    const next = Math.min(Math.max(value + by, 1), most);
    onChange(next);
    announce(`${label}: ${format.number(next)}`);
  };
  const type = (text: string) => {
    const typed = Number(text);
    const isQuantity = Number.isInteger(typed) && typed >= 1 && typed <= most;
    setDraft(isQuantity ? undefined : text);
    if (isQuantity) onChange(typed);
  };

  return (
    <div className="field">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would need a legend, the field has its own label. */}
      <div className="stepper" role="group" aria-label={label}>
        <Button
          aria-label={`${t("action.decrease")}: ${label}`}
          excludeFromTabOrder
          isDisabled={isDisabled || value <= 1}
          onPress={() => step(-1)}
        >
          −
        </Button>
        <input
          type="number"
          inputMode="numeric"
          min={1}
          max={most}
          step={1}
          aria-label={label}
          disabled={isDisabled}
          value={draft ?? value}
          onChange={(event) => type(event.currentTarget.value)}
          onBlur={() => setDraft(undefined)}
        />
        <Button
          aria-label={`${t("action.increase")}: ${label}`}
          excludeFromTabOrder
          isDisabled={isDisabled || value >= most}
          onPress={() => step(1)}
        >
          +
        </Button>
      </div>
    </div>
  );
}
