import type { ReactNode } from "react";
import { Dialog as AriaDialog, Heading } from "react-aria-components/Dialog";
import { Modal, ModalOverlay } from "react-aria-components/Modal";
import "./dialog.css";

export interface DialogProps {
  title: string;
  isOpen: boolean;
  /** Called when the dialog is closed by Escape, a press outside, or a button that calls `close`. */
  onClose(): void;
  /** `alertdialog` asks for confirmation; a press outside does not close it. */
  role?: "dialog" | "alertdialog";
  children: ReactNode | ((close: () => void) => ReactNode);
}

/** A modal dialog: it takes the focus, traps it, and returns it when closed. */
export function Dialog({ title, isOpen, onClose, role = "dialog", children }: DialogProps) {
  return (
    <ModalOverlay
      className="dialog-overlay"
      isOpen={isOpen}
      isDismissable={role === "dialog"}
      onOpenChange={(open) => open || onClose()}
    >
      <Modal className="dialog-box">
        <AriaDialog className="dialog" role={role}>
          <Heading slot="title" level={2}>
            {title}
          </Heading>
          {typeof children === "function" ? children(onClose) : children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

export function DialogActions({ children }: { children: ReactNode }) {
  return <div className="dialog-actions">{children}</div>;
}
