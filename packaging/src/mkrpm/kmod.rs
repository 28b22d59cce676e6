//! `mkrpm -k`: an rpm package of the modules that were built for one kernel.

use std::path::{Path, PathBuf};

use dkms_core::host::fs;
use dkms_core::id::Target;
use dkms_core::modfile::{ModuleFile, read_info};
use rpm::Dependency;

use super::{add_entries, begin, check_plain, finish, release_of, seconds, version};
use crate::debian::Module;
use crate::entries::Entries;
use crate::error::PackageError;

/// A package to make.
#[derive(Debug, Clone, Copy)]
pub struct Kmod<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// For which kernel.
    pub target: &'a Target,
}

impl Kmod<'_> {
    /// The file that is written.
    ///
    /// # Errors
    /// [`PackageError`] where it isn't built, or name, version or kernel can't be rpm's.
    pub fn path(&self) -> Result<PathBuf, PackageError> {
        let id = self.module.id;
        let (_, version) = version(self.module)?;
        check_plain(self.target.arch.as_str())?;
        self.module.built(self.target)?;
        let release = release_of(&self.target.kernel)?;
        Ok(self.module.output(format!("kmod-{}-{version}-{release}.{}.rpm", id.name, self.target.arch)))
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let id = self.module.id;
        let (name, kernel) = (&id.name, &self.target.kernel);
        let path = self.path()?;
        // Only for its time: one package is as new as what it was made of.
        let (_, date) = self.module.source_entries(Path::new("source"))?;
        let date = seconds(date);
        let place = Path::new("lib/modules").join(kernel).join("extra");
        let (mut entries, mut aliases, mut files) = (Entries::default(), Vec::new(), Vec::new());
        let built = self.module.built(self.target)?;
        for entry in fs::list(&built)? {
            let Some(file) = entry.name.to_str().and_then(ModuleFile::from_name) else { continue };
            let from = built.join(&entry.name);
            aliases.extend(read_info(&from)?.aliases);
            entries.plain_file(&from, &place.join(&entry.name), 0o644)?;
            check_plain(&file.stem)?;
            files.push(format!("/{}/{}", place.display(), file.file_name()));
        }
        if files.is_empty() {
            return Err(PackageError::NotBuilt { id: id.clone(), target: self.target.clone() });
        }
        aliases.sort();
        aliases.dedup();

        let summary = format!("Kernel module {name} for Linux {kernel}");
        let text = format!("This package has the modules of {id}, built for the kernel {kernel}.");
        let kmod = format!("kmod-{name}");
        let arch = self.target.arch.as_str();
        let mut builder = begin(self.module, &kmod, arch, &summary, &text, &release_of(kernel)?, date)?;
        builder.requires(Dependency::eq("kernel-uname-r", kernel.as_str()));
        for alias in aliases.iter().filter(|alias| !alias.contains(['(', ')']) && !alias.contains(' ')) {
            builder.provides(Dependency::any(format!("modalias({alias})")));
        }
        let meant = |script: &str| {
            script.replace("KERNEL_VERSION", kernel.as_str()).replace("MODULE_FILES", &files.join(" "))
        };
        builder.post_install_script(meant(include_str!("kmod.post")));
        builder.post_uninstall_script(meant(include_str!("kmod.postun")));
        add_entries(&mut builder, &entries, &place, date, &path)?;
        finish(builder, &path)?;
        Ok(path)
    }
}
