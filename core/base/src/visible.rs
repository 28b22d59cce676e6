//! Text of foreign origin, made safe for a terminal: the one filter at the places where we print. Pure.
//!
//! What a build printed, a conf or a file's name says, may hold commands for terminals. They are shown
//! as escapes (`\x1b`).

use std::borrow::Cow;

/// Whether a terminal does something else with a character than showing it, or shows others in another order.
///
/// Newline and tab are none of these. C0 and C1 control characters, DEL, the bidirectional controls of
/// Unicode and its line and paragraph separators are.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// The text with such characters as `\x1b` or `\u{202e}`. The carriage return of a line that ends as
/// on Windows is dropped.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    let text = match text.contains("\r\n") {
        true => Cow::Owned(text.replace("\r\n", "\n")),
        false => Cow::Borrowed(text),
    };
    replaced(text, |c| match u32::from(c) {
        code @ ..=0xff => format!("\\x{code:02x}"),
        code => format!("\\u{{{code:x}}}"),
    })
}

/// The most that a line of foreign origin has, in characters.
const LINE_LIMIT: usize = 300;

/// The first line of a text, made visible and limited, for a file that every terminal shows.
#[must_use]
pub fn visible_line(text: &str) -> String {
    visible(text.lines().next().unwrap_or_default()).chars().take(LINE_LIMIT).collect()
}

/// A name that another user chose, inside a message: line ends and tabs are shown as escapes too.
#[must_use]
pub fn visible_name(name: &str) -> String {
    visible(name).replace('\n', "\\n").replace('\t', "\\t")
}

/// A JSON document with such characters as JSON's own escapes, so that it means the same as before.
#[must_use]
pub fn visible_json(document: &str) -> Cow<'_, str> {
    replaced(Cow::Borrowed(document), |c| format!("\\u{:04x}", u32::from(c)))
}

fn replaced(text: Cow<'_, str>, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text;
    }
    let mut result = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hidden(c) {
            true => result.push_str(&escape(c)),
            false => result.push(c),
        }
    }
    Cow::Owned(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_a_name_is_no_more_than_a_name() {
        assert_eq!(visible_line("a\u{1b}[2J\nroot, enter your password:"), "a\\x1b[2J");
        assert_eq!(visible_line(&"x".repeat(10_000)).len(), LINE_LIMIT);
        assert_eq!(visible_name("a\nError! b\t\u{7}"), "a\\nError! b\\t\\x07");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(visible("a\tb\nü"), "a\tb\nü");
        assert_eq!(visible("\x1b]0;T\x07x\ry\r\nz"), "\\x1b]0;T\\x07x\\x0dy\nz");
        assert_eq!(visible("\u{9b}2J\u{7f}\u{202e}\u{2066}"), "\\x9b2J\\x7f\\u{202e}\\u{2066}");
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({"text": "a\u{7f}\u{9b}\u{202e}\u{1b}b\n"});
        let text = value.to_string();
        let shown = visible_json(&text);
        assert!(!shown.contains(is_hidden), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
