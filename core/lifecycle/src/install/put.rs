//! Install: decide per module, stage everything, make it visible step by step, and take all of it
//! back where one fails.

use std::path::{Path, PathBuf};

use super::changes::Changes;
use super::hooks::{pre_install, run_hook};
use super::identity::{Verdict, is_same_module, judge, version_text};
use super::journal::Journal;
use super::{
    Force, InstallError, Options, Place, Put, VersionCheck, find, forced, modprobe_conf, originals, owners,
    weak,
};
use crate::conf::ModuleConf;
use crate::conf::module::ModuleRecord;
use crate::host::fs::{self, FsError};
use crate::kernel::module_tree::ModuleTree;
use crate::kernel::prebuilt::package_of;
use crate::modfile::damage;
use crate::report::{Event, Reporter};
use crate::script::Hook;

/// Where nobody but dkms puts modules.
const OWN_FOLDER: &str = "/updates/dkms";

/// A module that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The one in the kernel's folder that stays.
    pub present: PathBuf,
    /// Why.
    pub because: SkippedBecause,
}

/// Why a module was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkippedBecause {
    /// The kernel's is newer; reported as a failure.
    Older,
    /// The kernel's is the same; said.
    Same,
}

/// What an install did. It can be taken back until it is [kept](Self::keep): keep it once depmod went well.
#[derive(Debug)]
#[must_use = "an install is either kept or undone"]
pub struct Installed {
    /// The files that were put in place.
    pub files: Vec<PathBuf>,
    /// The modules that were left out.
    pub skipped: Vec<Skipped>,
    /// Whether no version of the module was installed there before.
    pub first: bool,
    changes: Changes,
}

impl Installed {
    /// It stays: what was kept for undoing goes.
    pub fn keep(self) {
        self.changes.keep(|_| true);
    }

    /// Takes all back: the modules, the link, the originals. `POST_REMOVE` runs where the
    /// install was the first.
    ///
    /// # Errors
    /// [`InstallError::Files`] where something could not be put back.
    pub fn undo(
        self,
        place: &Place<'_>,
        conf: &ModuleConf,
        reporter: &dyn Reporter,
    ) -> Result<(), InstallError> {
        if !conf.no_weak_modules {
            // Interrupted or not, what is on disk goes back.
            drop(weak::update(place, weak::Links::Remove, &self.files, reporter));
        }
        self.changes.undo().map_err(|source| place.failed("undo the install of", source))?;
        if self.first {
            drop(run_hook(place, conf, Hook::PostRemove, reporter));
        }
        Ok(())
    }
}

/// One module that is going to be installed.
struct Candidate<'a> {
    record: &'a ModuleRecord,
    built: PathBuf,
    folder: PathBuf,
}

impl Candidate<'_> {
    fn destination(&self) -> PathBuf {
        self.folder.join(find::file_name(&self.built))
    }
}

/// Puts the built modules in place: everything but depmod.
///
/// # Errors
/// [`InstallError`]; then everything is as before.
pub fn install(
    place: &Place<'_>,
    conf: &ModuleConf,
    options: Options,
    reporter: &dyn Reporter,
) -> Result<Installed, InstallError> {
    let kernel_dir = place.kernel_dir();
    if !fs::is_dir(kernel_dir) {
        return Err(InstallError::NoKernelFolder { on: place.subject(), path: kernel_dir.to_owned() });
    }
    let candidates = candidates(place, conf)?;
    let options = with_lists(place, options, reporter).map_err(|source| place.failed("install", source))?;
    pre_install(place, conf, options.force, reporter)?;

    let mut work = Work::new(place, options, reporter);
    let files = |source| place.failed("install", source);
    let result = work.put_all(&candidates, conf).map_err(files).and_then(|()| {
        if work.done.files.is_empty() && !candidates.is_empty() {
            return Err(InstallError::NothingInstalled { on: place.subject() });
        }
        after(place, conf, &work.done, reporter)?;
        work.done.changes.settle().map_err(files)
    });
    match result {
        Ok(()) => Ok(work.done),
        Err(cause) => match work.done.changes.undo() {
            Ok(()) => Err(cause),
            Err(undo) => Err(InstallError::NotUndone { cause: Box::new(cause), undo }),
        },
    }
}

