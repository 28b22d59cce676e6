//! This project's own files and packages: what `install.list` names, as files below a folder or
//! as finished packages.
//!
//! - [`list`]: what is installed where; [`control`]: the fields of a package; [`libraries`]:
//!   what its programs need
//! - [`pkgbuild`]: the PKGBUILD's fields
//! - [`mod@rpm`]: the package for systems with rpm
//!
//! Built programs and generated pages come as an input, so that who makes packages decides which they are.

pub mod control;
pub mod libraries;
pub mod list;
pub mod pkgbuild;
pub mod rpm;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_base::host::{clock, fs};

use crate::arch;
use crate::deb::{Deb, Packing};
use crate::entries::{Body, Entries, FILE_LIMIT};
use crate::error::PackageError;
use control::Meanings;
use list::{Line, Source, What};

/// The list, in this tree.
pub const LIST: &str = "packaging/install.list";
/// The folder that is `debian/` to dpkg-buildpackage.
pub const DEBIAN: &str = "packaging/debian";
/// What makepkg reads.
pub const PKGBUILD: &str = "packaging/PKGBUILD";
/// Maintainer scripts that a package may have.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

/// This project, built.
#[derive(Debug)]
pub struct Project {
    /// Its tree.
    pub tree: PathBuf,
    /// Built programs by the names in the list.
    pub programs: BTreeMap<String, PathBuf>,
    /// Generated pages and completions by the names in the list.
    pub generated: BTreeMap<String, String>,
}

/// The head of a changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: String,
    /// When, in seconds since 1970.
    pub date: u64,
}

impl Project {
    /// The lines of the list for a kind of system, and a package.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn lines(&self, place: &str, package: Option<&str>) -> Result<Vec<Line>, PackageError> {
        let file = self.tree.join(LIST);
        let lines = list::parse(&fs::read_lossy(&file)?, &file)?;
        Ok(lines.into_iter().filter(|line| line.is_for(place, package)).collect())
    }

    /// What those lines name, as entries.
    ///
    /// # Errors
    /// [`PackageError`] where something isn't there.
    pub fn entries(&self, lines: &[Line]) -> Result<Entries, PackageError> {
        let mut entries = Entries::default();
        for Line { what, destination, .. } in lines {
            let (source, mode) = match what {
                What::Folder => {
                    entries.folder(destination);
                    continue;
                }
                What::File(source, mode) => (source, *mode),
            };
            let path = match source {
                Source::Program(name) => self.programs.get(name).cloned(),
                Source::Tree(path) => Some(self.tree.join(path)),
                Source::Generated(_) => None,
            };
            let text = match source {
                Source::Generated(name) => self.generated.get(name).map(|text| text.clone().into_bytes()),
                _ => None,
            };
            let is_packed = destination.extension().is_some_and(|end| end == "gz");
            match (path, text) {
                (Some(path), _) if is_packed => {
                    entries.file(destination, packed(&fs::read(&path)?, &path)?, mode);
                }
                (Some(path), _) => entries.plain_file(&path, destination, mode)?,
                (None, Some(text)) if is_packed => {
                    entries.file(destination, packed(&text, destination)?, mode);
                }
                (None, Some(text)) => entries.file(destination, text, mode),
                (None, None) => {
                    return Err(PackageError::CannotPack { path: destination.clone(), why: "was not built" });
                }
            }
        }
        Ok(entries)
    }

    /// Puts what is for a kind of system, and in a package, below a folder.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn install(&self, place: &str, package: Option<&str>, below: &Path) -> Result<(), PackageError> {
        let mut lines = self.lines(place, package)?;
        lines.retain(|line| !line.destination.starts_with("DEBIAN"));
        for (name, entry) in self.entries(&lines)?.iter() {
            let path = below.join(name);
            match &entry.body {
                Body::Folder => {
                    if fs::lstat(&path)?.is_none() {
                        fs::create_dir_all(&path)?;
                        fs::set_mode(&path, entry.mode)?;
                    }
                }
                Body::Bytes(bytes) => fs::write_whole(&path, bytes, entry.mode)?,
                Body::File { path: from, .. } => {
                    fs::write_whole(&path, &fs::read_limited(from, FILE_LIMIT)?, entry.mode)?;
                }
                Body::Link(target) => fs::symlink(target, &path)?,
            }
        }
        Ok(())
    }

    /// The version and date at the head of `debian/changelog`.
    ///
    /// # Errors
    /// [`PackageError::Control`] where there are none.
    pub fn release(&self) -> Result<Release, PackageError> {
        let file = self.tree.join(DEBIAN).join("changelog");
        let text = fs::read_lossy(&file)?;
        let version =
            text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(version, _)| version);
        let date =
            text.lines().find_map(|line| line.strip_prefix(" -- ")?.split_once(">  ")).map(|(_, date)| date);
        match (version, date.and_then(clock::from_rfc2822)) {
            (Some(version), Some(date)) => Ok(Release { version: version.to_owned(), date }),
            _ => Err(PackageError::Control {
                path: file,
                why: "its first entry has no version and date".to_owned(),
            }),
        }
    }

    /// A finished package, not yet written.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn deb(&self, package: &str, architecture: &str, date: u64) -> Result<Deb, PackageError> {
        let debian = self.tree.join(DEBIAN);
        let lines = self.lines("debian", Some(package))?;
        let (control_lines, lines): (Vec<Line>, Vec<Line>) =
            lines.into_iter().partition(|line| line.destination.starts_with("DEBIAN"));
        let programs: Vec<&Path> = lines
            .iter()
            .filter_map(|line| match &line.what {
                What::File(Source::Program(name), _) => self.programs.get(name).map(PathBuf::as_path),
                _ => None,
            })
            .collect();
        let libraries = libraries::dependencies(&programs)?.join(", ");
        let version = self.release()?.version;
        let meanings = Meanings { version: &version, libraries: &libraries, architecture };
        let file = debian.join("control");
        let control = control::fields(&fs::read_lossy(&file)?, &file, package, meanings)?;

        let mut members = Vec::new();
        let mut conffiles: String = lines
            .iter()
            .filter(|line| line.is_conffile())
            .map(|line| format!("/{}\n", line.destination.display()))
            .collect();
        let own = debian.join(format!("{package}.conffiles"));
        if fs::is_file(&own) {
            conffiles.push_str(&fs::read_lossy(&own)?);
        }
        if !conffiles.is_empty() {
            members.push(("conffiles", conffiles));
        }
        for line in control_lines {
            if let (Some("triggers"), What::File(Source::Tree(path), _)) =
                (line.destination.file_name().and_then(|name| name.to_str()), &line.what)
            {
                members.push(("triggers", fs::read_lossy(&self.tree.join(path))?));
            }
        }
        let mut scripts = Vec::new();
        for name in SCRIPTS {
            let file = debian.join(format!("{package}.{name}"));
            if fs::is_file(&file) {
                // What debhelper would put there we have none of.
                scripts.push((name, fs::read_lossy(&file)?.replace("#DEBHELPER#\n", "")));
            }
        }
        Ok(Deb { control, data: self.entries(&lines)?, scripts, members, date, packing: Packing::Xz })
    }
}

