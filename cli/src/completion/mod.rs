//! What a shell offers at the end of a command line: actions, options and their values, and the modules,
//! versions and kernels of this system. The shells' scripts ask `dkms completions candidates -- WORD…`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Arg, CommandFactory};
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_core::tree::Snapshot;

use crate::action::Action;
use crate::args::Args;
use crate::help;

/// The script of each shell, by the shell's name.
pub const SCRIPTS: [(&str, &str); 3] = [
    ("bash", include_str!("dkms.bash")),
    ("fish", include_str!("dkms.fish")),
    ("zsh", include_str!("dkms.zsh")),
];

/// What this system has to offer. What can't be read is left out: a completion is no place for an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Modules in the dkms tree.
    pub registered: BTreeSet<ModuleId>,
    /// Sources that are not in the dkms tree.
    pub sources: BTreeSet<ModuleId>,
    /// For which kernels something is built, and those that are installed.
    pub kernels: BTreeSet<String>,
    /// Architectures that something is built for.
    pub arches: BTreeSet<String>,
}

impl Known {
    /// Looks at the trees that the words of the line name, or the usual ones.
    #[must_use]
    pub fn look(words: &[String]) -> Self {
        let mut layout = Layout::under("/");
        for (option, place) in [
            ("--dkmstree", &mut layout.dkms_tree),
            ("--sourcetree", &mut layout.source_tree),
            ("--installtree", &mut layout.install_tree),
        ] {
            if let Some(dir) = value_of(words, &[option]) {
                *place = PathBuf::from(dir);
            }
        }
        let modules = Snapshot::take(&layout).unwrap_or_default().modules;
        let targets: Vec<&Target> = modules.values().flat_map(|found| found.built.keys()).collect();
        let installed = dkms_kernel::installed_kernels(&layout).unwrap_or_default();
        let built = targets.iter().map(|target| target.kernel.to_string());
        let kernels = built.chain(installed.iter().map(ToString::to_string)).collect();
        let arches = targets.iter().map(|target| target.arch.to_string()).collect();
        let source = |entry: fs::Entry| {
            let (name, version) = entry.name.to_str()?.rsplit_once('-')?;
            let has_conf = fs::is_file(&layout.source_tree.join(&entry.name).join("dkms.conf"));
            ModuleId::parse(name, version).ok().filter(|_| has_conf)
        };
        let sources = fs::list(&layout.source_tree).unwrap_or_default().into_iter().filter_map(source);
        let sources = sources.filter(|id| !modules.contains_key(id)).collect();
        Self { registered: modules.into_keys().collect(), sources, kernels, arches }
    }
}

/// The completions of the last of these words, of which a part may be typed. The words are those after
/// `dkms`. If there are none, the shell offers file names.
#[must_use]
pub fn candidates(words: &[String], known: &Known) -> Vec<String> {
    let (typed, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    // bash takes `--option=value` apart.
    let (typed, before) = match before {
        _ if typed == "=" => ("", before),
        [before @ .., equals] if equals == "=" => (typed, before),
        before => (typed, before),
    };
    let action = before.iter().find_map(|word| Action::from_word(word));
    let offered: Vec<String> = if let Some(arg) = before.last().and_then(|word| option(word)) {
        values(&arg, before, known)
    } else if let Some((name, _)) = typed.split_once('=').filter(|_| typed.starts_with("--")) {
        let arg = option(name);
        let values = arg.map(|arg| values(&arg, before, known)).unwrap_or_default();
        values.into_iter().map(|value| format!("{name}={value}")).collect()
    } else if typed.starts_with('-') {
        options(action)
    } else {
        words_of(action, before, known)
    };
    let mut offered: Vec<_> = offered.into_iter().filter(|word| word.starts_with(typed)).collect();
    offered.sort();
    offered.dedup();
    offered
}

/// The option that a word is, if it takes a value.
fn option(word: &str) -> Option<Arg> {
    let is_meant = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => word.strip_prefix('-').is_some_and(|short| {
            let mut letters = short.chars();
            letters.next() == arg.get_short() && arg.get_short().is_some() && letters.next().is_none()
        }),
    };
    let command = Args::command();
    command.get_arguments().filter(|arg| arg.get_action().takes_values()).find(is_meant).cloned()
}

/// What an option may be given.
fn values(arg: &Arg, before: &[String], known: &Known) -> Vec<String> {
    match arg.get_id().as_str() {
        "module" => {
            let ids = known.registered.iter().chain(&known.sources);
            ids.flat_map(|id| [id.name.to_string(), id.to_string()]).collect()
        }
        "version" => {
            let named = value_of(before, &["-m", "--module"]);
            let ids = known.registered.iter().chain(&known.sources);
            let meant = ids.filter(|id| named.is_none_or(|name| id.name.as_str() == name));
            meant.map(|id| id.version.to_string()).collect()
        }
        "kernels" | "templatekernel" => known.kernels.iter().cloned().collect(),
        "arches" => known.arches.iter().cloned().collect(),
        _ => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
    }
}

