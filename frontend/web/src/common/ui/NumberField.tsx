import { Button } from "react-aria-components/Button";
import { FieldError } from "react-aria-components/FieldError";
import { Group } from "react-aria-components/Group";
import { Input } from "react-aria-components/Input";
import { Label } from "react-aria-components/Label";
import {
  NumberField as AriaNumberField,
  type NumberFieldProps as AriaProps,
} from "react-aria-components/NumberField";
import { Text } from "react-aria-components/Text";
import { useTranslation } from "react-i18next";
import "./button.css";
import "./fields.css";

export interface NumberFieldProps extends Omit<AriaProps, "children" | "className" | "style"> {
  label: string;
  /** Hides the label except from screen readers, where the context makes it clear. */
  hideLabel?: boolean;
  help?: string | undefined;
  error?: string | undefined;
}

export function NumberField({ label, hideLabel, help, error, ...props }: NumberFieldProps) {
  const { t } = useTranslation();
  return (
    <AriaNumberField {...props} className={hideLabel ? "field visually-hidden-label" : "field"}>
      <Label>{label}</Label>
      <Group className="stepper">
        <Button slot="decrement" className="button" aria-label={`${t("action.decrease")}: ${label}`}>
          −
        </Button>
        <Input />
        <Button slot="increment" className="button" aria-label={`${t("action.increase")}: ${label}`}>
          +
        </Button>
      </Group>
      {help && (
        <Text slot="description" className="field-help">
          {help}
        </Text>
      )}
      <FieldError className="field-error">{error}</FieldError>
    </AriaNumberField>
  );
}
