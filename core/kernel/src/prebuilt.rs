//! Modules that a package brings prebuilt for one kernel, beside the kernel's own: Ubuntu's
//! `linux-modules-nvidia-*` and `zfs`, `kmod-*` packages of rpm systems, Arch's `nvidia`. Knows where such
//! packages put their modules, and finds the package of a file; does not decide what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use crate::modfile::{self, ModuleFile};
use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;
use dkms_base::version;

use super::brought::plain;
use super::distribution::Family;

/// The folders below `/lib/modules/K/kernel` that the kernel's own source fills.
const SOURCE_FOLDERS: [&str; 20] = [
    "arch", "block", "certs", "crypto", "drivers", "fs", "init", "io_uring", "ipc", "kernel", "lib", "mm",
    "net", "rust", "samples", "security", "sound", "tools", "usr", "virt",
];

/// A module that is there prebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prebuilt {
    /// The package that brings it.
    pub package: String,
    /// The lowest version that one of its files has.
    pub version: String,
}

/// Modules that the packages of a transaction bring ready built: kernel and name of the
/// module, with the package.
pub type PrebuiltComing = BTreeMap<(KernelRelease, String), String>;

/// Whether a file, by its path below `/lib/modules/K`, is a module of the kernel's own source.
pub(super) fn is_of_source(below: &str) -> bool {
    let folder = below.strip_prefix("kernel/").and_then(|rest| rest.split('/').next());
    folder.is_some_and(|folder| SOURCE_FOLDERS.contains(&folder))
        && ModuleFile::from_path(Path::new(below)).is_some()
}

/// The name of the module that a file of a package is or is made of, by its path below `/lib/modules/K`.
/// `None`: no module, or one of the kernel's own source. Ubuntu links `nvidia.ko` when the package is
/// configured, from the folder `bits` beside it, which has `nvidia.ko.sig`.
pub(super) fn name_of(below: &str) -> Option<String> {
    let mut parts = below.split('/');
    let is_beside = match (parts.next(), parts.next()) {
        (Some("kernel"), Some(folder)) => parts.next().is_some() && !SOURCE_FOLDERS.contains(&folder),
        (Some("extra" | "extramodules" | "updates"), Some(_)) => true,
        _ => false,
    };
    let file = below.strip_suffix(".sig").filter(|file| file.contains("/bits/")).unwrap_or(below);
    let module = ModuleFile::from_path(Path::new(file)).filter(|_| is_beside)?;
    Some(modfile::canonical_name(&module.stem))
}

/// Modules of a kernel that are not linked yet: their parts lie in a folder `bits`, and the module would
/// be beside that. The package that links them does so when it is configured.
#[must_use]
pub fn unlinked(kernel_dir: &Path) -> BTreeSet<String> {
    let kernel = kernel_dir.join("kernel");
    let mut found = BTreeSet::new();
    for folder in fs::list(&kernel).unwrap_or_default() {
        let folder = kernel.join(&folder.name);
        let linked: BTreeSet<String> = names(&folder, |file| file.contains(".ko").then_some(file));
        let parts = names(&folder.join("bits"), |file| {
            file.strip_suffix(".sig").filter(|file| file.contains(".ko")).or(file.strip_suffix(".mod.o"))
        });
        found.extend(&parts - &linked);
    }
    found
}

/// The modules that files of a folder are of; `named`: the part of a file's name that counts.
fn names(folder: &Path, named: impl Fn(&str) -> Option<&str>) -> BTreeSet<String> {
    let files = fs::list(folder).unwrap_or_default();
    let module = |file: &fs::Entry| {
        let name = named(file.name.to_str()?)?;
        let stem = name.split_once(".ko").map_or(name, |(stem, _)| stem);
        Some(modfile::canonical_name(stem))
    };
    files.iter().filter_map(module).collect()
}

/// The path of a module below its kernel's folder, if it is where packages put modules that are not of the
/// kernel's source.
#[must_use]
pub fn below<'a>(path: &'a Path, kernel_dir: &Path) -> Option<&'a str> {
    path.strip_prefix(kernel_dir).ok()?.to_str().filter(|below| name_of(below).is_some())
}

/// The version that a module file says it has, if that is `version` or a newer one.
#[must_use]
pub fn version_from(path: &Path, version: &str) -> Option<String> {
    let found = modfile::read_info(path).ok()?.version?;
    version::compare(&found, version).is_ge().then_some(found)
}

/// The package that a module file of a kernel belongs to; `below`: its path below `/lib/modules/K`. `None`:
/// it belongs to none, or that can't be found out.
#[must_use]
pub fn package_of(
    below: &str,
    kernel: &KernelRelease,
    family: Family,
    layout: &Layout,
    environment: &Environment,
) -> Option<String> {
    let file = format!("lib/modules/{kernel}/{below}");
    match family {
        Family::Debian | Family::Ubuntu => of_dpkg(&file, kernel, layout),
        Family::Fedora | Family::Rhel | Family::Suse => of_rpm(&layout.at(&format!("/{file}")), environment),
        Family::Arch => of_pacman(&file, layout),
        Family::Gentoo | Family::Other => None,
    }
}

/// Whether a list of a package's files has a module, or what it is made of.
fn has(list: &str, file: &str) -> bool {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let parts = name.split_once(".ko").map(|(stem, _)| format!("{folder}/bits/{stem}."));
    list.lines()
        .map(plain)
        .any(|line| line == file || parts.as_ref().is_some_and(|parts| line.starts_with(parts)))
}

