//! Headers of a kernel that isn't installed, in a folder of ours: the package manager downloads their
//! packages (the signatures are its matter), and what headers are in them is taken there as it would lie in
//! the system. Nothing is installed.

mod unpack;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Overmounts, Process};
use dkms_base::id::KernelRelease;

use super::available::in_apt;
use super::distribution::{Distribution, Family};
use super::headers_package::HeadersPackage;
use super::manager::{ManagerError, answer, dnf, run};
use super::upcoming::{as_root, synchronized};
use unpack::unpack;

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

/// Headers in a folder of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Whose they are.
    pub kernel: KernelRelease,
    /// The package that they come from.
    pub package: String,
    /// Its version; empty: not known.
    pub version: String,
}

/// Whether the package manager's lists have the headers of a kernel; downloads nothing of it.
///
/// # Errors
/// [`FetchError::Unknown`] if they certainly do not.
pub fn look_up(
    kernel: &KernelRelease,
    distribution: &Distribution,
    headers: &HeadersPackage,
    environment: &Environment,
) -> Result<(), FetchError> {
    let unknown = || FetchError::Unknown { kernel: kernel.clone() };
    let name = headers.name().ok_or_else(unknown)?;
    let is_known = match distribution.family {
        Family::Debian | Family::Ubuntu => in_apt(name, environment).is_some(),
        Family::Fedora | Family::Rhel => {
            let words = ["-q", "repoquery", "--available", name];
            let told = answer(&Process::new(dnf(environment), words, environment));
            // One that gives no answer may still download.
            told.map_or(true, |told| !told.trim().is_empty())
        }
        // Its packages have no kernel in their names: what came is looked at.
        Family::Arch => true,
        Family::Suse | Family::Gentoo | Family::Other => false,
    };
    if is_known { Ok(()) } else { Err(unknown()) }
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
) -> Result<Headers, FetchError> {
    let unknown = || FetchError::Unknown { kernel: kernel.clone() };
    let name = headers.name().ok_or_else(unknown)?;
    let files = folder.join("packages");
    fs::create_dir_all(&files)?;
    let (mut packages, mut version) = (vec![name.to_owned()], String::new());
    match distribution.family {
        Family::Debian | Family::Ubuntu => {
            packages = with_dependencies(name, environment).ok_or_else(unknown)?;
            version = in_apt(name, environment).map(|facts| facts.version).unwrap_or_default();
            let words = ["-q", "-o", "APT::Sandbox::User=root", "download"].map(str::to_owned);
            run(&Process::new("apt-get", words.into_iter().chain(packages.iter().cloned()), environment)
                .dir(&files))?;
        }
        Family::Fedora | Family::Rhel => {
            let download = Process::new(dnf(environment), ["-q", "download", name], environment).dir(&files);
            // dnf 4 has that word in a plugin that need not be there. Our own would judge this transaction.
            let place = format!("--destdir={}", files.display());
            let words = ["-q", "-y", "--disableplugin=dkms", "install", "--downloadonly", &place, name];
            run(&download).or_else(|_| run(&Process::new(dnf(environment), words, environment)))?;
        }
        Family::Arch => {
            let database = synchronized(folder, environment)?;
            let mut words: Vec<OsString> =
                ["-Swdd", "--noconfirm", "--logfile", "/dev/null", "--disable-sandbox", "--dbpath"]
                    .map(Into::into)
                    .into();
            words.extend([database.into_os_string(), "--cachedir".into(), files.clone().into(), name.into()]);
            let download = |words: &[OsString]| {
                let (program, words) = as_root("pacman", words);
                run(&Process::new(program, words, environment))
            };
            let older: Vec<OsString> =
                words.iter().filter(|word| *word != "--disable-sandbox").cloned().collect();
            download(&words).or_else(|_| download(&older))?;
        }
        Family::Suse | Family::Gentoo | Family::Other => return Err(unknown()),
    }
    let listed = fs::list(&files)?;
    let brought: Vec<PathBuf> = listed.into_iter().map(|file| files.join(file.name)).collect();
    let brought = match distribution.family {
        Family::Fedora | Family::Rhel => {
            // A download may bring programs besides that headers need.
            let mut brought = described(brought, environment)?;
            brought.retain(|(_, rpm)| rpm.name.starts_with("kernel") || name.starts_with(&rpm.name));
            version = version_of(&brought);
            brought.into_iter().map(|(path, _)| path).collect()
        }
        _ => brought,
    };
    unpack(&brought, folder, environment)?;
    fs::remove_any(&files)?;
    fs::remove_any(&folder.join("pacman"))?;
    let found = settle(kernel, folder)?;
    let kernel = found.ok_or_else(|| FetchError::None { kernel: kernel.clone(), packages })?;
    Ok(Headers { kernel, package: name.to_owned(), version })
}

