//! Weak modules: RHEL and SUSE link a module that was built for one kernel into the folders of others that it
//! fits. Their own programs decide where; they get the files on standard input.

use std::path::PathBuf;

use super::Place;
use crate::host::fs;
use crate::host::process::{Process, ProcessError};
use crate::kernel::Family;
use crate::report::{Event, Reporter};

/// What the program is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// After an install.
    Add,
    /// Before an uninstall, while the files are still there.
    Remove,
}

/// The program and its arguments, where the family has one.
fn command(family: Family, links: Links, kernel: &str) -> Option<(&'static str, Vec<String>)> {
    let (verb, of_kernel) = match links {
        Links::Add => ("--add-modules", "--add-kernel-modules"),
        Links::Remove => ("--remove-modules", "--remove-kernel-modules"),
    };
    match family {
        Family::Rhel => Some(("/usr/sbin/weak-modules", vec!["--no-initramfs".to_owned(), verb.to_owned()])),
        Family::Suse => {
            Some(("/usr/lib/module-init-tools/weak-modules2", vec![of_kernel.to_owned(), kernel.to_owned()]))
        }
        _ => None,
    }
}

/// Has the links to these files made or removed; a failure is a warning.
///
/// # Errors
/// [`ProcessError`] where we were interrupted.
pub(super) fn update(
    place: &Place<'_>,
    links: Links,
    files: &[PathBuf],
    reporter: &dyn Reporter,
) -> Result<(), ProcessError> {
    let kernel = place.target().kernel.as_str();
    let Some((program, arguments)) = command(place.family, links, kernel) else { return Ok(()) };
    let program = place.layout.at(program);
    if files.is_empty() || !fs::is_executable(&program) {
        return Ok(());
    }
    let list: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    let process = Process::new(program, arguments, place.environment).stdin(list);
    reporter.report(Event::Command { line: process.line() });
    let trouble = match process.capture() {
        Ok(ended) if ended.code() == 0 => return Ok(()),
        Ok(ended) => format!("ended with exit code {}: {}", ended.code(), ended.text().trim_end()),
        Err(error @ ProcessError::Interrupted { .. }) => return Err(error),
        Err(error) => error.to_string(),
    };
    let text = format!("`{}` for {} on {kernel}: {trouble}", process.line(), place.id);
    reporter.report(Event::warning(text, []));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rhel_and_suse_have_such_programs() {
        for family in
            [Family::Debian, Family::Ubuntu, Family::Arch, Family::Gentoo, Family::Fedora, Family::Other]
        {
            assert_eq!(command(family, Links::Add, "6.1"), None);
        }
        let (program, arguments) = command(Family::Suse, Links::Remove, "6.1").unwrap();
        assert_eq!(program, "/usr/lib/module-init-tools/weak-modules2");
        assert_eq!(arguments, ["--remove-kernel-modules", "6.1"]);
        assert_eq!(command(Family::Rhel, Links::Add, "6.1").unwrap().1, ["--no-initramfs", "--add-modules"]);
    }
}
