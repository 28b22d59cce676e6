//! A driver disk as SUSE's installer reads it: below `linux/suse/ARCH-RELEASE/` the modules, their order, and
//! the packages to install.

use std::path::Path;

use dkms_base::id::Target;
use dkms_kernel::modfile::{canonical_name, read_info};

use super::{DriverDisk, redhat};
use crate::entries::Entries;
use crate::error::PackageError;

/// Whether such a disk can be had: it holds the modules of one kernel for each architecture.
pub(super) fn check(targets: &[Target], release: &str) -> Result<(), PackageError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if release.is_empty() || release.starts_with('.') || !release.chars().all(is_plain) {
        return Err(PackageError::Release { release: release.to_owned() });
    }
    for (at, target) in targets.iter().enumerate() {
        if let Some(other) = targets[..at].iter().find(|other| other.arch == target.arch) {
            let (first, second) = (other.kernel.to_string(), target.kernel.to_string());
            return Err(PackageError::Kernels { first, second });
        }
    }
    Ok(())
}

pub(super) fn fill(
    disk: &DriverDisk<'_>,
    release: &str,
    folder: &Path,
    entries: &mut Entries,
) -> Result<(), PackageError> {
    let id = disk.module.id;
    for target in disk.targets {
        let place = Path::new("linux/suse").join(format!("{}-{release}", target.arch));
        let mut modules = Vec::new();
        for (file, from) in disk.module.built(target)? {
            modules.push((canonical_name(&file.stem), read_info(&from)?.depends));
            entries.plain_file(&from, &place.join("modules").join(file.file_name()), 0o644)?;
        }
        let mut order = ordered(modules).join("\n");
        order.push('\n');
        entries.file(place.join("modules/module.order"), order, 0o644);
        let config =
            format!("UpdateName: {id} for Linux {0}\nUpdateID: {1}-{0}\n", target.kernel, id.dir_name());
        entries.file(place.join("dud.config"), config, 0o644);
        let package = redhat::kmod(disk, target, folder)?;
        let name = package.file_name().unwrap_or_default();
        entries.plain_file(&package, &place.join("install").join(name), 0o644)?;
    }
    Ok(())
}

/// The modules, each after those of them that it needs.
fn ordered(mut left: Vec<(String, Vec<String>)>) -> Vec<String> {
    left.sort();
    let mut order: Vec<String> = Vec::new();
    while !left.is_empty() {
        let is_ready = |(_, needed): &(String, Vec<String>)| {
            !needed.iter().any(|needed| left.iter().any(|(name, _)| *name == canonical_name(needed)))
        };
        // Modules that need each other load in no order.
        let next = left.iter().position(is_ready).unwrap_or(0);
        order.push(left.remove(next).0);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first() {
        let of = |name: &str, needed: &[&str]| {
            (name.to_owned(), needed.iter().map(|needed| (*needed).to_owned()).collect::<Vec<_>>())
        };
        let modules =
            vec![of("a", &["c", "usbcore"]), of("b", &["a"]), of("c", &[]), of("x", &["y"]), of("y", &["x"])];
        assert_eq!(ordered(modules), ["c", "a", "b", "x", "y"]);
    }

    #[test]
    fn one_kernel_and_a_product_are_wanted() {
        let target = |kernel: &str| Target::parse(kernel, "x86_64").unwrap();
        assert!(check(&[target("6.1.0-1")], "15.6").is_ok());
        assert!(check(&[target("6.1.0-1"), target("6.1.0-2")], "15.6").is_err());
        for release in ["", "../x", "a/b", ".."] {
            assert!(check(&[], release).is_err(), "{release}");
        }
    }
}
