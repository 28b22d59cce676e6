//! `ltdk`: which licence each C file of a source names, and whether the kernel lets a module of it
//! use GPL-only symbols.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::host::fs::FsError;

/// What the kernel takes as compatible (include/linux/license.h).
const COMPATIBLE: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

/// One `MODULE_LICENSE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The C file, relative to the source.
    pub file: PathBuf,
    /// The licence; `None` where it isn't written out there.
    pub license: Option<String>,
}

impl Found {
    /// Whether the module may use GPL-only symbols.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.license.as_deref().is_some_and(|license| COMPATIBLE.contains(&license))
    }
}

/// Reads every C file below a folder, in order; links aren't followed.
///
/// # Errors
/// [`FsError`] where one can't be read.
pub fn scan(source: &Path) -> Result<Vec<Found>, FsError> {
    let mut found = Vec::new();
    below(source, Path::new(""), &mut found)?;
    Ok(found)
}

fn below(source: &Path, folder: &Path, found: &mut Vec<Found>) -> Result<(), FsError> {
    for entry in fs::list(&source.join(folder))? {
        let name = folder.join(&entry.name);
        if entry.kind.is_dir() && entry.name != ".git" {
            below(source, &name, found)?;
        } else if entry.kind.is_file() && name.extension().is_some_and(|extension| extension == "c") {
            let text = fs::read_lossy(&source.join(&name))?;
            found.extend(licenses(&text).into_iter().map(|license| Found { file: name.clone(), license }));
        }
    }
    Ok(())
}

/// A piece of C.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Every `MODULE_LICENSE(…)` of a C file: a string, several in a row, or a macro of this file that is one.
fn licenses(text: &str) -> Vec<Option<String>> {
    let tokens = tokens(text);
    let is_word = |at: usize, word: &str| matches!(tokens.get(at), Some(Token::Word(text)) if text == word);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let is_defined = at > 0 && is_word(at - 1, "define");
        if !is_word(at, "MODULE_LICENSE") || is_defined || tokens.get(at + 1) != Some(&Token::Sign('(')) {
            continue;
        }
        let argument = tokens[at + 2..].iter().take_while(|token| **token != Token::Sign(')'));
        let argument: Vec<&Token> = argument.collect();
        found.push(match argument.as_slice() {
            [Token::Word(name)] => defined(&tokens, name),
            texts => joined(texts.iter().copied()),
        });
    }
    found
}

/// Strings in a row are one; anything else is none that we know.
fn joined<'t>(tokens: impl Iterator<Item = &'t Token>) -> Option<String> {
    let texts: Option<Vec<&str>> =
        tokens.map(|token| if let Token::Text(text) = token { Some(text.as_str()) } else { None }).collect();
    texts.filter(|texts| !texts.is_empty()).map(|texts| texts.concat())
}

/// The string that a macro is defined to be; `None` where that isn't certain.
fn defined(tokens: &[Token], name: &str) -> Option<String> {
    let is_meant = |pair: &[Token]| matches!(pair, [Token::Word(define), Token::Word(word)] if define == "define" && word == name);
    let mut places = (0..tokens.len()).filter(|at| tokens.get(*at..at + 2).is_some_and(is_meant));
    let (at, None) = (places.next()?, places.next()) else { return None };
    joined(tokens[at + 2..].iter().take_while(|token| matches!(token, Token::Text(_))))
}

/// C's words, strings and signs; comments and characters left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut last = ' ';
                for c in rest.by_ref() {
                    if (last, c) == ('*', '/') {
                        break;
                    }
                    last = c;
                }
            }
            '"' | '\'' => {
                let mut inside = String::new();
                while let Some(next) = rest.next().filter(|next| *next != c && *next != '\n') {
                    inside.extend(if next == '\\' { rest.next() } else { Some(next) });
                }
                if c == '"' {
                    tokens.push(Token::Text(inside));
                }
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_string();
                while let Some(next) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Sign(c)),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn licences_are_found_as_the_compiler_finds_them() {
        let of = |text: &str| licenses(text).into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
        for (text, expected) in [
            ("MODULE_LICENSE(\"GPL\");", &["GPL"][..]),
            ("MODULE_LICENSE ( \"Dual \"\n \"BSD/GPL\" );", &["Dual BSD/GPL"]),
            ("// MODULE_LICENSE(\"GPL\")\n/* MODULE_LICENSE(\"GPL\") */ \"MODULE_LICENSE(\"", &[]),
            ("#define L \"GPL v2\"\nMODULE_LICENSE(L);", &["GPL v2"]),
            ("#define L \"GPL\"\n#define L \"x\"\nMODULE_LICENSE(L);", &[""]),
            ("#define MODULE_LICENSE(x)\nMODULE_LICENSE(OTHER);", &[""]),
            ("char c = '\"'; MODULE_LICENSE(\"MIT\"); char d = '\"';", &["MIT"]),
            ("MY_MODULE_LICENSE(\"GPL\")", &[]),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn only_what_the_kernel_knows_is_compatible() {
        let of =
            |license: &str| Found { file: "a.c".into(), license: Some(license.to_owned()) }.is_compatible();
        assert!(of("GPL") && of("Dual MIT/GPL"));
        assert!(!of("GPLv2") && !of("Proprietary") && !of("MIT") && !of("gpl"));
        assert!(!Found { file: "a.c".into(), license: None }.is_compatible());
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[A-Z\"'/*#\\\\( )_\n]{0,80}") {
            // Whatever comes before, behind the end of its line and of its comment a licence is found.
            let found = licenses(&format!("{text}\n*/\nMODULE_LICENSE(\"GPL\");"));
            prop_assert_eq!(found.last(), Some(&Some("GPL".to_owned())));
        }
    }
}