impl Project {
    /// pacman's package, not yet written: what `packaging/PKGBUILD` says, and the same
    /// files that makepkg finds.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn arch(&self, architecture: &str, date: u64) -> Result<arch::Package, PackageError> {
        let file = self.tree.join(PKGBUILD);
        let fields = pkgbuild::parse(&fs::read_lossy(&file)?);
        let lines = self.lines("arch", Some("dkms"))?;
        let one = |name: &'static str| {
            let value = fields.get(name).and_then(|values| values.first()).cloned();
            value.ok_or_else(|| PackageError::Control {
                path: file.clone(),
                why: format!("`{name}` is not there"),
            })
        };
        let all = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let mut depends = all("depends");
        for line in &lines {
            if let What::File(Source::Program(name), _) = &line.what
                && let Some(path) = self.programs.get(name)
            {
                depends.extend(libraries::libalpm(&fs::read_limited(path, FILE_LIMIT)?));
            }
        }
        Ok(arch::Package {
            name: one("pkgname")?,
            version: format!("{}-{}", one("pkgver")?, one("pkgrel")?),
            description: one("pkgdesc")?,
            url: one("url")?,
            architecture: architecture.to_owned(),
            licenses: all("license"),
            depends,
            optional: all("optdepends"),
            conflicts: all("conflicts"),
            backup: all("backup"),
            data: self.entries(&lines)?,
            date,
        })
    }
}

/// Compressed as `gzip -9n` does.
fn packed(bytes: &[u8], path: &Path) -> Result<Vec<u8>, PackageError> {
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
    let whole: io::Result<Vec<u8>> = encoder.write_all(bytes).and_then(|()| encoder.finish());
    whole.map_err(|source| crate::tarball::write_error(path, source))
}

/// Whether a path is a program that was built.
#[must_use]
pub fn is_built(path: &Path) -> bool {
    matches!(fs::stat(path), Ok(Some(meta)) if meta.is_file() && meta.mode() & 0o111 != 0)
}
