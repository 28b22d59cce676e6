//! Deciding: a [`Request`] and the [`World`] as it is give a [`Plan`]. No input or output
//! at all happens here.
//!
//! - [`request`]: the request
//! - [`world`]: what is known
//! - [`step`]: what will be done, each step with its reason and what it waits for
//! - [`refusal`]: why something will not be done
//! - [`planner`]: the steps for one module on one kernel
//! - [`batch`]: all modules of a kernel: autoinstall, match, what kernel packages ask for
//! - [`transaction`]: what a package transaction brings and takes, kernels and modules together
//! - [`preflight`]: which modules in use will not be there on a kernel that comes
//! - [`order`]: dependencies first, and cycles by their path
//! - [`locks`]: what a plan has to have for itself

pub mod batch;
pub mod locks;
pub mod order;
pub mod planner;
pub mod preflight;
mod prospect;
pub mod refusal;
pub mod request;
pub mod step;
pub mod transaction;
pub mod world;

pub use refusal::Refusal;
pub use request::{NewSource, Options, Request, Work};
pub use step::{Action, ImageWork, Plan, Remark, Step, StepId};
pub use world::{ConfFault, Cost, Reading, RememberedFailure, World};

use planner::Planner;

/// What has to be done for a request.
///
/// The same request in the world that the plan leads to gives a plan without steps.
///
/// ```
/// use dkms_base::id::ModuleId;
/// use dkms_core::plan::{Action, Options, Request, Work, World, plan};
///
/// // A module that was never added can't be removed: the plan is a refusal, with its reason.
/// let work = Work::Remove { id: ModuleId::parse("foo", "1.0")?, targets: Vec::new() };
/// let plan = plan(&Request { work, options: Options::default() }, &World::default());
/// assert!(matches!(plan.steps[0].action, Action::Refuse { .. }));
/// # Ok::<(), dkms_base::id::IdError>(())
/// ```
///
/// `examples/plan.rs` plans an installation.
#[must_use]
pub fn plan(request: &Request, world: &World) -> Plan {
    let mut planner = Planner::new(world, &request.options);
    match &request.work {
        Work::Add { id, source } => planner.add(id, source.as_ref()),
        Work::Build { id, targets, source } => planner.each(id, source.as_ref(), targets, Planner::build),
        Work::BuildEach { ids, target } => batch::build_each(&mut planner, ids, target),
        Work::Install { id, targets, source } => planner.each(id, source.as_ref(), targets, Planner::install),
        Work::Uninstall { id, targets } => planner.each_known(id, targets, Planner::uninstall),
        Work::Unbuild { id, targets } => planner.each_known(id, targets, Planner::unbuild),
        Work::Remove { id, targets } => planner.remove(id, targets),
        Work::Autoinstall { targets } => batch::autoinstall(&mut planner, targets),
        Work::Bake { named, all, targets } => batch::bake(&mut planner, named, *all, targets),
        Work::Batch(batch) => transaction::carry(&mut planner, batch),
        Work::Match { template, target, only } => {
            batch::match_kernel(&mut planner, template, target, only.as_ref());
        }
        Work::Images { targets } => planner.look_at_images(targets),
        Work::KernelPreinst { target } => batch::kernel_preinst(&mut planner, target),
        Work::KernelPrerm { target } => batch::kernel_prerm(&mut planner, target),
    }
    planner.finish()
}

#[cfg(test)]
mod tests;
