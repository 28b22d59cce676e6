//! The %post that calls `common.postinst`: whether it goes on to use the module, so that the module
//! must be there at once.
//!
//! rpm writes a scriptlet to a file and gives that to its shell, so the text is found by the command lines of
//! the processes above us.

use std::path::Path;

use dkms_base::host::{ancestry, fs};

use crate::front::uses_librpm;

/// What calls us in every scriptlet.
const CALL: &str = "common.postinst";
/// Larger than any scriptlet.
const LIMIT: u64 = 1 << 20;
/// Commands that can't need a module.
const HARMLESS: [&str; 19] = [
    "exit", ":", "true", "false", "echo", "printf", "[", "[[", "test", "fi", "done", "esac", "}", "break",
    "continue", "for", "return", "set", "shift",
];
/// Words that a command may stand behind.
const BEFORE_COMMANDS: [&str; 9] = ["if", "then", "else", "elif", "while", "until", "do", "!", "{"];
/// Where another command runs inside of one, or a module is looked for by its path.
const NEVER_HARMLESS: [&str; 6] = ["$(", "`", "<(", ">(", "/sys/", "/lib/modules"];

/// Whether a script above us, below rpm, does more after it has called us.
#[must_use]
pub fn goes_on() -> bool {
    let above = ancestry::ancestors();
    let scripts =
        above.iter().take_while(|process| !uses_librpm(process.pid)).filter_map(|one| script(one.pid));
    scripts.into_iter().any(|text| uses_module(&text))
}

/// The script that a process runs.
fn script(pid: u32) -> Option<String> {
    let words = fs::read_limited(Path::new(&format!("/proc/{pid}/cmdline")), LIMIT).ok()?;
    let words = String::from_utf8(words).ok()?;
    let mut files = words.split('\0').skip(1).map(Path::new).filter(|word| word.is_absolute());
    let file = files.find(|word| fs::is_file(word))?;
    // Our own entry, which does nothing else.
    if file.file_name().is_some_and(|name| name == CALL) {
        return None;
    }
    String::from_utf8(fs::read_limited(file, LIMIT).ok()?).ok()
}

/// Whether anything that may need the module follows the first call of `common.postinst`. A script without
/// it has called another one, or is another one: all of it counts.
#[must_use]
pub fn uses_module(script: &str) -> bool {
    let script = script.replace("\\\n", " ");
    let after = match script.find(CALL) {
        Some(place) => script
            .get(place..)
            .unwrap_or_default()
            .split_once([';', '\n', '&', '|'])
            .map_or("", |(_, rest)| rest),
        None => &script,
    };
    let lines = after.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split([';', '&', '|'])).any(|part| !is_harmless(part))
}

/// Whether a part of a line that has at most one command can't need a module.
fn is_harmless(part: &str) -> bool {
    if part.contains(CALL) {
        return true;
    }
    if NEVER_HARMLESS.iter().any(|sign| part.contains(sign)) {
        return false;
    }
    let mut words = command(part).split_whitespace();
    let first = words.next().unwrap_or_default().trim_end_matches(')');
    let is_assignment = first.split_once('=').is_some_and(|(name, value)| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !value.contains(['$', '`'])
    });
    // The loop of older packages:
    // `for POSTINST in …/common.postinst …; do if [ -f $POSTINST ]; then $POSTINST …`.
    let is_loop = first
        .trim_start_matches('"')
        .trim_start_matches("${")
        .trim_start_matches('$')
        .starts_with("POSTINST");
    first.is_empty()
        || first.starts_with('#')
        || HARMLESS.contains(&first)
        || (is_assignment && words.next().is_none())
        || is_loop
}

/// The command of such a part, without what may stand in front of it: `then`, `{`, `(`, `case … in`, the
/// `pattern)` of a case, the `name()` of a function.
fn command(part: &str) -> &str {
    let mut rest = part.trim();
    let mut is_subshell = false;
    loop {
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = if BEFORE_COMMANDS.contains(&word) || word.ends_with("()") {
            behind
        } else if word == "case" {
            behind.split_once(" in ").map_or("", |(_, arms)| arms)
        } else if let Some(inside) = rest.strip_prefix('(') {
            is_subshell = true;
            inside
        } else if let Some((_, behind)) = rest.split_once(')').filter(|_| word.contains(')') && !is_subshell)
        {
            behind
        } else {
            return rest;
        }
        .trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_call_counts() {
        let call = "/usr/lib/dkms/common.postinst foo 1.0 /usr/share/foo-dkms \"\"";
        for (before, after, uses) in [
            ("", "", false),
            ("modprobe -r foo || :\n", " || exit 1\nexit 0\n", false),
            ("", " &&\n  modprobe foo", true),
            ("", "\nif [ $1 -eq 1 ]; then\n  systemctl try-restart x.service || :\nfi", true),
            ("", "\n# modprobe foo\necho \"modprobe foo\"\nX=1\n:\n", false),
            ("", "; dracut -f", true),
            ("", "\nX=$(modinfo -F version foo)", true),
            ("", "\nfoo-tool --setup", true),
            ("if [ $1 = 1 ]; then ", "; else exit $?; fi", false),
            ("", "\ncase \"$1\" in\n  1) modprobe foo ;;\nesac", true),
            ("", "; case \"$1\" in 1) modprobe foo ;; esac", true),
            ("case \"$1\" in\n  1)\n", "\n;;\n  *) exit 0 ;;\n  2)\n  ;;\nesac", false),
            ("", "\ncase $1 in 1) : ;; *) echo no;; esac", false),
            ("", " || { modprobe foo; }", true),
            ("{ ", "; } || { echo failed; exit 1; }", false),
            ("", "\n( modprobe foo )", true),
            ("", "\n(foo-tool)", true),
            ("( ", " ) || (exit 1)\n(true)", false),
            ("", "\n[ \"$(modinfo -F version foo)\" = 1.0 ] || exit 1", true),
            ("", "\necho \"$(modinfo foo)\"", true),
            ("", "\necho `modinfo foo`", true),
            ("", "\nwhile read a; do :; done < <(modinfo foo)", true),
            ("", "\necho 1 >/sys/module/foo/parameters/x", true),
            ("", "\nset_up() { modprobe foo; }", true),
            ("", " \\\n  || :\n# so; modprobe foo\n", false),
            ("", "\nmodprobe foo\n/usr/lib/dkms/common.postinst bar 1.0 /usr/share/bar", true),
            ("", "\n/usr/lib/dkms/common.postinst bar 1.0 /usr/share/bar || exit 1\n", false),
            ("if [ -x /usr/lib/dkms/common.postinst ]; then\n", "\nfi\n", false),
        ] {
            let script = format!("{before}{call}{after}");
            assert_eq!(uses_module(&script), uses, "{script}");
        }
        let older = "for POSTINST in /usr/lib/dkms/common.postinst /usr/share/foo/postinst; do\n  if [ -f $POSTINST ]; then\n    \
            $POSTINST foo 1.0 /usr/share/foo\n    exit $?\n  fi\n  echo \"WARNING: $POSTINST does not exist.\"\ndone\nexit 1\n";
        assert!(!uses_module(older), "{older}");
        assert!(uses_module("/usr/share/foo/set-up\n") && !uses_module("\n"));
    }
}
