//! `[ $x -gt 16 ] && …`, the one test that we read: of two numbers, before one assignment.

use std::cmp::Ordering;

use super::ast::{Relation, Test, Word};
use super::cursor::Cursor;
use super::scope::Scope;
use super::word::{self, Context};
use super::{Certain, needs_bash};

/// What follows `[ `, up to the assignment behind `&&`.
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash).
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Certain<Test> {
    let left = operand(cursor)?;
    let relation = match cursor.take_until(|c| c == ' ') {
        "-eq" => Relation::Equal,
        "-ne" => Relation::NotEqual,
        "-lt" => Relation::Less,
        "-le" => Relation::LessOrEqual,
        "-gt" => Relation::Greater,
        "-ge" => Relation::GreaterOrEqual,
        _ => return needs_bash("a test of something else than numbers"),
    };
    cursor.skip_blanks();
    let right = operand(cursor)?;
    if !cursor.take("] ") {
        return needs_bash("a longer test");
    }
    cursor.skip_blanks();
    if !cursor.take("&&") {
        return needs_bash("a test for something else than an assignment");
    }
    cursor.skip_blanks();
    Ok(Test { left, relation, right })
}

fn operand(cursor: &mut Cursor<'_>) -> Certain<Word> {
    let operand = word::parse(cursor, Context::Array)?;
    cursor.skip_blanks();
    Ok(operand)
}

impl Scope<'_> {
    /// Whether a test holds.
    ///
    /// # Errors
    /// [`NeedsBash`](super::NeedsBash), where it isn't of plain numbers.
    pub(super) fn holds(&mut self, test: &Test) -> Certain<bool> {
        let order = self.plain_number(&test.left)?.cmp(&self.plain_number(&test.right)?);
        Ok(match test.relation {
            Relation::Equal => order == Ordering::Equal,
            Relation::NotEqual => order != Ordering::Equal,
            Relation::Less => order == Ordering::Less,
            Relation::LessOrEqual => order != Ordering::Greater,
            Relation::Greater => order == Ordering::Greater,
            Relation::GreaterOrEqual => order != Ordering::Less,
        })
    }

    fn plain_number(&mut self, word: &Word) -> Certain<u32> {
        let text = self.element_text(word)?;
        let plain = text == "0" || (!text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit()));
        match text.parse() {
            Ok(number) if plain => Ok(number),
            _ => needs_bash("a test of something else than numbers"),
        }
    }
}
