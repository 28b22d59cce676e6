//! What can be wrong with a package in the making, and which exit code that is.

use std::path::PathBuf;

use dkms_archive::ArchiveError;
use dkms_base::exit::ExitCode;
use dkms_base::host::fs::FsError;
use dkms_base::host::process::ProcessError;
use dkms_base::id::{ModuleId, Target};
use dkms_kernel::modfile::ModfileError;

/// Why a package can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Debian has rules for names of packages, and this breaks them.
    #[error("`{name}` can't be the name of a Debian package: it {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Debian has rules for versions, and this breaks them.
    #[error("`{version}` can't be the version of a Debian package: it {why}")]
    Version {
        /// The version.
        version: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// rpm has rules for names and versions, and this breaks them.
    #[error("`{text}` can't be in the name or version of an rpm package: it {why}")]
    RpmName {
        /// Name or version.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A spec file that can't be read as one.
    #[error("`{}`, line {line}: {why}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A tag of a spec file that no package can be made with.
    #[error("`{}`: the tag `{tag}`: {why}", path.display())]
    SpecTag {
        /// The file.
        path: PathBuf,
        /// The tag, in small letters.
        tag: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no spec file.
    #[error("there is no spec file `{}`", path.display())]
    NoSpec {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// An installer's release that can't be part of a folder's name.
    #[error("`{release}` can't be the release of a product")]
    Release {
        /// What was given.
        release: String,
    },
    /// A disk that holds one kernel's modules.
    #[error("one disk can't hold modules for both {first} and {second}")]
    Kernels {
        /// One.
        first: String,
        /// Another.
        second: String,
    },
    /// Images are made by xorriso.
    #[error("there is no `xorriso` in PATH, which makes images")]
    NoXorriso,
    /// Images of extensions are made by one of these.
    #[error("there is neither `mkfs.erofs` nor `mksquashfs` in PATH, which make images")]
    NoImageMaker,
    /// It failed.
    #[error("`{program}` could not make the image `{}`: {output}", path.display())]
    ImageMaker {
        /// Which.
        program: String,
        /// The file.
        path: PathBuf,
        /// What it said last.
        output: String,
    },
    /// systemd takes the extension only under this name, and dkms only with the kernel's.
    #[error("`{}` cannot be the name of the extension: {why}", path.display())]
    ExtensionName {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// xorriso failed.
    #[error("`xorriso` could not make the image `{}`: {output}", path.display())]
    Xorriso {
        /// The file.
        path: PathBuf,
        /// What it said last.
        output: String,
    },
    /// xorriso didn't run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The writer of rpm packages refuses.
    #[error("cannot make the package `{}`: {source}", path.display())]
    Rpm {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<rpm::Error>,
    },
    /// dpkg has no name for the architecture.
    #[error("dpkg's name for the architecture `{arch}` is not known")]
    Architecture {
        /// The architecture, as `uname -m` has it.
        arch: String,
    },
    /// A package has one architecture.
    #[error("one package can't hold modules for both {first} and {second}")]
    Architectures {
        /// One.
        first: String,
        /// Another.
        second: String,
    },
    /// A field of a control file that dpkg wouldn't take.
    #[error("the field `{field}` of the control file is not valid: {why}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// A `debian/control` that can't be read as one.
    #[error("`{}` is no valid control file: {why}", path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A kernel that the module isn't built for.
    #[error("{id} is not built for {} ({})", target.kernel, target.arch)]
    NotBuilt {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
    },
    /// Something in the source that no package can have.
    #[error("cannot put `{}` into a package: it {why}", path.display())]
    CannotPack {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The package could not be written.
    #[error("cannot write the package `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: FsError,
    },
    /// A built module that is none.
    #[error(transparent)]
    Module(#[from] ModfileError),
    /// The tarball inside the package.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file that was to be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// We were asked to stop.
    #[error("interrupted while writing the package `{}`", path.display())]
    Interrupted {
        /// The file.
        path: PathBuf,
    },
}

impl PackageError {
    /// The exit code of the `dkms` command for this error: as with `mktarball`.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Fs(_) => ExitCode::USAGE_OR_RIGHTS,
            Self::Name { .. }
            | Self::Version { .. }
            | Self::RpmName { .. }
            | Self::Field { .. }
            | Self::Spec { .. }
            | Self::SpecTag { .. }
            | Self::Control { .. } => ExitCode::INVALID_CONF,
            Self::NoSpec { .. } | Self::Release { .. } | Self::Kernels { .. } => ExitCode::BAD_OPTION,
            Self::Process(ProcessError::Interrupted { .. }) => ExitCode::INTERRUPTED,
            Self::Architecture { .. } => ExitCode::NO_ARCH,
            Self::Architectures { .. } | Self::ExtensionName { .. } => ExitCode::BAD_OPTION,
            Self::NotBuilt { .. }
            | Self::CannotPack { .. }
            | Self::Module(_)
            | Self::NoXorriso
            | Self::NoImageMaker
            | Self::ImageMaker { .. }
            | Self::Xorriso { .. }
            | Self::Process(_)
            | Self::Rpm { .. } => ExitCode::CANNOT_INSTALL,
            Self::Write { source, .. } if source.is_permission() => ExitCode::NO_CONF,
            Self::Write { .. } => ExitCode::CANNOT_INSTALL,
            Self::Archive(error) => error.exit_code(),
            Self::Interrupted { .. } => ExitCode::INTERRUPTED,
        }
    }

    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Name { .. } => {
                "PACKAGE_NAME gives the name; packages take letters, digits, `+`, `-` and `.`"
            }
            Self::Version { .. } => {
                "PACKAGE_VERSION gives the version; packages take a digit, then letters, digits, `.`, `+`, `~`, `-`"
            }
            Self::NotBuilt { id, target } => {
                return vec![format!(
                    "build it first: `dkms build {id} -k {}/{}`",
                    target.kernel, target.arch
                )];
            }
            Self::Architectures { .. } => "make one package for each, with `-k` and `-a`",
            Self::CannotPack { .. } => "remove it from the source tree, or replace it by a file",
            Self::Write { source, .. } if source.is_permission() => {
                "name a place of your own with `--archive`"
            }
            Self::Write { source, .. } if source.is_no_space() => {
                "free space on that file system, then run the command again"
            }
            Self::NoXorriso => {
                "install the package `xorriso` (`libisoburn` on Arch), or make a tar archive: `--media tar`"
            }
            Self::NoImageMaker => {
                "install the package `erofs-utils` or `squashfs-tools`, or make a folder: a name without `.raw`"
            }
            Self::Kernels { .. } => "make one disk for each, with `-k`",
            Self::Release { .. } => "`-r` gives it as the installer calls it: `15.6`, `sle15`, `tw`",
            Self::NoSpec { .. } => "name one with `--spec`, or put `M-kmp.spec` into the source",
            Self::Archive(error) => return error.hints(),
            Self::Architecture { .. }
            | Self::RpmName { .. }
            | Self::Spec { .. }
            | Self::SpecTag { .. }
            | Self::Xorriso { .. }
            | Self::ImageMaker { .. }
            | Self::ExtensionName { .. }
            | Self::Process(_)
            | Self::Rpm { .. }
            | Self::Field { .. }
            | Self::Control { .. }
            | Self::Write { .. }
            | Self::Module(_)
            | Self::Fs(_)
            | Self::Interrupted { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