/// The same of packages that are at hand as files.
///
/// # Errors
/// [`FetchError`]; what is in the folder is rubbish then.
pub fn unpacked(
    kernel: &KernelRelease,
    packages: &[PathBuf],
    folder: &Path,
    environment: &Environment,
) -> Result<Headers, FetchError> {
    unpack(packages, folder, environment)?;
    let names = || packages.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let found = settle(kernel, folder)?;
    let kernel = found.ok_or_else(|| FetchError::None { kernel: kernel.clone(), packages: names() })?;
    let (mut package, mut version) = (String::new(), String::new());
    let rpms = packages.iter().filter(|path| path.extension().is_some_and(|end| end == "rpm"));
    let rpms = described(rpms.cloned().collect(), environment)?;
    if let Some((_, named)) = rpms.first() {
        (package, version) = (named.name.clone(), version_of(&rpms));
    }
    for file in packages.iter().filter(|path| path.extension().is_some_and(|end| end == "deb")) {
        let words: Vec<OsString> =
            ["--show".into(), "--showformat=${Package} ${Version}".into(), file.into()].into();
        let told = answer(&Process::new("dpkg-deb", words, environment))?;
        if let Some((name, of)) = told.trim().split_once(' ')
            && name.ends_with(kernel.as_str())
        {
            (package, version) = (name.to_owned(), of.to_owned());
        }
    }
    Ok(Headers { kernel, package, version })
}

/// What is known of the headers of a kernel that are installed.
#[must_use]
pub fn installed(kernel: &KernelRelease, distribution: &Distribution, environment: &Environment) -> Headers {
    let kernel = kernel.clone();
    let package = format!("linux-headers-{kernel}");
    let version = match distribution.family {
        Family::Debian | Family::Ubuntu => {
            let words = ["--show", "--showformat=${Version}", &package].map(str::to_owned);
            answer(&Process::new("dpkg-query", words, environment)).unwrap_or_default().trim().to_owned()
        }
        Family::Fedora | Family::Rhel => {
            let place = format!("/usr/src/kernels/{kernel}");
            let words = ["-q", "--qf", "%{VERSION}-%{RELEASE}\\n", "-f", &place];
            let told = answer(&Process::new("rpm", words, environment)).unwrap_or_default();
            told.lines().next().unwrap_or_default().to_owned()
        }
        Family::Suse | Family::Arch | Family::Gentoo | Family::Other => String::new(),
    };
    Headers { kernel, package, version }
}

/// What an rpm package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rpm {
    name: String,
    /// With its release.
    version: String,
}

/// Some rpm packages, with what they say of themselves.
fn described(files: Vec<PathBuf>, environment: &Environment) -> Result<Vec<(PathBuf, Rpm)>, FetchError> {
    let mut found = Vec::new();
    for file in files {
        let words = ["-qp", "--nosignature", "--qf", "%{NAME} %{VERSION}-%{RELEASE}"].map(OsString::from);
        let words = words.into_iter().chain([file.clone().into()]);
        let told = answer(&Process::new("rpm", words, environment))?;
        if let Some((name, version)) = told.trim().split_once(' ') {
            found.push((file, Rpm { name: name.to_owned(), version: version.to_owned() }));
        }
    }
    Ok(found)
}

/// The version of the package that has the headers; empty: not known.
fn version_of(packages: &[(PathBuf, Rpm)]) -> String {
    let headers = packages.iter().find(|(_, rpm)| rpm.name.contains("-devel"));
    headers.or_else(|| packages.first()).map(|(_, rpm)| rpm.version.clone()).unwrap_or_default()
}

