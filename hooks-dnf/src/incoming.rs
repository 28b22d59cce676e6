//! What the packages that come will bring: read from their files where the front end has downloaded them,
//! else told from their names. Pure but for opening those files.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::id::KernelRelease;
use dkms_hooks::{ComingHeaders, HeadersComing};
use dkms_kernel::{Brought, Owner, PrebuiltComing};
use serde::Deserialize;

use crate::header::Header;

/// A package of a transaction, as a front end reports it.
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
    /// What the packages have.
    pub brought: Brought,
    /// Which package each kernel is in.
    pub owners: BTreeMap<KernelRelease, Owner>,
    /// Which package each module is in that comes prebuilt.
    pub prebuilt: PrebuiltComing,
    /// What is known of the headers that come.
    pub headers: HeadersComing,
}

impl Coming {
    /// What all of these will bring.
    #[must_use]
    pub fn with(packages: &[Package]) -> Self {
        let mut coming = Self::default();
        for package in packages.iter().filter(|package| package.comes) {
            let brought = package.file.as_deref().and_then(read).unwrap_or_else(|| by_name(package));
            let owner = Owner {
                name: package.name.clone(),
                version: format!("{}-{}", package.version, package.release),
                arch: package.arch.clone(),
            };
            let releases =
                brought.kernels.iter().filter_map(|release| KernelRelease::new(release.as_str()).ok());
            coming.owners.extend(releases.map(|release| (release, owner.clone())));
            coming.prebuilt.extend(brought.modules.iter().filter_map(|(release, module)| {
                let kernel = KernelRelease::new(release.as_str()).ok()?;
                Some(((kernel, module.clone()), package.name.clone()))
            }));
            let headers =
                brought.headers.iter().filter_map(|release| KernelRelease::new(release.as_str()).ok());
            coming.headers.extend(headers.map(|release| {
                // What is only resolved yet has the path at which it will be.
                let files = package.file.iter().filter(|file| fs::is_file(file)).cloned().collect();
                (release, ComingHeaders { version: Some(owner.version.clone()), files })
            }));
            coming.brought.kernels.extend(brought.kernels);
            coming.brought.headers.extend(brought.headers);
            coming.brought.sources.extend(brought.sources);
        }
        coming
    }
}

/// By what a package has, and what it provides: `kernel-uname-r` is what packages of
/// Fedora's kernels provide.
fn brought(provided: &[(String, String)], files: &[String]) -> Brought {
    let mut brought = Brought::of(files);
    let kernels = provided.iter().filter(|(name, _)| name == "kernel-uname-r").map(|(_, release)| release);
    // Packages beside the kernel's own may provide its release too, but all come with it.
    brought.kernels.extend(kernels.cloned());
    brought.headers = &brought.headers - &brought.kernels;
    brought
}

/// By its name: the kernels of Fedora and RHEL, and those that are named like them (`kernel[-VARIANT]-core`,
/// `-devel`), of Oracle, ELRepo and Amazon (`kernel`, `kernel-ml`, `kernel6.12`).
fn by_name(package: &Package) -> Brought {
    let Package { name, version, release, arch, .. } = package;
    let mut brought = Brought::default();
    let Some(rest) = name.strip_prefix("kernel") else { return brought };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let of_another_maker = ["-uek", "-ml", "-lt"];
    let rest = of_another_maker.iter().find_map(|maker| rest.strip_prefix(maker)).unwrap_or(rest);
    let (variant, kind) =
        rest.trim_start_matches('-').rsplit_once('-').unwrap_or(("", rest.trim_start_matches('-')));
    let suffix = if variant.is_empty() { String::new() } else { format!("+{variant}") };
    let kernel = format!("{version}-{release}.{arch}{suffix}");
    match kind {
        "core" if variant != "modules" => brought.kernels.insert(kernel),
        "devel" if ["default", "azure", "64kb", "kvmsmall", "longterm"].contains(&variant) => {
            brought.headers.insert(suse_release(version, release, variant))
        }
        "devel" => brought.headers.insert(kernel),
        // SUSE's: a package has one number more than the release tells.
        "default" | "azure" | "rt" | "64kb" | "kvmsmall" | "longterm" if variant.is_empty() => {
            brought.kernels.insert(suse_release(version, release, kind))
        }
        // Fedora's `kernel` has nothing, and comes with `kernel-core`; others' is the kernel.
        "" if name != "kernel" || release.contains(".amzn") => brought.kernels.insert(kernel),
        _ => false,
    };
    brought
}

fn suse_release(version: &str, release: &str, flavour: &str) -> String {
    let release = release.rsplit_once('.').map_or(release, |(release, _)| release);
    format!("{version}-{release}-{flavour}")
}

/// What a package brings, as its file says. What can't be read says nothing: dnf judges packages, not we.
fn read(file: &Path) -> Option<Brought> {
    let header = Header::read(&mut BufReader::new(fs::open(file).ok()?)).ok()?;
    Some(brought(&header.provided(), &header.files()))
}

/// Whether a file is a package that can be read: for those who throw any bytes at it.
#[must_use]
pub fn examine(file: &Path) -> bool {
    read(file).is_some_and(|brought| !brought.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_known_by_what_it_has_and_provides() {
        let of = |files: &[&str], provided: &[(&str, &str)]| {
            let texts = |(name, version): &(&str, &str)| ((*name).to_owned(), (*version).to_owned());
            let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
            brought(&provided.iter().map(texts).collect::<Vec<_>>(), &files)
        };
        let kernel = of(&["/lib/modules/6.1/vmlinuz", "/lib/modules/6.1/build"], &[]);
        assert_eq!((kernel.kernels.len(), kernel.headers.len()), (1, 0));
        let headers = of(&["/usr/src/kernels/6.1/Makefile", "/usr/src/kernels/6.1/dkms.conf"], &[]);
        assert_eq!((headers.kernels.len(), headers.headers.len(), headers.sources.len()), (0, 1, 0));
        assert!(of(&[], &[("kernel-uname-r", "6.1")]).kernels.contains("6.1"));
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
        let kernels: Vec<_> = coming.brought.kernels.iter().map(String::as_str).collect();
        assert_eq!(kernels, ["6.12.0-55.el10.x86_64", "6.12.0-55.el10.x86_64+rt"]);
        assert_eq!(coming.brought.headers.len(), 1);
        let owners: Vec<_> = coming.owners.values().map(|owner| owner.name.as_str()).collect();
        assert_eq!(owners, ["kernel-core", "kernel-rt-core"]);
        for (name, is_kernel) in [
            ("kernel6.12", true),
            ("kernel-ml", true),
            ("kernel-uek-core", true),
            ("kernel-lt-devel", false),
            ("kernel-headers", false),
            ("kernel-tools", false),
            ("kernelshark", false),
        ] {
            let brought = by_name(&package(name));
            let kernel = "6.12.0-55.el10.x86_64".to_owned();
            assert_eq!(brought.kernels.contains(&kernel), is_kernel, "{name}: {brought:?}");
        }
        assert_eq!(by_name(&package("kernel-uek-devel")).headers.len(), 1);
        let suse = Package { release: "150600.23.33.1".to_owned(), ..package("kernel-default") };
        assert_eq!(by_name(&suse).kernels, ["6.12.0-150600.23.33-default".to_owned()].into());
        assert_eq!(by_name(&package("kernel6.12-devel")).headers.len(), 1);
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
