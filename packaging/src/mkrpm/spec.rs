//! Reads a spec file: its tags, its description, the scripts of its main package, and the folder that its
//! source unpacks to. What it builds, and how, is rpmbuild's business.

use std::path::{Path, PathBuf};

use super::condition;
use super::macros::Macros;
use crate::error::PackageError;

/// When rpm runs a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Pretrans,
    Pre,
    Post,
    Preun,
    Postun,
    Preuntrans,
    Postuntrans,
    Posttrans,
    Verify,
}

impl Phase {
    /// All of them, with the section that holds each.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("pretrans", Self::Pretrans),
        ("pre", Self::Pre),
        ("post", Self::Post),
        ("preun", Self::Preun),
        ("postun", Self::Postun),
        ("preuntrans", Self::Preuntrans),
        ("postuntrans", Self::Postuntrans),
        ("posttrans", Self::Posttrans),
        ("verifyscript", Self::Verify),
    ];
}

/// A script, and the program that reads it where that isn't the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) phase: Phase,
    pub(crate) program: Vec<String>,
    pub(crate) text: String,
}

/// `Name: value`, or `Name(qualifier): value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    /// In small letters.
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
    pub(crate) value: String,
}

/// How much of a spec file has to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// All that counts for a package: it is made from what is read. `version` is what the caller defined.
    Whole,
    /// What can be: rpmbuild reads it again. Of a condition that isn't understood both sides count.
    Most,
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) tags: Vec<Tag>,
    pub(crate) description: Option<String>,
    pub(crate) scripts: Vec<Script>,
    /// What `%setup` and `%autosetup` call the folder of the source.
    pub(crate) folder: Option<String>,
}

impl Spec {
    /// The value of a tag.
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
    }

    /// Reads a spec file; `path` is what errors name.
    ///
    /// # Errors
    /// [`PackageError::Spec`] naming the line.
    pub(crate) fn read(text: &str, path: &Path, macros: Macros, care: Care) -> Result<Self, PackageError> {
        let mut reader = Reader {
            path: path.to_owned(),
            macros,
            care,
            branches: Vec::new(),
            section: Section::Tags,
            body: String::new(),
            begun: 0,
            spec: Self::default(),
        };
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let mut line = line.to_owned();
            while is_unfinished(&line) {
                let Some((_, next)) = lines.next() else { break };
                line.push('\n');
                line.push_str(next);
            }
            reader.line(number + 1, &line)?;
        }
        reader.end_section()?;
        if !reader.branches.is_empty() && care == Care::Whole {
            return Err(reader.refuse(text.lines().count(), "an `%if` has no `%endif`"));
        }
        Ok(reader.spec)
    }
}

