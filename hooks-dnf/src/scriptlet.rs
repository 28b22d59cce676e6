//! The %post that calls `common.postinst`: whether it goes on to use the module, so that the module
//! must be there at once.
//!
//! rpm writes a scriptlet to a file and gives that to its shell, so the text is found by the command lines of
//! the processes above us.

use std::path::Path;

use dkms_core::host::{ancestry, fs};

use crate::front::uses_librpm;

/// What calls us in every scriptlet.
const CALL: &str = "common.postinst";
/// No scriptlet comes near it.
const LIMIT: u64 = 1 << 20;
/// Commands that can't need a module.
const HARMLESS: [&str; 22] = [
    "exit", ":", "true", "false", "echo", "printf", "[", "[[", "test", "fi", "done", "esac", "}", "{", "(",
    ")", "break", "continue", "for", "case", "return", "set",
];
/// Words that a command may stand behind.
const BEFORE_COMMANDS: [&str; 7] = ["if", "then", "else", "elif", "while", "do", "!"];

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

/// Whether anything that may need the module follows the call. A script without it has called another
/// one: all of it counts.
fn uses_module(script: &str) -> bool {
    let after = match script.rfind(CALL) {
        Some(place) => script
            .get(place..)
            .unwrap_or_default()
            .split_once([';', '\n', '&', '|'])
            .map_or("", |(_, rest)| rest),
        None => script,
    };
    after.lines().flat_map(|line| line.split([';', '&', '|'])).any(|command| !is_harmless(command))
}

fn is_harmless(command: &str) -> bool {
    let mut words = command.split_whitespace().skip_while(|word| BEFORE_COMMANDS.contains(word));
    let Some(first) = words.next() else { return true };
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
    first.starts_with('#')
        || first.ends_with(')')
        || HARMLESS.contains(&first)
        || (is_assignment && words.next().is_none())
        || is_loop
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
