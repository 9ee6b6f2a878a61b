//! Draws charts as SVG: bars for comparisons, lines for change over time. They are viewed on light and dark pages, so
//! they have a background of their own.

use std::fmt::Write as _;

use crate::results::{Line, Row};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 300.0;
const BAR: f64 = 16.0;
const OURS: &str = "#2f6fb0";
const THEIRS: &str = "#b9c2cc";
const INK: &str = "#24292f";

/// Bars of all rows with the same unit: ours, and below it its baseline.
pub fn bars(title: &str, rows: &[&Row]) -> String {
    let highest = rows
        .iter()
        .flat_map(|row| [Some(row.ours.max), row.baseline.as_ref().map(|baseline| baseline.figure.max)])
        .flatten()
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LEFT - 110.0) / highest;
    let mut body = String::new();
    let mut y = 44.0;
    for row in rows {
        let text_y = y + BAR - 4.0;
        text(&mut body, LEFT - 8.0, text_y, "end", &row.what);
        bar(&mut body, y, OURS, (row.ours.min, row.ours.median, row.ours.max), scale);
        y += BAR + 2.0;
        if let Some(baseline) = &row.baseline {
            let figure = &baseline.figure;
            text(&mut body, LEFT - 8.0, y + BAR - 4.0, "end", &format!("({})", baseline.name));
            bar(&mut body, y, THEIRS, (figure.min, figure.median, figure.max), scale);
            y += BAR + 2.0;
        }
        y += 10.0;
    }
    svg(title, y + 6.0, &body)
}

/// A line over equal steps.
pub fn line(line: &Line) -> String {
    const HEIGHT: f64 = 220.0;
    let (left, right, top, bottom) = (60.0, WIDTH - 20.0, 44.0, HEIGHT - 30.0);
    let highest = line.values.iter().copied().fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let steps = crate::statistics::figure(line.values.len().saturating_sub(1).max(1) as u64);
    let mut points = String::new();
    for (index, value) in line.values.iter().enumerate() {
        let x = left + (right - left) * crate::statistics::figure(index as u64) / steps;
        let y = bottom - (bottom - top) * value / highest;
        // Writing to a string cannot fail.
        write!(points, "{x:.1},{y:.1} ").ok();
    }
    let mut body = String::new();
    write!(
        body,
        "<polyline points=\"{left},{top} {left},{bottom} {right},{bottom}\" fill=\"none\" stroke=\"{THEIRS}\"/>\
         <polyline points=\"{points}\" fill=\"none\" stroke=\"{OURS}\" stroke-width=\"1.5\"/>"
    )
    .ok();
    text(&mut body, left - 6.0, top + 6.0, "end", &format!("{highest:.0}"));
    text(&mut body, left - 6.0, bottom, "end", "0");
    text(&mut body, right, bottom + 16.0, "end", &format!("{steps:.0} {}", line.step));
    svg(&format!("{} ({})", line.title, line.unit), HEIGHT, &body)
}

/// A bar up to the median, with a stroke from the minimum to the maximum.
fn bar(body: &mut String, y: f64, colour: &str, (min, median, max): (f64, f64, f64), scale: f64) {
    let (width, from, to, middle) = (median * scale, LEFT + min * scale, LEFT + max * scale, y + BAR / 2.0);
    write!(
        body,
        "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
         <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"{INK}\"/>"
    )
    .ok();
    text(body, to.max(LEFT + width) + 6.0, y + BAR - 4.0, "start", &crate::output::number(median));
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    write!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>").ok();
}

fn svg(title: &str, height: f64, body: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 16.0, 26.0, "start", title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"{INK}\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/><g font-size=\"14\">{heading}</g>{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::Baseline, statistics::Spread};

    #[test]
    fn a_chart_has_a_bar_for_each_side_and_escapes_its_text() {
        let spread = Spread::of(&[1.0, 2.0, 3.0]);
        let row = Row {
            what: "64 < 256 & more".to_owned(),
            unit: "orders/s".to_owned(),
            target: String::new(),
            ours: spread,
            baseline: Some(Baseline { name: "other".to_owned(), figure: spread, ratio: spread, p99_ms: None }),
            p50_ms: None,
            p99_ms: None,
            met: None,
        };
        let svg = bars("title", &[&row]);
        assert_eq!((svg.matches("<rect").count(), svg.matches("<line").count()), (3, 2), "{svg}");
        assert!(svg.contains("64 &lt; 256 &amp; more"), "{svg}");
    }

    #[test]
    fn a_line_has_a_point_for_each_figure() {
        let values = vec![1.0, 2.0, 4.0];
        let svg = line(&Line { title: "t".to_owned(), unit: "MB".to_owned(), step: "s".to_owned(), values });
        assert!(svg.contains("60.0,156.8"), "{svg}");
    }
}
