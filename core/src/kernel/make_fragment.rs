//! Reads one variable out of a small make fragment (Debian's `.kernelvariables`) without running make. It never guesses: what it does not
//! fully understand is [`Reading::Unclear`], and make itself must be asked. Knows nothing of files.

use std::collections::BTreeMap;

use crate::host::Environment;

/// What a fragment says of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Its value, blanks in a row made one.
    Value(String),
    /// Nothing.
    Unset,
    /// Only make can tell.
    Unclear,
}

/// What we don't understand.
struct Unclear;

/// The value of `name` after the whole of `text` was read; variables of the environment are make's variables too.
#[must_use]
pub fn read(text: &str, name: &str, environment: &Environment) -> Reading {
    let mut fragment = Fragment { variables: BTreeMap::new(), environment };
    match fragment.run(text).and_then(|()| match fragment.variables.get(name) {
        Some(variable) => fragment.expand(&variable.value, 0).map(Some),
        None => Ok(None),
    }) {
        Ok(Some(value)) => Reading::Value(value.split_whitespace().collect::<Vec<_>>().join(" ")),
        Ok(None) => Reading::Unset,
        Err(Unclear) => Reading::Unclear,
    }
}

/// Values refer to one another; deeper than this they go round in a circle.
const DEPTH_LIMIT: usize = 20;
/// Variables that make defines before it reads anything (those that a kernel's fragment could name).
const BUILT_IN: &[&str] =
    &["CC", "CXX", "LD", "AR", "AS", "CPP", "RM", "MAKE", "MAKEFLAGS", "CURDIR", "SHELL"];

struct Fragment<'a> {
    variables: BTreeMap<String, Variable>,
    environment: &'a Environment,
}

/// A variable as it was assigned.
struct Variable {
    /// Its text; expanded where it is used.
    value: String,
    /// Assigned with `:=`: what is appended is expanded at once, too.
    simple: bool,
    /// Assigned with `override`: only another `override` can change it.
    fixed: bool,
}

/// One open `ifeq`: whether its present branch counts, and whether one of its branches did.
struct Condition {
    holds: bool,
    done: bool,
}

