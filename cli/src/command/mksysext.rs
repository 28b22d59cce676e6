//! `dkms mksysext`

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::id::{ModuleId, ModuleName, ModuleVersion, Target};
use dkms_core::plan::Refusal;
use dkms_core::tree::Snapshot;
use dkms_kernel::Release;
use dkms_packaging::sysext::{Extension, default_folder, default_name};

use super::package::{only_said, wrote};
use crate::failure::Failure;
use crate::session::{Session, absolute};

/// Writes a system extension with the modules that are named, or all that are built for the kernel.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    let target = target(session)?;
    let snapshot = session.snapshot()?;
    let modules = modules(session, &snapshot, &target)?;
    let path = place(session, &modules, &target)?;
    let release = Release::read(layout).map_err(|error| Failure::new(ExitCode::BROKEN, error.to_string()))?;
    let extension = Extension {
        layout,
        modules: &modules,
        target: &target,
        release: &release,
        path: &path,
        date: date(session),
        environment: session.environment,
        temporary: session.staging_folder()?,
    };
    extension.check()?;
    if !only_said(session, &path) {
        extension.write()?;
        wrote(session, &path);
    }
    Ok(())
}

/// The kernel; an extension is for one.
fn target(session: &Session<'_>) -> Result<Target, Failure> {
    match session.targets()?.as_slice() {
        [target] => Ok(target.clone()),
        targets => {
            let text = format!("a system extension is for one kernel, not for {}", targets.len());
            Err(Failure::new(ExitCode::BROKEN, text).hint("name one: -k K"))
        }
    }
}

fn modules(session: &Session<'_>, snapshot: &Snapshot, target: &Target) -> Result<Vec<ModuleId>, Failure> {
    let invocation = session.invocation;
    let mut ids = Vec::new();
    let one: Option<(ModuleName, Option<ModuleVersion>)> =
        invocation.name.clone().map(|name| (name, invocation.version.clone()));
    let named =
        if invocation.modules.is_empty() { one.into_iter().collect() } else { invocation.modules.clone() };
    for (name, version) in &named {
        let known = match version {
            Some(version) => {
                snapshot.get(&ModuleId::new(name.clone(), version.clone())).map(|_| version.clone())
            }
            None => of_kernel(snapshot, name, target),
        };
        match known {
            Some(version) => ids.push(ModuleId::new(name.clone(), version)),
            None => return Err(Refusal::UnknownModule { name: name.clone() }.into()),
        }
    }
    if named.is_empty() {
        let mut names: Vec<ModuleName> = snapshot.built_on(target).map(|id| id.name.clone()).collect();
        names.dedup();
        let newest =
            |name: ModuleName| Some(ModuleId::new(name.clone(), of_kernel(snapshot, &name, target)?));
        ids.extend(names.into_iter().filter_map(newest));
    }
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        let Target { kernel, arch } = target;
        let text = format!("no module is built for kernel {kernel} ({arch})");
        return Err(Failure::new(ExitCode::CANNOT_INSTALL, text)
            .hint(format!("build them first: `dkms autoinstall -k {kernel}`")));
    }
    Ok(ids)
}

/// The version that is installed on a kernel; else the newest that is built for it, else the newest.
fn of_kernel(snapshot: &Snapshot, name: &ModuleName, target: &Target) -> Option<ModuleVersion> {
    let versions = snapshot.versions(name);
    let newest = |ids: Vec<&ModuleId>| {
        let order = |a: &&ModuleId, b: &&ModuleId| {
            dkms_base::version::compare(a.version.as_str(), b.version.as_str())
        };
        ids.into_iter().max_by(order).map(|id| id.version.clone())
    };
    let built = versions.iter().copied().filter(|id| snapshot.is_built(id, target)).collect();
    let installed = snapshot.installed_version(name, target).cloned();
    installed.or_else(|| newest(built)).or_else(|| newest(versions))
}

/// Where it goes: `--archive`, else below the only module's folder in the tree, else the working folder.
fn place(session: &Session<'_>, modules: &[ModuleId], target: &Target) -> Result<PathBuf, Failure> {
    if let Some(path) = &session.args().archive {
        return Ok(absolute(path));
    }
    let name = default_name(modules, target);
    Ok(match modules {
        [id] => default_folder(&session.settings.layout, id).join(name),
        _ => absolute(Path::new(&name)),
    })
}

/// `SOURCE_DATE_EPOCH`, else 1980: nothing in it has a time of its own, and no tool takes an earlier one.
fn date(session: &Session<'_>) -> u64 {
    const EARLY: u64 = 315_532_800;
    session.environment.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()).unwrap_or(EARLY)
}
