//! The routes that are forwarded, with the required role. A route that is missing here does not exist for browsers.

use std::fmt::Write as _;

use actix_web::http::Method;

use super::Service;

/// Maximum length of a path segment that stands for an id.
const ID_BYTES_MAX: usize = 64;

/// Access to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Open to anyone; the request goes to the service's public port, without a token.
    Shopper,
    /// Requires a session.
    Viewer,
    /// Requires a session of an operator.
    Operator,
}

#[derive(Debug)]
pub struct Route {
    pub service: Service,
    pub method: Method,
    /// The path after `/api/v1/`; `{}` stands for an id.
    pub pattern: &'static str,
    pub who: Who,
}

const fn route(service: Service, method: Method, pattern: &'static str, who: Who) -> Route {
    Route { service, method, pattern, who }
}

/// Routes that every service with messages has.
macro_rules! of_each {
    ($service:expr) => {
        [
            route($service, Method::GET, "audit", Who::Viewer),
            route($service, Method::GET, "audit-log", Who::Viewer),
            route($service, Method::GET, "timeline", Who::Viewer),
            route($service, Method::GET, "dead-letters", Who::Viewer),
            route($service, Method::GET, "dead-letters/groups", Who::Viewer),
            route($service, Method::GET, "dead-letters/redrives/{}", Who::Viewer),
            route($service, Method::GET, "dead-letters/{}", Who::Viewer),
            route($service, Method::POST, "dead-letters/redrive", Who::Operator),
            route($service, Method::POST, "dead-letters/discard", Who::Operator),
        ]
    };
}

/// All routes; of two that match, the first is used.
pub const ROUTES: &[&[Route]] = &[
    &[
        route(Service::Sales, Method::GET, "products", Who::Shopper),
        route(Service::Sales, Method::GET, "products/{}", Who::Shopper),
        route(Service::Sales, Method::POST, "orders", Who::Shopper),
        route(Service::Sales, Method::GET, "orders/{}", Who::Shopper),
        route(Service::Sales, Method::GET, "orders", Who::Viewer),
        route(Service::Sales, Method::POST, "orders/{}/cancel", Who::Operator),
        route(Service::Sales, Method::PUT, "products/{}", Who::Operator),
        route(Service::Sales, Method::POST, "products/{}/adjustments", Who::Operator),
        route(Service::Sales, Method::GET, "stock", Who::Viewer),
        route(Service::Sales, Method::GET, "stock/{}", Who::Viewer),
        route(Service::Sales, Method::GET, "stock/{}/movements", Who::Viewer),
        route(Service::Sales, Method::GET, "stock/{}/replenishment-decision", Who::Viewer),
        route(Service::Sales, Method::POST, "stock/{}/snooze", Who::Operator),
        route(Service::Sales, Method::GET, "replenishments", Who::Viewer),
        route(Service::Sales, Method::POST, "replenishments", Who::Operator),
        route(Service::Sales, Method::POST, "replenishments/{}/approve", Who::Operator),
        route(Service::Sales, Method::POST, "replenishments/{}/close", Who::Operator),
    ],
    &[
        route(Service::Production, Method::GET, "factories", Who::Viewer),
        route(Service::Production, Method::GET, "factories/{}", Who::Viewer),
        route(Service::Production, Method::PUT, "factories/{}", Who::Operator),
        route(Service::Production, Method::GET, "production-requests", Who::Viewer),
        route(Service::Production, Method::GET, "production-requests/{}", Who::Viewer),
        route(Service::Production, Method::POST, "production-requests/{}/retry", Who::Operator),
        route(Service::Production, Method::POST, "production-requests/{}/cancel", Who::Operator),
    ],
    &[
        route(Service::Restock, Method::GET, "receipts", Who::Viewer),
        route(Service::Restock, Method::POST, "receipts", Who::Operator),
        route(Service::Restock, Method::GET, "quarantine", Who::Viewer),
        route(Service::Restock, Method::POST, "quarantine/{}/accept", Who::Operator),
        route(Service::Restock, Method::POST, "quarantine/{}/discard", Who::Operator),
    ],
    &[
        route(Service::Access, Method::GET, "audit-log", Who::Viewer),
        route(Service::Access, Method::GET, "tokens", Who::Viewer),
        route(Service::Access, Method::POST, "tokens", Who::Operator),
        route(Service::Access, Method::POST, "tokens/{}/revoke", Who::Operator),
        route(Service::Access, Method::GET, "sessions", Who::Viewer),
        route(Service::Access, Method::POST, "sessions/{}/end", Who::Operator),
        route(Service::Access, Method::POST, "sessions/end", Who::Operator),
    ],
    &of_each!(Service::Sales),
    &of_each!(Service::Production),
    &of_each!(Service::Restock),
];

