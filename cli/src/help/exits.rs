//! The exit codes and what each means: for `dkms ACTION --help`, which shows what the action may mean by
//! them, and the manual page, which shows all.

use super::Entry;
use crate::action::Action;
use dkms_base::exit::ExitCode;

/// Whose meaning of a code it is.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// Of every action's that may end with the code.
    Every,
    /// Of those that take this option.
    Option(&'static str),
    /// Of those that do not take it.
    Without(&'static str),
    /// Of these.
    Only(&'static [Action]),
    /// Of these, which the manual page names with it.
    Named(&'static [Action]),
}

/// What takes a source from a folder or an archive.
const TAKES_SOURCE: Of = Of::Only(&[Action::Add, Action::Build, Action::Install, Action::Ldtarball]);
/// What builds.
const BUILDS: Of = Of::Only(&[
    Action::Build,
    Action::Install,
    Action::Match,
    Action::Autoinstall,
    Action::KernelPostinst,
    Action::Bake,
]);
/// What installs.
const INSTALLS: Of = Of::Only(&[Action::Install, Action::Match]);
/// What packs built modules.
const PACKS: Of = Of::Only(&[
    Action::Mktarball,
    Action::Mkdeb,
    Action::Mkbmdeb,
    Action::Mkrpm,
    Action::Mkdriverdisk,
    Action::Mkoci,
    Action::Mksysext,
]);

/// A code and its meanings.
type Exit = (u8, &'static [(Of, &'static str)]);

/// Every exit code of `dkms`.
const EXITS: &[Exit] = &[
    (0, &[(Of::Every, "success; also if there was nothing to do")]),
    (
        1,
        &[
            (
                Of::Every,
                "the caller lacks the rights that the action needs; or a file or folder that it needs is missing, or cannot be read or written",
            ),
            (Of::Option("module"), "module or version is missing on the command line"),
            (TAKES_SOURCE, "an absolute path that is neither a folder with a `dkms.conf` nor an archive"),
            (Of::Named(&[Action::Boot]), "the boot menu has no entry of the kernel"),
            (
                Of::Named(&[Action::Doctor, Action::Preflight, Action::Ltdk, Action::Mok]),
                "a problem was found",
            ),
        ],
    ),
    (
        2,
        &[
            (Of::Every, "an unknown option or action"),
            (Of::Option("all"), "`-k` together with `--all`"),
            (Of::Named(&[Action::Match]), "a kernel is its own template"),
            (
                TAKES_SOURCE,
                "a source folder or an archive that does not exist, or a relative path to a folder without a `dkms.conf`",
            ),
        ],
    ),
    (
        3,
        &[
            (Of::Option("module"), "the module is not in the tree"),
            (Of::Only(&[Action::Add]), "the module is already added"),
            (Of::Option("all"), "`-a` together with `--all`"),
            (
                Of::Only(&[Action::Add, Action::Build, Action::Install, Action::Ldtarball, Action::Sign]),
                "an archive without a `dkms.conf`",
            ),
        ],
    ),
    (
        4,
        &[
            (Of::Every, "two actions, or a system without an os-release file"),
            (Of::Option("module"), "the source of the module is gone, or has no `dkms.conf`"),
            (
                Of::Only(&[
                    Action::Autoinstall,
                    Action::Match,
                    Action::Forecast,
                    Action::Mksysext,
                    Action::KernelPreinst,
                    Action::KernelPostinst,
                    Action::KernelPrerm,
                ]),
                "several kernels for an action that works on one",
            ),
        ],
    ),
    (
        5,
        &[
            (Of::Without("all"), "the action does not take `--all`"),
            (BUILDS, "a patch is missing, or its name leads out of the source"),
        ],
    ),
    (
        6,
        &[
            (BUILDS, "a patch does not apply"),
            (
                INSTALLS,
                "the kernel has no module folder, a built module is missing or damaged, or no module could be installed",
            ),
            (
                Of::Only(&[
                    Action::Install,
                    Action::Match,
                    Action::Uninstall,
                    Action::Unbuild,
                    Action::Remove,
                ]),
                "depmod failed",
            ),
            (PACKS, "the module is not built for the kernel, or a built module is damaged"),
            (Of::Named(&[Action::Sign]), "the archive could not be written"),
        ],
    ),
    (
        7,
        &[
            (
                BUILDS,
                "the build did not produce a module that `dkms.conf` names, or the file is not a whole module for the kernel's machine",
            ),
            (
                Of::Only(&[Action::Build, Action::Install, Action::Ldtarball, Action::Sign]),
                "an archive without a valid `dkms.conf`",
            ),
        ],
    ),
    (
        8,
        &[
            (Of::Every, "`dkms.conf` or a file of settings is not valid"),
            (Of::Only(&[Action::Build, Action::Install]), "the source tree is empty"),
            (TAKES_SOURCE, "an archive of a module that is already added"),
            (Of::Option("source_only"), "options of an archive that contradict each other"),
        ],
    ),
    (
        9,
        &[
            (
                Of::Only(&[Action::Add, Action::Build, Action::Install]),
                "the file of `-c` does not exist, if the source is a folder or an archive",
            ),
            (
                Of::Only(&[
                    Action::Mktarball,
                    Action::Mkdeb,
                    Action::Mkbmdeb,
                    Action::Mkdsc,
                    Action::Mkrpm,
                    Action::Mkkmp,
                    Action::Mkdriverdisk,
                    Action::Mkoci,
                    Action::Mksysext,
                    Action::Sign,
                ]),
                "the result could not be written",
            ),
            (Of::Only(&[Action::Add, Action::Install, Action::Ldtarball]), "rpm refused a package"),
        ],
    ),
    (10, &[(Of::Every, "the build failed; `dkms log` shows the reason")]),
    (
        11,
        &[
            (Of::Named(&[Action::Autoinstall, Action::KernelPostinst]), "at least one module failed"),
            (Of::Named(&[Action::Bake]), "a module is missing for a kernel"),
        ],
    ),
    (12, &[(Of::Every, "the architecture of the kernel is not known")]),
    (13, &[(Of::Every, "a module of `BUILD_DEPENDS` is not installed for the kernel")]),
    (14, &[(Of::Named(&[Action::KernelPreinst, Action::KernelPrerm]), "at least one module failed")]),
    (
        16,
        &[
            (Of::Without("grid"), "the name of a kernel or an architecture is empty"),
            (
                Of::Named(&[Action::Status]),
                "`-k` has an architecture and no kernel; an empty kernel or architecture means all of them",
            ),
        ],
    ),
    (
        21,
        &[(Of::Every, "the headers of the kernel were not found, or this system has no kernel with headers")],
    ),
    (
        30,
        &[
            (Of::Named(&[Action::Verify, Action::Bake, Action::Boot]), "a kernel will not load a module"),
            (Of::Named(&[Action::Forecast]), "a module does not build, or the kernel would not load it"),
        ],
    ),
    (
        31,
        &[
            (
                Of::Named(&[Action::Verify]),
                "it is not known whether a kernel will load a module, and no module is known not to load",
            ),
            (
                Of::Named(&[Action::Forecast]),
                "it is not known whether a module builds, or it needs another compiler; no module fails",
            ),
        ],
    ),
    (77, &[(Of::Every, "`BUILD_EXCLUSIVE_…` rules the module out for this kernel")]),
    (101, &[(Of::Every, "the `PRE_INSTALL` script refused the installation")]),
    (130, &[(Of::Every, "a signal ended the command")]),
];

/// Those that every action may end with.
const COMMON: [u8; 4] = [0, 2, 4, 130];

/// Every exit code with all its meanings.
pub fn all() -> impl Iterator<Item = (u8, String)> {
    let text = |(of, text): &(Of, &str)| match of {
        Of::Named(actions) => {
            let names: Vec<_> = actions.iter().map(|action| format!("`{}`", action.name())).collect();
            format!("{}: {text}", names.join(", "))
        }
        Of::Every | Of::Option(_) | Of::Without(_) | Of::Only(_) => (*text).to_owned(),
    };
    EXITS.iter().map(move |(code, meanings)| (*code, sentence(meanings.iter().map(text))))
}

/// The codes that an action may end with, each with what it means by them.
pub(super) fn of(entry: &Entry) -> impl Iterator<Item = (u8, String)> {
    let takes = |id: &str| entry.option_ids().any(|option| option == id);
    let is_its = move |of: Of| match of {
        Of::Every => true,
        Of::Option(id) => takes(id),
        Of::Without(id) => !takes(id),
        Of::Only(actions) | Of::Named(actions) => actions.contains(&entry.action),
    };
    let refuses_all = !entry.action.takes_all();
    let codes = EXITS.iter().filter(move |(code, _)| {
        COMMON.contains(code) || entry.exits.contains(code) || *code == ExitCode::NOT_ALLOWED.0 && refuses_all
    });
    codes.map(move |(code, meanings)| {
        let own = meanings.iter().filter(|(of, _)| is_its(*of));
        (*code, sentence(own.map(|(_, text)| (*text).to_owned())))
    })
}

fn sentence(meanings: impl Iterator<Item = String>) -> String {
    let text = meanings.collect::<Vec<_>>().join("; ");
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