fn of_dpkg(file: &str, kernel: &KernelRelease, layout: &Layout) -> Option<String> {
    let info = layout.at("/var/lib/dpkg/info");
    let entries = fs::list(&info).unwrap_or_default();
    let names = entries.iter().filter_map(|entry| entry.name.to_str()?.strip_suffix(".list"));
    // Nearly always it is one of the packages that are named after the kernel.
    let (likely, others): (Vec<_>, Vec<_>) = names.partition(|name| name.contains(kernel.as_str()));
    let mut names = likely.into_iter().chain(others);
    let name = names
        .find(|name| fs::read_lossy(&info.join(format!("{name}.list"))).is_ok_and(|list| has(&list, file)))?;
    Some(name.split(':').next().unwrap_or_default().to_owned())
}

fn of_pacman(file: &str, layout: &Layout) -> Option<String> {
    let local = layout.at("/var/lib/pacman/local");
    let folder = fs::list(&local)
        .unwrap_or_default()
        .into_iter()
        .map(|entry| local.join(entry.name))
        .find(|folder| fs::read_lossy(&folder.join("files")).is_ok_and(|list| has(&list, file)))?;
    let about = fs::read_lossy(&folder.join("desc")).ok()?;
    let name = about.lines().skip_while(|line| *line != "%NAME%").nth(1)?;
    Some(name.to_owned())
}

fn of_rpm(file: &Path, environment: &Environment) -> Option<String> {
    let words: [OsString; 4] = ["-qf".into(), "--qf".into(), r"%{NAME}\n".into(), file.into()];
    let ended = Process::new("rpm", words, environment).env("LC_ALL", "C.UTF-8").capture_stdout().ok()?;
    let name = ended.text().lines().next().map(str::to_owned);
    name.filter(|_| ended.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_packages_put_modules_that_are_not_of_the_kernels_source() {
        for (below, name) in [
            ("kernel/nvidia-580-open/nvidia-drm.ko", Some("nvidia_drm")),
            ("kernel/nvidia-580/bits/nvidia.ko.sig", Some("nvidia")),
            ("kernel/nvidia-580/bits/nv-linux.o", None),
            ("kernel/zfs/zfs.ko.zst", Some("zfs")),
            ("extra/nvidia/nvidia.ko.xz", Some("nvidia")),
            ("extramodules/nvidia.ko.zst", Some("nvidia")),
            ("updates/dkms/foo.ko", Some("foo")),
            ("kernel/drivers/net/e1000e.ko", None),
            ("kernel/foo.ko", None),
            ("weak-updates/foo.ko", None),
            ("kernel/nvidia-580/nvidia.ko.sig", None),
        ] {
            assert_eq!(name_of(below).as_deref(), name, "{below}");
        }
    }

    #[test]
    fn what_lies_in_parts_is_not_linked_yet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(unlinked(dir.path()).is_empty());
        for file in [
            "nvidia-550/bits/BUILD",
            "nvidia-550/bits/nvidia.o",
            "nvidia-550/bits/nvidia.mod.o",
            "nvidia-550/bits/nvidia.ko.sig",
            "nvidia-550/bits/nvidia-drm.ko.sig",
            "nvidia-550/bits/nvidia-uvm.mod.o",
            "nvidia-550/nvidia-uvm.ko",
            "zfs/zfs.ko.zst",
        ] {
            let file = dir.path().join("kernel").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write_whole(&file, b"", 0o644).unwrap();
        }
        assert_eq!(unlinked(dir.path()), ["nvidia".to_owned(), "nvidia_drm".to_owned()].into());
    }

    #[test]
    fn the_lists_of_packages_have_the_module_or_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let write = |path: &str, text: &str| {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o755).unwrap();
        };
        let kernel = KernelRelease::new("6.8.0-45-generic").unwrap();
        let environment: Environment = [("PATH", layout.at("/bin").to_str().unwrap())].into_iter().collect();
        let of = |family, below| package_of(below, &kernel, family, &layout, &environment);
        let (linked, whole) = ("kernel/nvidia-550/nvidia.ko", "kernel/zfs/zfs.ko.zst");
        assert_eq!(of(Family::Ubuntu, linked), None);
        let folder = "/lib/modules/6.8.0-45-generic/kernel";
        write(
            "/var/lib/dpkg/info/linux-objects-nvidia-550-6.8.0-45-generic.list",
            &format!(
                "/.\n{folder}\n{folder}/nvidia-550\n{folder}/nvidia-550/bits\n{folder}/nvidia-550/bits/nvidia.o\n"
            ),
        );
        write("/var/lib/dpkg/info/own:amd64.list", &format!("/usr{folder}/zfs/zfs.ko.zst\n"));
        assert_eq!(of(Family::Ubuntu, linked).unwrap(), "linux-objects-nvidia-550-6.8.0-45-generic");
        assert_eq!(of(Family::Ubuntu, "kernel/nvidia-550/nvidia-drm.ko"), None);
        assert_eq!(of(Family::Debian, whole).unwrap(), "own");
        write("/var/lib/pacman/local/nvidia-1-1/desc", "%NAME%\nnvidia\n\n%VERSION%\n1-1\n");
        write("/var/lib/pacman/local/nvidia-1-1/files", &format!("%FILES%\nusr{folder}/zfs/zfs.ko.zst\n"));
        assert_eq!(of(Family::Arch, whole).unwrap(), "nvidia");
        write(
            "/bin/rpm",
            "#!/bin/sh\ncase $4 in */zfs.ko.zst) echo kmod-zfs ;; *) echo none; exit 1 ;; esac\n",
        );
        assert_eq!(of(Family::Fedora, whole).unwrap(), "kmod-zfs");
        assert_eq!(of(Family::Fedora, linked), None);
        assert_eq!(of(Family::Gentoo, whole), None);
    }
}
