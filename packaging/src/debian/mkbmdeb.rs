//! `mkbmdeb`: a package of the modules that were built for one kernel; who installs it needs no compiler,
//! no headers, no DKMS.

use std::path::{Path, PathBuf};

use dkms_base::id::Target;
use dkms_kernel::modfile::{canonical_name, read_info};

use super::{Module, name, upstream};
use crate::deb::{Deb, Packing};
use crate::demands::{Demands, quoted};
use crate::entries::Entries;
use crate::error::PackageError;
use crate::text::wrap;

/// A package to make.
#[derive(Debug, Clone, Copy)]
pub struct BuiltModules<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// For which kernel.
    pub target: &'a Target,
    /// What its dkms.conf demands there.
    pub demands: &'a Demands,
}

impl BuiltModules<'_> {
    /// The file that is written.
    ///
    /// # Errors
    /// [`PackageError`] where name, version or architecture can't be Debian's.
    pub fn path(&self) -> Result<PathBuf, PackageError> {
        let id = self.module.id;
        let version = name::in_file_name(&name::version(&id.version)?);
        let package = name::modules(&id.name, &self.target.kernel)?;
        let arch = name::architecture(&self.target.arch)?;
        Ok(self.module.output(format!("{package}_{version}_{arch}.deb")))
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`PackageError`] where the module isn't built, or something of it can't be Debian's.
    pub fn check(&self) -> Result<(), PackageError> {
        self.path()?;
        self.module.built(self.target).map(|_| ())
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let (id, kernel) = (self.module.id, &self.target.kernel);
        let path = self.path()?;
        let date = self.module.date()?;
        let mut data = Entries::default();
        let place = Path::new("lib/modules").join(kernel).join("updates/dkms");
        let (mut aliases, mut licenses, mut stems) = (Vec::new(), Vec::new(), Vec::new());
        let mut files = Vec::new();
        for (file, from) in self.module.built(self.target)? {
            let (info, name) = (read_info(&from)?, file.file_name());
            data.plain_file(&from, &place.join(&name), 0o644)?;
            licenses.extend(info.license);
            aliases.push((canonical_name(&file.stem), info.aliases));
            stems.push(file.stem);
            files.push(quoted(&Path::new("updates/dkms").join(&name).to_string_lossy()));
        }
        let template = self.module.template("mkbmdeb", Some(self.target), date)?;
        let package = name::modules(&id.name, kernel)?;
        let long = format!(
            "This package has the modules of {id}, built for the kernel {kernel}. It needs neither a compiler nor \
             DKMS."
        );
        let description = format!("kernel module {} for Linux {kernel}\n{}", id.name, wrap(&long));
        let arch = name::architecture(&self.target.arch)?;
        let mut control = self.module.fields(&package, arch, &description, &template)?;
        let version = control.get("Version").unwrap_or_default().to_owned();
        let provided = format!("{}-modules (= {version})", name::base(&id.name)?);
        let mut relations = vec![("Depends", name::image(kernel)?), ("Provides", provided)];
        for needed in &self.demands.build_depends {
            relations.push(("Depends", name::modules(needed, kernel)?));
        }
        for (field, relation) in relations {
            upstream::add_relations(&mut control, field, &relation)
                .map_err(|why| PackageError::Field { field: field.to_owned(), why })?;
        }
        if let Some(text) = modaliases(aliases) {
            control.set("Modaliases", text);
        }
        let text = format!("Made by `dkms mkbmdeb` from {id} for Linux {kernel}");
        self.module.put_docs(&mut data, &control, &text, &template, licenses, date)?;
        let meant = |script: &str| {
            let text = self.demands.script(script, &id.name, kernel, &stems);
            text.replace("MODULE_FILES", &files.join(" "))
        };
        let ours = [
            ("postinst", meant(include_str!("scripts/modules.postinst"))),
            ("postrm", meant(include_str!("scripts/modules.postrm"))),
        ];
        let scripts = self.module.scripts(&package, &ours, &template)?;
        Deb { control, data, scripts, members: Vec::new(), date, packing: Packing::Xz }.write(&path)?;
        Ok(path)
    }
}

/// The field `Modaliases` as dh_modaliases writes it: `module(alias, alias), module(alias)`, by which
/// programs find the package for a device. None where no module serves devices.
fn modaliases(modules: Vec<(String, Vec<String>)>) -> Option<String> {
    let mut texts: Vec<String> = modules
        .into_iter()
        .filter_map(|(module, mut aliases)| {
            aliases.retain(|alias| !alias.contains(['(', ')', ',']));
            aliases.sort();
            aliases.dedup();
            (!aliases.is_empty()).then(|| format!("{module}({})", aliases.join(", ")))
        })
        .collect();
    texts.sort();
    (!texts.is_empty()).then(|| texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_ordered_and_told_once() {
        let of = |module: &str, aliases: &[&str]| {
            (module.to_owned(), aliases.iter().map(|a| (*a).to_owned()).collect())
        };
        assert_eq!(modaliases(vec![of("a", &[])]), None);
        assert_eq!(
            modaliases(vec![of("b_c", &["usb:2", "pci:1", "usb:2"]), of("a", &["x"])]).unwrap(),
            "a(x), b_c(pci:1, usb:2)"
        );
    }
}
