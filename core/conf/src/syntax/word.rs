//! Words: quotes, backslashes and what begins with `$`.

use super::ast::{Expansion, Operation, Parameter, Piece, Word};
use super::cursor::Cursor;
use super::{Certain, needs_bash, parameter};
use crate::special;

/// Where a word stands: what bash does with its unquoted parts depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// The right side of `NAME=`: no splitting, no patterns, no braces.
    Assignment,
    /// The same behind `export`; there we leave braces to bash.
    Export,
    /// An element of `(…)`: patterns, braces and splitting count.
    Array,
}

/// What a double-quoted text ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuotedEnd {
    /// Its quote.
    Quote,
    /// The end of the text; quotes within are dropped.
    EndOfText,
}

impl Word {
    /// Whether it has anything but text in it.
    pub(super) fn expands(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Expand { .. }))
    }

    /// Adds text, joined to text before it.
    fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    fn push_char(&mut self, c: char) {
        self.push(c.encode_utf8(&mut [0; 4]));
    }

    fn expand(&mut self, expansion: Expansion, quoted: bool) {
        self.0.push(Piece::Expand { expansion, quoted });
    }
}

/// Characters whose bytes bash uses for its own marks, and what stands for bytes that are no UTF-8.
fn check(c: char) -> Certain<char> {
    if matches!(c, '\u{1}' | '\u{7f}' | '\u{fffd}') {
        needs_bash("a byte that bash reads its own way")
    } else {
        Ok(c)
    }
}

/// A word up to the blank, line end or `;` behind it (in an array also its parenthesis).
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash).
pub(super) fn parse(cursor: &mut Cursor<'_>, context: Context) -> Certain<Word> {
    let mut word = Word::default();
    // What stands before `~` decides whether it means a home.
    let mut before = '=';
    loop {
        let Some(c) = cursor.peek() else { return Ok(word) };
        match c {
            ' ' | '\t' | '\n' => return Ok(word),
            ';' if context != Context::Array => return Ok(word),
            ')' if context == Context::Array => return Ok(word),
            ';' | '&' | '|' | '<' | '>' | '(' | ')' => return needs_bash("an operator of the shell"),
            '`' if cursor.take("`nproc`") => {
                word.expand(Expansion::Processors, false);
                before = '`';
                continue;
            }
            '`' => return needs_bash("a command substitution"),
            '~' if matches!(before, '=' | ':') || context != Context::Assignment => {
                return needs_bash("a home folder");
            }
            '{' | '}' if context != Context::Assignment => return needs_bash("braces"),
            '*' | '?' | '[' | '!' if context == Context::Array => return needs_bash("a pattern in an array"),
            _ => {}
        }
        cursor.next();
        before = c;
        match c {
            '\'' => {
                let text = cursor.take_until(|c| c == '\'');
                if !cursor.take("'") {
                    return needs_bash("a quote without end");
                }
                text.chars().try_for_each(|c| check(c).map(drop))?;
                word.push(text);
            }
            '"' => {
                word.push("");
                quoted(cursor, &mut word, QuotedEnd::Quote)?;
            }
            '\\' => match cursor.next() {
                None => return needs_bash("a backslash at the end"),
                Some('\n') => {}
                Some(c) => word.push_char(check(c)?),
            },
            '$' => dollar(cursor, &mut word, false)?,
            c => word.push_char(check(c)?),
        }
    }
}

/// A whole text as the inside of double quotes; quotes within are dropped.
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash).
pub(crate) fn parse_quoted(text: &str) -> Certain<Word> {
    let mut word = Word::default();
    quoted(&mut Cursor::new(text), &mut word, QuotedEnd::EndOfText)?;
    Ok(word)
}