/// Finds the route of a request, and the path to request from the service.
pub fn find(service: Service, method: &Method, path: &str) -> Option<(&'static Route, String)> {
    let segments: Vec<String> = path.strip_prefix("api/v1/")?.split('/').map(decoded).collect::<Option<_>>()?;
    // Services handle HEAD as GET.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let all = ROUTES.iter().copied().flatten();
    let mut own = all.filter(|route| route.service == service && route.method == *method);
    let route = own.find(|route| fits(route.pattern, &segments))?;
    Some((route, format!("/api/v1/{}", segments.join("/"))))
}

fn fits(pattern: &str, segments: &[String]) -> bool {
    let wanted: Vec<&str> = pattern.split('/').collect();
    wanted.len() == segments.len() && wanted.iter().zip(segments).all(|(wanted, got)| *wanted == "{}" || wanted == got)
}

/// Decodes a path segment. Like all ids here it may consist of letters, digits and `._:-` and must begin with a
/// letter or a digit. Nothing can escape the path (`..`) or be smuggled in (`%2F`), and the forwarded path needs no
/// escapes.
fn decoded(segment: &str) -> Option<String> {
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        };
        let is_good = byte.is_ascii_alphanumeric() || (!text.is_empty() && b"._:-".contains(&byte));
        if !is_good || text.len() == ID_BYTES_MAX {
            return None;
        }
        // Writing to a string cannot fail.
        text.write_char(char::from(byte)).ok();
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found(service: Service, method: &Method, path: &str) -> Option<(Who, String)> {
        find(service, method, path).map(|(route, path)| (route.who, path))
    }

    #[test]
    fn only_listed_routes_are_found_and_each_for_whom_it_is() {
        let sales = |method: Method, path: &str| found(Service::Sales, &method, path);
        assert_eq!(sales(Method::GET, "api/v1/products"), Some((Who::Shopper, "/api/v1/products".to_owned())));
        assert_eq!(sales(Method::HEAD, "api/v1/products").map(|(who, _)| who), Some(Who::Shopper));
        assert_eq!(sales(Method::PUT, "api/v1/products/CP-1").map(|(who, _)| who), Some(Who::Operator));
        assert_eq!(sales(Method::GET, "api/v1/orders").map(|(who, _)| who), Some(Who::Viewer));
        for (method, path) in [
            (Method::DELETE, "api/v1/products/CP-1"),
            (Method::GET, "api/v1/products/"),
            (Method::GET, "api/v1//products"),
            (Method::GET, "api/v1/products/CP-1/x"),
            (Method::GET, "api/v2/products"),
            (Method::GET, "products"),
            (Method::GET, "openapi.json"),
            (Method::GET, "api/v1/factories"),
            (Method::TRACE, "api/v1/products"),
        ] {
            assert_eq!(sales(method, path), None, "{path}");
        }
        assert_eq!(found(Service::Restock, &Method::POST, "callbacks/v1/restocks/token"), None);
    }

    #[test]
    fn ids_come_through_plainly_and_nothing_else_does() {
        let product = |id: &str| found(Service::Sales, &Method::GET, &format!("api/v1/products/{id}"));
        assert_eq!(product("a%3Ab.c_d-1"), Some((Who::Shopper, "/api/v1/products/a:b.c_d-1".to_owned())));
        let long = "x".repeat(65);
        for bad in ["..", "%2e%2e", ".%2E", "a%2Fb", "a%2", "a%zz", "a%20b", "%00", "a?b", "a;b", "\u{e9}", &long] {
            assert_eq!(product(bad), None, "{bad}");
        }
    }

    /// The table is checked against the same documents that the web application's types are generated from.
    #[test]
    fn every_operation_of_the_services_is_in_the_table_as_documented() {
        let mut documented = BTreeSet::new();
        for service in Service::ALL {
            let path = format!("{}/web/openapi/{}.json", env!("CARGO_MANIFEST_DIR"), service.prefix());
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            for (path, item) in document["paths"].as_object().expect("paths") {
                // The factories' callback is not forwarded.
                let Some(pattern) = path.strip_prefix("/api/v1/") else { continue };
                let parts = pattern.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
                let pattern = parts.collect::<Vec<_>>().join("/");
                for (method, operation) in item.as_object().expect("operations") {
                    let who = match (
                        operation["security"].as_array().is_some_and(|list| !list.is_empty()),
                        &operation["responses"],
                    ) {
                        (false, _) => Who::Shopper,
                        (true, responses) if responses.get("403").is_some() => Who::Operator,
                        (true, _) => Who::Viewer,
                    };
                    documented.insert(format!("{service} {} {pattern} {who:?}", method.to_uppercase()));
                }
            }
        }
        let rows = ROUTES.iter().copied().flatten();
        let listed: BTreeSet<String> = rows
            .clone()
            .map(|route| format!("{} {} {} {:?}", route.service, route.method, route.pattern, route.who))
            .collect();
        assert_eq!(listed.len(), rows.count(), "a row twice");
        assert_eq!(documented, listed);
    }
}
