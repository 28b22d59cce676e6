//! A place in a text.

use super::{Certain, needs_bash};

/// Walks over a text, character by character.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
    /// How many expansions the place is in.
    depth: usize,
}

/// Larger than anything real; every level takes some of our stack.
const DEEPEST: usize = 50;

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, depth: 0 }
    }

    /// Reads what stands within an expansion.
    ///
    /// # Errors
    /// [`NeedsBash`](super::NeedsBash), also where expansions are nested beyond reason.
    pub(super) fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Certain<T>) -> Certain<T> {
        if self.depth == DEEPEST {
            return needs_bash("expansions nested too deep");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The next character, which stays.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes the next character.
    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// Whether `text` comes next.
    pub(super) fn sees(&self, text: &str) -> bool {
        self.rest.starts_with(text)
    }

    /// Takes `text` if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes everything up to the first character that `stop` accepts, or to the end.
    pub(super) fn take_until(&mut self, stop: impl FnMut(char) -> bool) -> &'a str {
        let end = self.rest.find(stop).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes a variable's name, if one comes next.
    pub(super) fn take_name(&mut self) -> Option<&'a str> {
        self.peek().filter(|c| c.is_ascii_alphabetic() || *c == '_')?;
        Some(self.take_until(|c| !c.is_ascii_alphanumeric() && c != '_'))
    }

    /// Skips blanks and continued lines, not line ends.
    pub(super) fn skip_blanks(&mut self) {
        while self.take(" ") || self.take("\t") || self.take("\\\n") {}
    }

    /// Skips the rest of the line, not its end.
    pub(super) fn skip_line(&mut self) {
        self.take_until(|c| c == '\n');
    }
}
