//! Which modules have to be on which kernels of an image, and which are not. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::exit::ExitCode;
use crate::id::{ModuleId, ModuleName, Target};
use crate::plan::World;

/// A module that has to be on a kernel.
pub type Required = (ModuleId, Target);

/// A module that is not there, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub id: ModuleId,
    /// On which kernel.
    pub target: Target,
    /// Why; `None`: an earlier line reports it.
    pub why: Option<String>,
    /// The code that this alone would end with.
    pub code: ExitCode,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on kernel {}", self.id, self.target.kernel)?;
        self.why.as_ref().map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

/// The modules that have to be there: those named, and with `all` every module of the tree that is installed
/// by itself. One whose source or conf can't be read counts: nothing says that it is not wanted.
#[must_use]
pub fn required(
    world: &World,
    named: &[ModuleId],
    all: bool,
    targets: &[Target],
    allowed: &BTreeSet<ModuleName>,
) -> Vec<Required> {
    let mut ids: BTreeSet<&ModuleId> = named.iter().collect();
    if all {
        let newest = world.snapshot.newest();
        let is_known = |id: &ModuleId| newest.iter().any(|other| other.name == id.name);
        ids.extend(world.snapshot.modules.keys().filter(|id| !is_known(id)));
        ids.extend(newest.iter().copied());
    }
    let mut required = Vec::new();
    for id in ids.into_iter().filter(|id| !allowed.contains(&id.name)) {
        for target in targets {
            let conf = world.confs.get(&(id.clone(), target.clone()));
            let is_off = matches!(conf, Some(Ok(conf)) if !conf.autoinstall);
            if named.contains(id) || !is_off {
                required.push((id.clone(), target.clone()));
            }
        }
    }
    required
}

/// What of it can't be built, as the world shows before anything is tried: the kernel has no headers, and
/// neither a build nor a package brings the module.
#[must_use]
pub fn without_headers(
    world: &World,
    required: &[Required],
    is_there: impl Fn(&ModuleId, &Target) -> bool,
) -> Vec<Missing> {
    let lacks = |(id, target): &&Required| {
        !world.has_headers(target)
            && !world.may_be_taken(id, target)
            && !world.snapshot.is_built(id, target)
            && !is_there(id, target)
    };
    let missing = |(id, target): &Required| Missing {
        id: id.clone(),
        target: target.clone(),
        why: Some(world.headers_remedy.get(target).map_or_else(
            || "the kernel has no headers".to_owned(),
            |remedy| format!("the kernel has no headers: {remedy}"),
        )),
        code: ExitCode::NO_HEADERS,
    };
    required.iter().filter(lacks).map(missing).collect()
}

/// The exit code of all that is missing.
#[must_use]
pub fn code_of(missing: &[Missing]) -> ExitCode {
    match missing.iter().all(|one| one.code == ExitCode::NO_HEADERS) {
        true => ExitCode::NO_HEADERS,
        false => ExitCode::AUTOINSTALL_FAILED,
    }
}
