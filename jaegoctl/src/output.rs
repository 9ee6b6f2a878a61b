//! Output: results to standard output (tables for people, JSON for programs), everything else to standard
//! error. Text from outside is escaped, so that it cannot control the terminal.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use chrono::{DateTime, Local, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Format of results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints a line; nothing with `--json`. The text may come from outside.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        if !self.json {
            print(&one_line(text.as_ref()));
        }
    }

    /// Prints a table; nothing with `--json`.
    pub(crate) fn table(self, table: &Rows) {
        if !self.json {
            print(&table.text());
        }
    }

    /// Prints the JSON document; nothing without `--json`.
    pub(crate) fn document(self, document: &impl Serialize) {
        if self.json {
            print(&json(document));
        }
    }
}

/// Writes to standard output. Errors are ignored: a closed pipe is no failure.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).ok();
}

/// Writes remarks and failures to standard error.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stderr(), "{}", plain(text)).ok();
}

/// A spinner on a terminal; elsewhere one line at the first change. It disappears when dropped.
pub(crate) struct Spinner {
    bar: Option<ProgressBar>,
    said: bool,
}

impl Spinner {
    pub(crate) fn new(doing: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: None, said: false };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(plain(doing));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar: Some(bar), said: false }
    }

    /// Changes the text.
    pub(crate) fn doing(&mut self, doing: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(plain(doing)),
            None if !self.said => say(doing),
            None => {}
        }
        self.said = true;
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Progress of long work: a bar on a terminal, an occasional line elsewhere.
pub(crate) struct Bar {
    shown: Option<ProgressBar>,
    doing: &'static str,
    total: u64,
    before: (u64, u64),
    said: Instant,
}

/// Interval between lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Bar {
    /// `total` is 0 when the number is unknown.
    pub(crate) fn new(doing: &'static str, total: u64) -> Self {
        let shown = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_message(doing);
            bar
        });
        Self { shown, doing, total, before: (0, 0), said: Instant::now() }
    }

    /// Begins the next part; the counts are those of all earlier parts.
    pub(crate) fn begin(&mut self, processed: u64, failed: u64) {
        self.before = (processed, failed);
    }

    /// Shows the progress of the current part.
    pub(crate) fn at(&mut self, processed: u64, pending: u64, failed: u64) {
        let (processed, failed) = (self.before.0 + processed, self.before.1 + failed);
        self.total = self.total.max(processed + pending);
        match &self.shown {
            Some(bar) => {
                bar.set_length(self.total);
                bar.set_position(processed);
                bar.set_message(if failed == 0 {
                    self.doing.to_owned()
                } else {
                    format!("{}, {failed} failed again", self.doing)
                });
            }
            None if self.said.elapsed() >= LINE_EVERY => {
                say(&format!("{}: {processed} of {} processed, {failed} failed again", self.doing, self.total));
                self.said = Instant::now();
            }
            None => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

pub(crate) struct Rows {
    table: Table,
    /// Length of the longest word of each column, characters.
    words: Vec<usize>,
}

/// A longer word may be broken.
const WORD_CHARS_MAX: usize = 40;

impl Rows {
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns: Vec<&str> = columns.into_iter().collect();
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.style_mut().row_separator = comfy_table::LineStyle::none();
        table.set_header(columns.iter().copied());
        // Only a terminal has a width; piped output is not wrapped.
        if let (true, Some((width, _))) = (std::io::stdout().is_terminal(), terminal_size::terminal_size()) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.0);
        }
        Self { table, words: columns.into_iter().map(longest_word).collect() }
    }

    /// Adds a row; its cells may hold text from outside.
    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| one_line(cell.as_ref())).collect();
        for (word, cell) in self.words.iter_mut().zip(&cells) {
            *word = longest_word(cell).max(*word);
        }
        self.table.add_row(cells);
    }

    fn text(&self) -> String {
        let mut table = self.table.clone();
        // A broken id cannot be copied, so the table may be wider than a narrow terminal.
        for (column, word) in table.column_iter_mut().zip(&self.words) {
            let width = u16::try_from((*word).min(WORD_CHARS_MAX)).unwrap_or_default();
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + 2)));
        }
        table.trim_fmt()
    }
}

fn longest_word(text: &str) -> usize {
    text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default()
}

/// [`plain`] on one line, so that text from outside cannot imitate a line of ours.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

/// Escapes control characters, and those that change text direction, as `\u{..}`; newlines stay.
pub(crate) fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c != '\n' && steers(c) {
            // Writing to a string cannot fail.
            write!(shown, "{}", c.escape_unicode()).ok();
        } else {
            shown.push(c);
        }
        shown
    })
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Indented JSON; characters that could control a terminal are written as `\uXXXX`, which means the same.
pub(crate) fn json(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c != '\n' && steers(c) {
            write!(shown, "\\u{:04x}", u32::from(c)).ok();
        } else {
            shown.push(c);
        }
        shown
    })
}

/// A time in the local time zone. Programs get UTC.
pub(crate) fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_a_terminal() {
        let nasty = "CP-1\u{1b}[2J\u{7}\r\u{9b}31m\u{202e}끝\tx\ny";
        let shown = plain(nasty);
        assert_eq!(shown, "CP-1\\u{1b}[2J\\u{7}\\u{d}\\u{9b}31m\\u{202e}끝\\u{9}x\ny");
        let document = json(&serde_json::json!({ "sku": nasty }));
        assert!(!document.chars().any(|c| c != '\n' && steers(c)), "{document}");
        let back: serde_json::Value = serde_json::from_str(&document).expect("JSON");
        assert_eq!(back["sku"], nasty);
        let mut rows = Rows::new(["A"]);
        rows.row([nasty]);
        assert!(!rows.text().chars().any(|c| c != '\n' && steers(c)));
        assert_eq!(one_line("a\nerror: b"), "a\\nerror: b");
    }
}
