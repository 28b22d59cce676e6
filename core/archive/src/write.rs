//! `mktarball`: a source and what was built from it become one file, byte for byte the same each time.
//! Written under a temporary name and renamed when whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::built::built_modules;
use super::contents::{BINARIES_ONLY, MAIN_TREE, SOURCE_TREE};
use super::error::ArchiveError;
use super::manifest::{BuildRecord, MANIFEST, Manifest};
use super::pack::{Looks, Packing};
use super::repack::About;
use super::source_digest::source_digest;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, ModuleName, Target};
use dkms_base::layout::Layout;

/// What goes into a tarball.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// The source alone; targets count for nothing.
    SourceOnly,
    /// The source and what was built for the targets.
    SourceAndBinaries,
    /// What was built for the targets, and the dkms.conf.
    BinariesOnly,
}

/// A tarball to write.
#[derive(Debug)]
pub struct TarballSpec<'a> {
    /// The trees.
    pub layout: &'a Layout,
    /// Of which module.
    pub id: &'a ModuleId,
    /// Its source, where that isn't the one that was added.
    pub source: Option<&'a Path>,
    /// Where the file goes that `file` has no folder for; without it the tree's own folder for tarballs.
    pub folder: Option<&'a Path>,
    /// What goes in.
    pub contents: Contents,
    /// For which kernels, in the order in which the name has them.
    pub targets: &'a [Target],
    /// `--archive`: a name without a folder lies in the tree like the default; its suffix
    /// picks the compression.
    pub file: Option<&'a Path>,
    /// What is known of builds; none need be.
    pub about: BTreeMap<Target, About>,
    /// `SOURCE_DATE_EPOCH`; without it the newest file of the source gives the time.
    pub source_date: Option<u64>,
}

impl TarballSpec<'_> {
    /// The file that is written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let own = || self.layout.version_dir(self.id).join("tarball");
        let folder = self.folder.map_or_else(own, Path::to_owned);
        match self.file {
            Some(file) if file.as_os_str().as_bytes().contains(&b'/') => file.to_owned(),
            Some(file) => folder.join(file),
            None => folder.join(self.default_name()),
        }
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`ArchiveError::NotBuilt`] for a kernel without built modules, [`ArchiveError::BuiltDamaged`] for a
    /// module that no kernel could load.
    pub fn check(&self) -> Result<(), ArchiveError> {
        self.distinct_targets().into_iter().try_for_each(|target| {
            if !fs::is_dir(&self.layout.built_dir(self.id, target)) {
                return Err(ArchiveError::NotBuilt { id: self.id.clone(), target: target.clone() });
            }
            built_modules(self.layout, self.id, target).map(drop)
        })
    }

    fn default_name(&self) -> String {
        /// A longer list of kernels makes no file name.
        const LONGEST_LIST: usize = 200;
        let id = self.id.dir_name();
        if self.contents == Contents::SourceOnly {
            return format!("{id}-source-only.dkms.tar.gz");
        }
        let kernels: String = self
            .distinct_targets()
            .iter()
            .map(|target| format!("-kernel{}-{}", target.kernel, target.arch))
            .collect();
        let list = if kernels.len() > LONGEST_LIST { "-manykernels" } else { &kernels };
        format!("{id}{list}.dkms.tar.gz")
    }

    fn distinct_targets(&self) -> Vec<&Target> {
        let mut distinct: Vec<&Target> = Vec::new();
        for target in self.targets {
            if self.contents != Contents::SourceOnly && !distinct.contains(&target) {
                distinct.push(target);
            }
        }
        distinct
    }
}

