//! What the service does: each command loads, lets `domain` decide, and saves with its events in one
//! transaction.

pub(crate) mod apply_factory;
pub(crate) mod check_source;
pub(crate) mod keep_request;
pub(crate) mod list_quarantine;
pub(crate) mod list_receipts;
pub(crate) mod take_callback;