impl Fragment<'_> {
    fn run(&mut self, text: &str) -> Result<(), Unclear> {
        let mut open: Vec<Condition> = Vec::new();
        let joined = text.replace("\r\n", "\n").replace("\\\n", " ");
        for line in joined.lines() {
            if line.starts_with('\t') {
                return Err(Unclear);
            }
            let line = without_comment(line).trim_start();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            let counts = open.iter().all(|condition| condition.holds);
            match word {
                "" => {}
                "ifeq" | "ifneq" | "ifdef" | "ifndef" => {
                    let holds = counts && self.holds(word, rest)?;
                    open.push(Condition { holds, done: holds });
                }
                "else" => {
                    let (next, condition) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                    let top = open.pop().ok_or(Unclear)?;
                    let outer = open.iter().all(|condition| condition.holds);
                    let holds =
                        outer && !top.done && (next.is_empty() || self.holds(next, condition.trim())?);
                    open.push(Condition { holds, done: top.done || holds });
                }
                "endif" => {
                    open.pop().ok_or(Unclear)?;
                }
                _ if counts => self.assign(line)?,
                _ => {}
            }
        }
        if open.is_empty() { Ok(()) } else { Err(Unclear) }
    }

    fn holds(&self, word: &str, condition: &str) -> Result<bool, Unclear> {
        match word {
            "ifdef" | "ifndef" => {
                let set = !self.raw(condition)?.is_empty();
                Ok(set == (word == "ifdef"))
            }
            "ifeq" | "ifneq" => {
                let (a, b) = sides(condition).ok_or(Unclear)?;
                let equal = self.expand(a, 0)? == self.expand(b, 0)?;
                Ok(equal == (word == "ifeq"))
            }
            _ => Err(Unclear),
        }
    }

    fn assign(&mut self, line: &str) -> Result<(), Unclear> {
        let (mut line, mut fixed) = (line, false);
        while let Some((word @ ("override" | "export"), rest)) = line.split_once(char::is_whitespace) {
            line = rest.trim_start();
            fixed |= word == "override";
            if word == "export" && !line.contains('=') {
                return Ok(());
            }
        }
        let (left, value) = line.split_once('=').ok_or(Unclear)?;
        let (name, operator) = match left.trim_end_matches([':', '?', '+']) {
            name if name.len() == left.len() => (name, ""),
            name => (name, &left[name.len()..]),
        };
        let name = name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(Unclear);
        }
        let value = value.trim_start();
        let before = self.variables.get(name);
        if before.is_some_and(|it| it.fixed) && !fixed {
            // It has no effect, but make expands it all the same, and may stumble there.
            return if value.contains('$') { Err(Unclear) } else { Ok(()) };
        }
        let simple = matches!(operator, ":" | "::") || operator == "+" && before.is_some_and(|it| it.simple);
        let before = before.map(|it| it.value.as_str()).or(self.environment.get(name));
        let expanded = if simple { self.expand(value, 0)?.replace('$', "$$") } else { value.to_owned() };
        let value = match (operator, before) {
            ("" | ":" | "::", _) => expanded,
            ("?" | "+", None) if BUILT_IN.contains(&name) => return Err(Unclear),
            ("?" | "+", None) => expanded,
            ("?", Some(_)) => return Ok(()),
            ("+", Some(_)) if expanded.is_empty() => return Ok(()),
            ("+", Some(before)) if !before.is_empty() => format!("{before} {expanded}"),
            _ => return Err(Unclear),
        };
        self.variables.insert(name.to_owned(), Variable { value, simple, fixed });
        Ok(())
    }

    /// A variable's value, not expanded.
    fn raw(&self, name: &str) -> Result<&str, Unclear> {
        match self.variables.get(name) {
            Some(variable) => Ok(&variable.value),
            None if BUILT_IN.contains(&name) => Err(Unclear),
            None => Ok(self.environment.get(name).unwrap_or_default()),
        }
    }

    fn expand(&self, text: &str, depth: usize) -> Result<String, Unclear> {
        if depth > DEPTH_LIMIT {
            return Err(Unclear);
        }
        let Some((before, rest)) = text.split_once('$') else { return Ok(text.to_owned()) };
        let (value, after) = match rest.chars().next().ok_or(Unclear)? {
            '$' => ("$".to_owned(), &rest[1..]),
            '(' => {
                let end = closing(rest, '(', ')').ok_or(Unclear)?;
                (self.reference(&rest[1..end], depth + 1)?, &rest[end + 1..])
            }
            '{' => {
                let end = closing(rest, '{', '}').ok_or(Unclear)?;
                (self.reference(&rest[1..end], depth + 1)?, &rest[end + 1..])
            }
            _ => return Err(Unclear),
        };
        Ok(format!("{before}{value}{}", self.expand(after, depth + 1)?))
    }

    /// What stands between `$(` and `)`.
    fn reference(&self, inner: &str, depth: usize) -> Result<String, Unclear> {
        match inner.split_once(char::is_whitespace) {
            Some(("if", arguments)) => {
                let parts = split_commas(arguments);
                let (Some(condition), Some(then)) = (parts.first(), parts.get(1)) else {
                    return Err(Unclear);
                };
                let truth = !self.expand(condition.trim(), depth)?.is_empty();
                let other = parts[2..].join(",");
                self.expand(if truth { then } else { &other }, depth)
            }
            Some(("strip", argument)) => {
                let value = self.expand(argument, depth)?;
                Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            None if inner.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) => {
                self.expand(self.raw(inner)?, depth)
            }
            _ => Err(Unclear),
        }
    }
}

fn without_comment(line: &str) -> &str {
    line.split_once('#').map_or(line, |(before, _)| before)
}

