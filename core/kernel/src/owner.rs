//! The package that a kernel belongs to, as the package manager's database says: dpkg's and pacman's
//! are read, rpm is asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;

use super::distribution::{Distribution, Family};

/// A package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its version, with rpm's release behind it; empty: not known.
    pub version: String,
    /// Its architecture; empty: not known.
    pub arch: String,
}

impl Owner {
    /// The package that has a kernel. `None`: none has, or nothing can be found out; only
    /// advice depends on it.
    #[must_use]
    pub fn of(
        kernel: &KernelRelease,
        distribution: &Distribution,
        layout: &Layout,
        environment: &Environment,
    ) -> Option<Self> {
        match distribution.family {
            Family::Debian | Family::Ubuntu => of_dpkg(kernel, layout),
            Family::Fedora | Family::Rhel | Family::Suse => of_rpm(kernel, layout, environment),
            Family::Arch => of_pacman(kernel, layout),
            Family::Gentoo | Family::Other => None,
        }
    }

    /// The same by pacman's database.
    #[must_use]
    pub fn in_pacman(kernel: &KernelRelease, layout: &Layout) -> Option<Self> {
        of_pacman(kernel, layout)
    }
}

/// Files that only the package of the kernel itself has, best first.
fn files(kernel: &KernelRelease) -> [String; 4] {
    [
        format!("/boot/vmlinuz-{kernel}"),
        format!("/lib/modules/{kernel}/vmlinuz"),
        format!("/lib/modules/{kernel}/modules.order"),
        format!("/lib/modules/{kernel}/kernel"),
    ]
}

/// Which of some texts, lists of paths, has the best of the files.
fn best<'a>(kernel: &KernelRelease, lists: impl Iterator<Item = (String, String)> + 'a) -> Option<String> {
    let files = files(kernel);
    let mut found: Option<(usize, String)> = None;
    for (name, list) in lists {
        // Nearly no list has it.
        if !list.contains(kernel.as_str()) {
            continue;
        }
        let place = files.iter().position(|file| {
            let is = |line: &str| {
                let line = line.trim_end_matches('/').trim_start_matches('/');
                line.strip_prefix("usr/").unwrap_or(line) == &file[1..]
            };
            list.lines().any(is)
        });
        if let Some(place) = place
            && found.as_ref().is_none_or(|(best, _)| place < *best)
        {
            found = Some((place, name));
        }
    }
    found.map(|(_, name)| name)
}

fn of_dpkg(kernel: &KernelRelease, layout: &Layout) -> Option<Owner> {
    let info = layout.at("/var/lib/dpkg/info");
    let names: Vec<String> = fs::list(&info)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| Some(entry.name.to_str()?.strip_suffix(".list")?.to_owned()))
        .collect();
    let read = |name: &String| Some((name.clone(), fs::read_lossy(&info.join(format!("{name}.list"))).ok()?));
    let is_likely = |name: &&String| ["linux", "kernel"].iter().any(|word| name.contains(word));
    let likely = best(kernel, names.iter().filter(is_likely).filter_map(read));
    let name =
        likely.or_else(|| best(kernel, names.iter().filter(|name| !is_likely(name)).filter_map(read)))?;
    let name = name.split(':').next().unwrap_or_default().to_owned();
    let status = fs::read_lossy(&layout.at("/var/lib/dpkg/status")).unwrap_or_default();
    let about =
        status.split("\n\n").find(|about| about.lines().any(|line| line == format!("Package: {name}")));
    let field = |field: &str| {
        let lines = about.into_iter().flat_map(str::lines);
        lines.filter_map(|line| line.strip_prefix(field)).next().unwrap_or_default().to_owned()
    };
    let (version, arch) = (field("Version: "), field("Architecture: "));
    Some(Owner { name, version, arch })
}

fn of_pacman(kernel: &KernelRelease, layout: &Layout) -> Option<Owner> {
    let local = layout.at("/var/lib/pacman/local");
    let entries = fs::list(&local).unwrap_or_default();
    let read = |entry: fs::Entry| {
        let folder = entry.name.to_str()?.to_owned();
        let list = fs::read_lossy(&local.join(&folder).join("files")).ok()?;
        Some((folder, list))
    };
    let folder = best(kernel, entries.into_iter().filter_map(read))?;
    let about = fs::read_lossy(&local.join(folder).join("desc")).ok()?;
    let value = |name: &str| {
        let mut lines = about.lines().skip_while(|line| *line != name);
        lines.nth(1).unwrap_or_default().to_owned()
    };
    let name = value("%NAME%");
    (!name.is_empty()).then(|| Owner { name, version: value("%VERSION%"), arch: value("%ARCH%") })
}

