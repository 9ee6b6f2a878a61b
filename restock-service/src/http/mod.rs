//! The HTTP edge: the Factory's callback and the operators' endpoints.

mod callback_body;
mod callback_path;
mod callbacks;
mod quarantine;
mod receipts;
mod timeline;
mod words;

use std::sync::Arc;

use actix_web::web::{self, Data};
use ipnet::IpNet;
use jaego_contracts::callback::CallbackVerifier;
use jaego_service::Routes;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{Page, document};
use uuid::Uuid;

use crate::commands::Context;
use crate::commands::take_callbacks::{CallbackMetrics, Intake};

/// Maximum length of an operator's reason, in characters.
const REASON_LENGTH_MAX: usize = 500;

/// State shared by all handlers.
pub(crate) struct State {
    pub(crate) context: Context,
    pub(crate) intake: Intake,
    pub(crate) verifier: CallbackVerifier,
    /// Networks that callbacks of any factory may come from; empty: all.
    pub(crate) allowed_sources: Vec<IpNet>,
    pub(crate) metrics: CallbackMetrics,
}

pub(crate) fn routes(state: State) -> Routes {
    let state = Data::new(state);
    let for_operators = state.clone();
    Routes {
        public: Arc::new(move |config| {
            config
                .app_data(state.clone())
                .service(callbacks::take_restock_callback)
                .route(callbacks::ROUTE, web::to(callbacks::refuse_other_method));
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
        serve_as: callback_path::usual,
        document: document(
            "Jaego restock-service",
            "Takes the Factory's callbacks: goods receipts, and a quarantine for deliveries that an operator must decide on.",
        ),
    }
}

/// The id of the last row of the previous page.
fn last_id(page: &Page) -> Result<Option<Uuid>, Problem> {
    let id = page.after.as_deref().map(str::parse).transpose();
    id.map_err(|_| {
        let detail = "cursor: not a cursor of this list; start again without one.";
        Problem::new(ProblemKind::InvalidRequest, detail).with("field", "cursor")
    })
}

/// Validates an operator's reason: not empty, not too long.
fn reason(text: &str) -> Result<&str, Problem> {
    let must = match text {
        text if text.trim().is_empty() => "must not be empty",
        text if text.chars().count() > REASON_LENGTH_MAX => "must have at most 500 characters",
        text if text.contains('\0') => "must not contain a NUL character",
        text => return Ok(text),
    };
    Err(Problem::new(ProblemKind::InvalidRequest, format!("reason: {must}.")).with("field", "reason"))
}
