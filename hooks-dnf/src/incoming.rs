//! What the packages that come will bring: read from their files where the front end has downloaded them, else told from their
//! names. Pure but for opening those files.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use dkms_core::host::fs;
use rpm::PackageMetadata;
use serde::Deserialize;

/// A package of a transaction, as a front end tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Package {
    /// Name, epoch, version, release and architecture, as rpm writes them together.
    pub nevra: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its release.
    #[serde(default)]
    pub release: String,
    /// Its architecture.
    #[serde(default)]
    pub arch: String,
    /// Whether it comes, or goes.
    pub comes: bool,
    /// Where it was downloaded to.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// What comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coming {
    /// Kernels, by release.
    pub kernels: BTreeSet<String>,
    /// Headers, by the release of their kernel.
    pub headers: BTreeSet<String>,
    /// Folders of modules' sources.
    pub sources: BTreeSet<String>,
}

impl Coming {
    /// What all of these will bring.
    #[must_use]
    pub fn with(packages: &[Package]) -> Self {
        let mut coming = Self::default();
        for package in packages.iter().filter(|package| package.comes) {
            match package.file.as_deref().and_then(read) {
                Some((provided, files)) => coming.add_files(&provided, &files),
                None => coming.add_name(package),
            }
        }
        coming
    }

    /// By what a package provides, and what it has: `kernel-uname-r` is what packages of Fedora's kernels provide.
    fn add_files(&mut self, provided: &[(String, String)], files: &[String]) {
        let kernels = provided.iter().filter(|(name, _)| name == "kernel-uname-r").map(|(_, k)| k.as_str());
        let mut kernels: BTreeSet<String> = kernels.map(str::to_owned).collect();
        let (mut builds, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for file in files {
            let file = file.strip_prefix("/usr").unwrap_or(file);
            if let Some((release, rest)) = below(file, "/lib/modules/") {
                match rest {
                    "vmlinuz" | "modules.builtin" => kernels.insert(release.to_owned()),
                    "build" => builds.insert(release.to_owned()),
                    _ => continue,
                };
            } else if let Some((release, "Makefile")) = below(file, "/src/kernels/") {
                self.headers.insert(release.to_owned());
            } else if let Some((folder, "dkms.conf")) = below(file, "/src/") {
                folders.insert(folder.to_owned());
            }
        }
        // The link alone is the kernel's own, where it is the kernel's package that has it.
        self.headers.extend(builds.into_iter().filter(|release| !kernels.contains(release)));
        // Packages beside the kernel's own may provide its release too, but all come with it.
        self.kernels.extend(kernels);
        self.sources.extend(folders);
    }

    /// By its name, as the kernels of Fedora and RHEL are named: `kernel[-VARIANT]-core` and `-devel`.
    fn add_name(&mut self, package: &Package) {
        let Package { name, version, release, arch, .. } = package;
        let Some(rest) = name.strip_prefix("kernel-") else { return };
        let (variant, kind) = rest.rsplit_once('-').unwrap_or(("", rest));
        let suffix = if variant.is_empty() { String::new() } else { format!("+{variant}") };
        let kernel = format!("{version}-{release}.{arch}{suffix}");
        match kind {
            "core" if variant != "modules" => self.kernels.insert(kernel),
            "devel" => self.headers.insert(kernel),
            _ => false,
        };
    }

    /// Whether another version of a module comes: one whose folder is `NAME-SOMETHING`.
    #[must_use]
    pub fn replaces(&self, name: &str) -> bool {
        let is_of = |folder: &String| folder.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        self.sources.iter().any(is_of)
    }
}

/// The first folder below a place, and the rest of the path.
fn below<'a>(file: &'a str, place: &str) -> Option<(&'a str, &'a str)> {
    file.strip_prefix(place)?.split_once('/')
}

/// What a package provides (names and versions), and the files that it has.
type Header = (Vec<(String, String)>, Vec<String>);

/// What a package's file says that it provides, and that it has. What can't be read says nothing: dnf judges packages, not we.
fn read(file: &Path) -> Option<Header> {
    let metadata = PackageMetadata::parse(&mut BufReader::new(fs::open(file).ok()?)).ok()?;
    let provided = metadata.get_provides().ok()?;
    let provided = provided.into_iter().map(|one| (one.name, one.version)).collect();
    let files = metadata.get_file_paths().ok()?;
    Some((provided, files.into_iter().filter_map(|path| path.into_os_string().into_string().ok()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_files(files: &[&str], provided: &[(&str, &str)]) -> Coming {
        let mut coming = Coming::default();
        let provided: Vec<_> =
            provided.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        let files: Vec<_> = files.iter().map(|file| (*file).to_owned()).collect();
        coming.add_files(&provided, &files);
        coming
    }

    #[test]
    fn a_package_is_known_by_what_it_has() {
        let kernel = of_files(&["/lib/modules/6.1/vmlinuz", "/lib/modules/6.1/build"], &[]);
        assert_eq!((kernel.kernels.len(), kernel.headers.len()), (1, 0));
        let headers = of_files(&["/usr/src/kernels/6.1/Makefile", "/usr/src/kernels/6.1/dkms.conf"], &[]);
        assert_eq!((headers.kernels.len(), headers.headers.len(), headers.sources.len()), (0, 1, 0));
        let suse = of_files(&["/usr/lib/modules/6.4/build"], &[]);
        assert!(suse.headers.contains("6.4"));
        assert!(of_files(&[], &[("kernel-uname-r", "6.1")]).kernels.contains("6.1"));
        let module = of_files(&["/usr/src/foo-bar-1.0/dkms.conf", "/usr/src/foo-bar-1.0/src/dkms.conf"], &[]);
        assert_eq!(module.sources, ["foo-bar-1.0".to_owned()].into());
        assert!(module.replaces("foo-bar") && module.replaces("foo") && !module.replaces("fo"));
    }

    #[test]
    fn or_by_its_name() {
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "6.12.0".to_owned(),
            release: "55.el10".to_owned(),
            arch: "x86_64".to_owned(),
            comes: true,
            ..Package::default()
        };
        let names = ["kernel-core", "kernel-rt-core", "kernel-devel", "kernel", "kernel-modules-core", "foo"];
        let coming = Coming::with(&names.map(package));
        let kernels: Vec<_> = coming.kernels.iter().map(String::as_str).collect();
        assert_eq!(kernels, ["6.12.0-55.el10.x86_64", "6.12.0-55.el10.x86_64+rt"]);
        assert_eq!(coming.headers.len(), 1);
    }

    #[test]
    fn what_is_no_package_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.rpm");
        fs::write_whole(&file, b"\xed\xab\xee\xdb garbage", 0o644).unwrap();
        assert_eq!(read(&file), None);
        assert_eq!(read(Path::new("/dev/zero")), None);
    }
}
