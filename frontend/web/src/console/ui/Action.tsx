import { type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { isTemporary, ProblemError } from "../../common/api/problem";
import { Button, type ButtonProps } from "../../common/ui/Button";
import { Dialog, DialogActions } from "../../common/ui/Dialog";
import { ErrorNotice } from "../../common/ui/ErrorNotice";
import { TextField } from "../../common/ui/TextField";
import { toast } from "../../common/ui/Toast";
import { KeyKeeper } from "../logic/keys";
import { useHold } from "./Held";

/** Maximum length of a reason, characters; the services enforce it, too. */
const REASON_LENGTH_MAX = 500;

export interface ActionProps {
  /** Label of the button that opens the dialog. */
  label: string;
  /** Accessible name with the object of the action, for screen readers that list the buttons. */
  ariaLabel?: string;
  title: string;
  /** The consequences of the action, in sentences. */
  what: ReactNode;
  /** Label of the button that confirms; defaults to `label`. */
  confirm?: string;
  danger?: boolean;
  variant?: ButtonProps["variant"];
  /** The services require a reason for this action. */
  needsReason?: boolean;
  isDisabled?: boolean;
  /** False while a field is invalid. */
  isValid?: boolean;
  /** Additional fields. */
  children?: ReactNode;
  onOpen?(): void;
  /** Performs the action. `keys` provides the Idempotency-Key for a body. */
  run(reason: string, keys: KeyKeeper): Promise<unknown>;
  /** Toast text after success. */
  done: string;
  /** Keys of the queries that the action makes stale. */
  touches: readonly QueryKey[];
}

/** A button with a confirmation dialog. When the action fails, the dialog stays open and shows the problem. */
export function Action(props: ActionProps) {
  const { t } = useTranslation("console");
  const { t: common } = useTranslation();
  const [isOpen, setIsOpen] = useState(false);
  useHold(isOpen);
  const [reason, setReason] = useState("");
  const keys = useRef(new KeyKeeper());
  const client = useQueryClient();
  const mutation = useMutation({
    mutationFn: () => props.run(reason.trim(), keys.current),
    onSuccess: () => {
      keys.current.answered();
      setIsOpen(false);
      toast(props.done);
    },
    onError: (error) => {
      // Only a final refusal ends the idempotency key: a response cut off in its body may have been a success.
      if (error instanceof ProblemError && !isTemporary(error)) keys.current.answered();
    },
    // Also after an error, which often means that the displayed data is stale.
    onSettled: () => Promise.all(props.touches.map((queryKey) => client.invalidateQueries({ queryKey }))),
  });
  const isReady = (props.isValid ?? true) && (!props.needsReason || reason.trim() !== "");
  const open = () => {
    setReason("");
    mutation.reset();
    props.onOpen?.();
    setIsOpen(true);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady && !mutation.isPending) mutation.mutate();
  };
  return (
    <>
      <Button
        size="small"
        variant={props.variant ?? "secondary"}
        isDisabled={props.isDisabled ?? false}
        onPress={open}
        {...(props.ariaLabel ? { "aria-label": props.ariaLabel } : {})}
      >
        {props.label}
      </Button>
      <Dialog
        title={props.title}
        isOpen={isOpen}
        onClose={() => setIsOpen(false)}
        role={props.danger ? "alertdialog" : "dialog"}
      >
        <form className="form" onSubmit={submit}>
          <div className="what">{props.what}</div>
          {props.children}
          {props.needsReason && (
            <TextField
              label={t("action.reason")}
              help={t("action.reasonHelp")}
              multiline
              isRequired
              maxLength={REASON_LENGTH_MAX}
              value={reason}
              onChange={setReason}
            />
          )}
          {mutation.error && <ErrorNotice error={mutation.error} />}
          <DialogActions>
            <Button onPress={() => setIsOpen(false)}>{common("action.cancel")}</Button>
            <Button
              type="submit"
              variant={props.danger ? "danger" : "primary"}
              isDisabled={!isReady}
              // Not `isPending`: it is announced by a reference to the button, which is removed with the dialog.
              className={mutation.isPending ? "button-busy" : ""}
            >
              {props.confirm ?? props.label}
            </Button>
          </DialogActions>
        </form>
      </Dialog>
    </>
  );
}
