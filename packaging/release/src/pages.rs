//! Manuals, from their text in `packaging/manual` and the tables of the code; framework.conf and completions.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::{Arg, Command, CommandFactory};
use dkms_base::host::clock;
use dkms_cli::help;
use dkms_conf::table::{self, Section, Setting, Shown};

use crate::roff::{self, Title};

/// A manual page's text, by the page's name. `{{x}}` in it stands for what [`made`] makes of a table.
const MANUALS: [(&str, &str); 5] = [
    ("dkms.8", include_str!("../../manual/dkms.8.md")),
    ("dkms.conf.5", include_str!("../../manual/dkms.conf.5.md")),
    ("dkms-framework.conf.5", include_str!("../../manual/dkms-framework.conf.5.md")),
    ("dkms-hooks.7", include_str!("../../manual/dkms-hooks.7.md")),
    ("dh_dkms.1", include_str!("../../manual/dh_dkms.1.md")),
];

/// The head of the changelog has this release's date.
const CHANGELOG: &str = include_str!("../../debian/changelog");

/// All of them by the names in `install.list`.
///
/// # Errors
/// Where one can't be made.
pub fn all() -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for (shell, script) in dkms_cli::completion::SCRIPTS {
        pages.insert(format!("dkms.{shell}"), script.to_owned());
    }
    let date = date()?;
    for (file, text) in MANUALS {
        let (name, section) = file.rsplit_once('.').context("a page's name ends in its section")?;
        let source = concat!("dkms ", env!("CARGO_PKG_VERSION"));
        let title = Title { name, section, date: &date, source };
        pages.insert(file.to_owned(), roff::page(title, &whole(text)).context(file)?);
    }
    pages.insert("framework.conf".to_owned(), table::framework_conf());
    Ok(pages)
}

/// The release's date as `2026-11-21`.
fn date() -> Result<String> {
    let trailer = CHANGELOG.lines().find(|line| line.starts_with(" -- ")).unwrap_or_default();
    let (_, text) = trailer.split_once(">  ").context("the changelog has no date")?;
    let seconds = clock::from_rfc2822(text).context("the changelog's date is none")?;
    // Always `Thu, 01 Jan 1970 00:00:00 +0000`.
    let text = clock::rfc2822(seconds);
    let words: Vec<&str> = text.split_whitespace().collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| words.get(2) == Some(month)).context("no month")? + 1;
    let (day, year) = (words.get(1).context("no day")?, words.get(3).context("no year")?);
    Ok(format!("{year}-{month:02}-{day:0>2}"))
}

/// A manual's text with what stands for tables replaced.
fn whole(text: &str) -> String {
    made()
        .into_iter()
        .fold(text.to_owned(), |text, (name, made)| text.replace(&format!("{{{{{name}}}}}"), &made))
}

/// What is made of tables, as Markdown.
fn made() -> [(&'static str, String); 5] {
    [
        ("actions", actions()),
        ("options", options(&dkms_cli::args::Args::command())),
        ("dh-options", options(&dh_dkms::args::Args::command())),
        ("exits", help::exits().map(|(code, meaning)| item(&code.to_string(), &meaning)).collect()),
        ("settings", table::SECTIONS.iter().map(settings).collect()),
    ]
}

/// An item of a list with its explanation.
fn item(name: &str, text: &str) -> String {
    format!("{}\n: {}\n\n", plain(name), indented(text))
}

/// Paragraphs as those of an item's explanation.
fn indented(text: &str) -> String {
    text.replace("\n\n", "\n\n  ")
}

/// An option's name as the manual's text writes it: the short one, if it has one.
fn brief(arg: &Arg) -> String {
    arg.get_short().map_or_else(|| help::spelling(arg), |short| format!("-{short}"))
}

/// Text in which nothing but a backtick means something to Markdown.
fn plain(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => part
            .chars()
            .flat_map(|c| "*_[]<>&#|".contains(c).then_some('\\').into_iter().chain([c]))
            .collect(),
        _ => format!("`{part}`"),
    });
    parts.collect()
}

fn actions() -> String {
    let text = |entry: &help::Entry| {
        let mut text = String::new();
        for line in entry.synopsis() {
            text.push_str(&format!("`{line}`\n"));
        }
        let codes: Vec<_> = entry.exit_codes().map(|(code, _)| code.to_string()).collect();
        let command = dkms_cli::args::Args::command();
        let ids: Vec<_> = entry.option_ids().collect();
        let known = command.get_arguments().filter(|arg| ids.contains(&arg.get_id().as_str()));
        let names: Vec<_> = known.map(|arg| format!("`{}`", brief(arg))).collect();
        text.push_str(&format!(": {}\n\n", indented(&plain(entry.about))));
        if !names.is_empty() {
            text.push_str(&format!("  Options: {}.\n\n", names.join(", ")));
        }
        text.push_str(&format!("  Exit codes: {}.\n\n", codes.join(", ")));
        text
    };
    help::entries().map(text).collect()
}

