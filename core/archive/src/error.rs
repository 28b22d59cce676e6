//! What can be wrong with an archive, and which exit code that is.

use std::path::PathBuf;

use super::limits::Exceeded;
use dkms_base::exit::ExitCode;
use dkms_base::host::fs::FsError;
use dkms_base::id::{IdError, ModuleId, Target};

/// Why one entry of an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No name is left of it.
    #[error("has an empty name")]
    EmptyName,
    /// It begins with `/`.
    #[error("has an absolute name")]
    AbsoluteName,
    /// `..` is part of its name.
    #[error("has `..` in its name")]
    ParentInName,
    /// It would spoil terminals, logs and lists.
    #[error("has a newline or another control character in its name")]
    ControlInName,
    /// Longer or deeper than a path may be.
    #[error("has a name that is too long or too deep")]
    LongName,
    /// A second entry of this name.
    #[error("is in the archive twice")]
    Twice,
    /// Its parent is a file or a link.
    #[error("lies below `{0}`, which is no folder")]
    BelowNoFolder(String),
    /// A character or block device.
    #[error("is a device file")]
    Device,
    /// Holes make small archives of huge files.
    #[error("is a sparse file")]
    Sparse,
    /// None of the kinds that a source tree has.
    #[error("is of the unknown kind `{0}`")]
    UnknownKind(String),
    /// On disk: neither file, folder nor link.
    #[error("is neither file, folder nor link")]
    Special,
    /// Runs with another user's rights.
    #[error("is a setuid or setgid file")]
    SetId,
    /// A link to something outside.
    #[error("is a link to `{0}`, which leads out")]
    LeadsOut(String),
    /// A link that can't be followed to an end.
    #[error("is a link to `{0}`, which leads in a circle")]
    Circle(String),
    /// A hard link to no earlier file.
    #[error("is a hard link to `{0}`, which is no file that came before it")]
    HardLink(String),
    /// Only files have contents.
    #[error("carries contents, but is no file")]
    ContentsOfNoFile,
    /// An extended header that doesn't follow its format, or contradicts the plain one.
    #[error("has a malformed extended header")]
    MalformedExtension,
}

