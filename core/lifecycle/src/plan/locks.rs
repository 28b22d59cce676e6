//! What a plan has to have for itself while it runs. Pure.

use super::step::{Action, Plan};
use super::world::World;
use crate::id::{KernelRelease, ModuleId};
use crate::tree::{Key, Keys, Mode};

/// The keys of a plan: alone, each module that it changes and each kernel whose module folder it changes;
/// with others, the modules that its builds depend on.
#[must_use]
pub fn needed(plan: &Plan, world: &World) -> Keys {
    let mut keys = Keys::default();
    let module = |keys: &mut Keys, id: &ModuleId| keys.add(Key::Module(id.name.clone()), Mode::Exclusive);
    let kernel =
        |keys: &mut Keys, release: &KernelRelease| keys.add(Key::Kernel(release.clone()), Mode::Exclusive);
    for step in &plan.steps {
        match &step.action {
            Action::Add { id, .. } | Action::Unbuild { id, .. } | Action::Forget { id } => {
                module(&mut keys, id);
            }
            Action::Build { id, target } => {
                module(&mut keys, id);
                let conf = world.confs.get(&(id.clone(), target.clone()));
                for name in conf.into_iter().flatten().flat_map(|conf| &conf.build_depends) {
                    keys.add(Key::Module(name.clone()), Mode::Shared);
                }
            }
            Action::Install { id, target } | Action::Uninstall { id, target } => {
                module(&mut keys, id);
                kernel(&mut keys, &target.kernel);
            }
            Action::Depmod { target } | Action::Initramfs { target, .. } | Action::SweepKernel { target } => {
                kernel(&mut keys, &target.kernel);
            }
            Action::Load { .. } | Action::PostTransaction { .. } | Action::Refuse(_) => {}
        }
    }
    keys
}
