//! How what is installed compares with what was built. It is looked at while the tree is read, which has to
//! know that a build is there, and kept until its line is written.

use std::cell::RefCell;
use std::collections::HashMap;

use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_core::engine::Survey;
use dkms_core::install::{self, CompareBy, InstalledState};
use dkms_core::status::Filter;

/// What looks, and what was seen.
pub(super) struct Compared<'a> {
    survey: &'a Survey<'a>,
    layout: &'a Layout,
    module_folder: Option<&'a str>,
    filter: &'a Filter,
    seen: RefCell<HashMap<(ModuleId, Target), InstalledState>>,
}

impl<'a> Compared<'a> {
    /// Nothing was seen yet; `filter`: what lines are written for.
    pub(super) fn new(
        survey: &'a Survey<'a>,
        layout: &'a Layout,
        module_folder: Option<&'a str>,
        filter: &'a Filter,
    ) -> Self {
        Self { survey, layout, module_folder, filter, seen: RefCell::default() }
    }

    /// Whether there is a build of what is installed. A built module that was seen shows it.
    pub(super) fn is_built(&self, id: &ModuleId, target: &Target) -> bool {
        let is_asked = self.filter.takes(id) && self.filter.takes_target(target);
        let Some((state, is_seen)) = is_asked.then(|| self.compare(id, target)).flatten() else {
            return self.has_folder(id, target);
        };
        self.seen.borrow_mut().insert((id.clone(), target.clone()), state);
        is_seen || self.has_folder(id, target)
    }

    /// Of what is installed. `None`: of a kernel or a conf that can't be looked at nothing is known.
    pub(super) fn of_installed(&self, id: &ModuleId, target: &Target) -> Option<InstalledState> {
        let seen = self.seen.borrow_mut().remove(&(id.clone(), target.clone()));
        seen.or_else(|| Some(self.compare(id, target)?.0))
    }

    /// Of what is built and not installed.
    pub(super) fn of_built(&self, id: &ModuleId, target: &Target) -> Option<InstalledState> {
        let conf = self.survey.lenient_conf(id, target).ok()?;
        let is_missing = install::built_missing(&self.layout.built_dir(id, target), &conf);
        Some(if is_missing { InstalledState::Missing } else { InstalledState::Same })
    }

    /// And whether a built module was seen.
    fn compare(&self, id: &ModuleId, target: &Target) -> Option<(InstalledState, bool)> {
        let conf = self.survey.lenient_conf(id, target).ok()?;
        let (built, kernel) = (self.layout.built_dir(id, target), self.layout.kernel_dir(&target.kernel));
        let state = install::compare_installed(&built, &kernel, &conf, self.module_folder, CompareBy::Times);
        let is_seen = state != InstalledState::Missing && conf.included().next().is_some();
        Some((state, is_seen))
    }

    fn has_folder(&self, id: &ModuleId, target: &Target) -> bool {
        fs::is_dir(&self.layout.built_dir(id, target))
    }
}
