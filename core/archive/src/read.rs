//! `ldtarball`, first half: an archive becomes files in a private folder, and a word on what they are.
//! Nothing outside that folder changes; moving it to its place is [`super::publish`]'s, reading the
//! conf the conf reader's.

use std::path::{Path, PathBuf};

use super::contents::{self, BINARIES_ONLY, Found, Unusable};
use super::error::ArchiveError;
use super::inventory::Item;
use super::limits::Limits;
use super::manifest::{self, MANIFEST, Manifest};
use super::name;
use super::unpack::{Unpacked, unpack};
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A DKMS tarball of a source.
    SourceOnly,
    /// A DKMS tarball of a source and what was built from it.
    SourceAndBinaries,
    /// A DKMS tarball of built modules and a dkms.conf.
    BinariesOnly,
    /// Any archive with a dkms.conf.
    Plain,
}

/// An archive, unpacked and checked.
#[derive(Debug)]
pub struct Staged {
    /// The archive.
    pub archive: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Where it was unpacked.
    pub root: PathBuf,
    /// Its dkms.conf.
    pub conf: PathBuf,
    /// The folder of its source; `None` for [`Kind::BinariesOnly`].
    pub source: Option<PathBuf>,
    /// Its built modules, ordered by kernel and architecture.
    pub builds: Vec<StagedBuild>,
    /// For [`Kind::BinariesOnly`], what its `PACKAGE_NAME` and `PACKAGE_VERSION` say;
    /// otherwise the conf says it.
    pub id: Option<ModuleId>,
    /// The FIFOs in the archive, by their paths in it. They were not unpacked.
    pub fifos: Vec<PathBuf>,
}

/// What was built for one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedBuild {
    /// Which kernel.
    pub target: Target,
    /// The folder with `module` and `log` in it.
    pub dir: PathBuf,
}

/// Unpacks `archive` below `into`, an existing, empty, private folder, and says what it is.
///
/// # Errors
/// [`ArchiveError`], naming archive and entry; then `into` holds rubbish, to be removed by its owner, and
/// nothing else has changed.
pub fn stage(archive: &Path, into: &Path, limits: &Limits) -> Result<Staged, ArchiveError> {
    let unpacked = unpack(archive, into, limits)?;
    let found = contents::classify(&unpacked.inventory).map_err(|unusable| match unusable {
        Unusable::NoConf => ArchiveError::NoConf { archive: archive.to_owned() },
        Unusable::Malformed { entry, reason } => {
            ArchiveError::Malformed { archive: archive.to_owned(), entry: name::shown_path(&entry), reason }
        }
    })?;
    unpacked.inventory.check_links(&found.roots()).map_err(|(entry, fault)| ArchiveError::Refused {
        archive: archive.to_owned(),
        entry: name::shown_path(&entry),
        fault,
    })?;
    check_manifest(archive, into, &unpacked, &found)?;
    let id = match found.kind {
        Kind::BinariesOnly => Some(stated_id(archive, into, &unpacked)?),
        Kind::SourceOnly | Kind::SourceAndBinaries | Kind::Plain => None,
    };
    unpacked.finish(into)?;
    let build = |(target, dir): (Target, PathBuf)| StagedBuild { target, dir: into.join(dir) };
    let mut builds: Vec<StagedBuild> = found.builds.into_iter().map(build).collect();
    builds.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(Staged {
        archive: archive.to_owned(),
        kind: found.kind,
        root: into.to_owned(),
        conf: into.join(found.conf),
        source: found.source.map(|source| into.join(source)),
        builds,
        id,
        fifos: unpacked.inventory.fifos().map(Path::to_owned).collect(),
    })
}

fn check_manifest(
    archive: &Path,
    into: &Path,
    unpacked: &Unpacked,
    found: &Found,
) -> Result<(), ArchiveError> {
    let path = Path::new(MANIFEST);
    // In a plain archive a file of that name is none of ours.
    if found.kind == Kind::Plain || unpacked.inventory.get(path).is_none() {
        return Ok(());
    }
    let mismatch = |(entry, reason): (String, String)| ArchiveError::Manifest {
        archive: archive.to_owned(),
        entry: name::shown(entry.as_bytes()),
        reason,
    };
    match unpacked.inventory.get(path) {
        Some(Item::File { size, .. }) if *size <= manifest::LARGEST => {
            let bytes = fs::read_limited(&into.join(path), manifest::LARGEST)?;
            Manifest::check(&bytes, &unpacked.inventory).map_err(mismatch)
        }
        _ => Err(mismatch((MANIFEST.to_owned(), "is no file of a manifest's size".to_owned()))),
    }
}

/// Name and version as `dkms_binaries_only/` has them.
fn stated_id(archive: &Path, into: &Path, unpacked: &Unpacked) -> Result<ModuleId, ArchiveError> {
    /// A name has at most 120 bytes; more is read only to show it.
    const LONGEST: u64 = 4096;
    let text = |file: &str| {
        let path = Path::new(BINARIES_ONLY).join(file);
        match unpacked.inventory.get(&path) {
            Some(Item::File { size, .. }) if *size <= LONGEST => {
                let bytes = fs::read_limited(&into.join(&path), LONGEST)?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Ok((name::shown_path(&path), text.trim_end_matches('\n').to_owned()))
            }
            _ => Err(ArchiveError::Malformed {
                archive: archive.to_owned(),
                entry: name::shown_path(&path),
                reason: "is missing, or no short file",
            }),
        }
    };
    let (name_entry, module) = text("PACKAGE_NAME")?;
    let (version_entry, version) = text("PACKAGE_VERSION")?;
    ModuleId::parse(&module, &version).map_err(|source| {
        let entry =
            if source.text == module && source.kind == "module name" { name_entry } else { version_entry };
        ArchiveError::BadId { archive: archive.to_owned(), entry, source }
    })
}
