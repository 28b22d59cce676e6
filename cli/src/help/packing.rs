//! The actions that write and read archives and packages, and those for authors of modules.

use super::{CHANGING, EVERY_KERNEL, Entry, KERNELS, MODULE};
use crate::action::Action;

/// Of what needs no kernel.
const WRITING: &[&str] = &["archive", "dry_run", "json"];

/// Their entries.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        action: Action::Mktarball,
        forms: &["M/V", "FOLDER"],
        summary: "write an archive of source and built modules",
        about: "Writes an archive of a module: its source, and what was built for the running kernel, for each kernel of `-k`, or with \
                `--all` for every one. Without `--archive` it is written to `/var/lib/dkms/M/V/tarball`; with it, the suffix of the file \
                (.tar, .gz, .bz2, .xz, .zst) selects the compression. `ldtarball` and `add` read it.",
        options: &[MODULE, EVERY_KERNEL, &["binaries_only", "source_only"], WRITING],
        examples: &[
            ("dkms mktarball foo/1.0 --source-only", "the source alone"),
            ("dkms mktarball foo/1.0 -k 6.12.1 --archive /tmp/foo.tar.zst", "with the modules of one kernel"),
        ],
        exits: &[1, 3, 6, 8, 9, 12, 16],
    },
    Entry {
        action: Action::Ldtarball,
        forms: &["ARCHIVE"],
        summary: "load an archive",
        about: "Adds the source in an archive, and the built modules in it with the state `built`. Nothing is installed. The archive may be \
                one that `mktarball` wrote, or any archive with a `dkms.conf` in it.",
        options: &[&["force"], WRITING],
        examples: &[(
            "dkms ldtarball foo-1.0-manykernels.dkms.tar.gz",
            "loads what another machine has built",
        )],
        exits: &[1, 3, 7, 8, 9],
    },
    Entry {
        action: Action::Mkdeb,
        forms: &["M/V", "FOLDER"],
        summary: "write a Debian package of the source; with -k or --all, of the built modules too",
        about: "Writes a Debian package that installs the source of a module; dkms builds it on each system that installs the package. With \
                `-k` or `--all` it contains the built modules too.",
        options: &[MODULE, EVERY_KERNEL, &["binaries_only", "source_only"], WRITING],
        examples: &[("dkms mkdeb foo/1.0", "writes foo-dkms_1.0_all.deb")],
        exits: &[1, 3, 6, 8, 9, 12, 16],
    },
    Entry {
        action: Action::Mkbmdeb,
        forms: &["M/V -k K", "M/V -k K --meta FLAVOUR"],
        summary: "write a Debian package of the modules built for each kernel: no compiler needed",
        about: "Writes a Debian package of built modules for the running kernel, for each kernel of `-k`, or with `--all` for every one. \
                A system that installs it needs neither DKMS nor a compiler.\n\nWith `--meta` a second package is written, `M-modules-FLAVOUR`. \
                Where it is installed, apt upgrades `linux-image-FLAVOUR` only when the package of modules for the new kernel is available.",
        options: &[MODULE, EVERY_KERNEL, &["meta"], WRITING],
        examples: &[
            ("dkms mkbmdeb foo/1.0 -k 6.12.1", "writes foo-modules-6.12.1_1.0_amd64.deb"),
            ("dkms mkbmdeb foo/1.0 -k 6.1.0-57-amd64 --meta amd64", "writes foo-modules-amd64 too"),
        ],
        exits: &[1, 3, 6, 8, 9, 12, 16, 21],
    },
    Entry {
        action: Action::Mkdsc,
        forms: &["M/V", "FOLDER"],
        summary: "write a Debian source package, for dpkg-buildpackage",
        about: "Writes a Debian source package: `.dsc`, archive and `_source.changes`.",
        options: &[MODULE, CHANGING],
        examples: &[("dkms mkdsc foo/1.0", "dpkg-source -x unpacks what it writes")],
        exits: &[1, 3, 8, 9],
    },
    Entry {
        action: Action::Mkrpm,
        forms: &["M/V", "FOLDER"],
        summary: "write rpm packages of the source; with -k or --all, one of the modules for each kernel too",
        about: "Writes an rpm package that installs the source of a module, which dkms builds on each system that installs the package; and \
                its source package. With `-k` or `--all` it also writes one package of built modules for each kernel. \
                `M-dkms-mkrpm.spec` in the source gives license, summary and scripts.\n\nWith `--meta` and one kernel it also writes \
                `kmod-M`. Where that is installed, dnf upgrades `kernel-FLAVOUR` only when the package of modules for the new kernel is \
                available.",
        options: &[MODULE, EVERY_KERNEL, &["binaries_only", "source_only", "meta"], WRITING],
        examples: &[
            ("dkms mkrpm foo/1.0", "writes foo-1.0-1dkms.noarch.rpm and .src.rpm"),
            (
                "dkms mkrpm foo/1.0 -k 6.12.9-1.el10.x86_64 --meta core",
                "writes kmod-foo-6.12.9-1.el10.x86_64 and kmod-foo too",
            ),
        ],
        exits: &[1, 3, 6, 8, 9, 12, 16],
    },
    Entry {
        action: Action::Mkkmp,
        forms: &["M/V [--spec FILE]"],
        summary: "write the source rpm of a kernel module package, from --spec or the source's M-kmp.spec",
        about: "Writes the source rpm of a kernel module package, with the spec file that the module's author wrote, for `rpmbuild --rebuild`.",
        options: &[MODULE, &["spec"], WRITING],
        examples: &[("dkms mkkmp foo/1.0 --spec foo-kmp.spec", "with another spec file")],
        exits: &[1, 3, 8, 9],
    },
    Entry {
        action: Action::Mkdriverdisk,
        forms: &["M/V -d redhat|suse|ubuntu"],
        summary: "write a driver disk for an installer: -d redhat, suse (with -r) or ubuntu",
        about: "Writes a driver disk that the installer of a distribution reads, with what was built for each kernel of `-k`, or with `--all` \
                for every one. xorriso makes the image.",
        options: &[MODULE, EVERY_KERNEL, &["distro", "release", "media"], WRITING],
        examples: &[
            ("dkms mkdriverdisk foo/1.0 -d redhat -k 6.12.1", "for Fedora, RHEL and those made from it"),
            ("dkms mkdriverdisk foo/1.0 -d suse -r 15.6 --all --media tar", "for SUSE, as an archive"),
        ],
        exits: &[1, 3, 6, 8, 9, 12, 16],
    },
    Entry {
        action: Action::Mkoci,
        forms: &["M/V -k K…"],
        summary: "write an OCI image of the modules built for the named kernels",
        about: "Writes an OCI image layout: a folder with a container image, which has one layer with \
                `usr/lib/modules/K/updates/dkms/*.ko`. The folder is below `/var/lib/dkms/M/V/oci`; `--archive FILE.tar` writes it as an \
                archive. skopeo and oras push it to a registry, and `COPY --from` in a Containerfile copies the modules. `dkms sign` signs \
                it as cosign does.",
        options: &[MODULE, EVERY_KERNEL, WRITING],
        examples: &[
            ("dkms mkoci foo/1.0 -k 6.1.0-57-amd64", "writes a folder"),
            ("dkms mkoci foo/1.0 --all --archive /tmp/foo.tar", "every kernel, as an archive"),
        ],
        exits: &[1, 3, 6, 8, 9, 12, 16],
    },
    Entry {
        action: Action::Mksysext,
        forms: &["-k K [M…]"],
        summary: "write a system extension of modules built for a kernel",
        about: "Writes a system extension for systemd-sysext(8) with the modules that are named, or with all that are built for the \
                kernel: a folder, or an image if the name of `--archive` ends in `.raw` (by mkfs.erofs or mksquashfs). Its name contains \
                the kernel's release. It has modules only; on the system that merges it, `dkms-index.service` makes them known to \
                modprobe.\n\nWithout `--archive` it is in `/var/lib/dkms/M/V/sysext` (one module), or in the folder of the caller.",
        options: &[MODULE, KERNELS, WRITING],
        examples: &[
            ("dkms mksysext -k 6.1.0-57-amd64 foo", "the folder foo-modules-6.1.0-57-amd64"),
            ("dkms mksysext -k 6.1.0-57-amd64 --archive /srv/gpu-6.1.0-57-amd64.raw nvidia", "an image"),
        ],
        exits: &[1, 2, 3, 4, 6, 9, 12, 16],
    },
    Entry {
        action: Action::Sign,
        forms: &["FILE.ko…", "ARCHIVE", "LAYOUT"],
        summary: "sign module files, archives of mktarball or OCI layouts, in place",
        about: "Signs module files (`.ko`, `.ko.xz`, `.ko.gz`, `.ko.zst`) as the kernel's sign-file does; an existing signature \
                is replaced. If one of several files cannot be signed, none is changed. In an archive that `mktarball` wrote it signs the \
                modules and the manifest, in an OCI layout each image.\n\nLAYOUT is a folder that `mkoci` wrote, or another OCI image layout.\n\nThe key is that of `--key`, or the one that framework.conf \
                names; its certificate is the file beside it with the suffix `.pub`. A passphrase comes from `mok_passphrase_file`, the \
                systemd credential `mok.key` or the variable KBUILD_SIGN_PIN.",
        options: &[KERNELS, &["key", "certificate"], CHANGING],
        examples: &[
            ("dkms sign --key mok.key foo.ko.xz", "with the certificate mok.pub"),
            ("dkms sign foo-1.0-manykernels.dkms.tar.gz", "with the key of this system"),
        ],
        exits: &[1, 3, 6, 7, 9, 16],
    },
    Entry {
        action: Action::Mktree,
        forms: &["M/V [FOLDER]"],
        summary: "make a new module's source tree, in /usr/src or the folder named",
        about: "Makes the source tree of a new module from a template, ready to build.",
        options: &[MODULE, CHANGING],
        examples: &[("dkms mktree foo/1.0 ./foo", "makes the folder ./foo")],
        exits: &[1, 3, 8],
    },
    Entry {
        action: Action::Unmktree,
        forms: &["M/V [FOLDER]"],
        summary: "remove a source tree that was never added",
        about: "Removes a source tree that `mktree` made, if the module was never added.",
        options: &[MODULE, CHANGING],
        examples: &[("dkms unmktree foo/1.0", "removes /usr/src/foo-1.0")],
        exits: &[1, 3, 8],
    },
    Entry {
        action: Action::Ltdk,
        forms: &["[FOLDER]"],
        summary: "say which modules of a source tree may use GPL-only symbols",
        about: "Reads MODULE_LICENSE of every module in a folder and says whether it may use symbols that the kernel exports to modules \
                under the GPL only. Exit code 0: all may.",
        options: &[&["json"]],
        examples: &[("dkms ltdk ./foo", "looks at the folder ./foo")],
        exits: &[1],
    },
];
