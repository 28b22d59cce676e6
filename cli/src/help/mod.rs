//! What `dkms ACTION --help` prints, and what the manual page and completions are made of: one entry for
//! each action. Knows the options' definition; not what an action does with them.

mod building;
mod exits;
mod images;
mod looking;
mod options;
mod packing;

use clap::CommandFactory;

pub use exits::all as exits;

use crate::action::Action;
use crate::args::Args;
use crate::failure::Failure;
use dkms_base::exit::ExitCode;

/// An action, described.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The action.
    pub action: Action,
    /// What follows its name on the command line, an entry for each form.
    pub forms: &'static [&'static str],
    /// What it does, in a line that begins with a verb.
    pub summary: &'static str,
    /// What it does, in full; paragraphs are separated by an empty line, `literals` stand in backticks.
    pub about: &'static str,
    /// The options that mean something to it, by their ids in [`Args`]; [`GENERAL`] are not repeated.
    pub options: &'static [&'static [&'static str]],
    /// Command lines, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// The exit codes that it may end with, besides 0, 2, 4 and 130, and 5 of those that do not take `--all`.
    pub exits: &'static [u8],
}

/// The options of every action.
pub const GENERAL: &[&str] = &[
    "root",
    "dkmstree",
    "sourcetree",
    "installtree",
    "color",
    "verbose",
    "debug",
    "quiet",
    "print_help",
    "print_version",
];

const MODULE: &[&str] = &["module", "version"];
const KERNELS: &[&str] = &["kernels", "arches"];
const EVERY_KERNEL: &[&str] = &["kernels", "arches", "all"];
/// Of what reads a dkms.conf and looks at a kernel.
const BUILDING: &[&str] = &["conf", "directives", "config", "kernelsourcedir", "jobs", "force"];
/// Of what puts modules into a kernel's folder.
const INSTALLING: &[&str] =
    &["force_version_override", "symlink_modules", "no_depmod", "modprobe_on_install"];
/// Of what changes something.
const CHANGING: &[&str] = &["dry_run", "json"];

/// Exit codes of a build.
const OF_BUILD: &[u8] = &[1, 3, 5, 6, 7, 8, 9, 10, 12, 13, 16, 21, 77];

/// Every action's entry, in the order of the help.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    building::ENTRIES.iter().chain(images::ENTRIES).chain(packing::ENTRIES).chain(looking::ENTRIES)
}

/// An action's entry.
#[must_use]
pub fn entry(action: Action) -> Option<&'static Entry> {
    entries().find(|entry| entry.action == action)
}

impl Entry {
    /// The ids of its options, [`GENERAL`] left out.
    pub fn option_ids(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().copied().flatten().copied()
    }

    /// Its command lines without options.
    pub fn synopsis(&self) -> impl Iterator<Item = String> {
        let name = self.action.name();
        self.forms.iter().map(move |form| format!("dkms {name} {form}").trim_end().to_owned())
    }

    /// The exit codes that it may end with, each with what it means by them.
    pub fn exit_codes(&self) -> impl Iterator<Item = (u8, String)> {
        exits::of(self)
    }
}

/// What the word `help` does; it is no action, because it takes any other words.
const HELP: &str = "describe dkms; `help ACTION`: that action";

/// The actions with their summaries, for `dkms --help`.
#[must_use]
pub fn overview() -> String {
    let mut text = "Actions:\n".to_owned();
    for Entry { action, summary, .. } in entries() {
        text.push_str(&format!("  {:<16} {summary}\n", action.name()));
    }
    text.push_str(&format!("  {:<16} {HELP}\n", "help"));
    text.push_str("\n`dkms ACTION --help` describes an action: its options, examples and exit codes.");
    text
}

/// What `--help` and `help` print for these words of a command line; with the words after `help ACTION`,
/// which mean nothing.
///
/// # Errors
/// [`Failure`] for a word that is a misspelt action.
pub fn for_words(words: &[String]) -> Result<(String, &[String]), Failure> {
    let asked = words.first().is_some_and(|word| word == "help");
    let words = if asked { &words[1..] } else { words };
    let named = words.iter().enumerate().find_map(|(at, word)| Some((at, entry(Action::from_word(word)?)?)));
    if let Some((at, entry)) = named {
        return Ok((text(entry), if asked { &words[at + 1..] } else { &[] }));
    }
    let misspelt = words.first().filter(|word| asked || Action::nearest(word).is_some());
    match misspelt {
        Some(word) => Err(unknown(word)),
        None => {
            let mut help = Args::command().mut_args(options::with_value).after_help(overview());
            Ok((help.render_long_help().to_string(), &[]))
        }
    }
}

/// The error for a word that is no action.
#[must_use]
pub fn unknown(word: &str) -> Failure {
    Failure::new(ExitCode::BAD_OPTION, format!("unknown action `{word}`"))
        .did_you_mean(word, Action::ALL.iter().map(|(name, _)| *name))
}

