//! Whether what was built before its package was configured is still what would be built now.

use super::memory::{self, Quiet};
use super::survey::Survey;
use crate::build::{BuildSpec, Jobs, Memory, Reuse, inputs};
use crate::host::fs::FsError;
use crate::id::{ModuleId, ModuleName, Target};
use crate::kernel::toolchain;
use crate::tree::{Snapshot, ahead};

/// Notes the inputs of a build that went well. Where that can't be done it will be built again.
pub(super) fn note(spec: &BuildSpec<'_>, digests: &inputs::Digests) {
    if let Ok(key) = inputs::key(spec, digests, &Quiet) {
        drop(ahead::note_key(spec.layout, spec.id, spec.target, key.as_str()));
    }
}

impl Survey<'_> {
    /// Whether everything that is built of a module was built ahead, and of the inputs that are there now.
    ///
    /// # Errors
    /// [`FsError`] where a kernel can't be looked at.
    pub fn is_as_built_ahead(&self, id: &ModuleId, snapshot: &Snapshot) -> Result<bool, FsError> {
        let memory = Memory::with(inputs::Digests::by_stat());
        for target in snapshot.targets(id) {
            let noted = ahead::key(self.layout(), id, &target);
            if noted.is_none() || noted != self.key_now(id, &target, snapshot, &memory)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn key_now(
        &self,
        id: &ModuleId,
        target: &Target,
        snapshot: &Snapshot,
        memory: &Memory,
    ) -> Result<Option<String>, FsError> {
        let Some(conf) = self.conf_for(id, target)? else { return Ok(None) };
        let kernel = self.kernel(target)?;
        let Ok(toolchain) = toolchain::look(&kernel.headers, &kernel.config, self.environment()) else {
            return Ok(None);
        };
        let installed = |name: &ModuleName| snapshot.installed_version(name, target).cloned();
        let spec = BuildSpec {
            id,
            target,
            conf: &conf,
            kernel: &kernel,
            toolchain: &toolchain,
            layout: self.layout(),
            settings: self.settings(),
            environment: self.environment(),
            private: &self.layout().build_dir(id),
            alone: true,
            jobs: &Jobs::Unsaid,
            may_land: &|| false,
            signer: None,
            dependencies: &memory::dependencies(&conf, installed),
            directives: &[],
            memory,
            reuse: Reuse::Never,
        };
        Ok(inputs::key(&spec, &memory.digests, &Quiet).ok().map(|key| key.to_string()))
    }
}