/// The inside of double quotes.
fn quoted(cursor: &mut Cursor<'_>, word: &mut Word, end: QuotedEnd) -> Certain<()> {
    loop {
        match (cursor.next(), end) {
            (None, QuotedEnd::EndOfText) | (Some('"'), QuotedEnd::Quote) => return Ok(()),
            (None, QuotedEnd::Quote) => return needs_bash("a quote without end"),
            (Some('"'), QuotedEnd::EndOfText) => {}
            (Some('\\'), _) => match cursor.peek() {
                Some(c @ ('$' | '`' | '"' | '\\')) => {
                    cursor.next();
                    word.push_char(c);
                }
                Some('\n') => drop(cursor.next()),
                _ => word.push("\\"),
            },
            (Some('`'), _) if cursor.take("nproc`") => word.expand(Expansion::Processors, true),
            (Some('`'), _) => return needs_bash("a command substitution"),
            (Some('$'), _) => dollar(cursor, word, true)?,
            (Some(c), _) => word.push_char(check(c)?),
        }
    }
}

/// What follows a `$`.
fn dollar(cursor: &mut Cursor<'_>, word: &mut Word, quoted: bool) -> Certain<()> {
    if cursor.take("((") {
        word.expand(Expansion::Arithmetic(cursor.within(arithmetic)?), quoted);
    } else if cursor.take("(nproc)") {
        word.expand(Expansion::Processors, quoted);
    } else if cursor.take("{") {
        let parameter = cursor.within(|cursor| parameter::parse(cursor, quoted))?;
        word.expand(Expansion::Parameter(parameter), quoted);
    } else if let Some(name) = cursor.take_name() {
        if cursor.sees("\\\n") {
            return needs_bash("a name that may go on in the next line");
        }
        if special::is_special(name) {
            return needs_bash("a variable of bash's own");
        }
        let parameter = Parameter { name: name.to_owned(), subscript: None, operation: Operation::Value };
        word.expand(Expansion::Parameter(parameter), quoted);
    } else {
        match cursor.peek() {
            Some('(') => return needs_bash("a command substitution"),
            Some('[' | '0'..='9' | '@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                return needs_bash("a special parameter");
            }
            Some('\'' | '"') if !quoted => return needs_bash("a quote behind `$`"),
            Some('\\') if cursor.sees("\\\n") => return needs_bash("a line that ends in `$`"),
            _ => word.push("$"),
        }
    }
    Ok(())
}

/// The inside of `$((…))`, its end taken.
fn arithmetic(cursor: &mut Cursor<'_>) -> Certain<Word> {
    let mut word = Word::default();
    let mut depth = 0_usize;
    loop {
        match cursor.next() {
            Some(')') if depth == 0 => {
                return if cursor.take(")") { Ok(word) } else { needs_bash("a subshell") };
            }
            Some('$') => dollar(cursor, &mut word, true)?,
            Some(c) if c.is_ascii_alphanumeric() || "_ +-*/%()".contains(c) => {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                word.push_char(c);
            }
            _ => return needs_bash("arithmetic beyond numbers"),
        }
    }
}

/// What stands between brackets, the closing one taken.
pub(super) fn subscript(cursor: &mut Cursor<'_>) -> Certain<Word> {
    let mut word = Word::default();
    loop {
        match cursor.next() {
            Some(']') => return Ok(word),
            Some('$') => dollar(cursor, &mut word, true)?,
            Some(c) if c.is_ascii_alphanumeric() || "_+-*".contains(c) => word.push_char(c),
            _ => return needs_bash("an index beyond numbers"),
        }
    }
}

/// An operand within `${…}`, up to one of `ends`, which stays. No quotes: their rules
/// there are bash's to know.
pub(super) fn operand(cursor: &mut Cursor<'_>, ends: &[char], quoted: bool) -> Certain<Word> {
    let mut word = Word::default();
    loop {
        match cursor.peek() {
            Some(c) if ends.contains(&c) => return Ok(word),
            None
            | Some('\'' | '"' | '\\' | '`' | '{' | '}' | '~' | '\n' | '(' | ')' | '&' | '!' | '<' | '>') => {
                return needs_bash("quotes or operators within `${…}`");
            }
            Some('$') => {
                cursor.next();
                dollar(cursor, &mut word, quoted)?;
            }
            Some(c) => {
                cursor.next();
                word.push_char(check(c)?);
            }
        }
    }
}
