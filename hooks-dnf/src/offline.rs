//! Upgrades that are prepared now and carried out at the next boot, where nobody reads what is said: failures
//! are shown at the next login.

use dkms_base::host::ancestry;
use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;
use dkms_base::visible::visible_line;
use dkms_hooks::Summary;

/// Words on the command line of who prepares a transaction and doesn't carry it out.
const PREPARES: [&str; 6] = [
    "--offline",
    "--downloadonly",
    "system-upgrade",
    "offline-upgrade",
    "offline-distrosync",
    "tsflags=test",
];
/// And of who carries it out, at boot.
const CARRIES_OUT: [&str; 4] =
    ["offline _execute", "offline-upgrade upgrade", "system-upgrade upgrade", "pk-offline-update"];
/// What tells systemd to boot into an offline upgrade.
const MARKS: [&str; 2] = ["/system-update", "/etc/system-update"];
/// Where systemd has noted for this boot that it does so: PackageKit takes the mark away before it begins.
const DEFAULT_TARGET: &str = "/run/systemd/generator.early/default.target";

/// Whether who runs us only prepares a transaction.
#[must_use]
pub fn is_prepared() -> bool {
    above(&PREPARES) && !above(&CARRIES_OUT)
}

/// Whether this is such an upgrade at work.
#[must_use]
pub fn is_at_work(layout: &Layout) -> bool {
    MARKS.iter().any(|mark| fs::exists(&layout.at(mark))) || is_booted_for_it(layout) || above(&CARRIES_OUT)
}

fn is_booted_for_it(layout: &Layout) -> bool {
    let target = fs::link_target(&layout.at(DEFAULT_TARGET)).ok().flatten();
    target.is_some_and(|target| target.ends_with("system-update.target"))
}

fn above(words: &[&str]) -> bool {
    let lines = ancestry::ancestors().into_iter().filter_map(|process| ancestry::command_line(process.pid));
    lines.into_iter().any(|line| is_among(&line, words))
}

fn is_among(line: &str, words: &[&str]) -> bool {
    let parts: Vec<&str> = line.split(' ').collect();
    let is_part = |word: &&str| {
        let mut windows = parts.windows(word.split(' ').count());
        windows.any(|part| part.join(" ").ends_with(*word))
    };
    words.iter().any(is_part)
}

/// Leaves what failed for the next login, or takes away what an earlier upgrade has left and
/// this batch has done.
///
/// # Errors
/// Where it can't be written.
pub fn note(layout: &Layout, summary: &Summary, at_work: bool) -> Result<(), FsError> {
    let file = layout.at("/etc/motd.d/dkms");
    if at_work && !summary.failed.is_empty() {
        let folder = layout.at("/etc/motd.d");
        fs::create_dir_all(&folder)?;
        return fs::write_whole(&file, text(summary).as_bytes(), 0o644);
    }
    if summary.failed.is_empty() && !summary.done.is_empty() {
        fs::optional(fs::remove_file(&file))?;
    }
    Ok(())
}

fn text(summary: &Summary) -> String {
    let failures = summary.failed.iter().filter_map(|failure| failure.text.lines().next());
    // Every terminal shows it, and a conf may have written any of it.
    let lines = failures.map(|line| format!("  {}\n", visible_line(line)));
    format!(
        "dkms: the offline upgrade has left kernel modules behind; `dkms doctor` says what to do:\n{}",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn who_prepares_is_known_by_its_command_line() {
        for (line, prepares, carries_out) in [
            ("dnf5 -y upgrade --offline", true, false),
            ("/usr/bin/dnf upgrade --downloadonly", true, false),
            ("dnf system-upgrade download --releasever=42", true, false),
            ("dnf5 --setopt=tsflags=test install foo", true, false),
            ("dnf5 offline _execute", false, true),
            ("/usr/bin/dnf system-upgrade upgrade", true, true),
            ("dnf5 install offline-tool", false, false),
        ] {
            assert_eq!(
                (is_among(line, &PREPARES), is_among(line, &CARRIES_OUT)),
                (prepares, carries_out),
                "{line}"
            );
        }
    }

    #[test]
    fn a_boot_into_the_upgrade_is_one_without_the_mark_too() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let link = layout.at(DEFAULT_TARGET);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        assert!(!is_at_work(&layout));
        fs::symlink(Path::new("/usr/lib/systemd/system/rescue.target"), &link).unwrap();
        assert!(!is_at_work(&layout));
        fs::remove_file(&link).unwrap();
        fs::symlink(Path::new("/usr/lib/systemd/system/system-update.target"), &link).unwrap();
        assert!(is_at_work(&layout));
    }

    #[test]
    fn what_failed_offline_is_told_at_login_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let file = layout.at("/etc/motd.d/dkms");
        let failed = Summary::failure("cannot build foo/1.0 for 6.1.0\nmore".to_owned(), Vec::new());
        note(&layout, &failed, false).unwrap();
        assert!(!fs::exists(&file));
        note(&layout, &failed, true).unwrap();
        let text = fs::read_lossy(&file).unwrap();
        assert!(text.contains("cannot build foo/1.0 for 6.1.0\n") && !text.contains("more"), "{text}");
        let hostile = format!("`make \x1b]0;owned\x07{}`", "x".repeat(10_000));
        note(&layout, &Summary::failure(hostile, Vec::new()), true).unwrap();
        let text = fs::read_lossy(&file).unwrap();
        assert!(text.contains("make \\x1b]0;owned\\x07x") && text.len() < 500, "{text}");
        note(&layout, &Summary::default(), false).unwrap();
        assert!(fs::exists(&file), "nothing was done");
        note(&layout, &Summary { done: vec!["x".to_owned()], ..Summary::default() }, false).unwrap();
        assert!(!fs::exists(&file));
    }
}
