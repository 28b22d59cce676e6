//! The second expansion: every value is read once more, as the inside of a double-quoted string.
//!
//! Each sees our own variables and the values that come before it in the fixed order, nothing that the conf
//! set besides. Differences to the 3.x line, on purpose: no pathname expansion, and a value with a bare `"`
//! around a blank keeps its text.

use std::path::Path;

use super::bash::Bash;
use super::directive::Directive;
use super::error::ConfError;
use super::found::Given;
use super::raw::{RawConf, Tier};
use super::syntax::{self, NeedsBash, Scope};

/// Expands all values of `raw` again, in its place. `file` is the conf they come from.
///
/// # Errors
/// [`ConfError::Value`] for a value that bash can't expand.
pub(super) fn apply(
    raw: &mut RawConf,
    bash: &Bash<'_>,
    file: &Path,
    static_allowed: bool,
) -> Result<(), ConfError> {
    prepare(raw);
    if static_allowed && statically(raw, bash.given).is_ok() {
        return Ok(());
    }
    raw.second_tier = Tier::Bash;
    raw.of_kernel = Directive::ALL.iter().copied().collect();
    let texts: Vec<(&str, usize, String)> = raw
        .values
        .iter()
        .flat_map(|(directive, values)| {
            values.iter().map(|(index, value)| (directive.as_str(), *index, ready_for_quotes(value)))
        })
        .collect();
    let found = bash.expand(file, &texts)?;
    raw.values = found
        .values
        .into_iter()
        .filter_map(|(name, values)| name.parse::<Directive>().ok().map(|directive| (directive, values)))
        .collect();
    Ok(())
}

/// The same without bash; whether that is enough.
pub(super) fn examine(raw: &mut RawConf, given: &Given<'_>) -> bool {
    prepare(raw);
    raw.values.values().flat_map(|values| values.values()).for_each(|value| drop(ready_for_quotes(value)));
    statically(raw, given).is_ok()
}

fn prepare(raw: &mut RawConf) {
    for value in raw.values.values_mut().flat_map(|values| values.values_mut()) {
        if changes(value) {
            *value = with_single_blanks(value);
        }
    }
}

fn statically(raw: &mut RawConf, given: &Given<'_>) -> Result<(), NeedsBash> {
    if !raw.values.values().flat_map(|values| values.values()).any(|value| changes(value)) {
        return Ok(());
    }
    let mut scope = Scope::new(given);
    raw.of_kernel.iter().for_each(|directive| scope.differs(directive.as_str()));
    let mut expanded = raw.values.clone();
    for (directive, values) in &mut expanded {
        for (index, value) in values {
            if changes(value) {
                *value = scope.text(&syntax::parse_quoted(value)?)?;
            }
            scope.assign_at(directive.as_str(), *index, value.clone());
            if scope.take_touched() {
                scope.differs(directive.as_str());
                raw.of_kernel.insert(*directive);
            }
        }
    }
    raw.values = expanded;
    Ok(())
}

/// Whether the second expansion can change a value at all.
fn changes(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.iter().any(|byte| b"$`\\\"\t\n".contains(byte)) || bytes.windows(2).any(|two| two == b"  ")
}

/// Every run of blanks, tabs and line ends as one blank.
fn with_single_blanks(value: &str) -> String {
    let mut result = String::with_capacity(value.len());
    for c in value.chars() {
        let blank = matches!(c, ' ' | '\t' | '\n');
        if !blank {
            result.push(c);
        } else if !result.ends_with(' ') {
            result.push(' ');
        }
    }
    result
}

/// A value as bash takes it between double quotes: bare quotes dropped, a backslash at the end kept, what
/// `$(…)`, `${…}` and backquotes enclose as it is.
fn ready_for_quotes(value: &str) -> String {
    let mut result = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let taken = match c {
            '"' => {
                rest = after;
                continue;
            }
            '\\' => match after.chars().next() {
                Some(next) => 1 + next.len_utf8(),
                None => {
                    result.push('\\');
                    1
                }
            },
            // What comes behind a quote that is dropped must not become its name.
            '$' if after.starts_with('"') => {
                result.push('\\');
                1
            }
            '$' if after.starts_with(['(', '{']) => 1 + enclosed(after),
            '$' if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                result.push_str(&format!("${{{}}}", &after[..end]));
                rest = &after[end..];
                continue;
            }
            '`' => 1 + after.find('`').map_or(after.len(), |end| end + 1),
            _ => c.len_utf8(),
        };
        result.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    result
}

/// How many bytes an opening bracket and all up to the closing one take.
fn enclosed(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match (c, quote) {
            ('\\', None | Some('"')) => escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('(' | '{', None) => depth += 1,
            (')' | '}', None) => {
                depth -= 1;
                if depth == 0 {
                    return at + c.len_utf8();
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Whether a value, after the first expansion, has a blank that stands between a pair of bare quotes of its
/// own: the 3.x line then loses it, and we keep it.
#[must_use]
pub fn has_bare_quoted_blank(value: &str) -> bool {
    let mut rest = value;
    let mut outside = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let taken = match c {
            '"' => {
                outside = !outside;
                1
            }
            ' ' | '\t' | '\n' if outside => return true,
            '\\' => 1 + after.chars().next().map_or(0, char::len_utf8),
            '$' if after.starts_with(['(', '{']) => 1 + enclosed(after),
            '`' => 1 + after.find('`').map_or(after.len(), |end| end + 1),
            _ => c.len_utf8(),
        };
        rest = &rest[taken..];
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_joined_and_ends_kept() {
        assert_eq!(with_single_blanks(" a \t b\n\n"), " a b ");
        assert!(!changes("make -C /x modules"));
    }

    #[test]
    fn bare_quotes_go_and_enclosed_ones_stay() {
        for (value, expected) in [
            ("a\"b c\"d", "ab cd"),
            ("a\\\"b", "a\\\"b"),
            ("$(basename \"$x\")\"y\"", "$(basename \"$x\")y"),
            ("${x:-\"}\"}\"z\"", "${x:-\"}\"}z"),
            ("`echo \"x\"`\"", "`echo \"x\"`"),
            ("end\\", "end\\\\"),
            ("$\"x\"", "\\$x"),
            ("$x\"y\"", "${x}y"),
        ] {
            assert_eq!(ready_for_quotes(value), expected, "{value}");
        }
    }

    #[test]
    fn what_the_original_loses_is_known() {
        assert!(has_bare_quoted_blank("make X=\"a b\""));
        assert!(!has_bare_quoted_blank("make X=\"a\""));
        assert!(!has_bare_quoted_blank("make X=\\\"a b\\\" $(echo \"a b\")"));
    }
}
