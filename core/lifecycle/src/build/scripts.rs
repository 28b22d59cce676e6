//! `PRE_BUILD` and `POST_BUILD`: whose script it is, and what it sees of the tree.
//!
//! A script of the module runs as the rest of the build does. One that the admin put into `/etc/dkms`, or
//! that a conf there names outside of the build folder, is the admin's: it sees the same folders, and nothing
//! confines it. `POST_BUILD` finds the result at `M/V/K/A` and may change it; what it leaves is taken over as
//! a copy and looked at again.

use std::path::{Path, PathBuf};

use super::collect::{Finished, Sizes};
use super::place::Place;
use super::publish::Stage;
use super::{BuildSpec, Failure, Running};
use crate::conf::confined::Confined;
use crate::conf::{ConfSource, Directive, Reader, Variables};
use crate::host::adopt::Links;
use crate::host::beneath::Extent;
use crate::host::fs::{self, FsError};
use crate::host::ownership::Gate;
use crate::layout::EXPOSED;
use crate::modfile::is_whole_module;
use crate::report::Event;
use crate::script::{self, Found, Hook};

/// Whose a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The module's: it is confined as the settings say.
    Modules,
    /// The admin's.
    Admins,
}

impl Running<'_> {
    /// Runs `PRE_BUILD`, if there is one.
    pub(super) fn pre_build(&mut self) -> Result<(), Failure> {
        match self.find(Hook::PreBuild)? {
            Some((found, whose)) => self.script(Hook::PreBuild, &found, whose, None),
            None => Ok(()),
        }
    }

    /// Runs `POST_BUILD`, if there is one, over a result. Returns what is to be published, and the names
    /// of the modules in it.
    pub(super) fn post_build(
        &mut self,
        stage: Stage,
        finished: &[Finished],
    ) -> Result<(Stage, Vec<String>), Failure> {
        let names = finished.iter().map(|module| module.name.clone()).collect();
        let Some((found, whose)) = self.find(Hook::PostBuild)? else { return Ok((stage, names)) };
        self.log.keep(&stage.log())?;
        self.put_back(finished)?;
        let target = self.spec.layout.target_dir(self.spec.id, self.spec.target);
        let shown = Shown::at(&target, &stage, &self.place)?;
        if whose == Whose::Modules && self.confinement.account().is_some() {
            let gate = if self.place.is_mounted() { Gate::Theirs } else { Gate::Ours };
            self.place.lend(shown.folder(), gate)?;
        }
        let pair = (shown.folder().to_owned(), target.clone());
        let result = self.script(Hook::PostBuild, &found, whose, Some(pair));
        self.place.take_back()?;
        shown.end()?;
        result?;
        let links = if whose == Whose::Admins || !self.confinement.is_confining() {
            Links::All
        } else {
            Links::Within
        };
        let (taken, left_out) = stage.taken_over(&self.place, links)?;
        for path in left_out {
            let text = format!(
                "what POST_BUILD of {} left at `{}` is not kept: it is neither a file nor a link within that folder",
                self.spec.id,
                target.join(path).display()
            );
            self.log.note(&text)?;
            self.reporter.report(Event::warning(text, []));
        }
        let mut sizes = Sizes::of(self.spec.settings.module_size_max);
        let names = finished.iter().map(|module| checked(module, &taken, &target, &mut sizes));
        let names: Vec<Option<String>> = names.collect::<Result<_, Failure>>()?;
        let missing = finished.iter().zip(&names).filter(|(_, name)| name.is_none());
        let missing: Vec<PathBuf> =
            missing.map(|(module, _)| target.join("module").join(&module.name)).collect();
        if !missing.is_empty() {
            return Err(Failure::ModuleNotBuilt(missing));
        }
        Ok((taken, names.into_iter().flatten().collect()))
    }

    /// The script of a directive, and whose it is; `None` if there is none that can be run, which is
    /// reported.
    fn find(&mut self, hook: Hook) -> Result<Option<(Found, Whose)>, Failure> {
        let spec = self.spec;
        let Some(value) = hook.value(spec.conf) else { return Ok(None) };
        let (folder, seen) = (self.place.folder(), self.place.seen());
        let mut found = script::find_seen(spec.layout, &spec.id.name, value, folder, seen);
        // One that stands in for a script of the module works on the same files.
        seen.clone_into(&mut found.dir);
        if !found.runnable {
            self.warn_and_note(found.warning(hook, spec.id, spec.layout))?;
            return Ok(None);
        }
        let is_admins = found.is_override
            || found.is_outside
                && (script::is_set_by_admin(spec.layout, spec.id, spec.target, hook)
                    || is_named_by_admin(spec, hook, value));
        Ok(Some((found, if is_admins { Whose::Admins } else { Whose::Modules })))
    }

    fn script(
        &mut self,
        hook: Hook,
        found: &Found,
        whose: Whose,
        further: Option<(PathBuf, PathBuf)>,
    ) -> Result<(), Failure> {
        let what = format!("Running the {} script", hook.directive());
        let code = self.command(&what, &found.line, &found.dir, whose, further)?;
        if code == 0 { Ok(()) } else { Err(Failure::ScriptFailed { hook, line: found.line.clone(), code }) }
    }

    /// The finished modules go back to where make left them: as in the 3.x line, that is where they were
    /// signed and compressed.
    fn put_back(&self, finished: &[Finished]) -> Result<(), Failure> {
        let beneath = self.place.beneath()?;
        for module in finished {
            let mut name = module.built.clone().into_os_string();
            name.push(module.suffix);
            beneath.put(&module.path, Path::new(&name))?;
            if !module.suffix.is_empty() {
                beneath.remove(&module.built)?;
            }
        }
        Ok(())
    }
}

