//! `mkrpm -k`: an rpm package of the modules that were built for one kernel.
//!
//! The kernel is part of the name, `kmod-M-K`: rpm keeps only one version of a name, so packages for two
//! kernels stand beside each other, and a new version replaces that of its kernel alone.

use std::path::{Path, PathBuf};

use dkms_base::id::{ModuleName, Target};
use dkms_kernel::modfile::read_info;
use rpm::Dependency;

use super::about::About;
use super::binary::{add_entries, finish};
use super::name::{check_plain, seconds, version};
use super::relation::Relation;
use super::spec::{Phase, Script};
use crate::debian::Module;
use crate::demands::Demands;
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
    /// What its dkms.conf demands there.
    pub demands: &'a Demands,
}

/// The release of every such package: the version is the module's.
pub(super) const RELEASE: &str = "1";

/// The package of a module's modules for a kernel.
pub(super) fn package(module: &ModuleName, target: &Target) -> Result<String, PackageError> {
    check_plain(module.as_str())?;
    check_plain(target.kernel.as_str())?;
    Ok(format!("kmod-{module}-{}", target.kernel))
}

impl Kmod<'_> {
    /// `kmod-M-K`.
    fn name(&self) -> Result<String, PackageError> {
        package(&self.module.id.name, self.target)
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
        let (mut aliases, mut licenses, mut stems) = (Vec::new(), Vec::new(), Vec::new());
        for (file, from) in self.module.built(self.target)? {
            let info = read_info(&from)?;
            aliases.extend(info.aliases);
            licenses.extend(info.license);
            entries.plain_file(&from, &place.join(file.file_name()), 0o644)?;
            check_plain(&file.stem)?;
            files.push(format!("/{}/{}", place.display(), file.file_name()));
            stems.push(file.stem);
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
        for module in &self.demands.build_depends {
            about.relations.push((Relation::Requires, Dependency::any(package(module, self.target)?)));
        }
        // With `kmod-M` it comes with its kernel, and stays as long as that does.
        let with_gate = format!("(kernel-uname-r = {kernel} and kmod-{name})");
        about.relations.push((Relation::Supplements, Dependency::any(with_gate)));
        about.relations.push((Relation::Requires, Dependency::rpmlib("RichDependencies", "4.12.0-1")));
        // Red Hat's installer takes from a driver disk what says this of the kernel that runs.
        about.relations.push((Relation::Provides, Dependency::eq("kernel-modules", kernel.as_str())));
        for alias in aliases.iter().filter(|alias| !alias.contains(['(', ')']) && !alias.contains(' ')) {
            about.relations.push((Relation::Provides, Dependency::any(format!("modalias({alias})"))));
        }
        for (phase, script) in
            [(Phase::Post, include_str!("kmod.post")), (Phase::Postun, include_str!("kmod.postun"))]
        {
            let text = self.demands.script(script, name, kernel, &stems);
            let text = text.replace("MODULE_FILES", &files.join(" "));
            about.scripts.push(Script { phase, program: Vec::new(), text });
        }
        let mut builder = about.builder(date);
        add_entries(&mut builder, &entries, &place, date, &path)?;
        finish(builder, &path)?;
        Ok(path)
    }
}