/// The modules to install; every one of them was built.
fn candidates<'a>(place: &Place<'_>, conf: &'a ModuleConf) -> Result<Vec<Candidate<'a>>, InstallError> {
    let dir = place.built_dir();
    let preferred = place.kernel.compression;
    let one = |record: &'a ModuleRecord| match find::in_folder(&dir, &record.dest_name, preferred) {
        // What was damaged since it was built must not take the place of one that works.
        Some(built) => match damage(&built) {
            Some(why) => Err(InstallError::BuiltDamaged { on: place.subject(), path: built, why }),
            None => Ok(Candidate { record, built, folder: place.folder(record) }),
        },
        None => Err(InstallError::BuiltMissing {
            on: place.subject(),
            module: record.dest_name.clone(),
            dir: dir.clone(),
        }),
    };
    conf.included().map(one).collect()
}

/// The options, with what the lists of modules to force add to them.
fn with_lists(place: &Place<'_>, mut options: Options, reporter: &dyn Reporter) -> Result<Options, FsError> {
    let listed = forced::listed(place.layout, &place.id.name)?;
    let dir = place.layout.force_install_dir();
    if listed.force && options.force == Force::No {
        reporter.report(Event::note(format!("{} is forced: it is listed in `{}`", place.id, dir.display())));
        options.force = Force::Yes;
    }
    if listed.version_override && options.version_check != VersionCheck::Overridden {
        let text = format!("{} is installed over any version: it is listed in `{}`", place.id, dir.display());
        reporter.report(Event::note(text));
        options.version_check = VersionCheck::Overridden;
    }
    Ok(options)
}

/// What follows the files: weak modules and `POST_INSTALL`. Their failures are warnings.
fn after(
    place: &Place<'_>,
    conf: &ModuleConf,
    done: &Installed,
    reporter: &dyn Reporter,
) -> Result<(), InstallError> {
    if !conf.no_weak_modules {
        weak::update(place, weak::Links::Add, &done.files, reporter)?;
    }
    run_hook(place, conf, Hook::PostInstall, reporter)
}

/// An install on its way.
struct Work<'a> {
    place: &'a Place<'a>,
    options: Options,
    reporter: &'a dyn Reporter,
    done: Installed,
}

/// What a module's install makes visible, when all of the package is staged.
struct Staged {
    file: PathBuf,
    destination: PathBuf,
    /// Files that ours takes the place of from elsewhere.
    replaces: Vec<PathBuf>,
}

impl<'a> Work<'a> {
    fn new(place: &'a Place<'a>, options: Options, reporter: &'a dyn Reporter) -> Self {
        let first = !fs::exists(&place.link());
        let changes = Changes::new(Journal::new(place));
        let done = Installed { files: Vec::new(), skipped: Vec::new(), first, changes };
        Self { place, options, reporter, done }
    }

