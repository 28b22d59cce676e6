//! The actions that look and explain, and those for keys and shells.

use super::{BUILDING, EVERY_KERNEL, Entry, INSTALLING, KERNELS, MODULE};
use crate::action::Action;

/// Their entries.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        action: Action::Status,
        forms: &["[M[/V]]"],
        summary: "print states",
        about: "Prints the state of every module, or of those named: a line for each kernel that it is built for. Needs no rights.",
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
                changed.\n\n`--matrix` prints what has to be built as JSON, a job for each module and kernel, as matrices of GitHub and GitLab, \
                arrays of Slurm and indexed jobs of Kubernetes take it; `dkms build --job N --matrix FILE` does one.",
        options: &[MODULE, KERNELS, BUILDING, INSTALLING, &["matrix", "json"]],
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
        summary: "list the kernels of this system, or those that headers can be had of",
        about: "Lists the kernels of this system in the order of their releases: whether they are installed, have headers, run. With \
                `--available` those that the package manager has headers of (apt and dnf), installed or not, with the package.",
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
        about: "Says for each module that is in use whether it will be missing on a kernel, why, and what helps; of the others it says whether \
                they are installed, built, or untried. Package managers ask the same before a transaction. Exit code 0: nothing is known \
                that keeps a module away.",
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
        summary: "prove that kernels will load their modules",
        about: "Judges for each module and kernel seven links: there, whole, kernel, linked, trusted, found, boot. Each is proven, \
                refuted or unknown, with the reason and the command that helps. Without a module: all that are installed, or that \
                autoinstall would install. Without a kernel: the running one; `--all`: every one that is installed. Reads files only, \
                starts no process, and changes nothing. Exit code 0: all links are proven.\n\nWith `--vm` the kernel is also booted \
                with QEMU, without network and disk, and loads the installed modules, what they need first, with their parameters of \
                modprobe.d: each is live, linked without its device, refused, fails in its init function, or crashes the kernel. A \
                failing init function counts only if the same module loads so on another kernel.\n\nOf an OCI layout: each image is whole, and \
                signed by a key in PEM of `/etc/dkms/trusted.d`.\n\nWith `--rebuild` and an archive of `mktarball`: its source is built again, \
                with this system's compiler and headers and in a tree of its own, and each module is what the archive has, apart from its \
                signature. That needs root.",
        options: &[MODULE, EVERY_KERNEL, &["vm", "rebuild", "json"]],
        examples: &[
            ("dkms verify --rebuild foo-1.0-manykernels.dkms.tar.gz", "what another machine has built"),
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
        about: "Says for each module in the tree, or the one that is named, whether the machine needs it to boot or to be reached: for \
                its root file system, /usr, /boot, the swap that it resumes from, the network of the default route, the boot display, a \
                keyboard, or because the initramfs of the running kernel holds it. Below `--root` the image's fstab, crypttab and \
                initramfs decide. `CRITICAL=yes` or `CRITICAL=no` in /etc/dkms/M.conf and `critical` in framework.conf overrule what is \
                found. Needs no rights, but only root may read each initramfs.",
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
        summary: "build the modules for the kernel that the next upgrade brings, and throw the result away",
        about: "Says whether the modules in use, and those that autoinstall brings up, will build on a kernel that is not installed: the one \
                that the next upgrade brings (apt, dnf, pacman), or the one that is named. The package manager downloads its headers; they are \
                laid over the system for this command only, every module is built with them in the sandbox and examined as `verify` does, and \
                all of it is thrown away. Each module builds, fails (with the cause and the first error), is excluded, needs another compiler, or \
                is unknown. Nothing of the system changes.\n\nRoot's result is kept in `.state/forecast` of the dkms tree: `preflight` uses \
                it as long as the module's source, the version of the headers' package and the compiler are what they were. With a `build_cache` the \
                modules are kept too, so that the upgrade need not build them again. Another user needs user namespaces; the result is then only \
                printed.\n\nExit code 0: all modules build, or are excluded; 30: one fails; 31: one is unknown, or needs another compiler.",
        options: &[MODULE, KERNELS, &["next", "fetch", "jobs", "json"]],
        examples: &[
            ("dkms forecast", "the kernel that the next upgrade brings"),
            ("dkms forecast --fetch", "the same by the newest lists of the package manager"),
            ("dkms forecast -k 6.1.0-57-amd64 --json", "another kernel, for programs"),
        ],
        exits: &[1, 3, 12, 16, 21, 30, 31],
    },
    Entry {
        action: Action::Boot,
        forms: &["[status]", "hold K", "release K|all", "fit", "reconcile"],
        summary: "show what boots next, and hold back a kernel that lacks a critical module",
        about: "Shows for each kernel of the boot menu whether the critical modules of this machine are proven for it, which one boots next, \
                and what is held back and why. `boot hold K` holds a kernel back: it stays in the menu and is no longer the default. `boot \
                release` puts back exactly what was before. The running kernel, the last good one and the admin's own default are never held, \
                and nothing is if no other kernel is proven. `boot_guard=hold` in framework.conf does it after each transaction; the default, \
                `warn`, only says it. `boot fit` says whether the running kernel has the critical modules, and fails with \
                `boot_guard=hold` if it lacks one; dkms-fit.service and greenboot run it. `boot reconcile` is for \
                kernel-install: what is held stays held when its entries are written again.",
        options: &[&["json"]],
        examples: &[
            ("dkms boot", "what boots next, and what is held"),
            ("dkms boot hold 6.12.118", "not by default, as root"),
            ("dkms boot release all", "puts back what was before, as root"),
        ],
        exits: &[1, 30],
    },
    Entry {
        action: Action::Doctor,
        forms: &["[--fix]"],
        summary: "find what is wrong, with the command that fixes it; --fix does what is safe",
        about: "Looks at modules, kernels, settings, keys and the sandbox, and names for each problem the command that fixes it. \
                `--fix` runs those that are safe. Exit code 0: no problem was found.",
        options: &[&["fix", "dry_run", "json"]],
        examples: &[("dkms doctor", "what is wrong"), ("dkms doctor --fix", "fixes what is safe to fix")],
        exits: &[1],
    },
    Entry {
        action: Action::Mok,
        forms: &["", "enroll"],
        summary: "show Secure Boot, and whether the signing key is enrolled; `mok enroll` enrols it",
        about: "Shows whether the kernel demands signatures, which key signs modules, and whether the kernel trusts it. `mok enroll` has \
                mokutil enrol the key; it asks for a password that the next boot asks for again.",
        options: &[KERNELS, &["dry_run", "json"]],
        examples: &[("dkms mok", "shows the state"), ("dkms mok enroll", "enrols the key, as root")],
        exits: &[1, 16],
    },
    Entry {
        action: Action::GenerateMok,
        forms: &[""],
        summary: "make the signing key and certificate",
        about: "Makes the key that signs modules and its certificate, if neither exists. Builds do it by themselves.",
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
