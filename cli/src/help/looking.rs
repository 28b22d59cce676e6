//! The actions that look and explain, and those for keys and shells.

use super::{BUILDING, EVERY_KERNEL, Entry, INSTALLING, KERNELS, MODULE};
use crate::action::Action;

/// Their entries.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        action: Action::Status,
        forms: &["[M[/V]]"],
        summary: "print states",
        about: "Prints the state of every module, or of the named one: a line for each kernel that it is built for. Needs no rights.",
        options: &[MODULE, EVERY_KERNEL, &["grid", "json"]],
        examples: &[
            ("dkms status", "every module"),
            ("dkms status --grid", "modules and kernels as a grid, with whether each kernel will load them"),
            ("dkms status foo -k 6.12.1", "one module on one kernel"),
            ("dkms status --json", "for programs"),
        ],
        exits: &[16],
    },
    Entry {
        action: Action::Log,
        forms: &["[M[/V]]"],
        summary: "show how builds went: the error first, then the log of the newest (--all: of each)",
        about: "Lists builds, the newest first. For a named module: why its build failed (the first error, its likely cause, what helps) \
                and its log; `--all` shows the log of every build.",
        options: &[MODULE, EVERY_KERNEL, &["json"]],
        examples: &[("dkms log", "how the last builds went"), ("dkms log foo/1.0", "why a build failed")],
        exits: &[1, 3, 16],
    },
    Entry {
        action: Action::Plan,
        forms: &["[ACTION …]", "--matrix [M/V] -k K…"],
        summary: "show what autoinstall would do; `plan ACTION …`: what that action would do",
        about: "Shows the steps that an action would take, each with its reason; without an action, those of `autoinstall`. Nothing is \
                changed.\n\n`--matrix` prints what has to be built as JSON: one job for each module and kernel, for matrices of GitHub and \
                GitLab, arrays of Slurm and indexed jobs of Kubernetes. `dkms build --job N --matrix FILE` runs one job.",
        options: &[MODULE, KERNELS, BUILDING, INSTALLING, &["archive", "matrix", "json"]],
        examples: &[
            ("dkms plan --matrix -k 6.1.0-57-amd64 -k 6.1.0-57-cloud-amd64", "the jobs for two kernels"),
            ("dkms plan", "what autoinstall would do"),
            ("dkms plan install foo/1.0 -k 6.12.1", "what that command would do"),
        ],
        exits: &[1, 3, 8, 12, 16, 21],
    },
    Entry {
        action: Action::Kernels,
        forms: &["[--available]"],
        summary: "list the kernels of this system, or those for which headers are available",
        about: "Lists the kernels of this system in the order of their releases, and for each whether it is installed, has headers and is \
                running. With `--available` it lists the kernels for which the package manager offers headers (apt and dnf), installed or \
                not, with the name of the package.",
        options: &[&["available", "flavour", "arches", "json"]],
        examples: &[
            ("dkms kernels", "what is installed"),
            ("dkms kernels --available --flavour cloud-amd64", "what `build --fetch-headers` can build for"),
        ],
        exits: &[1, 12],
    },
    Entry {
        action: Action::Preflight,
        forms: &["[-k K]…"],
        summary: "show which modules in use will be missing on a kernel, and why",
        about: "Shows for each module in use whether it will be missing on a kernel, why, and what to do. For the other modules it shows \
                whether they are installed, built, or not built yet. The hooks of package managers make the same check before a \
                transaction. Exit code 0: no reason is known why a module would be missing.",
        options: &[KERNELS, &["kernel_coming", "headers_coming", "json"]],
        examples: &[(
            "dkms preflight -k 6.12.1 --kernel-coming --headers-coming",
            "before that kernel is installed",
        )],
        exits: &[1, 16],
    },
    Entry {
        action: Action::Verify,
        forms: &["[M[/V]]", "--vm [M[/V]]", "LAYOUT", "--rebuild ARCHIVE"],
        summary: "check whether kernels will load their modules",
        about: "Makes seven checks for each module and kernel: there, whole, kernel, linked, trusted, found, boot. The result of each is \
                proven, refuted or unknown, with the reason and the command that helps. Without a module it checks all that are installed, \
                or that autoinstall would install. Without a kernel it checks the running one (in a chroot or an image: every kernel); \
                `--all` means every installed kernel. It only reads files, starts no process and changes nothing. Exit code 0: \
                everything is proven.\n\nWith `--vm` the kernel is also booted with QEMU, without network and disk, and loads the \
                installed modules with their parameters of modprobe.d, after the modules that they need. The result for each is: live, \
                linked without its device, refused, its init function fails, or the kernel crashes. A failing init function is counted as \
                an error only if the same module is live on another installed kernel; otherwise its hardware may be missing.\n\n\
                LAYOUT is a folder that `mkoci` wrote, or another OCI image layout. It is checked that each image in it is complete and \
                signed by a key (PEM) in `/etc/dkms/trusted.d`.\n\nWith `--rebuild` the source in an archive of `mktarball` is built \
                again, with this system's compiler and headers and in a tree of its own. It is checked that each module equals the one in \
                the archive, apart from its signature. That needs root.",
        options: &[MODULE, EVERY_KERNEL, &["vm", "rebuild", "json"]],
        examples: &[
            (
                "dkms verify --rebuild foo-1.0-manykernels.dkms.tar.gz",
                "checks what another machine has built",
            ),
            ("dkms verify", "every module on the running kernel"),
            ("dkms verify zfs -k 6.12.1", "one module on one kernel"),
            ("dkms verify --vm -k 6.12.1", "its modules in a virtual machine, before the reboot"),
            ("dkms verify --all --json", "everything, for programs"),
        ],
        exits: &[1, 3, 12, 16, 30, 31],
    },
    Entry {
        action: Action::Critical,
        forms: &["[M]"],
        summary: "show which modules this machine cannot boot or be reached without, and why",
        about: "Shows for each module in the tree, or for the named one, whether the machine needs it to boot or to be reached: for \
                its root file system, /usr, /boot, the swap that it resumes from, the network of the default route, the boot display, a \
                keyboard, or because the initramfs of the running kernel contains it. With `--root` the image's fstab, crypttab and \
                initramfs decide. `CRITICAL=yes` or `CRITICAL=no` in /etc/dkms/M.conf and `critical` in framework.conf override this \
                result. Needs no rights, but only root may read each initramfs.",
        options: &[&["module", "json"]],
        examples: &[
            ("dkms critical", "every module, the critical ones first"),
            ("dkms critical --json", "for programs"),
            ("dkms critical --root /mnt", "the system below /mnt"),
        ],
        exits: &[3],
    },
    Entry {
        action: Action::Forecast,
        forms: &["[M[/V]] [--next | -k K]"],
        summary: "test whether the modules build for the kernel that the next upgrade installs",
        about: "Tests whether the modules in use, and those that autoinstall would install, build for a kernel that is not installed: the one \
                that the next upgrade installs (apt, dnf, pacman), or the one of `-k`. The package manager downloads its headers, which are \
                visible to this command only. Every module is built with them in the sandbox and checked as `verify` does; then everything \
                is deleted. The result for each module is: it builds, it fails (with the cause and the first error), it is excluded, it \
                needs another compiler, or it is unknown. The system is not changed.\n\nIf root runs it, the result is stored in \
                `.state/forecast` of the dkms tree. `preflight` uses it as long as the module's source, the version of the headers package \
                and the compiler stay the same. If `build_cache` is set, the modules are stored there, so that the upgrade need not build \
                them again. Other users need user namespaces; for them the result is only printed.\n\nExit code 0: all modules build, or \
                are excluded; 30: one fails; 31: one is unknown, or needs another compiler.",
        options: &[MODULE, KERNELS, &["next", "fetch", "jobs", "json"]],
        examples: &[
            ("dkms forecast", "the kernel that the next upgrade installs"),
            ("dkms forecast --fetch", "the same, with the newest package lists"),
            ("dkms forecast -k 6.1.0-57-amd64 --json", "another kernel, for programs"),
        ],
        exits: &[1, 3, 12, 16, 21, 30, 31],
    },
    Entry {
        action: Action::Boot,
        forms: &["[status]", "hold K", "release K|all", "fit", "reconcile"],
        summary: "show what boots next, and hold back a kernel that lacks a critical module",
        about: "Shows for each kernel in the boot menu whether it will load the critical modules of this machine (`dkms critical`), which \
                kernel boots next, and which kernels are held back and why.\n\n`boot hold K` holds a kernel back: it stays in the menu, but \
                is not the default. `boot release` restores exactly what was before. The running kernel, the last kernel that booted with \
                its critical modules, and a default that the administrator has set are never held back; and no kernel is, unless another \
                one is proven to load its critical modules. With `boot_guard=hold` in framework.conf this is done after each transaction; \
                the default, `warn`, only prints a warning.\n\n`boot fit` checks whether the running kernel has the critical modules. If \
                one is missing it warns, or with `boot_guard=hold` fails; dkms-fit.service and greenboot run it. `boot reconcile` is run by \
                kernel-install: it holds a kernel back again if its boot entry was rewritten.",
        options: &[&["json"]],
        examples: &[
            ("dkms boot", "what boots next, and what is held"),
            ("dkms boot hold 6.12.118", "does not boot it by default; as root"),
            ("dkms boot release all", "restores what was before; as root"),
        ],
        exits: &[1, 30],
    },
    Entry {
        action: Action::Doctor,
        forms: &["[--fix]"],
        summary: "list problems, each with the command that fixes it; --fix fixes what is safe to fix",
        about: "Checks modules, kernels, settings, keys and the sandbox, and prints for each problem the command that fixes it. `--fix` runs \
                those that are safe. Exit code 0: no problem was found.",
        options: &[&["fix", "dry_run", "json"]],
        examples: &[("dkms doctor", "lists problems"), ("dkms doctor --fix", "fixes what is safe to fix")],
        exits: &[1],
    },
    Entry {
        action: Action::Mok,
        forms: &["", "enroll"],
        summary: "show Secure Boot, and whether the signing key is enrolled; `mok enroll` enrols it",
        about: "Shows whether the kernel requires signatures, which key signs modules, and whether the kernel trusts it. `mok enroll` runs \
                mokutil to enrol the key; it asks for a password, which has to be entered again at the next boot.",
        options: &[KERNELS, &["dry_run", "json"]],
        examples: &[("dkms mok", "shows the state"), ("dkms mok enroll", "enrols the key, as root")],
        exits: &[1, 16],
    },
    Entry {
        action: Action::GenerateMok,
        forms: &[""],
        summary: "make the signing key and certificate",
        about: "Makes the key that signs modules and its certificate, if neither exists. A build that needs them makes them too.",
        options: &[KERNELS, &["dry_run", "json"]],
        examples: &[("dkms generate_mok", "makes /var/lib/dkms/mok.key and mok.pub")],
        exits: &[1, 12, 16, 21],
    },
    Entry {
        action: Action::Completions,
        forms: &["bash|zsh|fish"],
        summary: "print completions for a shell (bash, zsh, fish)",
        about: "Prints the file that makes a shell complete command lines of `dkms`: actions, options, and the modules, versions \
                and kernels of this system. Packages install it.",
        options: &[],
        examples: &[("dkms completions bash >/etc/bash_completion.d/dkms", "for bash")],
        exits: &[],
    },
];
