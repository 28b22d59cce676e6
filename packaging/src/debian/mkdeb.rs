//! `mkdeb`: a package of the source, which DKMS builds where it is installed; with kernels named, of what
//! was built for them too.

use std::path::{Path, PathBuf};

use dkms_archive::{self, Contents, TarballSpec};
use dkms_base::host::fs;
use dkms_base::id::Target;

use super::{Module, name, upstream};
use crate::deb::{Deb, Packing};
use crate::entries::Entries;
use crate::error::PackageError;
use crate::text::wrap;

/// A package to make.
#[derive(Debug, Clone, Copy)]
pub struct Wrapper<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// What goes in; without targets that is the source, whatever is set here.
    pub contents: Contents,
    /// The kernels whose built modules go in.
    pub targets: &'a [Target],
}

impl Wrapper<'_> {
    /// The file that is written.
    ///
    /// # Errors
    /// [`PackageError`] where name or version can't be Debian's.
    pub fn path(&self) -> Result<PathBuf, PackageError> {
        let id = self.module.id;
        let version = name::in_file_name(&name::version(&id.version)?);
        let package = name::wrapper(&id.name)?;
        Ok(self.module.output(format!("{package}_{version}_{}.deb", self.architecture()?)))
    }

    /// `all`, or that of the built modules.
    fn architecture(&self) -> Result<&'static str, PackageError> {
        let mut found: Option<&'static str> = None;
        for target in self.binaries() {
            let arch = name::architecture(&target.arch)?;
            match found {
                Some(first) if first != arch => {
                    return Err(PackageError::Architectures { first: first.into(), second: arch.into() });
                }
                _ => found = Some(arch),
            }
        }
        Ok(found.unwrap_or("all"))
    }

    fn binaries(&self) -> &[Target] {
        if self.contents == Contents::SourceOnly { &[] } else { self.targets }
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`PackageError`] where the module isn't built, or something of it can't be Debian's.
    pub fn check(&self) -> Result<(), PackageError> {
        self.path()?;
        self.binaries().iter().try_for_each(|target| self.module.built(target).map(|_| ()))
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let Module { id, source, .. } = self.module;
        self.check()?;
        let path = self.path()?;
        let place = Path::new("usr/src").join(id.dir_name());
        let (mut data, date) = self.module.source_entries(&place)?;
        if self.contents == Contents::BinariesOnly && !self.binaries().is_empty() {
            // What was built can be loaded only where the source, or at least its conf, is.
            data = Entries::default();
            data.plain_file(&fs::canonical(&source.join("dkms.conf"))?, &place.join("dkms.conf"), 0o644)?;
        }
        let package = name::wrapper(&id.name)?;
        let share = Path::new("usr/share").join(&package);
        // Lives until the package is written.
        let _tarball = self.put_tarball(&mut data, &share, date)?;

        let template = self.module.template("mkdeb", self.binaries().first(), date)?;
        let description = description(self.module);
        let mut control = self.module.fields(&package, self.architecture()?, &description, &template)?;
        let version = control.get("Version").unwrap_or_default().to_owned();
        for (field, relation) in [
            ("Depends", "dkms (>= 3)".to_owned()),
            ("Provides", format!("{}-modules (= {version})", name::base(&id.name)?)),
        ] {
            upstream::add_relations(&mut control, field, &relation)
                .map_err(|why| PackageError::Field { field: field.to_owned(), why })?;
        }
        let text = format!("Made by `dkms mkdeb` from {id}");
        let licenses = self.module.licenses()?;
        self.module.put_docs(&mut data, &control, &text, &template, licenses, date)?;
        let meant = |script: &str| {
            script
                .replace("MODULE_NAME", id.name.as_str())
                .replace("MODULE_VERSION", id.version.as_str())
                .replace("PACKAGE", &package)
        };
        let ours = [
            ("postinst", meant(include_str!("scripts/wrapper.postinst"))),
            ("prerm", meant(include_str!("scripts/wrapper.prerm"))),
        ];
        let scripts = self.module.scripts(&package, &ours, &template)?;
        Deb { control, data, scripts, members: Vec::new(), date, packing: Packing::Xz }.write(&path)?;
        Ok(path)
    }

    /// Puts a DKMS tarball of what was built where `common.postinst` looks for it; the folder
    /// that holds it meanwhile.
    fn put_tarball(
        &self,
        data: &mut Entries,
        share: &Path,
        date: u64,
    ) -> Result<Option<tempfile::TempDir>, PackageError> {
        if self.binaries().is_empty() {
            return Ok(None);
        }
        let Module { id, layout, temporary, .. } = self.module;
        let folder = tempfile::Builder::new().prefix("dkms.").tempdir_in(temporary).map_err(|source| {
            fs::FsError { verb: "make a temporary folder in", path: temporary.to_path_buf(), source }
        })?;
        let name = format!("{}.dkms.tar.gz", id.dir_name());
        let tarball = TarballSpec {
            about: Default::default(),
            layout,
            id,
            source: Some(&self.module.source),
            folder: None,
            contents: Contents::BinariesOnly,
            targets: self.binaries(),
            file: Some(&folder.path().join(&name)),
            source_date: Some(date),
        };
        let written = dkms_archive::write(&tarball)?;
        data.plain_file(&written, &share.join(name), 0o644)?;
        Ok(Some(folder))
    }
}

/// What the package is, where the source doesn't say it better.
pub(super) fn description(module: &Module<'_>) -> String {
    let name = &module.id.name;
    let long = format!(
        "This package has the source of {name}. DKMS builds it for each kernel that is installed, and again for \
         each that comes."
    );
    format!("source of the kernel module {name} for DKMS\n{}", wrap(&long))
}
