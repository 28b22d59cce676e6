//! The kernel that the next upgrade brings, as the package manager itself sees it: apt's simulated upgrade,
//! dnf's list of updates, pacman's against a database of our own. The package managers are asked; nothing is
//! installed.

use std::path::{Path, PathBuf};

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::Process;
use dkms_base::id::{Arch, KernelRelease};
use dkms_base::version;

use super::available::{debian_kernel, flavour_of};
use super::distribution::{Distribution, Family};
use super::manager::{ManagerError, answer, answer_of, dnf, run};

/// A kernel that would come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// Its release; pacman's packages do not say it in their names: there it is what the version makes
    /// probable.
    pub kernel: KernelRelease,
    /// The package that brings it.
    pub package: String,
    /// In this version.
    pub version: String,
}

/// Why nobody can say.
#[derive(Debug, thiserror::Error)]
pub enum UpcomingError {
    /// We don't know how to ask this system's.
    #[error(
        "how to ask the package manager of `{id}` for the next kernel is not known: only apt, dnf and pacman are"
    )]
    UnknownManager {
        /// The distribution.
        id: String,
    },
    /// It gave no answer.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// The kernel that the next upgrade brings; `None`: it brings none.
///
/// `installed` are the packages of the kernels that are installed, `running` is the one that runs.
/// `environment` may be that of [`with_fresh_lists`]. `folder` is one of ours for a database that pacman
/// needs.
///
/// # Errors
/// [`UpcomingError`].
pub fn upcoming(
    distribution: &Distribution,
    arch: &Arch,
    running: Option<&KernelRelease>,
    folder: &Path,
    environment: &Environment,
) -> Result<Option<Upcoming>, UpcomingError> {
    let found = match distribution.family {
        Family::Debian | Family::Ubuntu => {
            let words = ["-s", "-q", "-o", "Debug::NoLocking=1", "full-upgrade"];
            of_simulation(&answer(&Process::new("apt-get", words, environment))?)
        }
        Family::Fedora | Family::Rhel => {
            let process = Process::new(dnf(environment), ["-q", "check-update", "kernel*"], environment);
            // 100: there are updates.
            of_check_update(&answer_of(&process, &[0, 100])?, arch)
        }
        Family::Arch => {
            let words =
                ["-Qu".into(), "--dbpath".into(), synchronized(folder, environment)?.into_os_string()];
            // 1: there are none.
            of_query(&answer_of(&Process::new("pacman", words, environment), &[0, 1])?)
        }
        Family::Suse | Family::Gentoo | Family::Other => {
            return Err(UpcomingError::UnknownManager { id: distribution.id.clone() });
        }
    };
    Ok(chosen(found, running))
}

/// The environment in which apt has new lists, in a folder of ours; the system's stay as they are. Other
/// package managers bring their own up to date.
///
/// # Errors
/// [`UpcomingError`] if they are not available.
pub fn with_fresh_lists(
    distribution: &Distribution,
    folder: &Path,
    environment: &Environment,
) -> Result<Environment, UpcomingError> {
    let mut environment = environment.clone();
    if matches!(distribution.family, Family::Debian | Family::Ubuntu) {
        let lists = folder.join("lists");
        fs::create_dir_all(&lists.join("partial"))?;
        let conf = folder.join("apt.conf");
        let text = format!(
            "Dir::State::lists \"{}/\";\nDir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nAPT::Sandbox::User \"root\";\n",
            lists.display()
        );
        fs::write_whole(&conf, text.as_bytes(), 0o644)?;
        environment.set("APT_CONFIG", conf.to_string_lossy().into_owned());
        run(&Process::new("apt-get", ["-q", "update"], &environment))?;
    } else if matches!(distribution.family, Family::Fedora | Family::Rhel) {
        run(&Process::new(dnf(&environment), ["-q", "makecache", "--refresh"], &environment))?;
    }
    Ok(environment)
}

/// Pacman's database of its own, brought up to date: what is installed is the system's. Where it can't be,
/// the system's own.
pub(super) fn synchronized(folder: &Path, environment: &Environment) -> Result<PathBuf, FsError> {
    let (system, own) = (Path::new("/var/lib/pacman"), folder.join("pacman"));
    if fs::exists(&own) {
        return Ok(own);
    }
    fs::create_dir_all(&own)?;
    fs::symlink(&system.join("local"), &own.join("local"))?;
    let mut words: Vec<std::ffi::OsString> =
        ["-Sy", "--logfile", "/dev/null", "--disable-sandbox", "--dbpath"].map(Into::into).into();
    words.push(own.clone().into());
    let refreshed = |words: &[std::ffi::OsString]| {
        let (program, words) = as_root("pacman", words);
        run(&Process::new(program, words, environment)).is_ok()
    };
    // Older ones have no sandbox.
    if refreshed(&words)
        || refreshed(&words.iter().filter(|word| *word != "--disable-sandbox").cloned().collect::<Vec<_>>())
    {
        return Ok(own);
    }
    fs::remove_any(&own)?;
    Ok(system.to_owned())
}

