//! Variables that mean something to bash itself: the static reader leaves them alone, and confs get none of
//! those that change how bash reads.

use super::directive::Directive;
use dkms_base::host::Environment;

/// Names that bash sets, computes or heeds, besides those that begin with one of [`PREFIXES`].
const NAMES: &[&str] = &[
    "CDPATH",
    "CHILD_MAX",
    "COLUMNS",
    "COPROC",
    "DIRSTACK",
    "EMACS",
    "ENV",
    "EUID",
    "EXECIGNORE",
    "FCEDIT",
    "FIGNORE",
    "FUNCNAME",
    "FUNCNEST",
    "GLOBIGNORE",
    "GLOBSORT",
    "GROUPS",
    "HOME",
    "HOSTFILE",
    "HOSTNAME",
    "HOSTTYPE",
    "IFS",
    "IGNOREEOF",
    "INPUTRC",
    "INSIDE_EMACS",
    "LANG",
    "LANGUAGE",
    "LINENO",
    "LINES",
    "MACHTYPE",
    "MAPFILE",
    "OLDPWD",
    "OMP_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "OSTYPE",
    "PATH",
    "PIPESTATUS",
    "POSIXLY_CORRECT",
    "PPID",
    "PWD",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "TERM",
    "TEXTDOMAIN",
    "TEXTDOMAINDIR",
    "TIMEFORMAT",
    "TMOUT",
    "TMPDIR",
    "UID",
    "_",
    "auto_resume",
    "histchars",
    "hostname_completion_file",
];

const PREFIXES: &[&str] = &[
    "BASH",
    "COMP_",
    "EPOCH",
    "HIST",
    "LC_",
    "MAIL",
    "PROMPT_",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "READLINE_",
    "__dkms_",
];

/// Whether a variable is more to bash than what was assigned to it.
pub(super) fn is_special(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What a conf sees of the environment: nothing that changes how bash reads or speaks, none of our own
/// variables, and no directive, which only a conf may set.
pub(super) fn for_confs<'a>(environment: &Environment, own: impl Iterator<Item = &'a str>) -> Environment {
    let own: Vec<&str> = own.collect();
    let kept = |name: &str| {
        let heeded = name.starts_with("BASH")
            || name.starts_with("LC_")
            || name.starts_with("PS4")
            || [
                "ENV",
                "SHELLOPTS",
                "POSIXLY_CORRECT",
                "IFS",
                "CDPATH",
                "GLOBIGNORE",
                "EXECIGNORE",
                "OLDPWD",
                "PWD",
                "LANG",
                "LANGUAGE",
            ]
            .contains(&name);
        !heeded && !own.contains(&name) && name.parse::<Directive>().is_err()
    };
    let mut result: Environment = environment.iter().filter(|(name, _)| kept(name)).collect();
    result.set("LC_ALL", "C");
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_ordered_for_the_search() {
        assert!(NAMES.is_sorted());
        assert!(is_special("RANDOM") && is_special("BASH_SOURCE") && is_special("_"));
        assert!(!is_special("MODULE") && !is_special("kernelver"));
    }

    #[test]
    fn what_changes_bash_does_not_reach_it() {
        let given: Environment =
            [("BASH_ENV", "/x"), ("MAKE", "evil"), ("arch", "m68k"), ("CC", "gcc"), ("LC_ALL", "de_DE")]
                .into_iter()
                .collect();
        let left = for_confs(&given, ["arch"].into_iter());
        assert_eq!(left.iter().collect::<Vec<_>>(), [("CC", "gcc"), ("LC_ALL", "C")]);
    }
}
