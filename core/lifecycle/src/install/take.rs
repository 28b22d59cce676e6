//! Uninstall: take out what is ours, put back what the kernel had.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::changes::Changes;
use super::hooks::run_hook;
use super::identity::is_same_module;
use super::journal::Journal;
use super::{InstallError, Place, find, modprobe_conf, originals, owners, weak};
use crate::conf::ModuleConf;
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::host::process::Process;
use crate::kernel::Family;
use crate::kernel::module_tree::ModuleTree;
use crate::modfile::ModuleFile;
use crate::report::{Event, Reporter};
use crate::script::Hook;

/// What became of an uninstall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uninstalled {
    /// This version was not installed there; said, nothing done.
    NotInstalled,
    /// It was taken out.
    Done {
        /// The files that were removed.
        removed: Vec<PathBuf>,
        /// The originals that were put back.
        restored: Vec<PathBuf>,
    },
}

/// Takes the modules out of the kernel's folder: everything but depmod.
///
/// `conf`: `None` where it can't be read; then the built modules' names are gone by, and no script runs.
///
/// # Errors
/// [`InstallError`]; then everything is as before.
pub fn uninstall(
    place: &Place<'_>,
    conf: Option<&ModuleConf>,
    reporter: &dyn Reporter,
) -> Result<Uninstalled, InstallError> {
    let failed = |source| place.failed("uninstall", source);
    let ours = place.is_linked().map_err(failed)?;
    if !(ours && fs::is_dir(&place.built_dir())) {
        if ours {
            // It leads nowhere, and says what isn't so.
            fs::remove_file(&place.link()).map_err(failed)?;
        }
        reporter.report(Event::note(format!(
            "{} is not installed for {}, skipped",
            place.id,
            place.target()
        )));
        return Ok(Uninstalled::NotInstalled);
    }
    let files = installed_files(place, conf, reporter).map_err(failed)?;
    if conf.is_none_or(|conf| !conf.no_weak_modules) {
        weak::update(place, weak::Links::Remove, &files, reporter)?;
    }
    let mut changes = Changes::new(Journal::new(place));
    match take_out(place, conf, &files, &mut changes, reporter) {
        Ok(restored) => {
            changes.keep(|dir| !is_owned_by_package(place.family, dir, place.environment));
            if let Some(conf) = conf {
                // All is done; who was interrupted sees that at the next step.
                drop(run_hook(place, conf, Hook::PostRemove, reporter));
            }
            Ok(Uninstalled::Done { removed: files, restored })
        }
        Err(source) => match changes.undo() {
            Ok(()) => Err(failed(source)),
            Err(undo) => Err(InstallError::NotUndone { cause: Box::new(failed(source)), undo }),
        },
    }
}

fn take_out(
    place: &Place<'_>,
    conf: Option<&ModuleConf>,
    files: &[PathBuf],
    changes: &mut Changes,
    reporter: &dyn Reporter,
) -> Result<Vec<PathBuf>, FsError> {
    for file in files {
        reporter.report(Event::note(format!("removing `{}`", file.display())));
        changes.take(file)?;
        if let Some(folder) = file.parent() {
            changes.prune_when_kept(folder, place.kernel_dir());
        }
    }
    let own_folder = |name: &str| {
        let record = conf?.modules.iter().find(|record| record.dest_name == name)?;
        Some(super::destination_folder(place.kernel_dir(), record, None))
    };
    let restored = originals::restore(place, own_folder, changes, reporter)?;
    for file in files {
        let is_taken = restored.iter().any(|one| one.to == *file);
        if let (Some(module), Some(folder), false) = (ModuleFile::from_path(file), file.parent(), is_taken) {
            owners::put_back(place, &module.stem, folder, changes, reporter)?;
        }
    }
    owners::take_from_archives(place, changes, reporter)?;
    changes.take(&place.link())?;
    originals::forget(place, restored.iter().map(|one| one.file.as_str()), changes)?;
    modprobe_conf::take(changes, place)?;
    changes.commit(|| place.note_owed())?;
    changes.settle()?;
    Ok(restored.into_iter().map(|one| one.to).collect())
}

/// The installed files that are ours; those that aren't, or are gone, are reported.
fn installed_files(
    place: &Place<'_>,
    conf: Option<&ModuleConf>,
    reporter: &dyn Reporter,
) -> Result<Vec<PathBuf>, FsError> {
    let built_dir = place.built_dir();
    let mut names: BTreeSet<String> = find::names_in(&built_dir)?.into_iter().collect();
    names.extend(conf.into_iter().flat_map(ModuleConf::included).map(|record| record.dest_name.clone()));
    let folders: Vec<_> = names.iter().map(|name| folder_of(place, conf, name)).collect();
    // A name that the conf doesn't know may be anywhere.
    let homeless = folders.contains(&None);
    let tree = if homeless { ModuleTree::walk(place.kernel_dir())? } else { ModuleTree::default() };
    let mut files = Vec::new();
    for (name, folder) in names.iter().zip(&folders) {
        let built = find::in_folder(&built_dir, name, place.kernel.compression);
        let candidates = match folder {
            Some(folder) => find::all_in_folder(folder, name),
            None => find::in_kernel(&tree, place.kernel_dir(), name),
        };
        let (ours, others): (Vec<PathBuf>, Vec<PathBuf>) =
            candidates.into_iter().partition(|file| is_ours(place, built.as_deref(), file));
        if ours.is_empty() {
            let looked_in = folder.as_deref().unwrap_or(place.kernel_dir());
            let text = match others.first() {
                Some(other) => {
                    format!("`{}` stays: it is not what was built of {}", other.display(), place.id)
                }
                None => format!("`{name}` of {} was not found in `{}`", place.id, looked_in.display()),
            };
            reporter.report(Event::note(text));
        }
        files.extend(ours);
    }
    Ok(files)
}

/// The folder where a module of that name was put, as far as conf or distribution say.
fn folder_of(place: &Place<'_>, conf: Option<&ModuleConf>, name: &str) -> Option<PathBuf> {
    let record = conf.and_then(|conf| conf.modules.iter().find(|record| record.dest_name == name));
    match (record, place.module_folder) {
        (Some(record), _) => Some(place.folder(record)),
        (None, Some(folder)) => Some(place.kernel_dir().join(folder.trim_matches('/'))),
        (None, None) => None,
    }
}

/// The built module, or a link into our tree. Where the built one is gone: what is in the folder that only
/// DKMS installs into.
fn is_ours(place: &Place<'_>, built: Option<&Path>, file: &Path) -> bool {
    let tree = place.layout.module_dir(&place.id.name);
    let linked = fs::link_target(file).ok().flatten().is_some_and(|target| target.starts_with(tree));
    let only_dkms = || file.parent().is_some_and(|folder| folder == place.kernel_dir().join("updates/dkms"));
    linked || built.map_or_else(only_dkms, |built| is_same_module(built, file))
}

/// Whether rpm says that a package owns a folder.
pub(super) fn is_owned_by_package(family: Family, dir: &Path, environment: &Environment) -> bool {
    matches!(family, Family::Fedora | Family::Rhel | Family::Suse)
        && Process::new("rpm", ["-qf".as_ref(), dir.as_os_str()], environment)
            .capture()
            .is_ok_and(|ended| ended.code() == 0)
}