/// What `dkms ACTION --help` prints.
fn text(entry: &Entry) -> String {
    let usage: Vec<_> = entry.synopsis().map(|line| format!("{line} [OPTIONS]")).collect();
    let mut after = String::new();
    if !entry.examples.is_empty() {
        after.push_str("Examples:\n");
    }
    for (line, what) in entry.examples {
        after.push_str(&format!("  {line}\n      {what}\n"));
    }
    after.push_str("\nExit codes:\n");
    for (code, meaning) in entry.exit_codes() {
        after.push_str(&format!("  {code:<4} {meaning}\n"));
    }
    let general: Vec<_> = Args::command()
        .get_arguments()
        .filter(|arg| GENERAL.contains(&arg.get_id().as_str()))
        .map(spelling)
        .collect();
    after.push_str(&format!("\nOptions of every action: {} (see `dkms --help`)", general.join(", ")));
    let ids: Vec<_> = entry.option_ids().collect();
    Args::command()
        .mut_args(|arg| {
            let listed = ids.contains(&arg.get_id().as_str());
            let own = options::of(arg.get_id().as_str(), entry.action);
            let arg = options::with_value(arg).hide(!listed);
            match own {
                Some(text) => arg.help(text),
                None => arg,
            }
        })
        .about(entry.about)
        .override_usage(usage.join("\n       "))
        .after_help(after.trim_start().to_owned())
        .render_help()
        .to_string()
}

/// The way in which an option is usually written.
#[must_use]
pub fn spelling(arg: &clap::Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => arg.get_id().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_action_has_one_entry_and_every_entry_is_sound() {
        let described: Vec<_> = entries().map(|entry| entry.action).collect();
        for (name, action) in Action::ALL {
            assert_eq!(described.iter().filter(|one| **one == action).count(), 1, "{name}");
        }
        let command = Args::command();
        let known: BTreeSet<_> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
        let mut unexplained = Vec::new();
        for entry in entries() {
            let name = entry.action.name();
            assert!(entry.option_ids().all(|id| known.contains(id) && !GENERAL.contains(&id)), "{name}");
            let codes: Vec<_> = entry.exit_codes().collect();
            for code in entry.exits {
                assert!(codes.iter().any(|(known, _)| known == code), "{name}: {code}");
            }
            for (code, meaning) in codes {
                unexplained.extend((meaning.len() <= 1).then(|| format!("{name} {code}")));
                let others = Action::ALL.iter().filter(|(other, _)| *other != name && *other != "log");
                let names_other = |(other, _): &&(&str, Action)| meaning.contains(&format!("`{other}`"));
                assert_eq!(others.filter(names_other).count(), 0, "{name}, {code}: {meaning}");
            }
            assert!(!entry.forms.is_empty() && !entry.about.is_empty(), "{name}");
            assert!(!entry.examples.is_empty(), "{name}");
            assert_eq!(entry.option_ids().any(|id| id == "all"), entry.action.takes_all(), "{name}");
            for (line, _) in entry.examples {
                assert!(line.starts_with(&format!("dkms {name}")), "{line}");
                let words = line.split(['|', '>', '#']).next().unwrap_or_default();
                let args = clap::Parser::try_parse_from(words.split_whitespace());
                let args: Args = args.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(args.words.len() > 1 || args.words[0] == name, "{line}");
            }
        }
        assert_eq!(unexplained, Vec::<String>::new(), "codes without a meaning");
    }

    #[test]
    fn every_option_is_some_actions() {
        let used: BTreeSet<_> =
            entries().flat_map(Entry::option_ids).chain(GENERAL.iter().copied()).collect();
        for arg in Args::command().get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional()) {
            assert!(used.contains(arg.get_id().as_str()), "{} is no action's", arg.get_id());
        }
    }

    #[test]
    fn an_action_shows_its_own_options_only() {
        let help = |line: &str| for_words(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap().0;
        for line in ["match", "help match", "foo/1.0 match"] {
            let text = help(line);
            assert!(text.contains("--templatekernel") && text.contains("Examples:"), "{text}");
            assert!(!text.contains("--headers-coming") && text.contains("Exit codes:"), "{text}");
        }
        assert!(help("help").contains("kernel_preinst"));
        assert!(help("foo/1.0").contains("kernel_preinst"));
        let failure = for_words(&["help".to_owned(), "instal".to_owned()]).unwrap_err();
        assert_eq!((failure.code.0, failure.hints[0].as_str()), (2, "Did you mean `install`?"));
        assert!(for_words(&["instal".to_owned()]).is_err());
        let further = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            for_words(&words).unwrap().1.to_vec()
        };
        assert_eq!(further("help install add"), ["add"]);
        assert_eq!((further("help install"), further("install foo/1.0")), (vec![], vec![]));
    }
}
