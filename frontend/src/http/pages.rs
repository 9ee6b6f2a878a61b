//! Pages and their files.

use actix_web::http::{Method, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jaego_web::SharedBody;
use jaego_web::problem::{Problem, ProblemKind};
use serde_json::json;

use super::{Face, State, not_found};
use crate::site::NOT_BUILT;
use crate::site::{CONSOLE_PAGE, Encoding, File, SHOP_PAGE};

/// Settings that the pages need before they can show anything.
pub(super) async fn settings(state: Data<State>, face: Data<Face>) -> HttpResponse {
    let has_console = **face == Face::Both;
    let answer = json!({
        "console": has_console,
        "demo": has_console && state.factory.is_some(),
        "provider": Some(&state.provider).filter(|name| has_console && !name.is_empty()),
        "version": env!("CARGO_PKG_VERSION"),
    });
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).json(answer)
}

/// Serves a file, or else the page that handles the path.
pub(super) async fn page(request: HttpRequest, state: Data<State>, face: Data<Face>) -> Result<HttpResponse, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::new(ProblemKind::MethodNotAllowed, "This path answers GET."));
    }
    let name = name_of(request.path(), **face).ok_or_else(not_found)?;
    let file = state.site.get(name).filter(|file| !file.is_console_only || **face == Face::Both);
    match file {
        Some(file) => Ok(answer(file, &request)),
        None if !state.site.is_there() && [SHOP_PAGE, CONSOLE_PAGE].contains(&name) => {
            let detail = format!("There are no pages: {NOT_BUILT}.");
            Err(Problem::new(ProblemKind::Unavailable, detail))
        }
        None => Err(not_found()),
    }
}

/// The name of the file that is served at a path.
fn name_of(path: &str, face: Face) -> Option<&str> {
    let name = path.strip_prefix('/')?;
    let is_console = name == "console" || name.starts_with("console/");
    match (is_file(name), is_console, face) {
        // Each page has one URL only, and hidden files are not served.
        (true, _, _) if [SHOP_PAGE, CONSOLE_PAGE].contains(&name) => None,
        _ if name.starts_with('.') => None,
        (true, _, _) => Some(name),
        (false, true, Face::Both) => Some(CONSOLE_PAGE),
        (false, true, Face::Shop) => None,
        (false, false, _) => Some(SHOP_PAGE),
    }
}

/// True if a path denotes a file: it is below `assets/`, or has a dot at the top level. Deeper in the path, a dot may
/// belong to a product.
fn is_file(name: &str) -> bool {
    name.starts_with("assets/") || (name.contains('.') && !name.contains('/'))
}

fn answer(file: &File, request: &HttpRequest) -> HttpResponse {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_known = text(header::IF_NONE_MATCH).is_some_and(|known| {
        known
            .split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == file.etag.trim_start_matches("W/"))
    });
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, file.etag.as_str()))
        .insert_header((header::CACHE_CONTROL, file.cache_control))
        .insert_header((header::VARY, "Accept-Encoding"));
    if is_known {
        return response.finish();
    }
    let (encoding, body) = file.body(Encoding::accepted(text(header::ACCEPT_ENCODING)));
    if let Some(name) = encoding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let mut response = response.content_type(file.media_type).body(body);
    response.extensions_mut().insert(SharedBody);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_page_or_file() {
        for (path, shop, both) in [
            ("/", Some(SHOP_PAGE), Some(SHOP_PAGE)),
            ("/cart", Some(SHOP_PAGE), Some(SHOP_PAGE)),
            ("/products/a.b", Some(SHOP_PAGE), Some(SHOP_PAGE)),
            ("/consoles", Some(SHOP_PAGE), Some(SHOP_PAGE)),
            ("/console", None, Some(CONSOLE_PAGE)),
            ("/console/stock/CP-1.x", None, Some(CONSOLE_PAGE)),
            ("/console.html", None, None),
            ("/index.html", None, None),
            ("/assets/shop-1.js", Some("assets/shop-1.js"), Some("assets/shop-1.js")),
            ("/assets/none", Some("assets/none"), Some("assets/none")),
            ("/favicon.svg", Some("favicon.svg"), Some("favicon.svg")),
            ("/.vite/manifest.json", None, None),
        ] {
            assert_eq!(name_of(path, Face::Shop), shop, "{path}");
            assert_eq!(name_of(path, Face::Both), both, "{path}");
        }
    }
}
