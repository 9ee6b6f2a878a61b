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

/** Longest reason that the services take, characters. */
const REASON_LENGTH_MAX = 500;

export interface ActionProps {
  /** On the button that opens the dialog. */
  label: string;
  /** Says it with its object, for who hears a list of buttons. */
  ariaLabel?: string;
  title: string;
  /** What will happen, in sentences. */
  what: ReactNode;
  /** On the button that does it; the label without it. */
  confirm?: string;
  danger?: boolean;
  variant?: ButtonProps["variant"];
  /** The services want to know why. */
  needsReason?: boolean;
  isDisabled?: boolean;
  /** Whether the fields can be sent. */
  isValid?: boolean;
  /** Further fields. */
  children?: ReactNode;
  onOpen?(): void;
  /** Does it. `keys` gives the Idempotency-Key of a body. */
  run(reason: string, keys: KeyKeeper): Promise<unknown>;
  /** What is said when it is done. */
  done: string;
  /** Queries that show something else now. */
  touches: readonly QueryKey[];
}

/** A button that asks in a dialog before it does something, and stays open with the problem when it fails. */
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
      // Only a final refusal ends the wish: an answer that was cut in its body may have been a success.
      if (error instanceof ProblemError && !isTemporary(error)) keys.current.answered();
    },
    // After an error, too: it often says that what is shown is old.
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
              // Not `isPending`: that is announced by a reference to the button, which goes with the dialog.
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
