//! Owners of paths from libalpm, through the bindings of its version. No lock is needed: nothing is changed.

use std::path::Path;

#[cfg(feature = "libalpm-13")]
use alpm_13 as alpm;
#[cfg(all(feature = "libalpm-15", not(feature = "libalpm-13")))]
use alpm_15 as alpm;
#[cfg(all(feature = "libalpm-16", not(any(feature = "libalpm-13", feature = "libalpm-15"))))]
use alpm_16 as alpm;

use super::{Owner, Owners};

/// The library's version.
pub(super) fn version() -> String {
    alpm::version().to_owned()
}

/// Who owns these paths.
pub(super) fn owners(database: &Path, paths: &[String]) -> Result<Owners, alpm::Error> {
    let handle = alpm::Alpm::new("/".to_owned(), database.to_string_lossy().into_owned())?;
    let mut owners = Owners::new();
    for package in handle.localdb().pkgs() {
        let files = package.files();
        for path in paths {
            let found = files.contains(path.as_str());
            // Up to libalpm 13's bindings it could fail.
            #[cfg(feature = "libalpm-13")]
            let found = found.ok().flatten();
            if found.is_some() {
                let owner = Owner {
                    name: package.name().to_owned(),
                    version: package.version().to_string(),
                    built: package.build_date(),
                };
                owners.insert(path.clone(), owner);
            }
        }
        if owners.len() == paths.len() {
            break;
        }
    }
    Ok(owners)
}
