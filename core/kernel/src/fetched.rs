//! Headers of a kernel that isn't installed, in a folder of ours: the package manager downloads their
//! packages (the signatures are its matter), and they are unpacked there as they would lie in the system.
//! Nothing is installed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Process, quote};
use dkms_base::id::KernelRelease;

use super::available::in_apt;
use super::distribution::{Distribution, Family};
use super::headers_package::HeadersPackage;
use super::manager::{ManagerError, run};

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No package is known to have them.
    #[error("the package manager knows no package with the headers of kernel {kernel}")]
    Unknown {
        /// The kernel.
        kernel: KernelRelease,
    },
    /// What was unpacked has none.
    #[error("the packages {} have no headers of kernel {kernel}", packages.join(", "))]
    None {
        /// The kernel.
        kernel: KernelRelease,
        /// What was downloaded.
        packages: Vec<String>,
    },
    /// A program of it failed.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Downloads the headers of a kernel and unpacks them below `folder`, an empty one of ours: in `folder/usr`,
/// and in `folder/lib` where this system's `/lib` is no link.
///
/// # Errors
/// [`FetchError`]; what is in the folder is rubbish then.
pub fn fetch(
    kernel: &KernelRelease,
    distribution: &Distribution,
    headers: &HeadersPackage,
    folder: &Path,
    environment: &Environment,
) -> Result<(), FetchError> {
    let unknown = || FetchError::Unknown { kernel: kernel.clone() };
    let name = headers.name().ok_or_else(unknown)?;
    let files = folder.join("packages");
    fs::create_dir_all(&files)?;
    let packages = match distribution.family {
        Family::Debian | Family::Ubuntu => {
            let packages = with_dependencies(name, environment).ok_or_else(unknown)?;
            let words = ["-q", "-o", "APT::Sandbox::User=root", "download"].map(str::to_owned);
            run(&Process::new("apt-get", words.into_iter().chain(packages.iter().cloned()), environment)
                .dir(&files))?;
            packages
        }
        Family::Fedora | Family::Rhel => {
            run(&Process::new("dnf", ["-q", "download", name], environment).dir(&files))?;
            vec![name.to_owned()]
        }
        Family::Suse | Family::Arch | Family::Gentoo | Family::Other => return Err(unknown()),
    };
    for file in fs::list(&files)? {
        let path = files.join(&file.name);
        if file.name.to_string_lossy().ends_with(".rpm") {
            let line = format!("rpm2cpio {} | cpio -idm --quiet", quote(&path.to_string_lossy()));
            run(&Process::shell(&line, environment).dir(folder))?;
        } else {
            let words: [OsString; 3] = ["-x".into(), path.into(), folder.into()];
            run(&Process::new("dpkg-deb", words, environment))?;
        }
    }
    fs::remove_any(&files)?;
    settle(kernel, folder).and_then(|is_there| {
        if is_there { Ok(()) } else { Err(FetchError::None { kernel: kernel.clone(), packages }) }
    })
}

/// A package and those of its dependencies that are parts of a kernel's headers; `None`: apt doesn't know it.
fn with_dependencies(name: &str, environment: &Environment) -> Option<Vec<String>> {
    let mut known = BTreeSet::new();
    let mut pending = vec![in_apt(name, environment)?];
    while let Some(facts) = pending.pop() {
        let is_part =
            |name: &&String| name.starts_with("linux-headers-") || name.starts_with("linux-kbuild-");
        let new = facts.depends.iter().filter(is_part).filter(|name| !known.contains(*name));
        pending.extend(new.filter_map(|name| in_apt(name, environment)));
        known.insert(facts.name);
    }
    Some(known.into_iter().collect())
}

/// Puts what packages have in `/lib` where it is in this system, and makes the link by which a kernel's
/// headers are found. Says whether they are there.
fn settle(kernel: &KernelRelease, folder: &Path) -> Result<bool, FetchError> {
    let lib = if fs::link_target(Path::new("/lib")).ok().flatten().is_some() {
        folder.join("usr/lib")
    } else {
        folder.join("lib")
    };
    let brought = folder.join("lib/modules");
    if lib != folder.join("lib") && fs::is_dir(&brought) {
        fs::create_dir_all(&lib.join("modules"))?;
        for entry in fs::list(&brought)? {
            let place = lib.join("modules").join(&entry.name);
            if !fs::exists(&place) {
                fs::rename(&brought.join(&entry.name), &place)?;
            }
        }
    }
    fs::create_dir_all(&lib)?;
    let release = kernel.as_str();
    let places = [format!("usr/src/linux-headers-{release}"), format!("usr/src/kernels/{release}")];
    let Some(place) = places.iter().find(|place| fs::is_dir(&folder.join(place).join("include"))) else {
        return Ok(false);
    };
    let build = lib.join("modules").join(kernel).join("build");
    if fs::lstat(&build)?.is_none() {
        fs::create_dir_all(build.parent().unwrap_or(&lib))?;
        fs::symlink(&Path::new("/").join(place), &build)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_the_kernels_link() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = KernelRelease::new("6.12.9-1.el10.x86_64").unwrap();
        assert!(!settle(&kernel, dir.path()).unwrap());
        fs::create_dir_all(&dir.path().join("usr/src/kernels/6.12.9-1.el10.x86_64/include")).unwrap();
        assert!(settle(&kernel, dir.path()).unwrap() && settle(&kernel, dir.path()).unwrap());
        let found = ["usr/lib", "lib"].map(|lib| {
            fs::link_target(&dir.path().join(lib).join("modules").join(&kernel).join("build")).ok().flatten()
        });
        let found = found.into_iter().flatten().next().unwrap();
        assert_eq!(found, Path::new("/usr/src/kernels/6.12.9-1.el10.x86_64"));
    }
}
