//! The paths that a conf names: what it may look for, and an empty answer would mean something to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;

/// No conf is longer.
const LIMIT: u64 = 1 << 20;

/// No conf names more.
const MOST: usize = 200;

/// The absolute paths in a conf, comments aside.
pub(super) fn in_file(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_limited(file, LIMIT).unwrap_or_default();
    in_text(&String::from_utf8_lossy(&text))
}

/// The absolute paths in a text, comments aside; of one that goes on in a pattern or a variable, the folder
/// before that.
#[must_use]
pub fn in_text(text: &str) -> Vec<PathBuf> {
    let ends = |c: char| c.is_whitespace() || "\"'`;()<>=:|&,".contains(c);
    let is_open = |c: char| "$*?[]{}!\\".contains(c);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(ends)).filter(|word| word.starts_with('/'));
    let paths = words.map(|word| match word.find(is_open) {
        Some(at) => word[..at].rsplit_once('/').map_or("/", |(folder, _)| folder),
        None => word,
    });
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths.filter(|path| path.len() > 1).map(PathBuf::from) {
        if found.len() < MOST && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// The variables that a script or Makefile asks its environment for, comments aside: those that it uses
/// (`$NAME`, `${NAME`, `$(NAME`) or of which it asks whether they are defined, and that it does not set
/// before, whatever they were.
#[must_use]
pub fn variables(text: &str) -> BTreeSet<&str> {
    let (mut asked, mut set) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        for question in ["ifdef ", "ifndef "] {
            asked.extend(line.strip_prefix(question).map(name_at_begin).filter(|name| !name.is_empty()));
        }
        for part in line.split('$').skip(1) {
            let name = name_at_begin(part.strip_prefix(['{', '(']).unwrap_or(part));
            if !name.is_empty() && !set.contains(name) {
                asked.insert(name);
            }
        }
        let name = name_at_begin(line);
        let rest = line[name.len()..].trim_start();
        if rest.starts_with('=') || rest.starts_with(":=") {
            set.insert(name);
        }
    }
    asked
}

fn name_at_begin(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_conf() {
        for (text, expected) in [
            (". /etc/drv.conf; [ -r \"/etc/b\" ] && X=$(</etc/c)", vec!["/etc/drv.conf", "/etc/b", "/etc/c"]),
            ("for f in /etc/drv.d/*.conf /opt/$x/y; do . $f; done", vec!["/etc/drv.d", "/opt"]),
            ("  # . /etc/drv.conf\nMAKE=make -C ../x a/b /", vec![]),
            ("cat /a/b /a/b >/a/c", vec!["/a/b", "/a/c"]),
        ] {
            assert_eq!(in_text(text), expected.into_iter().map(PathBuf::from).collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn variables_of_a_makefile_and_a_script() {
        for (text, expected) in [
            ("ifeq ($(WITH_X),1)\nendif\n", true),
            ("  ifdef WITH_X\n", true),
            ("[ -n \"${WITH_X:-}\" ] && echo\n", true),
            ("if [ \"$WITH_X\" = 1 ]; then\n", true),
            ("WITH_X ?= 0\nccflags-y += -DX=$(WITH_X)\n", true),
            ("WITH_X := 0\nccflags-y += -DX=$(WITH_X)\n", false),
            ("WITH_X=0\necho $WITH_X\n", false),
            ("# $(WITH_X)\necho $WITH_XY $(NO_WITH_X) WITH_X\n", false),
            ("", false),
        ] {
            assert_eq!(variables(text).contains("WITH_X"), expected, "{text}");
        }
    }
}