    fn put_all(&mut self, candidates: &[Candidate<'_>], conf: &ModuleConf) -> Result<(), FsError> {
        let place = self.place;
        let tree = ModuleTree::walk(place.kernel_dir())?;
        let linked = place.linked_dir()?.map(|dir| dir.join("module"));
        let link = place.link();
        let this_version = linked.is_none() || place.is_linked()?;

        let mut staged = Vec::new();
        for candidate in candidates {
            let present = find::in_kernel(&tree, place.kernel_dir(), &candidate.record.dest_name);
            if self.is_skipped(candidate, &present, linked.as_deref()) {
                continue;
            }
            staged.push(self.stage(candidate, present, linked.as_deref(), this_version)?);
        }
        if staged.is_empty() && !candidates.is_empty() {
            return Ok(());
        }
        for one in staged {
            self.reporter.report(Event::note(format!("installing `{}`", one.destination.display())));
            self.done.changes.publish(&one.file, &one.destination)?;
            for replaced in &one.replaces {
                self.done.changes.take(replaced)?;
            }
            self.done.files.push(one.destination);
        }
        let staged = self.done.changes.stage_link(&place.link_value(), &link)?;
        self.done.changes.publish(&staged, &link)?;
        modprobe_conf::put(&mut self.done.changes, place.layout, &place.id.name, &conf.modules_conf)?;
        self.done.changes.commit(|| place.note_owed())
    }

    /// The version check, against the one module of that name in the kernel's folder.
    fn is_skipped(&mut self, candidate: &Candidate<'_>, present: &[PathBuf], linked: Option<&Path>) -> bool {
        let [present] = present else { return false };
        let is_swapped = self.options.version_check == VersionCheck::Swapped;
        if is_swapped && self.is_ours(present, candidate, linked) {
            return false;
        }
        if self.options.force == Force::Yes || self.options.version_check == VersionCheck::Overridden {
            return false;
        }
        if *present == candidate.destination() && fs::same_bytes(&candidate.built, present) {
            // Ours, from an install that was cut short: it is completed.
            return false;
        }
        let module = find::file_name(&candidate.built);
        let because = match judge(&candidate.built, present) {
            Verdict::Install => return false,
            Verdict::Same => {
                let kernel = &self.place.target().kernel;
                let (path, version) = (present.display(), self.present_text(present));
                self.reporter.report(Event::note(format!(
                    "`{module}` is already there for {kernel}: `{path}` is the same ({version})"
                )));
                SkippedBecause::Same
            }
            Verdict::Older => {
                let (path, version) = (present.display(), self.present_text(present));
                let new = version_text(&candidate.built);
                self.reporter.report(Event::Failed {
                    module: Some(self.place.id.clone()),
                    target: Some(self.place.target().clone()),
                    text: format!(
                        "`{module}` ({new}) is older than `{path}` ({version}), and was not installed"
                    ),
                    hints: vec!["`--force` installs it anyway".to_owned()],
                });
                SkippedBecause::Older
            }
        };
        self.done.skipped.push(Skipped { present: present.clone(), because });
        true
    }

    /// The version of a module that stays, and the package that brings it.
    fn present_text(&self, present: &Path) -> String {
        let (place, version) = (self.place, version_text(present));
        let below = present.strip_prefix(place.kernel_dir()).ok().and_then(Path::to_str);
        let package = below.and_then(|below| {
            package_of(below, &place.target().kernel, place.family, place.layout, place.environment)
        });
        package.map_or_else(|| version.clone(), |package| format!("{version}, of package `{package}`"))
    }

    fn stage(
        &mut self,
        candidate: &Candidate<'_>,
        present: Vec<PathBuf>,
        linked: Option<&Path>,
        this_version: bool,
    ) -> Result<Staged, FsError> {
        let destination = candidate.destination();
        // Built again since it was installed, so that no build says any more what lies there: nobody
        // else uses this folder.
        let is_own_folder = self.place.module_folder == Some(OWN_FOLDER) && linked.is_some() && this_version;
        let is_earlier = |path: &Path| is_own_folder && path == destination;
        let (ours, mut foreign): (Vec<PathBuf>, Vec<PathBuf>) =
            present.into_iter().partition(|path| is_earlier(path) || self.is_ours(path, candidate, linked));
        if !this_version {
            // Another version of this package is installed: the originals were archived then.
            foreign.retain(|path| *path == destination);
        }
        foreign.retain(|path| match owners::owner(self.place, &candidate.record.dest_name, path) {
            Some(owner) => {
                self.reporter.report(Event::warning(
                    format!(
                        "`{}` of {owner} is replaced: {} has a module of that name too",
                        path.display(),
                        self.place.id
                    ),
                    ["only one of them can be used: `dkms remove` the other".to_owned()],
                ));
                false
            }
            None => true,
        });
        let choice = originals::choose(foreign, self.place, &candidate.folder, self.reporter);
        originals::archive(self.place, &choice, &mut self.done.changes, self.reporter)?;
        let replaces =
            ours.iter().chain(choice.files()).filter(|path| **path != destination).cloned().collect();

        self.done.changes.folder(&candidate.folder)?;
        let file = match self.options.put {
            Put::Copied => self.done.changes.stage_copy(&candidate.built, &destination)?,
            Put::Linked => self.done.changes.stage_link(&candidate.built, &destination)?,
        };
        Ok(Staged { file, destination, replaces })
    }

    /// Whether a file at the destination was put there by us, for this or another version of the package.
    fn is_ours(&self, path: &Path, candidate: &Candidate<'_>, linked: Option<&Path>) -> bool {
        if path.parent() != Some(&candidate.folder) {
            return false;
        }
        let tree = self.place.layout.module_dir(&self.place.id.name);
        if fs::link_target(path).ok().flatten().is_some_and(|target| target.starts_with(&tree)) {
            return true;
        }
        let built = linked
            .and_then(|dir| find::in_folder(dir, &candidate.record.dest_name, self.place.kernel.compression));
        fs::same_bytes(&candidate.built, path) || built.is_some_and(|built| is_same_module(&built, path))
    }
}
