//! Pages and files as browsers get them.

use frontend::site::{Encoding, Site};
use reqwest::Method;
use testkit::service::Surroundings;

use crate::harness::{Answer, CONSOLE_PAGE, Front, SHOP_PAGE};

// Control: strict-pages.
#[tokio::test]
async fn each_path_has_its_page_and_every_answer_the_strict_headers() {
    let front = Front::open(&[]).await;
    for path in ["/", "/cart", "/orders/0190", "/products/CP-1"] {
        assert_eq!(front.get(path).await.text(), SHOP_PAGE, "{path}");
        assert_eq!(front.get_public(path).await.text(), SHOP_PAGE, "{path}");
    }
    for path in ["/console", "/console/", "/console/stock/CP.1"] {
        assert_eq!(front.get(path).await.text(), CONSOLE_PAGE, "{path}");
    }
    for path in ["/index.html", "/console.html", "/.vite/manifest.json", "/assets/none.js", "/none.txt", "/sales/x"] {
        let answer = front.get(path).await;
        answer.is_problem(404, "not-found");
        has_strict_headers(&answer, path);
    }
    for path in ["/", "/console", "/assets/shop-1.js", "/settings.json", "/session", "/sales/api/v1/products"] {
        has_strict_headers(&front.get(path).await, path);
    }
    let posted = front.request(Method::POST, "/").send().await.expect("an answer");
    Answer::of(posted).await.is_problem(405, "method-not-allowed");
    front.stop().await;
}

#[track_caller]
fn has_strict_headers(answer: &Answer, path: &str) {
    let policy = answer.header("content-security-policy");
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
    for (name, value) in [
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{path}");
    }
    assert!(answer.header("permissions-policy").contains("camera=()"), "{path}");
}

#[tokio::test]
async fn files_are_kept_by_browsers_as_long_as_they_are_good() {
    let front = Front::open(&[]).await;
    let page = front.get("/").await;
    assert_eq!((page.header("cache-control"), page.header("content-type")), ("no-cache", "text/html; charset=utf-8"));
    let script = front.get("/assets/shop-1.js").await;
    assert_eq!(script.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(front.get("/favicon.svg").await.header("content-type"), "image/svg+xml");

    let again = front.request(Method::GET, "/").header("if-none-match", page.header("etag"));
    let again = Answer::of(again.send().await.expect("an answer")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), page.header("etag"));
    let other = front.request(Method::GET, "/").header("if-none-match", "\"other\"");
    assert_eq!(other.send().await.expect("an answer").status(), 200);

    let head = front.request(Method::HEAD, "/").send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], SHOP_PAGE.len().to_string().as_str());
    assert_eq!(head.text().await.expect("a body"), "");
    front.stop().await;
}

#[tokio::test]
async fn files_travel_compressed() {
    let front = Front::open(&[]).await;
    for (accepted, encoding, body) in [("gzip, deflate, br", "br", "as brotli"), ("gzip", "gzip", "as gzip")] {
        let request = front.request(Method::GET, "/assets/shop-1.js").header("accept-encoding", accepted);
        let answer = Answer::of(request.send().await.expect("an answer")).await;
        assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (encoding, body));
        assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(answer.header("vary"), "Accept-Encoding");
    }
    let plain = front.get("/assets/shop-1.js").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "Accept-Encoding"));
    front.get("/assets/shop-1.js.br").await.is_problem(404, "not-found");
    front.stop().await;
}

#[tokio::test]
async fn the_shops_own_listener_knows_no_console() {
    let front = Front::open(&[("DEMO__FACTORY_URL", "http://127.0.0.1:1")]).await;
    let settings = front.get("/settings.json").await.json();
    assert_eq!((&settings["console"], &settings["demo"]), (&true.into(), &true.into()));
    assert_eq!(settings["version"], env!("CARGO_PKG_VERSION"));
    let settings = front.get_public("/settings.json").await.json();
    assert_eq!((&settings["console"], &settings["demo"]), (&false.into(), &false.into()));

    assert_eq!(front.get("/assets/console-1.js").await.status, 200);
    for path in [
        "/console",
        "/console/orders",
        "/assets/console-1.js",
        "/session",
        "/live/console",
        "/demo/faults",
        "/sales/api/v1/orders",
        "/production/api/v1/factories",
    ] {
        front.get_public(path).await.is_problem(404, "not-found");
    }
    for path in ["/assets/shop-1.js", "/assets/common-1.js"] {
        assert_eq!(front.get_public(path).await.status, 200, "{path}");
    }
    front.stop().await;

    // A shop without a console serves the same on both listeners.
    let front = Front::open(&[("CONSOLE__ENABLED", "false"), ("ACCESS__URL", "")]).await;
    assert_eq!(front.get("/settings.json").await.json()["console"], false);
    for path in ["/console", "/session", "/assets/console-1.js", "/sales/api/v1/stock"] {
        front.get(path).await.is_problem(404, "not-found");
    }
    assert_eq!(front.get("/").await.text(), SHOP_PAGE);
    front.stop().await;
}

#[tokio::test]
async fn without_pages_everything_else_works_and_the_answer_names_the_remedy() {
    let front = Front::open_with(Surroundings::new().await, Site::of([]), &[]).await;
    let problem = front.get("/").await.is_problem(503, "unavailable");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("npm run build")), "{problem}");
    assert_eq!(front.get("/session").await.status, 200);
    let report = front.is("degraded").await;
    assert!(report["checks"]["pages"].as_str().is_some_and(|check| check.contains("npm run build")), "{report}");
    front.stop().await;
}

/// Checks the built web application, if there is one: it must work under the policy as it is.
#[tokio::test]
async fn the_built_pages_need_nothing_that_the_policy_forbids() {
    let site = Site::embedded();
    if !site.is_there() {
        return;
    }
    let pages = ["index.html", "console.html"].map(|page| site.get(page).expect("both pages"));
    for page in pages {
        let text = String::from_utf8_lossy(&page.bytes).into_owned();
        assert!(!text.contains("style=") && !text.contains("<style"), "a style in the page: {text}");
        for script in text.split("<script").skip(1) {
            let (attributes, body) = script.split_once('>').expect("a tag");
            assert!(attributes.contains("src=\"/") && body.starts_with("</script>"), "a script in the page: {text}");
        }
        assert!(!text.contains("http://") && !text.contains("https://"), "another origin: {text}");
    }
    assert!(!pages[0].is_console_only && pages[1].is_console_only);
    let scripts = site.paths().filter(|path| path.rsplit('.').next() == Some("js"));
    let is_plain = |path: &&str| site.get(path).is_some_and(|file| file.body(Encoding::Brotli).0 == Encoding::Identity);
    let large = scripts.filter(|path| site.get(path).is_some_and(|file| file.bytes.len() > 1024));
    assert_eq!(large.filter(is_plain).collect::<Vec<_>>(), [""; 0], "the build has not compressed these");
    let consoles: Vec<&str> = site.paths().filter(|path| path.starts_with("assets/console")).collect();
    let is_kept = |path: &&str| site.get(path).is_some_and(|file| file.is_console_only);
    assert!(!consoles.is_empty() && consoles.iter().all(is_kept), "the build's manifest does not say: {consoles:?}");
}

#[tokio::test]
async fn without_https_browsers_are_not_told_to_use_it() {
    let front = Front::open(&[("PAGES__HSTS_MAX_AGE_S", "0")]).await;
    assert_eq!(front.get("/").await.header("strict-transport-security"), "");
    front.stop().await;
}
