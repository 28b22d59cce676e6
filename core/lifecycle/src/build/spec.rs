//! What a build is given, what the builds of a run share, and what one leaves: plain data.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::cache::Cache;
use super::inputs::{Digests, InputsKey};
use crate::conf::{ModuleConf, Settings};
use crate::host::Environment;
use crate::host::jobs::JobPipe;
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::kernel::{KernelFacts, Toolchain};
use crate::layout::Layout;
use crate::report::Reporter;
use crate::sign::Signer;

/// A build to be done.
#[derive(Clone, Copy)]
pub struct BuildSpec<'a> {
    /// The module.
    pub id: &'a ModuleId,
    /// The kernel.
    pub target: &'a Target,
    /// The module's conf, resolved for that kernel.
    pub conf: &'a ModuleConf,
    /// What is known of the kernel.
    pub kernel: &'a KernelFacts,
    /// What it was built with.
    pub toolchain: &'a Toolchain,
    /// Where everything is.
    pub layout: &'a Layout,
    /// framework.conf.
    pub settings: &'a Settings,
    /// The caller's environment.
    pub environment: &'a Environment,
    /// A path for the folders of the build, beside `M/V/build`, under which it sees one of
    /// them. Not yet there.
    pub private: &'a Path,
    /// No other build of the module runs now: `M/V/build` is this one's.
    pub alone: bool,
    /// How many jobs make may run.
    pub jobs: &'a Jobs,
    /// Asked before the result becomes visible, and may take its time: whether it still is to.
    pub may_land: &'a dyn Fn() -> bool,
    /// Signs the modules; `None`: they are not signed.
    pub signer: Option<&'a dyn Signer>,
    /// Written down with `BUILD_DEPENDS_REBUILD`.
    pub dependencies: &'a [(ModuleName, ModuleVersion)],
    /// The values of `--directive`: whose the scripts are that they name.
    pub directives: &'a [String],
    /// What the builds of a run share.
    pub memory: &'a Memory,
    /// Whether a result of the build cache will do.
    pub reuse: Reuse,
}

/// Whether a result of the build cache may stand for a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// It may.
    Allowed,
    /// It is built in any case (`--force`), and the cache gets the new result.
    Never,
}

/// What the builds of a run share: headers and programs that were looked at, the build cache.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was looked at for inputs keys.
    pub digests: Digests,
    /// `None` inside: there is none, or it can't be used, which has been reported.
    cache: OnceLock<Option<Cache>>,
    /// Whether processes can be shown a folder in another's place: those that aren't
    /// confined, and those that are.
    pub(super) is_mountable: [OnceLock<bool>; 2],
}

impl Memory {
    /// With inputs looked at in this way.
    #[must_use]
    pub fn with(digests: Digests) -> Self {
        Self { digests, cache: OnceLock::new(), is_mountable: <[OnceLock<bool>; 2]>::default() }
    }

    pub(super) fn cache(&self, settings: &Settings, reporter: &dyn Reporter) -> Option<&Cache> {
        self.cache.get_or_init(|| Cache::open(settings, reporter)).as_ref()
    }
}

/// How many jobs a build's make may run at once.
#[derive(Debug, Clone)]
pub enum Jobs {
    /// `-jN`; 0: `-j`, no limit.
    Own(u32),
    /// As many as it gets from a server that other builds take theirs from too.
    Shared(Arc<JobPipe>),
    /// What the conf's command says, or one.
    Unsaid,
}

impl std::fmt::Debug for BuildSpec<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildSpec").field("id", self.id).field("target", self.target).finish_non_exhaustive()
    }
}

/// What a build leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// `M/V/K/A`.
    pub dir: PathBuf,
    /// The modules, in the conf's order.
    pub modules: Vec<PathBuf>,
    /// The log.
    pub log: PathBuf,
    /// The inputs key, where there is a build cache.
    pub key: Option<InputsKey>,
    /// It was taken from the build cache.
    pub cached: bool,
}
