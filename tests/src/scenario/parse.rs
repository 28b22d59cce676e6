//! The table's text → scenarios. Knows the notation, not what the commands do.

use anyhow::{Context, Result, bail};

use super::{Command, Difference, Scenario, Side, Step};
use crate::fixture::Module;
use crate::root::User;

/// Reads one file of the table; `file` names it in messages.
///
/// # Errors
/// Where a line isn't of the notation.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("= ") {
            scenarios.push(Scenario {
                name: name.to_owned(),
                at: format!("{file}:{number}"),
                text: String::new(),
                steps: Vec::new(),
            });
            continue;
        }
        let scenario = scenarios.last_mut().with_context(|| format!("{file}:{number}: no scenario yet"))?;
        // What only concerns ours leaves the original's observations as they are.
        if !line.starts_with("  !") {
            scenario.text.push_str(line);
            scenario.text.push('\n');
        }
        take(scenario, line, number).with_context(|| format!("{file}:{number}: `{line}`"))?;
    }
    Ok(scenarios)
}

fn take(scenario: &mut Scenario, line: &str, number: usize) -> Result<()> {
    let steps = &mut scenario.steps;
    if let Some(detail) = line.strip_prefix("  ") {
        let (mark, rest) = detail.split_once(' ').unwrap_or((detail, ""));
        match (steps.last_mut(), mark) {
            (Some(Step::Command(command)), "!") => differ(command, rest)?,
            (Some(Step::Module(module)), "+") => module.with.push(rest.to_owned()),
            (Some(Step::Module(module)), "-") => module.without.push(rest.to_owned()),
            (Some(Step::Module(module)), "also") => {
                let (name, version) = rest.split_once(' ').context("`also NAME VERSION`")?;
                module.also.push((name.to_owned(), version.to_owned()));
            }
            _ => bail!("it details nothing"),
        }
        return Ok(());
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let command =
        |user| Step::Command(Command { words: rest.to_owned(), user, line: number, difference: None });
    steps.push(match word {
        "module" => {
            let (name, version) = rest.split_once(' ').context("`module NAME VERSION`")?;
            Step::Module(Module::new(name, version))
        }
        "sh" => Step::Shell(rest.to_owned()),
        "cd" => Step::Folder(rest.to_owned()),
        "$" => command(User::Root),
        "nobody$" => command(User::Nobody),
        _ => bail!("unknown word `{word}`"),
    });
    Ok(())
}

fn differ(command: &mut Command, text: &str) -> Result<()> {
    let Some(difference) = &mut command.difference else {
        command.difference = Some(Difference { why: text.to_owned(), ..Difference::default() });
        return Ok(());
    };
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "code" => difference.code = Some(rest.parse()?),
        "prints" => {
            let lines = difference.prints.get_or_insert_default();
            if !rest.is_empty() {
                lines.push(rest.to_owned());
            }
        }
        "status" => {
            let lines = difference.status.get_or_insert_default();
            if !rest.is_empty() {
                lines.push(rest.to_owned());
            }
        }
        "apart" => difference.apart = true,
        "other" => difference.paths.push((Side::Both, expand(rest))),
        "only" => {
            let (side, path) = rest.split_once(' ').context("`only ours|theirs PATH`")?;
            let side = match side {
                "ours" => Side::Ours,
                "theirs" => Side::Theirs,
                _ => bail!("`only ours` or `only theirs`"),
            };
            difference.paths.push((side, expand(path)));
        }
        _ => bail!("unknown difference `{word}`"),
    }
    Ok(())
}

fn expand(path: &str) -> String {
    match path.strip_prefix('~') {
        Some(rest) => format!("/var/lib/dkms{rest}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::scenario::{Side, Step};

    #[test]
    fn a_scenario_is_read() {
        let text = "= one\nmodule foo 1.0\n  + MAKE=x\n  also bar 2\n$ add foo/1.0\n  ! newer\n  ! code 6\n  ! only ours ~/x\n";
        let table = parse("t", text).unwrap();
        assert_eq!(table.len(), 1);
        let Step::Module(module) = &table[0].steps[0] else { panic!("no module") };
        assert_eq!(module.with, ["MAKE=x"]);
        assert_eq!(module.also, [("bar".to_owned(), "2".to_owned())]);
        let command = table[0].commands().next().unwrap();
        let difference = command.difference.as_ref().unwrap();
        assert_eq!((difference.why.as_str(), difference.code), ("newer", Some(6)));
        assert_eq!(difference.paths, [(Side::Ours, "/var/lib/dkms/x".to_owned())]);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let error = format!("{:#}", parse("t", "= one\nfrobnicate\n").unwrap_err());
        assert!(error.contains("t:2"), "{error}");
        assert!(parse("t", "$ add foo\n").is_err());
        assert!(parse("t", "= one\n  + MAKE=x\n").is_err());
    }
}
