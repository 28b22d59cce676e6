//! The architecture and the release that are meant where none is named.

use dkms_base::host::Environment;
use dkms_base::host::process::{Process, ProcessError};
use dkms_base::id::{Arch, IdError, KernelRelease};
use dkms_base::layout::Layout;

use super::distribution::Distribution;
use super::machine::Machine;

/// The kernel that runs, as `uname -r` prints it.
///
/// # Errors
/// [`IdError`] where it is no release that a folder can be named after.
pub fn running_kernel() -> Result<KernelRelease, IdError> {
    KernelRelease::new(rustix::system::uname().release().to_string_lossy())
}

/// The architecture of a kernel where none is named: on families with rpm that of the package which owns
/// the kernel's module folder; otherwise, and where none owns it, that of the kernel's configuration or
/// modules, in the word of `uname -m` where that says the same; what `uname -m` prints where nothing
/// is known of the kernel. `None` where even that is unusable.
///
/// The programs of the system, and its packages, may be for another machine than its kernels.
///
/// # Errors
/// [`ProcessError`] only where we were interrupted; rpm not being there is fine.
pub fn default_arch(
    distribution: &Distribution,
    kernel: &KernelRelease,
    layout: &Layout,
    environment: &Environment,
) -> Result<Option<Arch>, ProcessError> {
    if distribution.family.uses_rpm()
        && let Some(arch) = arch_of_owner(kernel, layout, environment)?
    {
        return Ok(Some(arch));
    }
    let running = rustix::system::uname();
    let running = running.machine().to_string_lossy();
    Ok(Arch::new(word(Machine::of_kernel(kernel, layout), &running)).ok())
}

/// The word for a kernel's machine, where the running kernel has that for its own.
fn word(machine: Option<Machine>, running: &str) -> &str {
    match machine {
        Some(machine) if Machine::named(running) != Some(machine) => machine.word(),
        _ => running,
    }
}

/// What rpm says of the package that owns `/lib/modules/K`.
fn arch_of_owner(
    kernel: &KernelRelease,
    layout: &Layout,
    environment: &Environment,
) -> Result<Option<Arch>, ProcessError> {
    let folder = layout.kernel_dir(kernel);
    let args = ["-qf".into(), "--qf".into(), r"%{ARCH}\n".into(), folder.into_os_string()];
    match Process::new("rpm", args, environment).env("LC_ALL", "C.UTF-8").capture_stdout() {
        Ok(ended) if ended.status.success() => {
            Ok(ended.text().lines().next().and_then(|arch| Arch::new(arch.trim()).ok()))
        }
        Ok(_) | Err(ProcessError::Start { .. }) => Ok(None),
        Err(interrupted) => Err(interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::host::fs;

    /// A folder with an `rpm` that runs `script`, as the PATH.
    fn with_rpm(script: &str) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("#!/bin/sh\n{script}\n");
        fs::write_whole(&dir.path().join("rpm"), script.as_bytes(), 0o755).unwrap();
        let environment = [("PATH", dir.path().to_str().unwrap())].into_iter().collect();
        (dir, environment)
    }

    fn arch(id: &str, environment: &Environment) -> String {
        let kernel = KernelRelease::new("6.5.0").unwrap();
        let distribution = Distribution::parse(&format!("ID={id}"));
        let arch = default_arch(&distribution, &kernel, &Layout::under("/r"), environment);
        arch.unwrap().unwrap().to_string()
    }

    #[test]
    fn the_kernel_says_what_it_is_for() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let environment = [("PATH", "/nonexistent")].into_iter().collect();
        let arch = |kernel: &str| {
            let kernel = KernelRelease::new(kernel).unwrap();
            let debian = Distribution::parse("ID=raspbian\nID_LIKE=debian");
            default_arch(&debian, &kernel, &layout, &environment).unwrap().unwrap().to_string()
        };
        let write = |path: &str, bytes: &[u8]| {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, bytes, 0o644).unwrap();
        };
        write("/lib/modules/6.12.25-v8/build/.config", b"CONFIG_ARM64=y\n");
        write("/boot/config-6.12.25-v7l", b"CONFIG_ARM=y\n");
        write("/lib/modules/6.12.25-s390/kernel/fs/a.ko", &super::super::machine::tests::elf(Machine::S390X));
        assert_eq!(arch("6.12.25-v8"), "aarch64");
        assert_eq!(arch("6.12.25-v7l"), "armv7l");
        assert_eq!(arch("6.12.25-s390"), "s390x");
        assert_eq!(arch("6.12.25"), rustix::system::uname().machine().to_str().unwrap());
        // The running kernel's own word is kept.
        assert_eq!(word(Some(Machine::Arm), "armv6l"), "armv6l");
        assert_eq!(word(Some(Machine::Arm64), "armv8l"), "aarch64");
        assert_eq!(word(Some(Machine::X86), "x86_64"), "i686");
        assert_eq!(word(None, "mips64"), "mips64");
    }

    #[test]
    fn rpm_is_asked_on_its_families_only() {
        let machine = rustix::system::uname().machine().to_str().unwrap().to_owned();
        let (_dir, environment) = with_rpm(r#"[ "$4" = /r/lib/modules/6.5.0 ] && echo i686 && echo x86_64"#);
        assert_eq!(arch("fedora", &environment), "i686");
        assert_eq!(arch("sles", &environment), "i686");
        assert_eq!(arch("debian", &environment), machine);
        let (_dir, environment) = with_rpm("echo 'file is not owned by any package'; exit 1");
        assert_eq!(arch("fedora", &environment), machine);
        let nowhere = [("PATH", "/nonexistent")].into_iter().collect();
        assert_eq!(arch("fedora", &nowhere), machine);
    }
}