/// How a folder with headers is laid over the system: overlays, then folders in whose place its own are,
/// since a new version of a package replaces the older one's.
#[must_use]
pub fn layers(folder: &Path) -> Layers {
    let mut layers = vec![(folder.join("usr"), PathBuf::from("/usr"))];
    let has_lib =
        fs::link_target(Path::new("/lib")).ok().flatten().is_none() && fs::is_dir(&folder.join("lib"));
    if has_lib {
        layers.push((folder.join("lib"), "/lib".into()));
    }
    let below = |path: &str| {
        let entries = fs::list(&folder.join(path)).unwrap_or_default().into_iter();
        entries
            .filter(|entry| entry.kind.is_dir())
            .map(|entry| Path::new(path).join(entry.name))
            .collect::<Vec<_>>()
    };
    let sources = below("usr/src").into_iter().filter(|path| !path.ends_with("kernels"));
    let shown =
        sources.chain(below("usr/src/kernels")).chain(below("usr/lib/modules")).chain(below("lib/modules"));
    let shown = shown.map(|path| (folder.join(&path), Path::new("/").join(path))).collect();
    let is_brought = |name: &OsString| fs::exists(&folder.join("usr/src").join(name));
    let sources = fs::list(Path::new("/usr/src")).unwrap_or_default().into_iter();
    let kept = sources.filter(|entry| entry.kind.is_dir() && !is_brought(&entry.name));
    let kept = kept.map(|entry| Path::new("/usr/src").join(entry.name)).collect();
    Layers { layers, kept, shown }
}

/// How folders are shown over the system to a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// Overlays, read-only: what is laid over what.
    pub layers: Vec<(PathBuf, PathBuf)>,
    /// Sources of modules: folders below the layers that are seen without them.
    pub kept: Vec<PathBuf>,
    /// Folders in the place of others.
    pub shown: Vec<(PathBuf, PathBuf)>,
}

impl Layers {
    /// Has a process see it.
    #[must_use]
    pub fn seen_by(&self, process: Process) -> Process {
        fn pairs(list: &[(PathBuf, PathBuf)]) -> Vec<(&Path, &Path)> {
            list.iter().map(|(folder, over)| (folder.as_path(), over.as_path())).collect()
        }
        let kept: Vec<&Path> = self.kept.iter().map(PathBuf::as_path).collect();
        process.seeing_through(&Overmounts {
            layers: &pairs(&self.layers),
            kept: &kept,
            shown: &pairs(&self.shown),
        })
    }
}

/// A package and those of its dependencies that are parts of a kernel's headers, without those that are
/// installed in the same version; `None`: apt doesn't know it.
fn with_dependencies(name: &str, environment: &Environment) -> Option<Vec<String>> {
    let mut known = BTreeMap::new();
    let mut pending = vec![in_apt(name, environment)?];
    while let Some(facts) = pending.pop() {
        let is_part =
            |name: &&String| name.starts_with("linux-headers-") || name.starts_with("linux-kbuild-");
        let new = facts.depends.iter().filter(is_part).filter(|name| !known.contains_key(*name));
        pending.extend(new.filter_map(|name| in_apt(name, environment)));
        known.insert(facts.name, facts.version);
    }
    let words = ["--show", "--showformat=${Package} ${Version} ${db:Status-Status}\n"].map(str::to_owned);
    let process = Process::new("dpkg-query", words.into_iter().chain(known.keys().cloned()), environment);
    // It fails if one is not installed, and prints the others.
    let told = process.capture_stdout().map(|ended| ended.text()).unwrap_or_default();
    Some(without_installed(known, name, &told))
}

/// The packages that are not installed in their version, and in any case `name`.
fn without_installed(mut known: BTreeMap<String, String>, name: &str, told: &str) -> Vec<String> {
    for line in told.lines() {
        let mut words = line.split(' ');
        if let (Some(package), Some(version), Some("installed")) = (words.next(), words.next(), words.next())
            && package != name
            && known.get(package).is_some_and(|candidate| candidate == version)
        {
            known.remove(package);
        }
    }
    known.into_keys().collect()
}

