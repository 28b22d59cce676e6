//! Tier 1: the part of bash that most confs keep to, read without running anything. Pure:
//! text in, values out.
//!
//! - [`parse`](mod@parse), `word`, `parameter`: text → [`Script`], once a file
//! - `eval`, `arith`, `pattern`, `scope`: [`Script`] → values, once a kernel
//!
//! It is certain or it gives up: whatever it doesn't fully understand is [`NeedsBash`], and the
//! whole conf goes to bash.

mod arith;
mod ast;
mod cursor;
mod eval;
mod parameter;
mod parse;
mod pattern;
mod scope;
mod test;
mod word;

#[cfg(test)]
mod against_bash;

pub(super) use ast::Script;
pub(super) use parse::parse;
pub(super) use scope::Scope;
pub(super) use word::parse_quoted;

use super::found::{Found, Given};

/// Why a conf is left to bash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NeedsBash {
    /// What it is that we don't read.
    pub(super) reason: &'static str,
}

/// What reading or evaluating gives.
type Certain<T> = Result<T, NeedsBash>;

fn needs_bash<T>(reason: &'static str) -> Certain<T> {
    Err(NeedsBash { reason })
}

/// Evaluates the files of a conf, one after the other in one scope, and says what they set.
///
/// # Errors
/// [`NeedsBash`].
pub(super) fn run(scripts: &[&Script], given: &Given<'_>, wanted: &[&str]) -> Certain<Found> {
    let mut scope = Scope::new(given);
    for script in scripts {
        scope.run(script)?;
    }
    Ok(scope.found(wanted))
}
