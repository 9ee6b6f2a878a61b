//! The simulator's web server: the factory's own endpoint, and those of the simulation.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    http::{StatusCode, header},
    web::{self, Bytes, Data, Path, ServiceConfig},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    faults::Faults,
    page,
    plan::Answer,
    simulator::{Headers, Simulator},
};

const PAGE_ENTRIES: usize = 100;

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/manufactures").route(web::post().to(manufacture)))
        .service(
            web::resource("/sim/faults")
                .route(web::get().to(get_faults))
                .route(web::put().to(put_faults))
                .route(web::delete().to(delete_faults)),
        )
        .service(web::resource("/sim/requests").route(web::get().to(requests)))
        .service(web::resource("/sim/callbacks").route(web::get().to(callbacks)))
        .service(web::resource("/sim/callbacks/{index}/repeat").route(web::post().to(repeat)))
        .service(web::resource("/sim/history").route(web::delete().to(delete_history)))
        .service(web::resource("/").route(web::get().to(show)));
}

async fn manufacture(simulator: Data<Simulator>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let text = |name: &str| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let headers = Headers {
        idempotency_key: text("idempotency-key"),
        traceparent: text("traceparent"),
        user_agent: text("user-agent"),
        content_type: text("content-type"),
        authorization: text("authorization"),
    };
    let (received, plan) = simulator.receive(headers, &body);
    simulator.gate().pass().await;
    sleep(Duration::from_millis(plan.delay_ms)).await;
    if let Err(error) = simulator.into_inner().begin(received, &plan.answer, plan.job) {
        return HttpResponse::InternalServerError().json(json!({ "message": error.to_string() }));
    }
    match plan.answer {
        Answer::Status { status, retry_after, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = HttpResponse::build(status);
            if let Some(retry_after) = retry_after {
                answer.insert_header((header::RETRY_AFTER, retry_after));
            }
            answer.content_type("application/json").body(body)
        }
        Answer::Nothing => HttpResponse::Ok().body(Cut),
    }
}

async fn get_faults(simulator: Data<Simulator>) -> HttpResponse {
    HttpResponse::Ok().json(simulator.faults())
}

async fn put_faults(simulator: Data<Simulator>, body: Bytes) -> HttpResponse {
    match Faults::parse(&body).and_then(|faults| simulator.set_faults(faults)) {
        Ok(()) => HttpResponse::Ok().json(simulator.faults()),
        Err(sentence) => HttpResponse::UnprocessableEntity().json(json!({ "message": sentence })),
    }
}

async fn delete_faults(simulator: Data<Simulator>) -> HttpResponse {
    simulator.clear_faults();
    HttpResponse::NoContent().finish()
}

async fn requests(simulator: Data<Simulator>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "items": simulator.requests() }))
}

async fn callbacks(simulator: Data<Simulator>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "items": simulator.callbacks() }))
}

async fn repeat(simulator: Data<Simulator>, index: Path<u64>) -> HttpResponse {
    if simulator.into_inner().repeat(*index) {
        HttpResponse::Accepted().json(json!({ "repeats": *index }))
    } else {
        HttpResponse::NotFound().json(json!({ "message": format!("there is no callback {index}") }))
    }
}

async fn delete_history(simulator: Data<Simulator>) -> HttpResponse {
    simulator.clear_history();
    HttpResponse::NoContent().finish()
}

async fn show(simulator: Data<Simulator>) -> HttpResponse {
    let (requests, callbacks) = simulator.latest(PAGE_ENTRIES);
    let html = page::render(&simulator.faults(), &requests, &callbacks);
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html)
}

/// A body that fails before its first byte: the server then closes the connection, and never sends the head,
/// which is still in its buffer.
struct Cut;

impl MessageBody for Cut {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("the factory cuts the connection, as configured"))))
    }
}
