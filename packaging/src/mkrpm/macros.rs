//! rpm's macros, as far as a spec file's tags and scripts need them: names with texts, asked for with `%x`,
//! `%{x}`, `%{?x:…}`. Nothing is run: `%(…)` and Lua are refused.

use std::cell::Cell;
use std::collections::BTreeMap;

/// Where rpm's own macros lead on every distribution.
const PLACES: [(&str, &str); 17] = [
    ("_prefix", "/usr"),
    ("_exec_prefix", "/usr"),
    ("_usr", "/usr"),
    ("_usrsrc", "/usr/src"),
    ("_bindir", "/usr/bin"),
    ("_sbindir", "/usr/sbin"),
    ("_libexecdir", "/usr/libexec"),
    ("_prefixlib", "/usr/lib"),
    ("_datadir", "/usr/share"),
    ("_datarootdir", "/usr/share"),
    ("_mandir", "/usr/share/man"),
    ("_docdir", "/usr/share/doc"),
    ("_sysconfdir", "/etc"),
    ("_var", "/var"),
    ("_localstatedir", "/var"),
    ("_sharedstatedir", "/var/lib"),
    ("nil", ""),
];

/// Macros may name each other this deep.
const DEEPEST: usize = 16;

/// A text that becomes longer than this was meant to.
const LONGEST: usize = 1 << 20;

/// So many macros are put in place for one spec file: ones that name each other many times and come to
/// nothing would take for ever.
const MOST: u32 = 200_000;

/// The macros that are known at a place of a spec file.
#[derive(Debug, Clone)]
pub(crate) struct Macros {
    texts: BTreeMap<String, String>,
    /// How many may still be put in place.
    left: Cell<u32>,
}

impl Macros {
    pub(crate) fn new() -> Self {
        let texts = PLACES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self { texts, left: Cell::new(MOST) }
    }

    pub(crate) fn define(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.texts.insert(name.into(), text.into());
    }

    pub(crate) fn undefine(&mut self, name: &str) {
        self.texts.remove(name);
    }

    /// Puts every macro's text in its place.
    ///
    /// # Errors
    /// What isn't understood.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        self.expand_into(text, 0, &mut out)?;
        Ok(out)
    }

    fn expand_into(&self, text: &str, depth: usize, out: &mut String) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("macros name each other without end".to_owned());
        }
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or("it has too many macros")?);
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if out.len() > LONGEST {
                return Err("macros make the text too long".to_owned());
            }
            match rest.chars().next() {
                Some('%') => {
                    out.push('%');
                    rest = &rest[1..];
                }
                Some('(') => return Err("`%(…)` would run a command, and nothing is run".to_owned()),
                Some('{') => {
                    let end = closing(rest).ok_or("a `%{` has no `}`")?;
                    self.braces(&rest[1..end], depth, out)?;
                    rest = &rest[end + 1..];
                }
                Some(_) => {
                    let (marks, name) = split_name(rest);
                    match self.texts.get(name) {
                        Some(body) if marks.is_empty() || marks == "?" => {
                            self.expand_into(body, depth + 1, out)?;
                        }
                        None if marks == "?" && !name.is_empty() => {}
                        // As rpm does: it may be for another program.
                        _ => {
                            out.push('%');
                            out.push_str(marks);
                            out.push_str(name);
                        }
                    }
                    rest = &rest[marks.len() + name.len()..];
                }
                None => out.push('%'),
            }
        }
        out.push_str(rest);
        Ok(())
    }

    /// What is between `%{` and `}`.
    fn braces(&self, inside: &str, depth: usize, out: &mut String) -> Result<(), String> {
        let (marks, name) = split_name(inside);
        let after = &inside[marks.len() + name.len()..];
        let is_negated = marks.matches('!').count() % 2 == 1;
        let found = self.texts.get(name);
        if name.is_empty() {
            return Err(format!("`%{{{inside}}}` is not understood"));
        }
        if marks.contains('?') {
            return match (found.is_some() != is_negated, after.strip_prefix(':')) {
                (false, _) => Ok(()),
                (true, Some(text)) => self.expand_into(text, depth + 1, out),
                (true, None) if after.is_empty() => match found {
                    Some(body) => self.expand_into(body, depth + 1, out),
                    None => Ok(()),
                },
                (true, None) => Err(format!("`%{{{inside}}}` is not understood")),
            };
        }
        match (name, after, found) {
            ("error", text, _) if text.starts_with([':', ' ']) => {
                Err(format!("it says: {}", self.expand(text[1..].trim())?))
            }
            ("warn" | "echo", text, _) if text.starts_with(':') => Ok(()),
            ("expand", text, _) if text.starts_with(':') => {
                let once = self.expand(&text[1..])?;
                self.expand_into(&once, depth + 1, out)
            }
            (_, "", Some(body)) => self.expand_into(body, depth + 1, out),
            _ => Err(format!("the macro `%{{{inside}}}` is not known")),
        }
    }
}

/// Marks (`?`, `!`) and the name after them.
fn split_name(text: &str) -> (&str, &str) {
    let marks = text.find(|c| c != '?' && c != '!').unwrap_or(text.len());
    let name = &text[marks..];
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (&text[..marks], &name[..end])
}

/// Where the brace that opens a text is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_that_come_to_nothing_end() {
        let mut macros = Macros::new();
        macros.define("m0", "");
        for level in 1..=15 {
            macros.define(format!("m{level}"), format!("%{{m{}}}", level - 1).repeat(10));
        }
        assert_eq!(macros.expand("%{m2}").unwrap(), "");
        assert_eq!(macros.expand("%{m15}").unwrap_err(), "it has too many macros");
    }
    use proptest::prelude::*;

    fn macros() -> Macros {
        let mut macros = Macros::new();
        for (name, text) in [("a", "A"), ("b", "%{a}B"), ("empty", ""), ("loop", "%loop")] {
            macros.define(name, text);
        }
        macros
    }

    #[test]
    fn texts_are_put_in_their_places() {
        for (text, expected) in [
            ("%a %{b} 100%% %", "A AB 100% %"),
            ("%{?a}%{?x}%{!?x:none}%{?!a:no}%{?a:<%{b}>}%{!?x}", "Anone<AB>"),
            ("%{_sysconfdir}%{nil}/%{expand:%%a}", "/etc/A"),
            ("%x %setup -q %?x %?a|%warn", "%x %setup -q  A|%warn"),
            ("${x%%.*} %{warn: hear}", "${x%.*} "),
            ("%{?empty:set}", "set"),
        ] {
            assert_eq!(macros().expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, why) in [
            ("%(id)", "nothing is run"),
            ("%{x}", "%{x}"),
            ("%{a", "no `}`"),
            ("%{loop}", "without end"),
            ("%{lua:print(1)}", "lua"),
            ("%{?!x: %{error: no %a}}", "it says: no A"),
            ("%{}", "not understood"),
        ] {
            let error = macros().expand(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[%{}?!:ab(é ]{0,40}") {
            prop_assert_eq!(macros().expand(&text.replace('%', "%%")), Ok(text.clone()));
            if let Ok(expanded) = macros().expand(&text) {
                // No macro here means more than two letters.
                prop_assert!(expanded.len() <= text.len(), "{}", expanded);
            }
        }
    }
}
