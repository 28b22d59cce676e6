//! `mkrpm`: an rpm package of the source, which DKMS builds where it is installed, and the source package
//! that rpmbuild makes the same of; [`kmod`]: of what was built for a kernel; [`kmp`]: the source package of
//! a kernel module package.
//!
//! - `about` is what a package says of itself, `relation` what of others, `name` rpm's rules for names
//! - `spec` reads spec files, by `macros` and `condition`
//! - `binary` and `source` write the two kinds of packages

pub(crate) mod about;
pub(crate) mod binary;
mod condition;
pub mod gate;
pub mod kmod;
pub mod kmp;
pub(crate) mod macros;
pub(crate) mod name;
pub(crate) mod relation;
mod source;
pub(crate) mod spec;
#[cfg(test)]
mod spec_tests;

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use self::about::About;
use self::name::seconds;
use self::source::{File, Role};
use crate::debian::Module;
use crate::error::PackageError;
use crate::tarball::{self, write_error};

/// The packages of a module's source, in the making.
#[derive(Debug)]
pub struct Wrapper<'a> {
    module: &'a Module<'a>,
    about: About,
}

impl<'a> Wrapper<'a> {
    /// What they say of themselves is put together.
    ///
    /// # Errors
    /// [`PackageError`] where name or version can't be rpm's, or the source's own spec file can't be read.
    pub fn new(module: &'a Module<'a>) -> Result<Self, PackageError> {
        Ok(Self { module, about: About::wrapper(module)? })
    }

    /// The package to install.
    #[must_use]
    pub fn binary_path(&self) -> PathBuf {
        self.module.output(format!("{}.noarch.rpm", self.about.label()))
    }

    /// The package to build that from.
    #[must_use]
    pub fn source_path(&self) -> PathBuf {
        self.module.output(format!("{}.src.rpm", self.about.label()))
    }

    /// Both, or the one that `--archive` names: a name that ends in `.src.rpm` means the source package.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        match self.module.file {
            None => vec![self.binary_path(), self.source_path()],
            Some(_) => vec![self.binary_path()],
        }
    }

    /// Writes one of [`Self::paths`].
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self, path: &Path) -> Result<(), PackageError> {
        if is_source(path) { self.write_source(path) } else { self.write_binary(path) }
    }

    fn write_binary(&self, path: &Path) -> Result<(), PackageError> {
        let place = Path::new("usr/src").join(self.module.id.dir_name());
        let (entries, date) = self.module.source_entries(&place)?;
        let date = seconds(date);
        let mut builder = self.about.clone().builder(date);
        binary::add_entries(&mut builder, &entries, &place, date, path)?;
        binary::finish(builder, path)
    }

    fn write_source(&self, path: &Path) -> Result<(), PackageError> {
        let folder = self.module.id.dir_name();
        let (entries, date) = self.module.source_entries(Path::new(""))?;
        let name = format!("{}-{}.tar.gz", self.about.name, self.about.version);
        let contents = tarball(&entries, &folder, date, &name, self.module)?;
        let spec = self.about.to_spec(&name, &folder, seconds(date));
        let files = vec![
            File { name: format!("{}.spec", self.about.name), contents: spec.into(), role: Role::Spec },
            File { name, contents, role: Role::Source },
        ];
        // To build it nothing of what its packages need is needed.
        let mut about = self.about.clone();
        about.relations.clear();
        source::write(&about, files, seconds(date), path)
    }
}

/// Whether a file's name is that of a source package.
fn is_source(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(".src.rpm"))
}

/// A tarball of a source, which unpacks to the folder `below`.
fn tarball(
    entries: &crate::entries::Entries,
    below: &str,
    date: u64,
    name: &str,
    module: &Module<'_>,
) -> Result<Vec<u8>, PackageError> {
    let name = Path::new(name);
    let mut contents = Vec::new();
    let mut packed = tarball::packed(entries, Path::new(below), date, name, module.temporary)?;
    packed.read_to_end(&mut contents).map_err(|source| write_error(name, source))?;
    Ok(contents)
}
