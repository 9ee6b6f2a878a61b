//! Counts passed and failed tests in the output of test runners.

use std::ops::Add;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl Count {
    /// Counts the tests in one line: `Summary` of nextest, `test result:` of libtest, `Tests` of vitest, otherwise
    /// none.
    pub(super) fn of_line(line: &str) -> Self {
        let line = without_colours(line);
        // Nextest shows the output of a failed test indented, which may include the summary of another test runner.
        let is_shown = line.starts_with([' ', '\t']) && line.trim_start().starts_with("test result:");
        let line = line.trim();
        if is_shown {
            Self::default()
        } else if line.starts_with("Summary [") {
            line.split_once(" run: ").map_or_else(Self::default, |(_, counts)| Self::of_list(counts, ','))
        } else if let Some(result) = line.strip_prefix("test result: ") {
            result.split_once(". ").map_or_else(Self::default, |(_, counts)| Self::of_list(counts, ';'))
        } else if let Some(result) = line.strip_prefix("Tests  ") {
            Self::of_list(result, '|')
        } else {
            Self::default()
        }
    }

    /// Parses a list such as `4 passed (1 slow, 1 leaky), 1 failed, 1 timed out, 2 skipped`.
    fn of_list(counts: &str, separator: char) -> Self {
        let mut total = Self::default();
        for part in without_brackets(counts).split(separator) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => total.passed += number,
                "failed" | "exec failed" | "timed out" => total.failed += number,
                _ => {}
            }
        }
        total
    }
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

/// Removes colour codes: `ESC [ .. m`.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nextest() {
        let line = "     Summary [   0.111s] 5 tests run: 5 passed, 0 skipped\n";
        assert_eq!(Count::of_line(line), Count { passed: 5, failed: 0 });
        let line = "\u{1b}[31;1m     Summary\u{1b}[0m [   9.1s] \u{1b}[1m7/9\u{1b}[0m tests run: \u{1b}[1m4\u{1b}[0m \
                    \u{1b}[32mpassed\u{1b}[0m (1 slow, 1 leaky), 1 failed, 1 exec failed, 1 timed out, 2 skipped";
        assert_eq!(Count::of_line(line), Count { passed: 4, failed: 3 });
        assert_eq!(Count::of_line("Summary [ 0.1s] 1 test run: 1 passed"), Count { passed: 1, failed: 0 });
    }

    #[test]
    fn reads_libtest() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Count::of_line(line), Count { passed: 3, failed: 2 });
        let line = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured";
        assert_eq!(Count::of_line(line), Count { passed: 3, failed: 0 });
    }

    #[test]
    fn reads_vitest() {
        let line = "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m\u{1b}[22m | 41 passed | 2 skipped (44)";
        assert_eq!(Count::of_line(line), Count { passed: 41, failed: 1 });
        assert_eq!(Count::of_line(" Test Files  3 passed (3)"), Count::default());
    }

    #[test]
    fn other_lines_count_nothing() {
        let shown = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out";
        for line in ["", shown, "5 passed, 0 failed", "        PASS [   0.1s] xtask count::reads", "test a ... ok"] {
            assert_eq!(Count::of_line(line), Count::default(), "{line}");
        }
    }
}
