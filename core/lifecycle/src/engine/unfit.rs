//! Modules that are built and that their kernels may refuse to load: what preflight and who loads ready
//! made modules say of them.

use std::collections::BTreeMap;

use super::survey::Survey;
use crate::host::fs::FsError;
use crate::id::{ModuleId, Target};
use crate::plan::World;
use crate::plan::preflight::{Question, Unfit};
use crate::report::{Event, Reporter};
use crate::verify::Examiner;

impl Survey<'_> {
    /// Warns of modules that came ready made for a kernel and that it may refuse.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at.
    pub fn warn_of_unfit(
        &self,
        id: &ModuleId,
        target: &Target,
        reporter: &dyn Reporter,
    ) -> Result<(), FsError> {
        let kernel = self.kernel(target)?;
        for (file, fault) in Examiner::new(self.layout(), &kernel).built(id) {
            let text = format!("`{file}` of {id} {fault}; {}", fault.consequence());
            reporter.report(Event::warning(text, []));
        }
        Ok(())
    }

    /// Modules that are built for a kernel in question, and that it may refuse.
    pub(super) fn unfit(&self, question: &Question, world: &World) -> BTreeMap<(ModuleId, Target), Unfit> {
        let mut found = BTreeMap::new();
        for target in &question.targets() {
            let Some(kernel) = world.kernels.get(target) else { continue };
            let examiner = Examiner::new(self.layout(), kernel);
            let known = |id: &&ModuleId| world.confs.contains_key(&((*id).clone(), target.clone()));
            for id in world.snapshot.built_on(target).filter(known) {
                if let Some((file, fault)) = examiner.built(id).into_iter().next() {
                    found.insert((id.clone(), target.clone()), Unfit { file, fault });
                }
            }
        }
        found
    }
}
