//! What all packages of a module are made of: its source, its tree, and where results go.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_kernel::modfile::ModuleFile;

use super::fields::Fields;
use super::template::Template;
use super::{docs, name, upstream};
use crate::entries::Entries;
use crate::error::PackageError;
use crate::license;

/// A module to make a package of.
#[derive(Debug, Clone)]
pub struct Module<'a> {
    /// Which.
    pub id: &'a ModuleId,
    /// Its source folder.
    pub source: PathBuf,
    /// The trees, for what was built.
    pub layout: &'a Layout,
    /// Where results go that have no name of their own.
    pub folder: PathBuf,
    /// `--archive`: a name without a folder lies in `folder`.
    pub file: Option<&'a Path>,
    /// `SOURCE_DATE_EPOCH`; without it the newest file of the source gives the time.
    pub source_date: Option<u64>,
    /// Who makes the package, where the source doesn't say who maintains it.
    pub maintainer: Option<String>,
    /// Where temporary files may be.
    pub temporary: &'a Path,
}

/// The module files that were built for a kernel, at least one, and none of them damaged.
pub(crate) fn built(
    layout: &Layout,
    id: &ModuleId,
    target: &Target,
) -> Result<Vec<(ModuleFile, PathBuf)>, PackageError> {
    let modules = dkms_archive::built_modules(layout, id, target)?;
    if modules.is_empty() {
        return Err(PackageError::NotBuilt { id: id.clone(), target: target.clone() });
    }
    Ok(modules)
}

/// Its packager did not say.
pub(crate) const NOBODY: &str = "Maker of this package <nobody@dkms.invalid>";

impl Module<'_> {
    /// The file for a result.
    pub(crate) fn output(&self, default_name: String) -> PathBuf {
        match self.file {
            Some(file) if file.as_os_str().as_bytes().contains(&b'/') => file.to_owned(),
            Some(file) => self.folder.join(file),
            None => self.folder.join(default_name),
        }
    }

    /// The source as entries below `name`, and the time of the package.
    pub(crate) fn source_entries(&self, name: &Path) -> Result<(Entries, u64), PackageError> {
        let mut entries = Entries::default();
        entries.tree(&self.source, name)?;
        let date = self.source_date.unwrap_or_else(|| entries.newest());
        Ok((entries, date))
    }

    /// The time of a package in which the source itself isn't: one is as new as what it was made of.
    pub(crate) fn date(&self) -> Result<u64, PackageError> {
        match self.source_date {
            Some(date) => Ok(date),
            None => Ok(self.source_entries(Path::new("source"))?.1),
        }
    }

    /// What the source's C files say of their licence.
    pub(crate) fn licenses(&self) -> Result<Vec<String>, PackageError> {
        Ok(license::scan(&self.source)?.into_iter().filter_map(|found| found.license).collect())
    }

    /// The module files that were built for a kernel, as [`built`] has them.
    pub(crate) fn built(&self, target: &Target) -> Result<Vec<(ModuleFile, PathBuf)>, PackageError> {
        built(self.layout, self.id, target)
    }

    /// The template of a command, with what its words mean.
    pub(super) fn template(
        &self,
        command: &str,
        target: Option<&Target>,
        date: u64,
    ) -> Result<Template, PackageError> {
        let arch = target.map_or(Ok("all"), |target| name::architecture(&target.arch))?;
        Ok(Template::find(&self.source, self.layout, &self.id.name, command)
            .with("DEBIAN_PACKAGE", name::base(&self.id.name)?)
            .with("MODULE_NAME", self.id.name.as_str())
            .with("MODULE_VERSION", self.id.version.as_str())
            .with("DEBIAN_BUILD_ARCH", arch)
            .with("KERNEL_VERSION", target.map_or("", |target| target.kernel.as_str()))
            .with("DATE_STAMP", dkms_base::host::clock::rfc2822(date)))
    }

    /// The fields that every package of it has; what the source and the template say goes before ours.
    pub(super) fn fields(
        &self,
        package: &str,
        architecture: &str,
        description: &str,
        template: &Template,
    ) -> Result<Fields, PackageError> {
        let mut fields = Fields::default();
        fields.set("Package", package);
        fields.set("Version", name::version(&self.id.version)?.to_string());
        fields.set("Architecture", architecture);
        fields.set("Maintainer", self.maintainer.as_deref().unwrap_or(NOBODY));
        fields.set("Section", "kernel");
        fields.set("Priority", "optional");
        fields.set("Description", description);
        let own = self.source.join("debian/control");
        if fs::is_file(&own) {
            upstream::take_over(&mut fields, &fs::read_lossy(&own)?, &own, package)?;
        }
        if let Some((path, text)) = template.file(package, "control")? {
            upstream::take_over(&mut fields, &text, &path, package)?;
        }
        Ok(fields)
    }

    /// Changelog and copyright.
    pub(super) fn put_docs(
        &self,
        data: &mut Entries,
        fields: &Fields,
        text: &str,
        template: &Template,
        licenses: Vec<String>,
        date: u64,
    ) -> Result<(), PackageError> {
        let field = |name| fields.get(name).unwrap_or_default();
        let (package, version) = (field("Package"), field("Version"));
        let changelog = match template.file(package, "changelog")? {
            Some((_, text)) => text,
            None => docs::changelog(package, version, text, field("Maintainer"), date),
        };
        let copyright = match template.file(package, "copyright")? {
            Some((_, text)) => text,
            None => docs::copyright(self, licenses, date)?,
        };
        let folder = docs::folder(package);
        let name = if docs::is_native(version) { "changelog.gz" } else { "changelog.Debian.gz" };
        let packed = docs::gzip(&changelog).map_err(|source| fs::FsError {
            verb: "compress",
            path: folder.join(name),
            source,
        })?;
        data.file(folder.join(name), packed, 0o644);
        data.file(folder.join("copyright"), copyright, 0o644);
        Ok(())
    }

    /// Maintainer scripts: ours, each replaced by the template's of its name, and those that only the
    /// template has. `#DEBHELPER#` in a template's stands for ours.
    pub(super) fn scripts(
        &self,
        package: &str,
        ours: &[(&'static str, String)],
        template: &Template,
    ) -> Result<Vec<(&'static str, String)>, PackageError> {
        let mut scripts = Vec::new();
        for name in ["postinst", "postrm", "preinst", "prerm"] {
            let our = ours.iter().find(|(of, _)| *of == name).map(|(_, text)| text.as_str());
            let text = match template.file(package, name)? {
                Some((_, text)) => Some(text.replace("#DEBHELPER#", our.unwrap_or_default())),
                None => our.map(|text| format!("#!/bin/sh\nset -e\n\n{text}")),
            };
            scripts.extend(text.map(|text| (name, text)));
        }
        Ok(scripts)
    }
}
