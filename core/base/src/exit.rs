//! The exit codes of the `dkms` command. They are a contract: other programs read them.

/// An exit code of the `dkms` command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(pub u8);

impl ExitCode {
    /// Success; also: nothing to do.
    pub const SUCCESS: Self = Self(0);
    /// Not root, no write access to the tree, no temporary file, module or version missing, `match` without
    /// template, more architectures than kernels.
    pub const USAGE_OR_RIGHTS: Self = Self(1);
    /// Unknown option or action, `-k` with `--all`, `match` of a kernel with itself, no source folder for
    /// `add`, no such tarball.
    pub const BAD_OPTION: Self = Self(2);
    /// `-a` with `--all`, already added, not in the tree, tarball without dkms.conf, `match`
    /// of an unknown module.
    pub const NOT_IN_TREE: Self = Self(3);
    /// Two actions, no os-release, dkms.conf missing, one kernel expected, module broken.
    pub const BROKEN: Self = Self(4);
    /// `--all` not allowed, patch missing or with `..`.
    pub const NOT_ALLOWED: Self = Self(5);
    /// Patch failed, kernel folder missing, built module missing, nothing could be installed, depmod
    /// failed, `mktarball` failed.
    pub const CANNOT_INSTALL: Self = Self(6);
    /// Tarball without a valid conf; a module that dkms.conf names was not built.
    pub const NOT_BUILT: Self = Self(7);
    /// Invalid dkms.conf, no source in the source tree, tarball of what is already added,
    /// contradicting tarball options.
    pub const INVALID_CONF: Self = Self(8);
    /// No file at the path of `-c`, no right to write the tarball, rpm refused.
    pub const NO_CONF: Self = Self(9);
    /// Malformed conf while adding a tree; make failed.
    pub const MAKE_FAILED: Self = Self(10);
    /// autoinstall: some module failed.
    pub const AUTOINSTALL_FAILED: Self = Self(11);
    /// No architecture known.
    pub const NO_ARCH: Self = Self(12);
    /// `BUILD_DEPENDS` missing.
    pub const DEPENDS_MISSING: Self = Self(13);
    /// `kernel_preinst` or `kernel_prerm` failed for some module.
    pub const KERNEL_HOOK_FAILED: Self = Self(14);
    /// Empty kernel or architecture.
    pub const EMPTY_TARGET: Self = Self(16);
    /// Kernel headers not found.
    pub const NO_HEADERS: Self = Self(21);
    /// `verify`, `bake`: a kernel will not load a module.
    pub const REFUTED: Self = Self(30);
    /// `verify`: it is not known whether a kernel will load a module, and no module is known not to load.
    pub const UNKNOWN: Self = Self(31);
    /// `BUILD_EXCLUSIVE` rules the whole package out for this kernel.
    pub const EXCLUDED: Self = Self(77);
    /// `PRE_INSTALL` failed without `--force`.
    pub const PRE_INSTALL_FAILED: Self = Self(101);
    /// Interrupted by a signal (128 + SIGINT), as shells report it.
    pub const INTERRUPTED: Self = Self(130);
}