/// The words that run a program of pacman's, which wants to be root, by anybody: it is, in a user namespace.
pub(super) fn as_root(program: &str, words: &[std::ffi::OsString]) -> (String, Vec<std::ffi::OsString>) {
    if rustix::process::geteuid().is_root() {
        return (program.to_owned(), words.to_vec());
    }
    let before = ["--user", "--map-root-user", "--", program].map(std::ffi::OsString::from);
    ("unshare".to_owned(), before.into_iter().chain(words.iter().cloned()).collect())
}

/// Of several kernels that come: of the kind that runs, if one is, else of any, the newest.
fn chosen(mut found: Vec<Upcoming>, running: Option<&KernelRelease>) -> Option<Upcoming> {
    found.sort_by(|a, b| version::compare(a.kernel.as_str(), b.kernel.as_str()));
    let kind = running.map(flavour_of);
    let same = found.iter().rposition(|one| Some(flavour_of(&one.kernel)) == kind);
    let place = same.or(found.len().checked_sub(1))?;
    Some(found.swap_remove(place))
}

/// Lines of apt's simulation: `Inst linux-image-6.1.0-57-amd64 [OLD] (6.1.192-3 Debian:12 [amd64])`.
fn of_simulation(text: &str) -> Vec<Upcoming> {
    let of = |line: &str| {
        let (package, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let package = package.split(':').next()?;
        let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
        let kernel = of_debian_package(package)?;
        Some(Upcoming { kernel, package: package.to_owned(), version: version.to_owned() })
    };
    text.lines().filter_map(of).collect()
}

/// The kernel whose image or headers a package of Debian's and its like has.
fn of_debian_package(package: &str) -> Option<KernelRelease> {
    const PREFIXES: [&str; 5] =
        ["linux-image-unsigned-", "linux-image-", "linux-headers-", "proxmox-kernel-", "pve-kernel-"];
    let release = PREFIXES.iter().find_map(|prefix| package.strip_prefix(prefix))?;
    if release.ends_with("-dbg") || release.ends_with("-dbgsym") {
        return None;
    }
    let release =
        ["-unsigned", "-signed"].iter().find_map(|end| release.strip_suffix(end)).unwrap_or(release);
    debian_kernel(&format!("linux-headers-{release}")).map(|(kernel, _)| kernel)
}

/// Lines of dnf's: `kernel-core.x86_64   6.12.9-1.el10   baseos`, up to what it lists as obsolete.
fn of_check_update(text: &str, arch: &Arch) -> Vec<Upcoming> {
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        let ((name, of), version) = (words.next()?.rsplit_once('.')?, words.next()?);
        let version = version.split_once(':').map_or(version, |(_, rest)| rest);
        if of != arch.as_str() || !version.contains('-') {
            return None;
        }
        let rest = name.strip_prefix("kernel")?;
        let flavour = rest.strip_suffix("-core").unwrap_or(rest).trim_start_matches('-');
        const KINDS: [&str; 7] = ["", "uek", "ml", "lt", "rt", "64k", "zfcpdump"];
        let is_versioned = flavour.starts_with(|c: char| c.is_ascii_digit()) && flavour != "64k";
        if !KINDS.contains(&flavour) && !is_versioned {
            return None;
        }
        let variant =
            if ["rt", "64k", "zfcpdump"].contains(&flavour) { format!("+{flavour}") } else { String::new() };
        let kernel = KernelRelease::new(format!("{version}.{of}{variant}")).ok()?;
        Some(Upcoming { kernel, package: name.to_owned(), version: version.to_owned() })
    };
    text.lines().take_while(|line| !line.starts_with("Obsolet")).filter_map(of).collect()
}

/// Lines of pacman's: `linux 6.12.1.arch1-1 -> 6.12.4.arch1-1`; what is held back has `[ignored]` behind it.
fn of_query(text: &str) -> Vec<Upcoming> {
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, _, "->", version] = words[..] else { return None };
        let flavour = match name.strip_prefix("linux")? {
            "" => "",
            // Documentation, firmware and the headers themselves are no kernels.
            other => other.strip_prefix('-').filter(|other| {
                !["headers", "docs", "api-headers", "tools"].contains(other)
                    && !other.ends_with("-headers")
                    && !other.ends_with("-docs")
                    && !other.starts_with("firmware")
            })?,
        };
        let kernel = KernelRelease::new(arch_release(version, flavour)).ok()?;
        Some(Upcoming { kernel, package: name.to_owned(), version: version.to_owned() })
    };
    text.lines().filter_map(of).collect()
}

