//! The exit codes and what each means: for `dkms ACTION --help` and the manual page.

/// Every exit code of `dkms` with its meaning.
pub const EXITS: &[(u8, &str)] = &[
    (0, "Success; also if there was nothing to do."),
    (
        1,
        "The caller has not the rights that the action needs, or module or version is missing on the command line. Of `doctor`, \
         `preflight`, `ltdk` and `mok`: something is wrong.",
    ),
    (
        2,
        "An unknown option or action, `-k` together with `--all`, `match` of a kernel with itself, or a source folder or an archive that \
         does not exist.",
    ),
    (
        3,
        "The module is already added, or it is not in the tree; `-a` together with `--all`; an archive without a `dkms.conf`.",
    ),
    (
        4,
        "Two actions, several kernels for an action that works on one, a broken module, a missing `dkms.conf`, or a system without an \
         os-release file.",
    ),
    (5, "The action does not take `--all`; or a patch is missing, or its name leads out of the source."),
    (
        6,
        "A patch does not apply, the kernel has no module folder, a built module is missing, no module could be installed, or depmod \
         failed.",
    ),
    (
        7,
        "The build did not produce a module that `dkms.conf` names, or the file is not a whole module for the kernel's machine; an archive \
         without a valid `dkms.conf`.",
    ),
    (
        8,
        "`dkms.conf` is not valid, or the source tree is empty; an archive of a module that is already added; options of an archive that \
         contradict each other.",
    ),
    (9, "The source tree has no `dkms.conf`, an archive could not be written, or rpm refused a package."),
    (10, "The build failed. `dkms log` shows the reason."),
    (
        11,
        "`autoinstall`, `kernel_postinst`: at least one module failed. `bake`: a module is missing for a kernel.",
    ),
    (12, "The architecture of the kernel is not known."),
    (13, "A module of `BUILD_DEPENDS` is not installed for the kernel."),
    (14, "`kernel_preinst`, `kernel_prerm`: at least one module failed."),
    (16, "The name of a kernel or an architecture is empty."),
    (21, "The headers of the kernel were not found, or this system has no kernel with headers."),
    (30, "`verify`, `bake`, `boot fit`: a kernel will not load a module."),
    (31, "`verify`: whether a kernel will load a module is not known; of no module it is refuted."),
    (77, "`BUILD_EXCLUSIVE_…` rules the module out for this kernel."),
    (101, "The `PRE_INSTALL` script refused the installation."),
    (130, "A signal ended the command."),
];
