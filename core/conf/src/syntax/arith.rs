//! Arithmetic: whole decimal numbers, variables that hold them, `+ - * / %`, parentheses, `++` and `--`.

use super::ast::Word;
use super::scope::{MOST, Scope};
use super::{Certain, needs_bash};
use crate::special;

/// The value of an index: not negative, not huge.
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash).
pub(super) fn index(scope: &mut Scope<'_>, word: &Word) -> Certain<usize> {
    match usize::try_from(evaluate(scope, word)?) {
        Ok(index) if index <= MOST => Ok(index),
        _ => needs_bash("a negative or huge index"),
    }
}

/// The value of an expression, its `$x` put in first.
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash).
pub(super) fn evaluate(scope: &mut Scope<'_>, word: &Word) -> Certain<i64> {
    let text = scope.text(word)?;
    let mut parser = Parser { rest: text.trim_matches(' '), scope, depth: 0 };
    if parser.rest.is_empty() {
        return needs_bash("an empty expression");
    }
    let value = parser.sum()?;
    if parser.rest.is_empty() { Ok(value) } else { needs_bash("arithmetic beyond numbers") }
}

struct Parser<'a, 's, 'e> {
    rest: &'a str,
    scope: &'s mut Scope<'e>,
    /// How many parentheses and signs the place is in.
    depth: usize,
}

/// Every level takes some of our stack.
const DEEPEST: usize = 50;

impl Parser<'_, '_, '_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start_matches(' ');
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Certain<i64> {
        let mut value = self.product()?;
        loop {
            // `a++b` and the like are bash's to take apart.
            if self.rest.starts_with("++") || self.rest.starts_with("--") {
                return needs_bash("arithmetic beyond numbers");
            }
            value = if self.take("+") {
                checked(value.checked_add(self.product()?))?
            } else if self.take("-") {
                checked(value.checked_sub(self.product()?))?
            } else {
                return Ok(value);
            };
        }
    }

    fn product(&mut self) -> Certain<i64> {
        let mut value = self.unary()?;
        loop {
            value = if self.rest.starts_with("**") {
                return needs_bash("a power");
            } else if self.take("*") {
                checked(value.checked_mul(self.unary()?))?
            } else if self.take("/") {
                checked(value.checked_div(self.unary()?))?
            } else if self.take("%") {
                checked(value.checked_rem(self.unary()?))?
            } else {
                return Ok(value);
            };
        }
    }

    fn unary(&mut self) -> Certain<i64> {
        if self.depth == DEEPEST {
            return needs_bash("arithmetic nested too deep");
        }
        self.depth += 1;
        let value = self.operand();
        self.depth -= 1;
        value
    }

    fn operand(&mut self) -> Certain<i64> {
        if self.take("++") {
            let name = self.name()?;
            return self.step(&name, 1).map(|(_, after)| after);
        }
        if self.take("--") {
            let name = self.name()?;
            return self.step(&name, -1).map(|(_, after)| after);
        }
        if self.take("+") {
            return self.unary();
        }
        if self.take("-") {
            return checked(self.unary()?.checked_neg());
        }
        if self.take("(") {
            let value = self.sum()?;
            return if self.take(")") { Ok(value) } else { needs_bash("a parenthesis without end") };
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            self.rest = rest.trim_start_matches(' ');
            return number(digits);
        }
        let name = self.name()?;
        if self.take("++") {
            return self.step(&name, 1).map(|(before, _)| before);
        }
        if self.take("--") {
            return self.step(&name, -1).map(|(before, _)| before);
        }
        self.variable(&name)
    }

    fn name(&mut self) -> Certain<String> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || special::is_special(name) {
            return needs_bash("arithmetic beyond numbers");
        }
        self.rest = rest.trim_start_matches(' ');
        Ok(name.to_owned())
    }

    /// A variable's number; unset and empty are 0.
    fn variable(&self, name: &str) -> Certain<i64> {
        match self.scope.value(name).as_deref() {
            None | Some("") => Ok(0),
            Some(text) => match text.strip_prefix('-') {
                Some(digits) => checked(number(digits)?.checked_neg()),
                None => number(text),
            },
        }
    }

    /// Adds to a variable: its number before and after.
    fn step(&mut self, name: &str, by: i64) -> Certain<(i64, i64)> {
        let before = self.variable(name)?;
        let after = checked(before.checked_add(by))?;
        self.scope.assign(name, after.to_string());
        Ok((before, after))
    }
}

/// A decimal number; with a zero in front bash would take it for octal.
fn number(digits: &str) -> Certain<i64> {
    let plain = digits == "0" || (!digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit()));
    match digits.parse() {
        Ok(number) if plain => Ok(number),
        _ => needs_bash("a number that isn't plainly decimal"),
    }
}

/// Bash wraps around, or reports a division by zero.
fn checked(result: Option<i64>) -> Certain<i64> {
    result.map_or_else(|| needs_bash("a number beyond 64 bits"), Ok)
}
