//! Reading what the scripts of this folder print: NUL-separated records, each begun by the mark of this run.
//! A conf may have printed anything in between; only whole records count.

use std::path::PathBuf;

use crate::found::Found;

/// The last word of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It got to its end.
    Found(Found),
    /// This file can't be parsed.
    Syntax { path: PathBuf, line: usize, message: String },
    /// This file called `exit`.
    Exits { path: PathBuf, line: usize },
    /// This file was begun, and nothing came after.
    Began { path: PathBuf },
    /// This value was begun, and nothing came after.
    Value { name: String, index: String },
    /// Nothing that we understand.
    Nothing,
}

impl Answer {
    pub(super) fn parse(output: &[u8], mark: &str) -> Self {
        let text = String::from_utf8_lossy(output);
        let fields: Vec<&str> = text.split('\0').collect();
        let values = (0..fields.len()).rfind(|at| fields[*at..].starts_with(&[mark, "values"]));
        if let Some(found) = values.and_then(|at| found(&fields[at + 2..], mark)) {
            return Self::Found(found);
        }
        let Some(last) = fields.iter().rposition(|field| *field == mark) else { return Self::Nothing };
        match fields[last + 1..] {
            ["begin", path, ..] => Self::Began { path: path.into() },
            ["exit", path, line, ..] => Self::Exits { path: path.into(), line: line.parse().unwrap_or(1) },
            ["value", name, index, ..] => Self::Value { name: name.to_owned(), index: index.to_owned() },
            ["syntax", path, said, ..] => {
                let (line, message) = syntax_error(said);
                Self::Syntax { path: path.into(), line, message }
            }
            _ => Self::Nothing,
        }
    }
}

/// Triples up to a mark, names up to a mark, `end`. Anything else is no answer.
fn found(fields: &[&str], mark: &str) -> Option<Found> {
    let mut found = Found::default();
    let mut rest = fields;
    while let [name, index, value, ..] = rest
        && *name != mark
    {
        let index = index.parse().ok()?;
        found.values.entry((*name).to_owned()).or_default().insert(index, (*value).to_owned());
        rest = &rest[3..];
    }
    let names = rest.strip_prefix(&[mark, "names"])?;
    let end = names.iter().position(|field| *field == mark)?;
    if names.get(end + 1) != Some(&"end") {
        return None;
    }
    // One field, a name a line.
    let lines = names[..end].iter().flat_map(|field| field.lines());
    found.names = lines.filter(|name| !name.starts_with("__dkms_")).map(str::to_owned).collect();
    Some(found)
}

/// `FILE: line N: what` in bash's first line; the words after it are for people.
fn syntax_error(said: &str) -> (usize, String) {
    let first = said.lines().next().unwrap_or_default();
    let parsed = first.split_once(": line ").and_then(|(_, rest)| {
        let (line, what) = rest.split_once(": ")?;
        Some((line.parse().ok()?, what.to_owned()))
    });
    parsed.unwrap_or_else(|| {
        (1, if first.is_empty() { "bash can't parse it".to_owned() } else { first.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_before_the_answer_is_skipped() {
        let output = b"junk\0M\0begin\0/x\0more junk\0M\0values\0MAKE\x000\0make\0M\0names\0FOO\0M\0end\0";
        let Answer::Found(found) = Answer::parse(output, "M") else { panic!() };
        assert_eq!(found.values["MAKE"][&0], "make");
        assert!(found.names.contains("FOO"));
    }

    #[test]
    fn a_torn_answer_is_none() {
        for torn in ["\0M\0begin\0/x\0", "\0M\0begin\0/x\0\0M\0values\0MAKE\x000\0make\0"] {
            assert!(!matches!(Answer::parse(torn.as_bytes(), "M"), Answer::Found(_)), "{torn:?}");
        }
        assert_eq!(Answer::parse(b"\0M\0begin\0/x\0", "M"), Answer::Began { path: "/x".into() });
        assert_eq!(Answer::parse(b"", "M"), Answer::Nothing);
    }

    #[test]
    fn the_line_of_a_syntax_error_is_found() {
        let said =
            "/x/dkms.conf: line 5: syntax error near unexpected token `)'\n/x/dkms.conf: line 5: `foo)'";
        assert_eq!(syntax_error(said), (5, "syntax error near unexpected token `)'".to_owned()));
        assert_eq!(syntax_error("").0, 1);
    }
}
