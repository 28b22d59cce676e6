//! What each bare word of a command line is: an action, a module, a source, a path.

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_packaging::oci::layout::is_layout;

use super::SourceWord;
use crate::action::Action;
use crate::failure::Failure;

/// The bare words, sorted.
#[derive(Default)]
pub(super) struct Words {
    pub(super) action: Option<Action>,
    /// `plan` came first.
    pub(super) only_planned: bool,
    pub(super) source: Option<SourceWord>,
    pub(super) module: Option<String>,
    pub(super) more_modules: Vec<String>,
    pub(super) folder: Option<PathBuf>,
    pub(super) paths: Vec<PathBuf>,
    /// `--rebuild`: the word is a tarball, and no layout.
    pub(super) takes_bundle: bool,
    pub(super) ignored: Vec<String>,
}

impl Words {
    /// Takes one more word of the command line. `module_is_known`: `-m` names it.
    ///
    /// # Errors
    /// [`Failure`] for a second action, and for a path that is no source of a module.
    pub(super) fn take(&mut self, word: &str, module_is_known: bool) -> Result<(), Failure> {
        // What is a path is judged, and refuted where it is no layout: never left out.
        let is_path = word.starts_with('/') || is_relative(word) || is_layout(Path::new(word));
        let is_layout = self.action == Some(Action::Verify) && is_path && !self.takes_bundle;
        if is_layout || self.action.is_some_and(Action::takes_paths) && !word.is_empty() {
            self.paths.push(word.into());
        } else if self.action == Some(Action::Boot) && word == Action::Status.name() {
            // The words after it stand where a module would.
            self.module.get_or_insert_with(|| word.to_owned());
        } else if let Some(action) = Action::from_word(word) {
            let is_planned = self.action == Some(Action::Plan) && action != Action::Plan;
            if self.action.is_some() && !is_planned {
                return Err(Failure::new(ExitCode::BROKEN, format!("`{word}` is a second action"))
                    .hint("one action at a time"));
            }
            self.action = Some(action);
            self.only_planned |= action == Action::Plan;
        } else if self.action.is_some_and(Action::takes_modules) && is_module_word(word) {
            match self.module {
                None if !module_is_known => self.module = Some(word.to_owned()),
                _ => self.more_modules.push(word.to_owned()),
            }
        } else if self.is_folder(word, module_is_known) {
            self.folder = Some(word.into());
        } else if let (Some(source), None) = (source_word(Path::new(word)), &self.source) {
            self.source = Some(source);
        } else if self.is_path(word) {
            return Err(no_source(word));
        } else if !module_is_known && self.module.is_none() && self.takes_module(word) {
            self.module = Some(word.to_owned());
        } else {
            self.ignored.push(word.to_owned());
        }
        Ok(())
    }
}

impl Words {
    /// Whether a word is the folder of an action that takes one; before it comes the module, where
    /// the action needs one.
    fn is_folder(&self, word: &str, module_is_known: bool) -> bool {
        let Some(action) = self.action.filter(|action| action.takes_folder()) else { return false };
        let waits_for_module = action.needs_module() && !module_is_known && self.module.is_none();
        self.folder.is_none() && !word.is_empty() && (!waits_for_module || !is_module_word(word))
    }

    /// Whether a word may name the module of the action.
    fn takes_module(&self, word: &str) -> bool {
        is_module_word(word) && self.action.is_some_and(|action| !action.takes_no_word())
    }

    /// Whether a word can't be a module and its version: to `add` also a deeper path, or an archive's name.
    fn is_path(&self, word: &str) -> bool {
        let is_deeper = || word.trim_end_matches('/').matches('/').count() > 1;
        let is_archive = || {
            const ENDS: [&str; 7] = [".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2", ".rpm"];
            ENDS.iter().any(|end| word.ends_with(end))
        };
        is_relative(word) || self.action == Some(Action::Add) && (is_deeper() || is_archive())
    }
}

/// A path that is no source of a module.
pub(super) fn no_source(path: &str) -> Failure {
    let what = match fs::exists(Path::new(path)) {
        true => "has no dkms.conf and is no archive",
        false => "does not exist",
    };
    // As in the 3.x line.
    let code = match is_relative(path) {
        true => ExitCode::BAD_OPTION,
        false => ExitCode::USAGE_OR_RIGHTS,
    };
    Failure::new(code, format!("`{path}` {what}"))
}

fn is_relative(word: &str) -> bool {
    ["./", "../"].iter().any(|start| word.starts_with(start))
}

fn is_module_word(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('/')
}

/// What a path is the source of, if of anything.
#[must_use]
pub fn source_word(path: &Path) -> Option<SourceWord> {
    if fs::is_dir(path) {
        return fs::is_file(&path.join("dkms.conf")).then(|| SourceWord::Folder(path.to_owned()));
    }
    if !fs::is_file(path) {
        return None;
    }
    if path.file_name().is_some_and(|name| name == "dkms.conf") {
        let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        return Some(SourceWord::Folder(folder.to_owned()));
    }
    if path.extension().is_some_and(|extension| extension == "rpm") {
        return Some(SourceWord::Rpm(path.to_owned()));
    }
    Some(SourceWord::Archive(path.to_owned()))
}
