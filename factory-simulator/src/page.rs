//! The simulator's only page: plain, and refreshed automatically.

use std::fmt::{Display, Write as _};

use crate::{
    faults::Faults,
    history::{ReceivedRequest, SentCallback},
    plan::STAGES,
};

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Factory simulator</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ccc; }
code, pre { font-size: 12px; white-space: pre-wrap; overflow-wrap: anywhere; }
</style></head><body>
<h1>Factory simulator</h1>
<p>It takes <code>POST /api/manufactures</code>, works for four stages and sends one callback. Faults:
<code>GET|PUT|DELETE /sim/faults</code>; everything of below as JSON: <code>GET /sim/requests</code>,
<code>GET /sim/callbacks</code>; forget it: <code>DELETE /sim/history</code>; send a callback again:
<code>POST /sim/callbacks/{index}/repeat</code>.</p>
"#;

pub(crate) fn render(faults: &Faults, requests: &[ReceivedRequest], callbacks: &[SentCallback]) -> String {
    let mut html = String::from(HEAD);
    let shown = if *faults == Faults::default() {
        "none".to_owned()
    } else {
        serde_json::to_string_pretty(faults).unwrap_or_default()
    };
    // Writing to a string cannot fail.
    write!(html, "<h2>Faults</h2><pre>{}</pre>", escape(&shown)).ok();

    html.push_str("<h2>Requests</h2><table><tr><th>#<th>at<th>answer<th>stage<th>idempotency key<th>body</tr>");
    for request in requests {
        write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{} of {STAGES}<td>{}<td><code>{}</code></tr>",
            request.index,
            request.at.format("%T%.3f"),
            or_dash(request.answer_status.as_ref()),
            request.stage,
            escape(&or_dash(request.idempotency_key.as_ref())),
            escape(&request.body),
        )
        .ok();
    }
    html.push_str("</table><h2>Callbacks</h2><table><tr><th>#<th>of<th>at<th>answer<th>url<th>body</tr>");
    for callback in callbacks {
        let answer = callback.error.clone().unwrap_or_else(|| or_dash(callback.status.as_ref()));
        write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td><code>{}</code><td><code>{}</code></tr>",
            callback.index,
            callback.request_index,
            callback.at.format("%T%.3f"),
            escape(&answer),
            escape(&callback.url),
            escape(&callback.body),
        )
        .ok();
    }
    html.push_str("</table></body></html>\n");
    html
}

fn or_dash(value: Option<&impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
