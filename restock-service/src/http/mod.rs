//! The HTTP edge: the Factory's callback, and what operators read and decide.

mod callback_body;
mod callbacks;
mod client_address;
mod quarantine;
mod receipts;
mod timeline;
mod words;

use std::sync::Arc;

use actix_web::web::Data;
use ipnet::IpNet;
use jaego_contracts::callback::CallbackVerifier;
use jaego_service::Routes;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{Page, document};
use uuid::Uuid;

use crate::commands::Context;
use crate::commands::take_callbacks::{CallbackMetrics, Intake};

/// Longest reason of an operator, in characters.
const REASON_LENGTH_MAX: usize = 500;

/// What handlers work with.
pub(crate) struct State {
    pub(crate) context: Context,
    pub(crate) intake: Intake,
    pub(crate) verifier: CallbackVerifier,
    pub(crate) proxies: Vec<IpNet>,
    /// Where callbacks of any factory may come from; empty: from everywhere.
    pub(crate) allowed_sources: Vec<IpNet>,
    pub(crate) metrics: CallbackMetrics,
}

/// All routes of the service.
pub(crate) fn routes(state: State) -> Routes {
    let state = Data::new(state);
    let for_operators = state.clone();
    Routes {
        public: Arc::new(move |config| {
            config.app_data(state.clone()).service(callbacks::take_restock_callback);
        }),
        operator: Arc::new(move |config| {
            config
                .app_data(for_operators.clone())
                .service(receipts::list_receipts)
                .service(receipts::book_receipt)
                .service(quarantine::list_quarantine)
                .service(quarantine::accept_quarantined)
                .service(quarantine::discard_quarantined)
                .service(timeline::get_timeline);
        }),
        drop_abandoned: false,
        document: document(
            "Jaego restock-service",
            "Takes the Factory's callbacks: goods receipts, and a quarantine for what a person must judge.",
        ),
    }
}

/// The row that the page before ended with.
fn last_id(page: &Page) -> Result<Option<Uuid>, Problem> {
    let id = page.after.as_deref().map(str::parse).transpose();
    id.map_err(|_| {
        let detail = "cursor: not a cursor of this list; begin again without one.";
        Problem::new(ProblemKind::InvalidRequest, detail).with("field", "cursor")
    })
}

/// An operator's reason: something, and not too much.
fn reason(text: &str) -> Result<&str, Problem> {
    let must = match text {
        text if text.trim().is_empty() => "must not be empty",
        text if text.chars().count() > REASON_LENGTH_MAX => "must have at most 500 characters",
        text if text.contains('\0') => "must not hold a NUL character",
        text => return Ok(text),
    };
    Err(Problem::new(ProblemKind::InvalidRequest, format!("reason: {must}.")).with("field", "reason"))
}