/// The two sides of `(a,b)`, `"a" "b"` or `'a' 'b'`.
fn sides(condition: &str) -> Option<(&str, &str)> {
    if condition.starts_with('(') {
        let inner = condition.get(1..closing(condition, '(', ')')?)?;
        let parts = split_commas(inner);
        return match parts[..] {
            [a, b] => Some((a.trim_end(), b.trim_start())),
            _ => None,
        };
    }
    let quoted = |text: &'_ str| -> Option<usize> {
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        text[1..].find(quote).map(|end| end + 1)
    };
    let end = quoted(condition)?;
    let second = condition[end + 1..].trim();
    (quoted(second)? + 1 == second.len()).then(|| (&condition[1..end], &second[1..second.len() - 1]))
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Splits at the commas outside of brackets.
fn split_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs;
    use crate::host::process::Process;
    use proptest::prelude::*;

    const DEBIAN: &str = "override ARCH = x86\noverride KERNELRELEASE = 6.1.0-56-amd64\nCCACHE = ccache\n\
        CC = $(if $(DEBIAN_KERNEL_USE_CCACHE),$(CCACHE)) $(CROSS_COMPILE)gcc-12\n\
        ifneq ($(DEB_BUILD_ARCH),$(DEB_HOST_ARCH))\noverride CROSS_COMPILE = $(DEB_HOST_GNU_TYPE)-\nendif\n\
        DEBIAN_KERNEL_NO_CC_VERSION_CHECK = y\n";

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().copied().collect()
    }

    #[test]
    fn debians_fragment_is_understood() {
        let value = |pairs: &[(&str, &str)]| read(DEBIAN, "CC", &environment(pairs));
        assert_eq!(value(&[]), Reading::Value("gcc-12".into()));
        assert_eq!(value(&[("DEBIAN_KERNEL_USE_CCACHE", "1")]), Reading::Value("ccache gcc-12".into()));
        let cross = [
            ("DEB_BUILD_ARCH", "amd64"),
            ("DEB_HOST_ARCH", "arm64"),
            ("DEB_HOST_GNU_TYPE", "aarch64-linux-gnu"),
        ];
        assert_eq!(value(&cross), Reading::Value("aarch64-linux-gnu-gcc-12".into()));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in [
            "include other.mk\nCC = x",
            "CC = $(shell echo gcc)",
            "all:\n\techo",
            "CC ?= gcc",
            "CC = $(CC)",
            "ifeq (a,b)\nCC=x",
            "endif",
            "define X",
            "CC = $A",
        ] {
            assert_eq!(read(text, "CC", &Environment::default()), Reading::Unclear, "{text:?}");
        }
        assert_eq!(read("LD = ld\n# CC = x\n", "CC", &Environment::default()), Reading::Unset);
    }

    /// What make says; `None` where it refuses the text.
    fn made(text: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fragment");
        fs::write_whole(&file, text.as_bytes(), 0o644).unwrap();
        let environment = environment(&[("PATH", "/usr/bin:/bin"), ("FROM_ENV", "e")]);
        let args =
            ["-s", "-f", file.to_str().unwrap(), "--eval", "show-it:;@:$(info $(strip $(V)))", "show-it"];
        let ended = Process::new("make", args, &environment).capture().unwrap();
        ended.status.success().then(|| ended.text().trim_end_matches('\n').to_owned())
    }

    fn fragment() -> impl Strategy<Value = String> {
        let value = "(a|b| |,|\\$\\$|\\$\\(A\\)|\\$\\{V\\}|\\$\\(FROM_ENV\\)|\\$\\(if \\$\\(A\\),x,y\\)|\\$\\(strip  a \\)){0,3}";
        let line = prop_oneof![
            4 => ("(override )?(A|V|FROM_ENV)", "( = |=|:=| \\?= | \\+= )", value)
                .prop_map(|(name, operator, value)| format!("{name}{operator}{value}")),
            1 => value.prop_map(|a| format!("ifeq ($(A),{})", a.replace(',', ""))),
            1 => "(ifdef A|ifneq \"\\$\\(A\\)\" 'a'|ifndef FROM_ENV|else|endif|endif|# comment|)",
        ];
        proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n") + "\n")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn make_agrees_wherever_we_are_certain(text in fragment()) {
            match read(&text, "V", &environment(&[("PATH", "/usr/bin:/bin"), ("FROM_ENV", "e")])) {
                Reading::Unclear => {}
                Reading::Value(value) => prop_assert_eq!(Some(value), made(&text)),
                Reading::Unset => prop_assert_eq!(Some(String::new()), made(&text)),
            }
        }

        #[test]
        fn any_text_is_read(text in "(\\PC|[$(){},=:#\n\t ]|CC|if){0,40}") {
            let _ = read(&text, "CC", &Environment::default());
        }
    }
}
