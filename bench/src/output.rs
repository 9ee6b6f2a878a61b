//! Output for people.

use std::io::Write as _;

/// Prints progress to standard error; a closed terminal is not an error.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Prints a line of the result to standard output.
pub fn answer(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Formats a figure for readers: 31,204; 1.84; 0.
pub fn number(figure: f64) -> String {
    if figure < 100.0 && figure.fract() != 0.0 {
        return format!("{figure:.2}");
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped() {
        assert_eq!((number(1.844).as_str(), number(999.6).as_str()), ("1.84", "1,000"));
        assert_eq!(number(0.0), "0");
        assert_eq!((number(31_204.2).as_str(), number(1_000_000.0).as_str()), ("31,204", "1,000,000"));
    }
}
