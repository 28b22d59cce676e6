//! `${…}`.

use super::ast::{Operation, Parameter, Subscript};
use super::cursor::Cursor;
use super::word::{operand, subscript};
use super::{Certain, needs_bash};
use crate::special;

/// What stands behind `${`, the brace taken.
///
/// # Errors
/// [`NeedsBash`](super::NeedsBash).
pub(super) fn parse(cursor: &mut Cursor<'_>, quoted: bool) -> Certain<Parameter> {
    let length = cursor.take("#");
    let Some(name) = cursor.take_name() else { return needs_bash("a special parameter") };
    if special::is_special(name) {
        return needs_bash("a variable of bash's own");
    }
    let subscript = if cursor.take("[") {
        Some(if cursor.take("@]") || cursor.take("*]") {
            Subscript::All
        } else {
            Subscript::Index(subscript(cursor)?)
        })
    } else {
        None
    };
    let operation = match (length, cursor.sees("}")) {
        (true, true) => Operation::Length,
        (true, false) => return needs_bash("an operation on a length"),
        (false, true) => Operation::Value,
        (false, false) if subscript == Some(Subscript::All) => {
            return needs_bash("an operation on all elements");
        }
        (false, false) => operation(cursor, quoted)?,
    };
    if !cursor.take("}") {
        return needs_bash("a brace without end");
    }
    Ok(Parameter { name: name.to_owned(), subscript, operation })
}

fn operation(cursor: &mut Cursor<'_>, quoted: bool) -> Certain<Operation> {
    let word = |cursor: &mut Cursor<'_>| operand(cursor, &['}'], quoted);
    let colon = cursor.take(":");
    if cursor.take("-") {
        return Ok(Operation::Default { word: word(cursor)?, colon });
    }
    if cursor.take("+") {
        return Ok(Operation::Alternative { word: word(cursor)?, colon });
    }
    if colon {
        return substring(cursor, quoted);
    }
    if cursor.take("#") {
        let longest = cursor.take("#");
        return Ok(Operation::RemovePrefix { pattern: word(cursor)?, longest });
    }
    if cursor.take("%") {
        let longest = cursor.take("%");
        return Ok(Operation::RemoveSuffix { pattern: word(cursor)?, longest });
    }
    if cursor.take("/") {
        let all = cursor.take("/");
        if cursor.sees("#") || cursor.sees("%") || cursor.sees("/") {
            return needs_bash("a pattern that is bound to an end");
        }
        let pattern = operand(cursor, &['}', '/'], quoted)?;
        let with = if cursor.take("/") { word(cursor)? } else { super::ast::Word::default() };
        return Ok(Operation::Replace { pattern, with, all });
    }
    needs_bash("an operation that we don't know")
}

fn substring(cursor: &mut Cursor<'_>, quoted: bool) -> Certain<Operation> {
    if cursor.sees("=") || cursor.sees("?") {
        return needs_bash("an expansion that sets, or ends the shell");
    }
    let offset = operand(cursor, &['}', ':'], quoted)?;
    let length = if cursor.take(":") { Some(operand(cursor, &['}', ':'], quoted)?) } else { None };
    Ok(Operation::Substring { offset, length })
}