fn options(command: &Command) -> String {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.map(option).collect()
}

fn option(arg: &Arg) -> String {
    let names: Vec<_> =
        [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))]
            .into_iter()
            .flatten()
            .map(|name| format!("`{name}`"))
            .collect();
    let takes = arg.get_action().takes_values();
    let value = arg.get_value_names().and_then(|names| names.first()).map(|name| plain(name));
    let value = value.filter(|_| takes).map(|name| format!(" *{name}*")).unwrap_or_default();
    let mut text = plain(&arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " "));
    text.push('.');
    let words: Vec<_> =
        arg.get_possible_values().iter().map(|word| format!("`{}`", word.get_name())).collect();
    if !words.is_empty() && takes {
        text.push_str(&format!(" One of {}.", words.join(", ")));
    }
    format!("{}{value}\n: {text}\n\n", names.join(", "))
}

fn settings(section: &Section) -> String {
    let mut text = format!("## {}\n\n", section.title);
    for Setting { name, kind, shown, about } in section.settings {
        let default = match shown {
            Shown::Default("") => "Default: empty.".to_owned(),
            Shown::Default(text) => format!("Default: `{text}`."),
            Shown::Example(text) => format!("No default; for example `{text}`."),
        };
        let default = if about.contains("Default: ") { String::new() } else { default };
        text.push_str(&format!("`{name}`\n: {}\n\n  Value: {}. {default}\n\n", plain(about), kind.allowed()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_conf::Directive;
    use std::collections::BTreeSet;

    fn manual(name: &str) -> String {
        let found = MANUALS.iter().find(|(page, _)| *page == name);
        whole(found.expect("a page").1)
    }

    /// The words in backticks that items begin with.
    fn items(text: &str) -> BTreeSet<String> {
        let lines: Vec<&str> = text.lines().collect();
        let titles = lines.windows(2).filter(|two| two[1].starts_with(": ")).map(|two| two[0]);
        let words = titles
            .flat_map(|title| title.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
        words.collect()
    }

    #[test]
    fn nothing_is_left_to_be_replaced() {
        for (name, page) in all().unwrap() {
            assert!(!page.contains("{{") && !page.contains("}}") || name.starts_with("dkms."), "{name}");
        }
        for (name, _) in MANUALS {
            assert!(!manual(name).contains("{{"), "{name}");
        }
    }

    #[test]
    fn every_directive_is_explained_and_nothing_else_is() {
        let text = manual("dkms.conf.5");
        let (_, rest) = text.split_once("\n# Directives\n").expect("the section");
        let section = rest.split("\n# ").next().unwrap_or_default();
        let explained: BTreeSet<String> = items(section).iter().map(|name| name.replace("[#]", "")).collect();
        let known: BTreeSet<String> = Directive::ALL.iter().map(|one| one.as_str().to_owned()).collect();
        assert_eq!(explained, known);
    }

    #[test]
    fn every_setting_is_explained() {
        let text = manual("dkms-framework.conf.5");
        let explained = items(&text);
        for name in table::names() {
            assert!(explained.contains(name), "{name}");
        }
    }

    #[test]
    fn pages_have_every_action_and_option() {
        let pages = all().unwrap();
        let plain = |name: &str| pages[name].replace("\\-", "-");
        for (name, _) in dkms_cli::action::Action::ALL {
            assert!(plain("dkms.8").contains(&format!("\\fBdkms {name}")), "{name}");
        }
        let command = dkms_cli::args::Args::command();
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional()) {
            assert!(plain("dkms.8").contains(&help::spelling(arg)), "{}", arg.get_id());
        }
        for part in ["--legacy", "--check", "-V", "#MODULE_VERSION#", "debian/PACKAGE.dkms"] {
            assert!(plain("dh_dkms.1").contains(part), "{part}");
        }
        for name in ["dkms.bash", "dkms.fish", "dkms.zsh"] {
            assert!(pages[name].contains("dkms completions candidates -- "), "{name}");
        }
    }

    /// `.PP` ends the indentation of an explanation, `.IP` keeps it.
    #[test]
    fn every_paragraph_of_an_action_belongs_to_it() {
        let page = &all().unwrap()["dkms.8"];
        let actions = page.split(".SH ACTIONS\n").nth(1).unwrap().split(".SH ").next().unwrap();
        assert!(actions.contains("\n.IP\nOptions: ") && actions.contains("\n.IP\nExit codes: "), "{actions}");
        assert!(!actions.contains(".PP\n"), "{actions}");
    }

    #[test]
    fn a_page_has_the_date_of_the_release() {
        let date = date().unwrap();
        assert!(date.len() == 10 && date.starts_with("20"), "{date}");
        assert!(all().unwrap()["dkms.conf.5"].starts_with(&format!(".TH DKMS.CONF 5 {date} ")), "{date}");
    }
}