/// Whether the next line belongs to it.
fn is_unfinished(line: &str) -> bool {
    let is_definition = ["%define ", "%global "].iter().any(|word| line.trim_start().starts_with(word));
    let open = line.matches("%{").count() > 0 && line.matches('{').count() > line.matches('}').count();
    (is_definition && line.ends_with('\\')) || (open && line.len() < 10_000)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Section {
    Tags,
    Description,
    Script(Phase, Vec<String>),
    Prep,
    /// Of no account here.
    Other,
}

struct Reader {
    path: PathBuf,
    macros: Macros,
    care: Care,
    /// For each open `%if`: whether its lines count, and whether those of an `%else` would.
    branches: Vec<(bool, bool)>,
    section: Section,
    body: String,
    /// The line that the section begins at.
    begun: usize,
    spec: Spec,
}

/// Sections without anything for us.
const OTHERS: [&str; 18] = [
    "package",
    "build",
    "install",
    "check",
    "clean",
    "files",
    "changelog",
    "conf",
    "generate_buildrequires",
    "sourcelist",
    "patchlist",
    "triggerin",
    "triggerun",
    "triggerpostun",
    "filetriggerin",
    "filetriggerun",
    "transfiletriggerin",
    "transfiletriggerun",
];

impl Reader {
    fn refuse(&self, line: usize, why: impl Into<String>) -> PackageError {
        PackageError::Spec { path: self.path.clone(), line, why: why.into() }
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), PackageError> {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let word = first.strip_prefix('%').unwrap_or_default();
        if self.condition(number, word, line.trim_start()[first.len()..].trim())? {
            return Ok(());
        }
        if self.branches.iter().any(|(counts, _)| !counts) {
            return Ok(());
        }
        match word {
            "define" | "global" | "undefine" => return self.define(number, word, line),
            "dnl" => return Ok(()),
            "include" | "load" if self.care == Care::Whole => {
                return Err(self.refuse(number, format!("`%{word}` names another file")));
            }
            "description" | "prep" => {}
            _ if Phase::ALL.iter().any(|(name, _)| *name == word) || OTHERS.contains(&word) => {}
            _ => return self.content(number, line),
        }
        self.end_section()?;
        self.begun = number;
        let words: Vec<String> = words.map(str::to_owned).collect();
        self.section = self.section_of(number, word, &words)?;
        Ok(())
    }

    fn section_of(&self, number: usize, word: &str, words: &[String]) -> Result<Section, PackageError> {
        let phase = Phase::ALL.iter().find(|(name, _)| *name == word).map(|(_, phase)| *phase);
        let mut program = Vec::new();
        let mut words = words.iter();
        while let Some(argument) = words.next() {
            let value = || words.clone().next().map(|value| self.macros.expand(value));
            match argument.as_str() {
                "-p" => match value() {
                    Some(Ok(value)) if value.starts_with('/') => program = vec![value],
                    _ if self.care == Care::Most => {}
                    _ => return Err(self.refuse(number, "after `-p` stands no program")),
                },
                "-n" if value().is_some_and(|value| value.ok().as_deref() == self.spec.tag("name")) => {}
                "-e" | "-q" => continue,
                "-f" if phase.is_some() && self.care == Care::Whole => {
                    return Err(self.refuse(number, "its script is in another file"));
                }
                // Of another package, or in another language.
                _ => return Ok(Section::Other),
            }
            words.next();
        }
        Ok(match (word, phase) {
            ("description", _) => Section::Description,
            ("prep", _) => Section::Prep,
            (_, Some(phase)) => Section::Script(phase, program),
            _ => Section::Other,
        })
    }

    /// Whether the line was one of `%if`, `%else`, `%endif`.
    fn condition(&mut self, number: usize, word: &str, rest: &str) -> Result<bool, PackageError> {
        let rest = rest.split(" #").next().unwrap_or_default();
        let of_arch = |rest: &str| Some(rest.split([' ', ',']).any(|arch| arch == "noarch"));
        match word {
            "if" | "ifarch" | "ifnarch" | "ifos" | "ifnos" | "elif" | "elifarch" | "elifos" => {
                let expanded = self.macros.expand(rest).ok().filter(|text| text.len() < 500);
                let holds = expanded.and_then(|text| match word {
                    "if" | "elif" => condition::holds(&text),
                    "ifarch" | "elifarch" => of_arch(&text),
                    "ifnarch" => of_arch(&text).map(|is| !is),
                    "ifnos" => Some(text.trim() != "linux"),
                    _ => Some(text.trim() == "linux"),
                });
                let outer = self.branches.iter().all(|(counts, _)| *counts);
                if holds.is_none() && outer && self.care == Care::Whole {
                    return Err(self.refuse(number, format!("the condition `{rest}` is not understood")));
                }
                let open = if word.starts_with("elif") { self.branches.pop() } else { None };
                let may = open.is_none_or(|(_, otherwise)| otherwise);
                let (holds, otherwise) = holds.map_or((true, true), |holds| (holds, !holds));
                self.branches.push((may && holds, may && otherwise));
            }
            "else" => {
                let Some((_, otherwise)) = self.branches.pop() else {
                    return Err(self.refuse(number, "an `%else` has no `%if`"));
                };
                self.branches.push((otherwise, false));
            }
            "endif" => {
                if self.branches.pop().is_none() {
                    return Err(self.refuse(number, "an `%endif` has no `%if`"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn define(&mut self, number: usize, word: &str, line: &str) -> Result<(), PackageError> {
        let rest = line.trim_start()[word.len() + 1..].trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (name, body) = (&rest[..end], rest[end..].trim());
        if word == "undefine" {
            self.macros.undefine(name);
            return Ok(());
        }
        if name.ends_with(')') {
            // With parameters: its use is an error.
            return Ok(());
        }
        let body = body.replace("\\\n", "\n");
        let body = if word == "global" { self.expanded(number, &body)? } else { Some(body) };
        if let Some(body) = body {
            self.macros.define(name, body);
        }
        Ok(())
    }

    /// None where it isn't understood and needn't be.
    fn expanded(&self, number: usize, text: &str) -> Result<Option<String>, PackageError> {
        match (self.macros.expand(text), self.care) {
            (Ok(text), _) => Ok(Some(text)),
            (Err(_), Care::Most) => Ok(None),
            (Err(why), Care::Whole) => Err(self.refuse(number, why)),
        }
    }

    fn content(&mut self, number: usize, line: &str) -> Result<(), PackageError> {
        match self.section {
            Section::Tags => self.tag(number, line),
            Section::Prep => {
                self.setup(line);
                Ok(())
            }
            Section::Other => Ok(()),
            Section::Description | Section::Script(..) => {
                self.body.push_str(line);
                self.body.push('\n');
                Ok(())
            }
        }
    }

    fn tag(&mut self, number: usize, line: &str) -> Result<(), PackageError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_tag(name)) else {
            // A macro that stands by itself may make a tag, or an error.
            let Some(expanded) = self.expanded(number, line)? else { return Ok(()) };
            if expanded.trim().is_empty() || (expanded == line && self.care == Care::Most) {
                return Ok(());
            }
            if expanded == line {
                return Err(self.refuse(number, "it is neither a tag nor a section"));
            }
            return expanded.lines().try_for_each(|line| self.line(number, line));
        };
        let Some(value) = self.expanded(number, value.trim())? else { return Ok(()) };
        let (name, qualifier) = match name.trim().split_once('(') {
            Some((name, qualifier)) => (name, Some(qualifier.trim_end_matches([')', ' ']).to_owned())),
            None => (name.trim(), None),
        };
        let name = name.trim().to_ascii_lowercase();
        let is_fixed = self.care == Care::Whole && matches!(name.as_str(), "version" | "release");
        if matches!(name.as_str(), "name" | "version" | "release" | "epoch") && !is_fixed {
            self.macros.define(name.clone(), value.clone());
        }
        self.spec.tags.push(Tag { name, qualifier, value: value.trim().to_owned() });
        Ok(())
    }

    /// `%setup -n FOLDER`.
    fn setup(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if !matches!(words.next(), Some("%setup" | "%autosetup" | "%{setup}")) {
            return;
        }
        while let Some(word) = words.next() {
            let folder = match word.strip_prefix("-n") {
                Some("") => words.next(),
                attached => attached,
            };
            if let Some(Ok(folder)) = folder.map(|folder| self.macros.expand(folder)) {
                self.spec.folder = Some(folder);
            }
        }
    }

    fn end_section(&mut self) -> Result<(), PackageError> {
        let body = std::mem::take(&mut self.body);
        let section = std::mem::replace(&mut self.section, Section::Other);
        if !matches!(section, Section::Description | Section::Script(..)) {
            return Ok(());
        }
        let Some(text) = self.expanded(self.begun, body.trim_end())? else { return Ok(()) };
        match section {
            Section::Description => self.spec.description = Some(text.trim().to_owned()),
            Section::Script(phase, program) => {
                let text = text.trim_start_matches('\n').to_owned();
                self.spec.scripts.push(Script { phase, program, text });
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_tag(name: &str) -> bool {
    let name = name.split_once('(').map_or(name, |(name, _)| name).trim();
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
