//! What is done about the images of a kernel whose modules have changed.
//!
//! The question is always the same: does an image hold another state of a module than the kernel's folder?

mod kept;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::effects::Effect;
use super::error::StepError;
use crate::conf::ModuleConf;
use crate::host::Environment;
use crate::id::{ModuleId, Target};
use crate::install::{self, OutOfDate, Remade};
use crate::kernel::ModuleTree;
use crate::layout::Layout;
use crate::modfile::{ModuleFile, canonical_name};
use crate::plan::ImageWork;
use crate::report::{Event, Reporter};
use crate::tree::images;
use crate::tree::images::Removed;

/// A kernel, and what has changed on it.
pub(super) struct Images<'a> {
    pub(super) target: &'a Target,
    pub(super) layout: &'a Layout,
    pub(super) environment: &'a Environment,
    /// Files of modules that were installed by this run.
    pub(super) installed: Vec<PathBuf>,
    /// One of them has `REMAKE_INITRD`.
    pub(super) is_asked: bool,
    /// Modules that were taken out by this run.
    pub(super) removed: Removed,
    /// The confs of modules in the tree, as far as they were read for this kernel.
    pub(super) confs: Vec<(&'a ModuleId, &'a ModuleConf)>,
    /// They were taken out by a package manager, which wants another version in their place if the tree has
    /// one.
    pub(super) keeps: bool,
}

/// What is wrong with the images.
#[derive(Default)]
struct Wrong {
    /// They hold another build of a module.
    other: Vec<OutOfDate>,
    /// They were made before a module was installed.
    before: Vec<OutOfDate>,
    /// They hold a module that was removed.
    removed: Vec<OutOfDate>,
}

impl Wrong {
    fn is_none(&self) -> bool {
        self.other.is_empty() && self.before.is_empty() && self.removed.is_empty()
    }

    /// A line for each image and fault.
    fn lines(&self) -> Vec<(String, Option<String>)> {
        let mut lines = Vec::new();
        let mut add = |found: &[OutOfDate], words: &dyn Fn(&str, &str) -> String| {
            lines.extend(found.iter().map(|one| {
                (words(&one.image.display().to_string(), &one.modules.join(", ")), one.command.clone())
            }));
        };
        add(&self.other, &|image, modules| format!("`{image}` holds another build of {modules}"));
        add(&self.before, &|image, modules| format!("`{image}` was made before {modules} was installed"));
        add(&self.removed, &|image, modules| format!("`{image}` still holds {modules}, which was removed"));
        lines
    }
}