/// The name of a module in what a script left, if it is there as a file. One that the script replaced
/// must be a module again.
fn checked(
    module: &Finished,
    taken: &Stage,
    seen: &Path,
    sizes: &mut Sizes,
) -> Result<Option<String>, Failure> {
    let is_file = |path: &Path| fs::lstat(path).map(|meta| meta.is_some_and(|meta| meta.is_file()));
    let others = ["", ".gz", ".xz", ".zst"].map(|suffix| format!("{}.ko{suffix}", module.dest));
    for name in std::iter::once(&module.name).chain(&others) {
        let path = taken.modules().join(name);
        if is_file(&path)? {
            let is_sound = fs::same_bytes(&path, &module.path) || {
                let size = fs::stat(&path)?.map_or(0, |meta| meta.len());
                sizes.add(&seen.join("module").join(name), Extent { size, written: size })?;
                is_whole_module(&path).unwrap_or(false)
            };
            return Ok(is_sound.then(|| name.clone()));
        }
    }
    Ok(None)
}

/// A result that processes of the build see at its final path.
struct Shown<'a> {
    /// Where it is: in its own place where it is mounted, else at the final path.
    folder: PathBuf,
    stage: &'a Path,
    target: &'a Path,
    /// What was at the final path.
    earlier: Option<PathBuf>,
    /// Folders that were made to be mounted on.
    made: Vec<PathBuf>,
    note: Option<PathBuf>,
    is_ended: bool,
}

impl<'a> Shown<'a> {
    fn at(target: &'a Path, stage: &'a Stage, place: &Place) -> Result<Self, FsError> {
        let stage = stage.dir();
        let folders = [target.parent().unwrap_or(target), target];
        let mut shown = Self {
            folder: stage.to_owned(),
            stage,
            target,
            earlier: None,
            made: folders
                .iter()
                .filter(|folder| !fs::exists(folder))
                .map(|folder| folder.to_path_buf())
                .collect(),
            note: None,
            is_ended: false,
        };
        if place.is_mounted() {
            fs::create_dir_all(target)?;
            return Ok(shown);
        }
        fs::create_dir_all(folders[0])?;
        let earlier = place.at("earlier");
        // The next command that sweeps puts back what was there.
        let note = place.at(EXPOSED);
        fs::create_link(target, &note)?;
        shown.note = Some(note);
        if fs::exists(target) {
            fs::rename(target, &earlier)?;
            shown.earlier = Some(earlier);
        }
        fs::rename(stage, target)?;
        shown.folder = target.to_owned();
        Ok(shown)
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn end(mut self) -> Result<(), FsError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), FsError> {
        if std::mem::replace(&mut self.is_ended, true) {
            return Ok(());
        }
        // Before anything is looked up in it. If that fails it goes from sight anyway.
        let taken = crate::host::ownership::take_back(&self.folder);
        if self.folder == *self.target {
            fs::rename(self.target, self.stage)?;
        }
        if let Some(earlier) = &self.earlier {
            fs::rename(earlier, self.target)?;
        }
        if let Some(note) = &self.note {
            fs::remove_file(note)?;
        }
        for folder in self.made.iter().rev() {
            fs::remove_dir_if_empty(folder)?;
        }
        taken
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        // There is another error to tell.
        drop(self.undo());
    }
}

/// Whether what comes over the module's own conf names, by itself, the script that is to run. What the
/// module's conf says can't make it so: it isn't read.
fn is_named_by_admin(spec: &BuildSpec<'_>, hook: Hook, value: &str) -> bool {
    let Ok(directive) = hook.directive().parse::<Directive>() else { return false };
    let reader = Reader::new(spec.layout, &spec.settings.for_packages(spec.environment))
        .confined(Some(Confined::of(spec.settings, spec.environment)));
    let variables = Variables {
        target: spec.target.clone(),
        kernel_source_dir: spec.kernel.headers.clone(),
        kernel_config: spec.kernel.config.path.clone(),
        parallel_jobs: 1,
        dest_override: None,
    };
    let file = spec.layout.source_link(spec.id).join("dkms.conf");
    let source = ConfSource { id: Some(spec.id), file };
    let said = reader.read_admins(&source, &variables, spec.directives);
    let program = |value: &str| value.split_whitespace().next().map(str::to_owned);
    said.is_ok_and(|raw| {
        raw.filled(directive, 0).and_then(program) == program(value) && raw.filled(directive, 0).is_some()
    })
}