/// Puts what packages have in `/lib` where it is in this system, and makes the link by which a kernel's
/// headers are found. Says whose are there: this kernel's, or those of the only one that the packages have.
fn settle(kernel: &KernelRelease, folder: &Path) -> Result<Option<KernelRelease>, FetchError> {
    let lib = if fs::link_target(Path::new("/lib")).ok().flatten().is_some() {
        folder.join("usr/lib")
    } else {
        folder.join("lib")
    };
    for (brought, is_link) in [(folder.join("lib/modules"), true), (folder.join("usr/lib/modules"), false)] {
        if is_link == lib.ends_with("usr/lib") && fs::is_dir(&brought) {
            fs::create_dir_all(&lib.join("modules"))?;
            for entry in fs::list(&brought)? {
                let place = lib.join("modules").join(&entry.name);
                if !fs::exists(&place) {
                    fs::rename(&brought.join(&entry.name), &place)?;
                }
            }
        }
    }
    fs::create_dir_all(&lib.join("modules"))?;
    let release = kernel.as_str();
    let build = |kernel: &Path| lib.join("modules").join(kernel).join("build");
    // Arch has them in the module folder itself.
    let found = fs::list(&lib.join("modules"))?.into_iter();
    let mut inside = found.filter(|entry| fs::is_dir(&build(Path::new(&entry.name)).join("include")));
    if let Some(entry) = inside.next() {
        return Ok(entry.name.to_str().and_then(|name| KernelRelease::new(name).ok()));
    }
    let places = [format!("usr/src/linux-headers-{release}"), format!("usr/src/kernels/{release}")];
    let is_headers = |place: &String| fs::is_dir(&folder.join(place).join("include"));
    let named = places.into_iter().find(is_headers).map(|place| (place, kernel.clone()));
    let only = || {
        let found = fs::list(&folder.join("usr/src/kernels")).unwrap_or_default().into_iter();
        let found = found.filter_map(|entry| KernelRelease::new(entry.name.to_str()?).ok());
        let mut found = found
            .map(|kernel| (format!("usr/src/kernels/{kernel}"), kernel))
            .filter(|(place, _)| is_headers(place));
        found.next().filter(|_| found.next().is_none())
    };
    let Some((place, kernel)) = named.or_else(only) else { return Ok(None) };
    let build = build(kernel.as_ref());
    if fs::lstat(&build)?.is_none() {
        fs::create_dir_all(build.parent().unwrap_or(&lib))?;
        fs::symlink(&Path::new("/").join(place), &build)?;
    }
    Ok(Some(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_the_kernels_link() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = KernelRelease::new("6.12.9-1.el10.x86_64").unwrap();
        assert_eq!(settle(&kernel, dir.path()).unwrap(), None);
        fs::create_dir_all(&dir.path().join("usr/src/kernels/6.12.9-1.el10.x86_64/include")).unwrap();
        for _ in 0..2 {
            assert_eq!(settle(&kernel, dir.path()).unwrap().as_ref(), Some(&kernel));
        }
        let found = ["usr/lib", "lib"].map(|lib| {
            fs::link_target(&dir.path().join(lib).join("modules").join(&kernel).join("build")).ok().flatten()
        });
        let found = found.into_iter().flatten().next().unwrap();
        assert_eq!(found, Path::new("/usr/src/kernels/6.12.9-1.el10.x86_64"));
    }
    #[test]
    fn headers_of_the_only_kernel_are_found_by_their_folder() {
        let guessed = KernelRelease::new("6.12.9-1.x86_64").unwrap();
        let found_with = |kernels: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            for kernel in kernels {
                fs::create_dir_all(&dir.path().join("usr/src/kernels").join(kernel).join("include")).unwrap();
            }
            settle(&guessed, dir.path()).unwrap().map(|kernel| kernel.to_string())
        };
        let other = "6.12.9-1.x86_64+debug";
        assert_eq!(found_with(&[other]).as_deref(), Some(other));
        assert_eq!(found_with(&[other, "6.12.9-1.x86_64+rt"]), None);
    }
    #[test]
    fn what_is_installed_in_the_same_version_is_not_downloaded() {
        let known = ["h", "common", "kbuild"].map(|name| (name.to_owned(), "2".to_owned())).into();
        let told = "h 2 installed\ncommon 2 config-files\nkbuild 2 installed\n";
        assert_eq!(without_installed(known, "h", told), ["common", "h"]);
        let older = [("kbuild".to_owned(), "2".to_owned())].into();
        assert_eq!(without_installed(older, "h", "kbuild 1 installed\n"), ["kbuild"]);
    }
}