fn of_rpm(kernel: &KernelRelease, layout: &Layout, environment: &Environment) -> Option<Owner> {
    let there: Vec<PathBuf> =
        files(kernel).iter().map(|file| layout.at(file)).filter(|file| fs::exists(file)).collect();
    there.iter().find_map(|file| ask_rpm(file, environment))
}

fn ask_rpm(file: &Path, environment: &Environment) -> Option<Owner> {
    let words: [OsString; 4] =
        ["-qf".into(), "--qf".into(), r"%{NAME} %{VERSION}-%{RELEASE} %{ARCH}\n".into(), file.into()];
    let ended = Process::new("rpm", words, environment).env("LC_ALL", "C.UTF-8").capture_stdout().ok()?;
    if !ended.status.success() {
        return None;
    }
    let text = ended.text();
    let mut words = text.lines().next()?.split(' ').map(str::to_owned);
    Some(Owner { name: words.next()?, version: words.next()?, arch: words.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(layout: &Layout, path: &str, text: &str) {
        let path = layout.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
    }

    fn owner(id: &str, layout: &Layout, kernel: &str) -> Option<String> {
        let environment = [("PATH", layout.at("/bin").to_str().unwrap())].into_iter().collect();
        let kernel = KernelRelease::new(kernel).unwrap();
        let owner = Owner::of(&kernel, &Distribution::parse(&format!("ID={id}")), layout, &environment)?;
        Some(format!("{} {} {}", owner.name, owner.version, owner.arch))
    }

    #[test]
    fn dpkg_knows_who_has_the_image_or_else_the_modules() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        assert_eq!(owner("debian", &layout, "6.1.0"), None);
        let modules = "/.\n/lib/modules/6.8.0-31-generic\n/lib/modules/6.8.0-31-generic/modules.order\n";
        write(&layout, "/var/lib/dpkg/info/linux-modules-6.8.0-31-generic.list", modules);
        write(
            &layout,
            "/var/lib/dpkg/info/linux-image-6.8.0-31-generic:amd64.list",
            "/boot/vmlinuz-6.8.0-31-generic\n",
        );
        write(&layout, "/var/lib/dpkg/info/own.list", "/usr/lib/modules/6.9.1/kernel\n");
        write(
            &layout,
            "/var/lib/dpkg/status",
            "Package: x\nVersion: 0\n\nPackage: linux-image-6.8.0-31-generic\nVersion: 6.8.0-31.31\nArchitecture: amd64\n\nPackage: y\n",
        );
        let image = "linux-image-6.8.0-31-generic 6.8.0-31.31 amd64";
        assert_eq!(owner("ubuntu", &layout, "6.8.0-31-generic").unwrap(), image);
        assert_eq!(owner("debian", &layout, "6.9.1").unwrap(), "own  ");
        assert_eq!(owner("debian", &layout, "6.8.0-31"), None);
    }

    #[test]
    fn pacman_knows_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let about = "%NAME%\nlinux-aarch64\n\n%VERSION%\n6.12.8-1\n\n%ARCH%\naarch64\n\n";
        write(&layout, "/var/lib/pacman/local/linux-aarch64-6.12.8-1/desc", about);
        let files = "%FILES%\nusr/lib/modules/6.12.8-1-aarch64-ARCH/kernel/\n";
        write(&layout, "/var/lib/pacman/local/linux-aarch64-6.12.8-1/files", files);
        assert_eq!(
            owner("arch", &layout, "6.12.8-1-aarch64-ARCH").unwrap(),
            "linux-aarch64 6.12.8-1 aarch64"
        );
    }

    #[test]
    fn rpm_is_asked_for_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let script = "#!/bin/sh\ncase $4 in */modules.order) echo kernel-core 6.12.0-1.fc41 x86_64 ;; *) exit 1 ;; esac\n";
        write(&layout, "/bin/rpm", script);
        fs::set_mode(&layout.at("/bin/rpm"), 0o755).unwrap();
        assert_eq!(owner("fedora", &layout, "6.12.0-1.fc41.x86_64"), None);
        write(&layout, "/lib/modules/6.12.0-1.fc41.x86_64/vmlinuz", "");
        write(&layout, "/lib/modules/6.12.0-1.fc41.x86_64/modules.order", "");
        assert_eq!(
            owner("fedora", &layout, "6.12.0-1.fc41.x86_64").unwrap(),
            "kernel-core 6.12.0-1.fc41 x86_64"
        );
    }
}
