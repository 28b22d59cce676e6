//! depmod: the index of a kernel's modules, made again after they changed. Once per kernel and command;
//! when, the engine knows.

use std::path::{Path, PathBuf};

use super::InstallError;
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::host::process::Process;
use crate::id::KernelRelease;
use crate::kernel::KernelFacts;
use crate::layout::Layout;
use crate::report::{Event, Reporter};
use crate::tree::owed;

/// What became of a depmod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepmodOutcome {
    /// It ran.
    Ran,
    /// There was no `modules.dep`: nobody uses an index there.
    Skipped,
    /// It ran, and no module is left: the index was removed, and the kernel's folder if it was empty then.
    Emptied,
}

/// All that depmod writes; last the one without which there is no depmod, so that a depmod that dies
/// on the way can go on.
const WRITTEN: [&str; 11] = [
    "modules.alias",
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.weakdep",
    "modules.dep",
];

/// Runs depmod for a kernel, for which none is pending any more then.
///
/// # Errors
/// [`InstallError::Depmod`] where it fails; the old index is then as depmod left it (it replaces
/// each file by a rename).
pub fn depmod(
    kernel: &KernelFacts,
    layout: &Layout,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<DepmodOutcome, InstallError> {
    let dir = &kernel.module_dir;
    let files = |source: FsError| InstallError::DepmodFiles { kernel: kernel.target.kernel.clone(), source };
    let done = || owed::paid(layout, &kernel.target.kernel);
    if run(kernel, layout, environment, reporter)? == DepmodOutcome::Skipped {
        done();
        return Ok(DepmodOutcome::Skipped);
    }
    let empty = fs::stat(&dir.join("modules.dep")).map_err(files)?.is_some_and(|meta| meta.len() == 0);
    if !empty {
        done();
        return Ok(DepmodOutcome::Ran);
    }
    for name in WRITTEN {
        fs::remove_file(&dir.join(name)).map_err(files)?;
    }
    fs::remove_dir_if_empty(dir).map_err(files)?;
    done();
    Ok(DepmodOutcome::Emptied)
}

/// Gives a kernel that is unpacked and not configured yet an index of nothing, so that depmod runs for what
/// is installed there before the kernel's own package runs it. Not where no package has put modules.
///
/// # Errors
/// [`FsError`].
pub fn begin_index(kernel: &KernelRelease, layout: &Layout) -> Result<(), FsError> {
    let dir = layout.kernel_dir(kernel);
    let index = dir.join("modules.dep");
    if fs::is_file(&dir.join("modules.order")) && !fs::exists(&index) {
        fs::write_whole(&index, b"", 0o644)?;
    }
    Ok(())
}

/// Whether a kernel has an index that a depmod would make again.
#[must_use]
pub fn has_index(kernel: &KernelFacts) -> bool {
    fs::exists(&kernel.module_dir.join("modules.dep"))
}

/// Runs depmod for a kernel; an index of nothing stays.
///
/// # Errors
/// As [`depmod`].
pub fn index(
    kernel: &KernelFacts,
    layout: &Layout,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<DepmodOutcome, InstallError> {
    let outcome = run(kernel, layout, environment, reporter)?;
    owed::paid(layout, &kernel.target.kernel);
    Ok(outcome)
}

fn run(
    kernel: &KernelFacts,
    layout: &Layout,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<DepmodOutcome, InstallError> {
    let release = &kernel.target.kernel;
    let dir = &kernel.module_dir;
    if !has_index(kernel) {
        reporter.report(Event::note(format!(
            "no depmod for {release}: `{}` does not exist",
            dir.join("modules.dep").display()
        )));
        return Ok(DepmodOutcome::Skipped);
    }
    let files = |source: FsError| InstallError::DepmodFiles { kernel: release.clone(), source };
    let base = Base::of(layout).map_err(files)?;
    let mut arguments = vec!["-a".to_owned(), release.to_string()];
    let system_map = layout.system_map(release);
    if fs::is_file(&system_map) {
        arguments.extend(["-F".to_owned(), system_map.display().to_string()]);
    }
    if let Some(path) = base.path() {
        arguments.extend(["-b".to_owned(), path.display().to_string()]);
    }
    let process = Process::new("depmod", arguments, environment);
    let before = written(dir);
    reporter.report(Event::Command { line: process.line() });
    let ended = process.capture()?;
    let (code, output) = (ended.code(), ended.text().trim_end().to_owned());
    if code != 0 {
        return Err(InstallError::Depmod { kernel: release.clone(), line: process.line(), code, output });
    }
    // It ends with 0 also where it could not write a single file.
    if written(dir) == before {
        let output = if output.is_empty() { "it has written no new modules.dep".to_owned() } else { output };
        return Err(InstallError::Depmod { kernel: release.clone(), line: process.line(), code, output });
    }
    if !output.is_empty() {
        reporter.report(Event::note(output));
    }
    Ok(DepmodOutcome::Ran)
}

/// What tells one modules.dep from another: depmod replaces the file whenever it runs.
fn written(dir: &std::path::Path) -> Option<(u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::stat(&dir.join("modules.dep")).ok()??;
    Some((meta.ino(), meta.ctime(), meta.ctime_nsec()))
}

/// depmod knows `BASE/lib/modules/K` only: the base that makes it look into our install tree.
enum Base {
    /// The tree is the system's own.
    System,
    /// The tree is `BASE/lib/modules`.
    Above(PathBuf),
    /// The tree is some other folder: a base of our own, removed with this value, whose
    /// `lib/modules` links to it.
    Linked(PathBuf),
}

impl Base {
    fn of(layout: &Layout) -> Result<Self, FsError> {
        let tree = fs::canonical(&layout.install_tree)?;
        if fs::canonical(Path::new("/lib/modules")).is_ok_and(|system| system == tree) {
            return Ok(Self::System);
        }
        if let Some(above) = tree.parent().filter(|_| tree.ends_with("lib/modules")).and_then(Path::parent) {
            return Ok(Self::Above(above.to_owned()));
        }
        let base = fs::temporary_beside(&layout.dkms_tree.join("depmod"));
        fs::create_dir_all(&base.join("lib"))?;
        let linked = Self::Linked(base.clone());
        fs::symlink(&tree, &base.join("lib/modules"))?;
        Ok(linked)
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::System => None,
            Self::Above(path) | Self::Linked(path) => Some(path),
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if let Self::Linked(path) = self {
            // A leftover is a temporary folder that the next command sweeps.
            drop(fs::remove_tree(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KERNEL, World, module};
    use super::*;

    fn run(world: &World) -> Result<DepmodOutcome, InstallError> {
        depmod(&world.kernel, &world.layout, &world.environment, &world.said)
    }

    #[test]
    fn the_index_knows_the_installed_module_wherever_the_tree_is() {
        for tree in ["lib/modules", "opt/t"] {
            let mut world = World::new();
            world.layout.install_tree = world.root().join(tree);
            world.kernel.module_dir = world.layout.install_tree.join(KERNEL);
            world.write(&world.in_kernel("modules.order"), b"");
            world.write(&world.in_kernel("modules.builtin"), b"");
            assert_eq!(run(&world).unwrap(), DepmodOutcome::Skipped);
            world.write(&world.in_kernel("updates/dkms/foo.ko"), &module("1.0", KERNEL));
            world.write(&world.in_kernel("updates/dkms/.tmp_1_0_bar.ko.new"), &module("1.0", KERNEL));
            world.write(&world.in_kernel("modules.dep"), b"");
            assert_eq!(run(&world).unwrap(), DepmodOutcome::Ran);
            assert_eq!(fs::read_lossy(&world.in_kernel("modules.dep")).unwrap(), "updates/dkms/foo.ko:\n");
            assert_eq!(fs::list(&world.layout.dkms_tree).unwrap().len(), 0, "no base is left");

            fs::remove_tree(&world.in_kernel("updates")).unwrap();
            assert_eq!(run(&world).unwrap(), DepmodOutcome::Emptied);
            assert_eq!(
                fs::list(&world.kernel.module_dir).unwrap().len(),
                2,
                "what depmod did not write stays"
            );
            world.write(&world.in_kernel("modules.dep"), b"");
            for name in ["modules.order", "modules.builtin"] {
                fs::remove_file(&world.in_kernel(name)).unwrap();
            }
            assert_eq!(run(&world).unwrap(), DepmodOutcome::Emptied);
            assert!(!fs::exists(&world.kernel.module_dir));
        }
    }

    #[test]
    fn a_kernel_with_modules_gets_an_index() {
        let world = World::new();
        let release = &world.kernel.target.kernel;
        begin_index(release, &world.layout).unwrap();
        assert!(!fs::exists(&world.in_kernel("modules.dep")), "headers alone");
        world.write(&world.in_kernel("modules.order"), b"");
        begin_index(release, &world.layout).unwrap();
        world.write(&world.in_kernel("updates/dkms/foo.ko"), &module("1.0", KERNEL));
        assert_eq!(run(&world).unwrap(), DepmodOutcome::Ran);
        let known = fs::read_lossy(&world.in_kernel("modules.dep")).unwrap();
        begin_index(release, &world.layout).unwrap();
        assert_eq!(fs::read_lossy(&world.in_kernel("modules.dep")).unwrap(), known);
    }

    #[test]
    fn a_failure_names_kernel_and_command() {
        let mut world = World::new();
        world.write(&world.in_kernel("modules.dep"), b"");
        let fake = world.root().join("bin/depmod");
        world.write(&fake, b"#!/bin/sh\necho \"$@\"; exit 3\n");
        fs::set_mode(&fake, 0o755).unwrap();
        world.write(&world.layout.system_map(&world.kernel.target.kernel), b"");
        world.environment.set("PATH", fake.parent().unwrap().to_string_lossy());
        let error = run(&world).unwrap_err();
        let InstallError::Depmod { code, output, .. } = &error else { panic!("{error}") };
        let root = world.root().display();
        assert_eq!(
            (*code, output.clone()),
            (3, format!("-a {KERNEL} -F {root}/boot/System.map-{KERNEL} -b {root}"))
        );
    }
}