impl Images<'_> {
    /// Does what the plan says; besides, what is to be printed at the end.
    pub(super) fn work(
        &self,
        how: ImageWork,
        reporter: &dyn Reporter,
    ) -> Result<(Effect, Vec<String>), StepError> {
        match how {
            ImageWork::Note => {
                images::note_removed(self.layout, &self.target.kernel, &self.removed)?;
                Ok((Effect::Nothing, Vec::new()))
            }
            ImageWork::Remake => self.remake(reporter),
            ImageWork::Report => self.report(),
        }
    }

    /// Modules that an image should not hold any more. One that was noted may have been
    /// installed again since.
    fn gone(&self, note: &images::Note) -> Removed {
        let name = |path: &PathBuf| Some(canonical_name(&ModuleFile::from_path(path)?.stem));
        let installed: BTreeSet<String> = self.installed.iter().filter_map(name).collect();
        let modules = self.layout.kernel_dir(&self.target.kernel);
        let tree = ModuleTree::walk(&modules).unwrap_or_default();
        let is_there = |name: &String| {
            installed.contains(name)
                || tree.paths(name).iter().any(|path| !path.starts_with(modules.join("kernel")))
        };
        let noted = self.removed.iter().chain(&note.removed).chain(&note.held);
        noted.filter(|(name, _)| !is_there(name)).map(|(name, of)| (name.clone(), of.clone())).collect()
    }

    fn wrong(&self, note: &images::Note) -> Wrong {
        let Self { layout, environment, installed, .. } = self;
        let kernel = &self.target.kernel;
        let is_before = self.is_asked || note.before;
        Wrong {
            other: install::out_of_date(kernel, installed, layout, environment),
            before: match is_before {
                true => install::made_before(kernel, installed, layout, environment),
                false => Vec::new(),
            },
            removed: install::holds_removed(
                kernel,
                &self.gone(note).into_keys().collect(),
                layout,
                environment,
            ),
        }
    }

    /// Whether the images are to be remade; reports why, if the module doesn't ask for it.
    fn is_due(&self, note: &images::Note, reporter: &dyn Reporter) -> bool {
        let (layout, kernel) = (self.layout, &self.target.kernel);
        if self.is_asked {
            return true;
        }
        let has_changed = !self.installed.is_empty() || !self.removed.is_empty();
        if note.before && !self.installed.is_empty() {
            let text = format!("the initramfs of kernel {kernel} was made before its modules were installed");
            reporter.report(Event::note(text));
            return true;
        }
        if note.left && !has_changed {
            if install::was_image_made_since(kernel, layout, &layout.images_dir().join(kernel)) {
                images::settle(layout, kernel);
                return false;
            }
            if !install::is_inside_dpkg(self.environment) {
                return true;
            }
        }
        let wrong = self.wrong(note);
        wrong.lines().into_iter().for_each(|(line, _)| reporter.report(Event::note(line)));
        !wrong.is_none()
    }

    fn remake(&self, reporter: &dyn Reporter) -> Result<(Effect, Vec<String>), StepError> {
        let Self { layout, environment, .. } = self;
        let kernel = &self.target.kernel;
        let note = images::read(layout, kernel).unwrap_or_default();
        if let Some(said) = self.keep(&note)? {
            return Ok((Effect::Nothing, said));
        }
        // Nothing is awaited any more.
        images::hold(layout, kernel, &Removed::new())?;
        if !self.is_due(&note, reporter) {
            images::forget_removed(layout, kernel)?;
            return Ok((Effect::Nothing, Vec::new()));
        }
        match install::remake_initramfs(kernel, layout, environment, reporter)? {
            Remade::Made => {
                images::settle(layout, kernel);
                Ok((Effect::Changed, Vec::new()))
            }
            Remade::Left => {
                images::leave(layout, kernel)?;
                Ok((Effect::Changed, Vec::new()))
            }
            Remade::NoImage => {
                images::forget_removed(layout, kernel)?;
                Ok((Effect::Nothing, Vec::new()))
            }
            Remade::Kept(why) | Remade::Not(why) => {
                self.keep_note(&note)?;
                let said = format!("the initramfs of kernel {kernel} is out of date: {why}");
                Ok((Effect::Nothing, vec![said]))
            }
        }
    }

    /// Until they are remade, doctor and status report what is wrong.
    fn keep_note(&self, note: &images::Note) -> Result<(), StepError> {
        if !self.installed.is_empty() {
            images::note(self.layout, &self.target.kernel)?;
        }
        let gone = self.gone(note);
        if !gone.is_empty() {
            images::note_removed(self.layout, &self.target.kernel, &gone)?;
        }
        Ok(())
    }

    fn report(&self) -> Result<(Effect, Vec<String>), StepError> {
        let note = images::read(self.layout, &self.target.kernel).unwrap_or_default();
        if let Some(said) = self.keep(&note)? {
            return Ok((Effect::Nothing, said));
        }
        let wrong = self.wrong(&note);
        if wrong.is_none() {
            images::forget_removed(self.layout, &self.target.kernel)?;
            return Ok((Effect::Nothing, Vec::new()));
        }
        self.keep_note(&note)?;
        images::reported(self.layout, &self.target.kernel)?;
        let said = wrong.lines().into_iter().map(|(line, command)| match command {
            Some(command) => format!("{line}, and `remake_initrd=no`: `{command}` remakes it"),
            None => format!("{line}, and `remake_initrd=no`"),
        });
        Ok((Effect::Nothing, said.collect()))
    }
}
