import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useFormat } from "../common/format";
import { announce } from "../common/ui/Announcer";
import { Button } from "../common/ui/Button";
import "../common/ui/fields.css";
import { QUANTITY_MAX } from "./cart/cart";

interface QuantityFieldProps {
  /** Read, not shown: the place says what it is. */
  label: string;
  value: number;
  onChange(value: number): void;
  isDisabled?: boolean;
  /** Most of it that one order may have. */
  max?: number;
}

/**
 * How many: the browser's own number field between two buttons. It has its keys (up, down) and its role by
 * itself, and weighs a tenth of a made one: the shop's first load counts every kilobyte.
 */
export function QuantityField({ label, value, onChange, isDisabled = false, max }: QuantityFieldProps) {
  const { t } = useTranslation();
  const format = useFormat();
  // While somebody types, an empty field is no quantity yet, and none is forced into it.
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
