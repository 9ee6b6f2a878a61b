//! Commands in Markdown: the lines of shell blocks, and inline code.

/// A command line, and the place where a document shows it.
pub struct Line {
    pub place: String,
    pub text: String,
    /// A name in running text, such as `jaegoctl dlq redrive`, may leave out what it requires.
    pub is_name: bool,
}

pub fn lines(document: &str, markdown: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut fence = None;
    let mut unfinished = String::new();
    for (number, line) in markdown.lines().map(str::trim).enumerate() {
        let place = format!("{document}:{}", number + 1);
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language) };
            continue;
        }
        match fence {
            // The other lines of such a block are answers.
            Some("console") if unfinished.is_empty() => {
                unfinished.push_str(line.strip_prefix("$ ").unwrap_or_default());
            }
            Some("sh" | "bash" | "console") => unfinished.push_str(line),
            Some(_) => {}
            None => found.extend(line.split('`').skip(1).step_by(2).map(|code| Line {
                place: place.clone(),
                text: code.trim_start_matches("$ ").to_owned(),
                is_name: !code.contains(" -"),
            })),
        }
        if unfinished.ends_with('\\') {
            unfinished.pop();
        } else if !unfinished.is_empty() {
            found.push(Line { place, text: std::mem::take(&mut unfinished), is_name: false });
        }
    }
    found
}

/// The words of each command of a line. `[--option]` and `[one|other]` give a command for each alternative.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for words in split(line) {
        // Variables set for the command, keywords, and the beginning of a function.
        let is_before = |word: &String| {
            word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|it| it.is_ascii_uppercase() || it == b'_'))
                || ["{", "do", "then"].contains(&word.as_str())
                || word.ends_with("()")
        };
        let words: Vec<String> = words.into_iter().skip_while(is_before).collect();
        let mut variants = vec![Vec::new()];
        for word in words {
            let inner = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
            let choices: Vec<&str> = inner.map_or_else(|| vec![word.as_str()], |inner| inner.split('|').collect());
            let with = |choice: &str| {
                let choice = choice.to_owned();
                variants.iter().map(move |words: &Vec<String>| [words.clone(), vec![choice.clone()]].concat())
            };
            variants = choices.into_iter().flat_map(with).collect();
        }
        commands.extend(variants.into_iter().filter(|words: &Vec<String>| !words.is_empty()));
    }
    commands
}

/// Splits at `;`, `|` and `&&`, and at spaces outside of quotes, up to a comment.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = None::<String>;
    let mut quote = None;
    let mut brackets = 0_u32;
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        if let Some(end) = quote {
            if character == end {
                quote = None;
            } else {
                word.get_or_insert_default().push(character);
            }
            continue;
        }
        match character {
            '\'' | '"' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            '#' if word.is_none() => break,
            ' ' => commands.last_mut().unwrap().extend(word.take()),
            '&' if rest.peek() != Some(&'&') => word.get_or_insert_default().push(character),
            ';' | '|' | '&' if brackets == 0 => {
                rest.next_if_eq(&'&');
                commands.last_mut().unwrap().extend(word.take());
                commands.push(Vec::new());
            }
            _ => {
                match character {
                    '[' => brackets += 1,
                    ']' => brackets = brackets.saturating_sub(1),
                    _ => {}
                }
                word.get_or_insert_default().push(character);
            }
        }
    }
    commands.last_mut().unwrap().extend(word.take());
    commands
}

#[test]
fn a_line_is_split_into_commands_and_words() {
    let words = |line: &str| commands(line).iter().map(|words| words.join("·")).collect::<Vec<_>>();
    assert_eq!(words("cargo xtask up   # a stack"), ["cargo·xtask·up"]);
    assert_eq!(words("f() { curl -d '{\"a\": 1}' $X/y; }"), ["curl·-d·{\"a\": 1}·$X/y", "}"]);
    assert_eq!(words("npm ci && npm run a | cat"), ["npm·ci", "npm·run·a", "cat"]);
    assert_eq!(words("A=1 B=\"x y\" p [one|other] [--q]"), ["p·one·--q", "p·other·--q"]);
    let shown =
        lines("d", "a `p q` and `p --r`\n```sh\np a \\\n  b\n```\n```text\nno\n```\n```console\n$ p c\nanswer\n```\n");
    let printed = shown.iter().map(|line| format!("{} {} {}", line.place, line.text, line.is_name)).collect::<Vec<_>>();
    assert_eq!(printed, ["d:1 p q true", "d:1 p --r false", "d:4 p a b false", "d:10 p c false"]);
}