/// The options of an action, or of all of them.
fn options(action: Option<Action>) -> Vec<String> {
    let ids: Option<Vec<&str>> = action
        .and_then(help::entry)
        .map(|entry| entry.option_ids().chain(help::GENERAL.iter().copied()).collect());
    let command = Args::command();
    let meant = command.get_arguments().filter(|arg| {
        let is_listed = ids.as_ref().is_none_or(|ids| ids.contains(&arg.get_id().as_str()));
        is_listed && !arg.is_positional() && !arg.is_hide_set()
    });
    meant.map(help::spelling).collect()
}

/// The words that may follow.
fn words_of(action: Option<Action>, before: &[String], known: &Known) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let names = || Action::ALL.iter().map(|(name, _)| (*name).to_owned());
    let ids = |ids: &BTreeSet<ModuleId>| ids.iter().map(ToString::to_string).collect();
    match action {
        None if before.iter().any(|word| word == "help") => names().collect(),
        None => names().chain(["help".to_owned()]).collect(),
        Some(Action::Add) => ids(&known.sources),
        Some(Action::Boot) => match before.last().map(String::as_str) {
            Some("hold") => known.kernels.iter().cloned().collect(),
            Some("release") => known.kernels.iter().cloned().chain(["all".to_owned()]).collect(),
            _ => texts(&["status", "hold", "release", "fit", "reconcile"]),
        },
        Some(Action::Completions) => SCRIPTS.iter().map(|(shell, _)| (*shell).to_owned()).collect(),
        Some(action) => {
            let ids_of_options = help::entry(action).into_iter().flat_map(help::Entry::option_ids);
            let names_modules = action.takes_modules() || ids_of_options.into_iter().any(|id| id == "module");
            if names_modules { ids(&known.registered) } else { Vec::new() }
        }
    }
}

/// What the last of these options was given, as `--option value` or `--option=value`.
fn value_of<'a>(words: &'a [String], names: &[&str]) -> Option<&'a str> {
    words.iter().enumerate().rev().find_map(|(at, word)| {
        if names.contains(&word.as_str()) {
            let next = words.get(at + 1)?;
            return if next == "=" { words.get(at + 2) } else { Some(next) }.map(String::as_str);
        }
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let ids = |ids: &[(&str, &str)]| {
            ids.iter().map(|(name, version)| ModuleId::parse(name, version).unwrap()).collect()
        };
        let known = Known {
            registered: ids(&[("foo", "1.0"), ("foo", "2.0"), ("zfs", "2.1")]),
            sources: ids(&[("new", "3")]),
            kernels: ["6.1.0-9-amd64".to_owned(), "6.12.5".to_owned()].into(),
            arches: ["x86_64".to_owned()].into(),
        };
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&words, &known)
    }

    #[test]
    fn each_place_of_the_line_has_what_belongs_there() {
        for (line, expected) in [
            ("inst", &["install"][..]),
            ("install ", &["foo/1.0", "foo/2.0", "zfs/2.1"]),
            ("--force install fo", &["foo/1.0", "foo/2.0"]),
            ("add ", &["new/3"]),
            ("install foo/1.0 -k 6.1.", &["6.1.0-9-amd64"]),
            ("install foo/1.0 --kernelver = 6.12", &["6.12.5"]),
            ("install foo/1.0 --kernelver =", &["6.1.0-9-amd64", "6.12.5"]),
            ("install --kernelver=6.12", &["--kernelver=6.12.5"]),
            ("build -m z", &["zfs", "zfs/2.1"]),
            ("build -m foo -v ", &["1.0", "2.0"]),
            ("build -a ", &["x86_64"]),
            ("mkdriverdisk --media ", &["iso", "tar"]),
            ("boot hold 6.12", &["6.12.5"]),
            ("boot re", &["reconcile", "release"]),
            ("completions ", &["bash", "fish", "zsh"]),
            ("help forec", &["forecast"]),
            ("status --dkmstree ", &[]),
            ("generate_mok ", &[]),
            ("install foo/1.0 --force_", &[]),
            ("install foo/1.0 --force-", &["--force-version-override"]),
        ] {
            assert_eq!(offered(line), expected, "{line}");
        }
        assert!(offered("").contains(&"autoinstall".to_owned()));
        let options = offered("status -");
        assert!(options.contains(&"--grid".to_owned()) && !options.contains(&"--rebuild".to_owned()));
    }
}