/// Why an archive can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such file.
    #[error("the archive `{}` doesn't exist", archive.display())]
    Missing {
        /// The archive.
        archive: PathBuf,
    },
    /// Neither a tar archive nor a compressed one.
    #[error("`{}` is no tar archive, plain or compressed with gzip, bzip2, xz or zstd", archive.display())]
    NotAnArchive {
        /// The archive.
        archive: PathBuf,
    },
    /// It ends too early, or doesn't decompress.
    #[error("the archive `{}` is damaged{}: {reason}", archive.display(), at_entry(entry.as_deref()))]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// The entry at hand, where one was.
        entry: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// An entry that no honest source tree has.
    #[error("the archive `{}` is refused: its entry `{entry}` {fault}", archive.display())]
    Refused {
        /// The archive.
        archive: PathBuf,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It is larger than it may be.
    #[error("the archive `{}` is refused at its entry `{entry}`: {limit}", archive.display())]
    TooBig {
        /// The archive.
        archive: PathBuf,
        /// The entry at which that was noticed.
        entry: String,
        /// Which limit.
        limit: Exceeded,
    },
    /// Nothing in it is a dkms.conf.
    #[error("there is no `dkms.conf` in the archive `{}`", archive.display())]
    NoConf {
        /// The archive.
        archive: PathBuf,
    },
    /// It looks like a DKMS tarball and isn't one.
    #[error("the archive `{}` is no valid DKMS tarball: `{entry}` {reason}", archive.display())]
    Malformed {
        /// The archive.
        archive: PathBuf,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name or version in it that can't be one.
    #[error("the archive `{}` is refused: in `{entry}`, the {source}", archive.display())]
    BadId {
        /// The archive.
        archive: PathBuf,
        /// The entry that holds it.
        entry: String,
        /// What is wrong with it.
        source: IdError,
    },
    /// Its contents are not those that its `MANIFEST.json` names.
    #[error("the archive `{}` doesn't match its `MANIFEST.json`: `{entry}` {reason}", archive.display())]
    Manifest {
        /// The archive.
        archive: PathBuf,
        /// The entry.
        entry: String,
        /// How it differs.
        reason: String,
    },
    /// The source folder is there already.
    #[error("the source folder of {id} is there already: `{}`", path.display())]
    SourceExists {
        /// The module.
        id: ModuleId,
        /// Its source folder.
        path: PathBuf,
    },
    /// A kernel that the module isn't built for.
    #[error("{id} is not built for {} ({})", target.kernel, target.arch)]
    NotBuilt {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
    },
    /// A built module that is no whole ELF object.
    #[error(
        "cannot pack {id} for {target}: the built module `{}` is damaged: {why}",
        path.display()
    )]
    BuiltDamaged {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something in the source or the built tree that can't go into an archive.
    #[error("cannot put `{}` into the archive: it {fault}", path.display())]
    CannotPack {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The archive could not be written.
    #[error("cannot write the archive `{}`: {source}", archive.display())]
    Write {
        /// The archive.
        archive: PathBuf,
        /// What failed.
        source: FsError,
    },
    /// Its manifest could not be signed.
    #[error("cannot sign the archive `{}`: {why}", archive.display())]
    Sign {
        /// The archive.
        archive: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that was to be read, staged or published.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// We were asked to stop.
    #[error("interrupted while working on the archive `{}`", archive.display())]
    Interrupted {
        /// The archive.
        archive: PathBuf,
    },
}

fn at_entry(entry: Option<&str>) -> String {
    entry.map(|entry| format!(" near its entry `{entry}`")).unwrap_or_default()
}

impl ArchiveError {
    /// The exit code of the `dkms` command for this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Fs(_) | Self::Sign { .. } => ExitCode::USAGE_OR_RIGHTS,
            Self::Missing { .. } => ExitCode::BAD_OPTION,
            Self::NotAnArchive { .. } | Self::Damaged { .. } | Self::NoConf { .. } => ExitCode::NOT_IN_TREE,
            Self::NotBuilt { .. } | Self::BuiltDamaged { .. } | Self::CannotPack { .. } => {
                ExitCode::CANNOT_INSTALL
            }
            Self::Refused { .. } | Self::TooBig { .. } | Self::Malformed { .. } | Self::Manifest { .. } => {
                ExitCode::NOT_BUILT
            }
            Self::BadId { .. } | Self::SourceExists { .. } => ExitCode::INVALID_CONF,
            Self::Write { source, .. } if source.is_permission() => ExitCode::NO_CONF,
            Self::Write { .. } => ExitCode::CANNOT_INSTALL,
            Self::Interrupted { .. } => ExitCode::INTERRUPTED,
        }
    }

    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotBuilt { id, target } => vec![format!(
                "build it first: `dkms build {id} -k {}/{}`, or pack the source alone with `--source-only`",
                target.kernel, target.arch
            )],
            Self::BuiltDamaged { id, target, .. } => {
                vec![format!("build it again: `dkms build --force {id} -k {target}`")]
            }
            Self::SourceExists { .. } => vec!["`--force` replaces it".to_owned()],
            Self::Damaged { .. } => vec!["download it or create it again".to_owned()],
            Self::Refused { .. } | Self::TooBig { .. } => {
                vec!["nothing of it was loaded; ask its author how it was made".to_owned()]
            }
            Self::CannotPack { .. } => {
                vec!["remove it from the source tree, or replace it by a file".to_owned()]
            }
            Self::Missing { .. }
            | Self::NotAnArchive { .. }
            | Self::NoConf { .. }
            | Self::Malformed { .. }
            | Self::BadId { .. }
            | Self::Manifest { .. }
            | Self::Write { .. }
            | Self::Sign { .. }
            | Self::Fs(_)
            | Self::Interrupted { .. } => Vec::new(),
        }
    }
}