/// Writes a tarball and says where.
///
/// # Errors
/// Those of [`TarballSpec::check`], [`ArchiveError::CannotPack`] for what no
/// reader of ours would take, [`ArchiveError::Write`]; nothing partial is left.
pub fn write(spec: &TarballSpec<'_>) -> Result<PathBuf, ArchiveError> {
    spec.check()?;
    let targets = spec.distinct_targets();
    let source = match spec.source {
        Some(source) => source.to_owned(),
        None => fs::canonical(&spec.layout.source_link(spec.id))?,
    };
    let packing = gather(spec, &targets, &source)?;
    let date = match spec.source_date {
        Some(date) => date,
        None => newest_below(&source)?,
    };
    let builds = targets.iter().map(|target| record(spec, target)).collect::<Result<Vec<_>, _>>()?;
    let path = spec.path();
    let modules = packing.modules()?;
    let digest = match spec.contents {
        Contents::BinariesOnly => Some(source_digest(&source)?),
        Contents::SourceOnly | Contents::SourceAndBinaries => None,
    };
    packing.write(&path, date, |inventory| {
        let (name, version) = (spec.id.name.to_string(), spec.id.version.to_string());
        let mut manifest = Manifest::of(inventory, name, version, builds).with_modules(modules);
        manifest.source = digest;
        Ok(vec![(MANIFEST.into(), manifest.to_text())])
    })?;
    Ok(path)
}

fn gather(spec: &TarballSpec<'_>, targets: &[&Target], source: &Path) -> Result<Packing, ArchiveError> {
    let mut packing = Packing::new();
    let mut roots = Vec::new();
    packing.folder(Path::new(MAIN_TREE))?;
    for target in targets {
        let built = spec.layout.target_dir(spec.id, target);
        let name = Path::new(MAIN_TREE).join(&target.kernel).join(&target.arch);
        packing.folder(&name)?;
        for entry in fs::list(&built)? {
            let is_part = matches!(entry.name.to_str(), Some("module" | "log"));
            if is_part || dependency(&entry.name).is_some() {
                packing.tree(&built.join(&entry.name), &name.join(&entry.name), Looks::Plain)?;
            }
        }
        roots.push(name);
    }
    if spec.contents == Contents::BinariesOnly {
        let name = Path::new(BINARIES_ONLY);
        packing.folder(name)?;
        packing.text(&name.join("PACKAGE_NAME"), format!("{}\n", spec.id.name))?;
        packing.text(&name.join("PACKAGE_VERSION"), format!("{}\n", spec.id.version))?;
        // Where the conf is a link, what it leads to: the rest of the source stays behind.
        let conf = fs::canonical(&source.join("dkms.conf"))?;
        packing.tree(&conf, &name.join("dkms.conf"), Looks::Kept)?;
    } else {
        packing.tree(source, Path::new(SOURCE_TREE), Looks::Kept)?;
        roots.push(SOURCE_TREE.into());
    }
    packing.check_links(&roots)?;
    Ok(packing)
}

/// The module that a note `.dep_D` is about.
fn dependency(file: &OsStr) -> Option<ModuleName> {
    ModuleName::new(file.to_str()?.strip_prefix(".dep_")?).ok()
}

/// What a build depended on, from its notes.
fn record(spec: &TarballSpec<'_>, target: &Target) -> Result<BuildRecord, ArchiveError> {
    let built = spec.layout.target_dir(spec.id, target);
    let mut record = BuildRecord {
        kernel: target.kernel.to_string(),
        arch: target.arch.to_string(),
        depends: BTreeMap::new(),
        inputs: None,
        hash: None,
    };
    if let Some(about) = spec.about.get(target) {
        record.inputs.clone_from(&about.inputs);
        record.hash.clone_from(&about.hash);
    }
    for entry in fs::list(&built)? {
        if let Some(name) = dependency(&entry.name) {
            let version = fs::read_lossy(&built.join(&entry.name))?;
            record.depends.insert(name.to_string(), version.trim_end().to_owned());
        }
    }
    Ok(record)
}

/// The newest time of a file below a folder, in seconds.
pub(super) fn newest_below(folder: &Path) -> Result<u64, ArchiveError> {
    let mut newest = 0;
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        let time = if entry.kind.is_dir() {
            newest_below(&path)?
        } else {
            fs::lstat(&path)?.and_then(|meta| u64::try_from(meta.mtime()).ok()).unwrap_or(0)
        };
        newest = newest.max(time);
    }
    Ok(newest)
}
