//! The actions that register, build, install and take away.

use super::{BUILDING, CHANGING, EVERY_KERNEL, Entry, INSTALLING, KERNELS, MODULE, OF_BUILD};
use crate::action::Action;

/// Every exit code of `install`.
const OF_INSTALL: &[u8] = &[1, 3, 5, 6, 7, 8, 9, 10, 12, 13, 16, 21, 77, 101];

/// Those of `match`, which takes no source.
const OF_MATCH: &[u8] = &[1, 3, 5, 6, 7, 8, 10, 12, 13, 16, 21, 77, 101];

/// Their entries.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        action: Action::Add,
        forms: &["M/V", "FOLDER|FOLDER/dkms.conf", "ARCHIVE|PACKAGE.rpm"],
        summary: "register a source tree: /usr/src/M-V, a folder, its dkms.conf, or an archive",
        about: "Registers a module. The source is `/usr/src/M-V`; a folder, or the source in an archive, is copied there first. An rpm \
                package is installed with rpm. Nothing is built.",
        options: &[MODULE, &["conf", "directives", "archive", "force", "rpm_safe_upgrade"], CHANGING],
        examples: &[
            ("dkms add foo/1.0", "the source lies in /usr/src/foo-1.0"),
            ("dkms add ./foo-src", "copies the folder to /usr/src first"),
            ("dkms add foo-1.0.tar.gz", "takes the source from an archive"),
        ],
        exits: &[1, 3, 8, 9],
    },
    Entry {
        action: Action::Build,
        forms: &["M/V", "FOLDER|ARCHIVE", "--job N --matrix FILE"],
        summary: "build for each kernel; adds first if needed",
        about: "Builds a module for the running kernel, or for each kernel of `-k`. It is added first if needed. If it is already built, \
                nothing happens; `--force` builds it again.\n\nWith `--fetch-headers` the package manager downloads headers that are not \
                installed; they are deleted after the build (apt, dnf and pacman; needs root).\n\nWith `--matrix FILE` one job of the list that \
                `dkms plan --matrix` printed is built. Its number is that of `--job`, or else of the variable SLURM_ARRAY_TASK_ID or \
                JOB_COMPLETION_INDEX.",
        options: &[MODULE, KERNELS, BUILDING, &["archive", "fetch_headers", "matrix", "job"], CHANGING],
        examples: &[
            ("dkms build foo/1.0 -k 6.1.0-57-amd64 --fetch-headers", "for a kernel that is not installed"),
            ("dkms build --job 3 --matrix matrix.json", "one job of a build farm"),
            ("dkms build foo/1.0", "for the running kernel"),
            ("dkms build foo/1.0 -k 6.12.1 -k 6.1.0-9-amd64/x86_64", "for two kernels"),
            ("dkms build foo/1.0 --directive 'MAKE=make DEBUG=1'", "with another make command"),
        ],
        exits: OF_BUILD,
    },
    Entry {
        action: Action::Install,
        forms: &["M/V", "FOLDER|ARCHIVE|PACKAGE.rpm"],
        summary: "install; builds and adds first if needed",
        about: "Installs a module for the running kernel, or for each kernel of `-k`. It is added and built first if needed. A module of \
                the same name that the kernel brings is kept aside, and put back by `uninstall`. If the kernel has a newer one, nothing \
                is replaced; `--force` or `--force-version-override` replaces it.",
        options: &[MODULE, KERNELS, BUILDING, INSTALLING, &["archive", "rpm_safe_upgrade"], CHANGING],
        examples: &[
            ("dkms install foo/1.0", "for the running kernel"),
            ("dkms install foo/1.0 -k 6.12.1 --force", "builds and installs it again"),
            ("dkms install ./foo-src --dry-run", "shows what would be done"),
        ],
        exits: OF_INSTALL,
    },
    Entry {
        action: Action::Uninstall,
        forms: &["M/V"],
        summary: "remove it from the kernel's module folder, leave it built",
        about: "Removes a module from the module folder of the running kernel, or of each kernel of `-k`; `--all` means every kernel that \
                it is built for. A module of the kernel that it had replaced is put back. What was built stays.",
        options: &[MODULE, EVERY_KERNEL, &["no_depmod"], CHANGING],
        examples: &[
            ("dkms uninstall foo/1.0 -k 6.12.1", "for one kernel"),
            ("dkms uninstall foo/1.0 --all", "for every kernel"),
        ],
        exits: &[1, 3, 6, 12, 16],
    },
    Entry {
        action: Action::Unbuild,
        forms: &["M/V"],
        summary: "uninstall if needed, then delete what was built",
        about: "Uninstalls a module if needed, and deletes what was built for the running kernel, or for each kernel of `-k`; `--all` \
                means every kernel. It stays added.",
        options: &[MODULE, EVERY_KERNEL, &["no_depmod"], CHANGING],
        examples: &[("dkms unbuild foo/1.0 --all", "deletes every build")],
        exits: &[1, 3, 6, 12, 16],
    },
    Entry {
        action: Action::Remove,
        forms: &["M/V"],
        summary: "unbuild, then forget the module if no kernel is left",
        about: "Uninstalls a module and deletes what was built, as `unbuild` does. If it is built for no other kernel, it is no longer \
                added, and its logs are deleted. The source in `/usr/src` stays.",
        options: &[MODULE, EVERY_KERNEL, &["no_depmod", "rpm_safe_upgrade"], CHANGING],
        examples: &[
            ("dkms remove foo/1.0 --all", "for every kernel"),
            ("dkms remove foo/1.0 -k 6.1.0-9-amd64", "for one kernel"),
        ],
        exits: &[1, 3, 6, 12, 16],
    },
    Entry {
        action: Action::Autoinstall,
        forms: &[""],
        summary: "install every AUTOINSTALL module on one kernel",
        about: "Builds and installs, for the running kernel or that of `-k`, the newest version of every module whose `dkms.conf` has \
                AUTOINSTALL=yes. Modules are built side by side, in the order of BUILD_DEPENDS. If one fails the others go on. If \
                `/etc/dkms/no-autoinstall` exists, nothing happens.",
        options: &[KERNELS, BUILDING, INSTALLING, CHANGING],
        examples: &[
            ("dkms autoinstall", "for the running kernel"),
            ("dkms autoinstall -k 6.12.1 --dry-run", "shows what would be done"),
        ],
        exits: &[1, 8, 11, 12, 16, 21],
    },
    Entry {
        action: Action::Match,
        forms: &["[M/V] --templatekernel K"],
        summary: "install on one kernel what is installed on --templatekernel",
        about: "Builds and installs, for the running kernel or that of `-k`, every module that is installed for the kernel of \
                `--templatekernel`, in the same version.",
        options: &[MODULE, &["templatekernel"], KERNELS, BUILDING, INSTALLING, CHANGING],
        examples: &[(
            "dkms match --templatekernel 6.1.0-9-amd64 -k 6.12.1",
            "brings 6.12.1 to the state of 6.1.0-9-amd64",
        )],
        exits: OF_MATCH,
    },
    Entry {
        action: Action::KernelPreinst,
        forms: &["-k K"],
        summary: "for kernel packages: before a kernel's files are unpacked",
        about: "Kernel packages call it before the files of a kernel are unpacked. It uninstalls every module with AUTOINSTALL=yes from \
                that kernel, and deletes what was built for it.",
        options: &[KERNELS, CHANGING],
        examples: &[("dkms kernel_preinst -k 6.12.1", "as a kernel package calls it")],
        exits: &[1, 14, 16],
    },
    Entry {
        action: Action::KernelPostinst,
        forms: &["-k K"],
        summary: "for kernel packages: after a kernel was installed",
        about: "Kernel packages call it after a kernel was installed. It does what `autoinstall` does.",
        options: &[KERNELS, BUILDING, INSTALLING, CHANGING],
        examples: &[("dkms kernel_postinst -k 6.12.1", "as a kernel package calls it")],
        exits: &[1, 8, 11, 12, 16, 21],
    },
    Entry {
        action: Action::KernelPrerm,
        forms: &["-k K"],
        summary: "for kernel packages: before a kernel is removed",
        about: "Kernel packages call it before a kernel is removed. It uninstalls every module from that kernel, and deletes what was \
                built for it.",
        options: &[KERNELS, CHANGING],
        examples: &[("dkms kernel_prerm -k 6.1.0-9-amd64", "as a kernel package calls it")],
        exits: &[1, 14, 16],
    },
];
