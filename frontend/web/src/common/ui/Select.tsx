import { Button } from "react-aria-components/Button";
import { Label } from "react-aria-components/Label";
import { ListBox, ListBoxItem } from "react-aria-components/ListBox";
import { Popover } from "react-aria-components/Popover";
import { Select as AriaSelect, SelectValue } from "react-aria-components/Select";
import "./fields.css";

export interface SelectProps<Value extends string> {
  label: string;
  value: Value;
  options: readonly { value: Value; label: string }[];
  onChange(value: Value): void;
  isDisabled?: boolean;
}

export function Select<Value extends string>({
  label,
  value,
  options,
  onChange,
  isDisabled,
}: SelectProps<Value>) {
  return (
    <AriaSelect
      className="field"
      value={value}
      isDisabled={isDisabled ?? false}
      onChange={(key) => {
        const chosen = options.find((option) => option.value === key);
        if (chosen) onChange(chosen.value);
      }}
    >
      <Label className="field-label">{label}</Label>
      <Button className="field-select">
        <SelectValue />
        <span aria-hidden="true">▾</span>
      </Button>
      <Popover className="field-popover">
        <ListBox items={options.map((option) => ({ id: option.value, label: option.label }))}>
          {(option) => (
            <ListBoxItem id={option.id} textValue={option.label}>
              {option.label}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </AriaSelect>
  );
}
