//! The paths that a conf names: what it may look for, and an empty answer would mean something to it.

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

/// Whether a script or Makefile asks for an environment variable, comments aside: it uses it (`$NAME`,
/// `${NAME`, `$(NAME`) or asks whether it is defined, and does not set it first, whatever it was.
#[must_use]
pub fn asks_for(text: &str, name: &str) -> bool {
    let mut is_used = false;
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        if ["ifdef", "ifndef"]
            .iter()
            .any(|word| line.strip_prefix(word).is_some_and(|rest| rest.trim() == name))
        {
            return true;
        }
        let uses = line.match_indices(name).any(|(at, _)| {
            let before = &line[..at];
            let after = line[at + name.len()..].chars().next();
            let ends = after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
            ends && ["$", "${", "$("].iter().any(|begin| before.ends_with(begin))
        });
        if uses {
            is_used = true;
            break;
        }
        let assigned = line.strip_prefix(name).map(str::trim_start);
        if assigned.is_some_and(|rest| rest.starts_with('=') || rest.starts_with(":=")) {
            return false;
        }
    }
    is_used
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
            assert_eq!(asks_for(text, "WITH_X"), expected, "{text}");
        }
    }
}