/// `6.12.4.arch1-1` is `6.12.4-arch1-1`; of `linux-lts` `6.6.63-1` is `6.6.63-1-lts`.
fn arch_release(version: &str, flavour: &str) -> String {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let (numbers, release) = version.rsplit_once('-').unwrap_or((version, "1"));
    let mut parts: Vec<String> = numbers.split('.').map(str::to_owned).collect();
    let word = parts.iter().position(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
    let behind = word.map(|at| parts.split_off(at).join("."));
    // The first release of a line has no third number in its version.
    if parts.len() == 2 {
        parts.push("0".to_owned());
    }
    let mut text = parts.join(".");
    text.extend(behind.map(|behind| format!("-{behind}")));
    text.push_str(&format!("-{release}"));
    if !flavour.is_empty() {
        text.push_str(&format!("-{flavour}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[Upcoming]) -> Vec<String> {
        found.iter().map(|one| format!("{} {} {}", one.kernel, one.package, one.version)).collect()
    }

    #[test]
    fn a_simulated_upgrade_names_the_kernels_that_come() {
        let text = "NOTE: This is only a simulation!\nInst bash [5.2.15-2+b7] (5.2.15-2+b8 Debian:12.8/stable [amd64])\n\
                    Inst linux-image-6.1.0-57-amd64 (6.1.192-3 Debian-Security:12/stable-security [amd64])\n\
                    Inst linux-image-amd64 [6.1.190-1] (6.1.192-3 Debian-Security:12/stable-security [amd64])\n\
                    Inst linux-headers-6.1.0-57-common (6.1.192-3 Debian:12 [all])\n\
                    Inst linux-image-6.1.0-57-amd64-dbg (6.1.192-3 Debian:12 [amd64])\n\
                    Inst linux-image-6.1.0-58-cloud-amd64:amd64 [6.1.1-1] (6.1.193-1 Debian:12 [amd64])\n\
                    Inst proxmox-kernel-6.8.12-4-pve-signed (6.8.12-4 Proxmox [amd64])\n\
                    Conf linux-image-6.1.0-57-amd64 (6.1.192-3 Debian:12 [amd64])\n";
        let found = of_simulation(text);
        assert_eq!(
            shown(&found),
            [
                "6.1.0-57-amd64 linux-image-6.1.0-57-amd64 6.1.192-3",
                "6.1.0-58-cloud-amd64 linux-image-6.1.0-58-cloud-amd64 6.1.193-1",
                "6.8.12-4-pve proxmox-kernel-6.8.12-4-pve-signed 6.8.12-4",
            ]
        );
        let running = KernelRelease::new("6.1.0-50-amd64").unwrap();
        assert_eq!(chosen(found.clone(), Some(&running)).unwrap().kernel.as_str(), "6.1.0-57-amd64");
        assert_eq!(chosen(found, None).unwrap().kernel.as_str(), "6.8.12-4-pve");
        assert_eq!(chosen(of_simulation("Inst x (1 y)\nInst\nInst a b\n"), None), None);
    }

    #[test]
    fn a_list_of_updates_names_the_kernels_of_this_architecture() {
        let text = "\nkernel.x86_64                6.12.0-55.el10      baseos\nkernel-core.x86_64    6.12.0-55.el10   baseos\n\
                    kernel-rt-core.x86_64 6.12.0-55.el10 rt\nkernel-core.aarch64 6.12.0-55.el10 baseos\nkernel-tools.x86_64 6.12.0-55.el10 baseos\n\
                    kernel6.12.x86_64 1:6.12.9-3.amzn2023 amazonlinux\nkernel-devel.x86_64 6.12.0-55.el10 baseos\n\
                    Obsoleting packages\nkernel-core.x86_64 9.0-1 x\n";
        let found = of_check_update(text, &Arch::new("x86_64").unwrap());
        assert_eq!(
            shown(&found),
            [
                "6.12.0-55.el10.x86_64 kernel 6.12.0-55.el10",
                "6.12.0-55.el10.x86_64 kernel-core 6.12.0-55.el10",
                "6.12.0-55.el10.x86_64+rt kernel-rt-core 6.12.0-55.el10",
                "6.12.9-3.amzn2023.x86_64 kernel6.12 6.12.9-3.amzn2023",
            ]
        );
        let running = KernelRelease::new("6.12.0-50.el10.x86_64+rt").unwrap();
        assert_eq!(chosen(found, Some(&running)).unwrap().package, "kernel-rt-core");
    }

    #[test]
    fn a_query_names_kernels_and_not_what_is_held() {
        let text = "linux 6.12.1.arch1-1 -> 6.12.4.arch1-1\nlinux-lts 6.6.62-1 -> 6.6.63-1\nlinux-zen 6.12-1 -> 6.13.zen1-2 [ignored]\n\
                    linux-headers 6.12.1.arch1-1 -> 6.12.4.arch1-1\nlinux-firmware 1-1 -> 2-1\nlinux-zen-headers 1-1 -> 2-1\nbash 5-1 -> 6-1\n";
        assert_eq!(
            shown(&of_query(text)),
            ["6.12.4-arch1-1 linux 6.12.4.arch1-1", "6.6.63-1-lts linux-lts 6.6.63-1"]
        );
        assert_eq!(arch_release("6.13.arch1-1", ""), "6.13.0-arch1-1");
        assert_eq!(arch_release("6.13.1.zen1-1", "zen"), "6.13.1-zen1-1-zen");
    }
}
