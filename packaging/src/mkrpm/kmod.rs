//! `mkrpm -k`: an rpm package of the modules that were built for one kernel.
//!
//! The kernel is part of the name, `kmod-M-K`: rpm keeps only one version of a name, so packages for two
//! kernels stand beside each other, and a new version replaces that of its kernel alone.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::id::Target;
use dkms_kernel::modfile::{ModuleFile, read_info};
use rpm::Dependency;

use super::about::About;
use super::binary::{add_entries, finish};
use super::name::{check_plain, seconds, version};
use super::relation::Relation;
use super::spec::{Phase, Script};
use crate::debian::Module;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::text::wrap;

/// A package to make.
#[derive(Debug, Clone, Copy)]
pub struct Kmod<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// For which kernel.
    pub target: &'a Target,
}

/// The release of every such package: the version is the module's.
const RELEASE: &str = "1";

impl Kmod<'_> {
    /// `kmod-M-K`.
    fn name(&self) -> Result<String, PackageError> {
        let (module, kernel) = (self.module.id.name.as_str(), self.target.kernel.as_str());
        check_plain(kernel)?;
        Ok(format!("kmod-{module}-{kernel}"))
    }

    /// The file that is written.
    ///
    /// # Errors
    /// [`PackageError`] where it isn't built, or name, version or kernel can't be rpm's.
    pub fn path(&self) -> Result<PathBuf, PackageError> {
        let id = self.module.id;
        let (_, version) = version(&self.module.id.version)?;
        check_plain(id.name.as_str())?;
        check_plain(self.target.arch.as_str())?;
        self.module.built(self.target)?;
        let name = self.name()?;
        Ok(self.module.output(format!("{name}-{version}-{RELEASE}.{}.rpm", self.target.arch)))
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let id = self.module.id;
        let (name, kernel) = (&id.name, &self.target.kernel);
        let path = self.path()?;
        let date = seconds(self.module.date()?);
        let place = Path::new("lib/modules").join(kernel).join("extra");
        let (mut entries, mut files) = (Entries::default(), Vec::new());
        let (mut aliases, mut licenses) = (Vec::new(), Vec::new());
        let built = self.module.built(self.target)?;
        for entry in fs::list(&built)? {
            let Some(file) = entry.name.to_str().and_then(ModuleFile::from_name) else { continue };
            let from = built.join(&entry.name);
            let info = read_info(&from)?;
            aliases.extend(info.aliases);
            licenses.extend(info.license);
            entries.plain_file(&from, &place.join(&entry.name), 0o644)?;
            check_plain(&file.stem)?;
            files.push(format!("/{}/{}", place.display(), file.file_name()));
        }
        if files.is_empty() {
            return Err(PackageError::NotBuilt { id: id.clone(), target: self.target.clone() });
        }
        aliases.sort();
        aliases.dedup();

        let mut about = About::new(self.module, &self.name()?, licenses)?;
        about.summary = format!("Kernel module {name} for Linux {kernel}");
        about.description =
            wrap(&format!("This package has the modules of {id}, built for the kernel {kernel}."));
        RELEASE.clone_into(&mut about.release);
        about.arch = self.target.arch.to_string();
        let needed = Dependency::eq("kernel-uname-r", kernel.as_str());
        about.relations.push((Relation::Requires, needed));
        // Red Hat's installer takes from a driver disk what says this of the kernel that runs.
        about.relations.push((Relation::Provides, Dependency::eq("kernel-modules", kernel.as_str())));
        for alias in aliases.iter().filter(|alias| !alias.contains(['(', ')']) && !alias.contains(' ')) {
            about.relations.push((Relation::Provides, Dependency::any(format!("modalias({alias})"))));
        }
        for (phase, script) in
            [(Phase::Post, include_str!("kmod.post")), (Phase::Postun, include_str!("kmod.postun"))]
        {
            let text =
                script.replace("KERNEL_VERSION", kernel.as_str()).replace("MODULE_FILES", &files.join(" "));
            about.scripts.push(Script { phase, program: Vec::new(), text });
        }
        let mut builder = about.builder(date);
        add_entries(&mut builder, &entries, &place, date, &path)?;
        finish(builder, &path)?;
        Ok(path)
    }
}
