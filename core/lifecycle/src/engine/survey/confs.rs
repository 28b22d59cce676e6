//! What confs say: of one module or of all that a request may need, for a kernel or for none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Read, Survey, running_target};
use crate::conf::{self, Check, ConfError, ConfSource, ModuleConf, RawConf, Variables, notices, trust};
use crate::engine::needs::Needs;
use crate::host::fs::FsError;
use crate::id::{ModuleId, ModuleName, Target};
use crate::plan::{ConfFault, World};
use crate::report::Event;
use crate::tree::Snapshot;

/// The newest version of each module.
fn newest_by_name(snapshot: &Snapshot) -> BTreeMap<ModuleName, ModuleId> {
    snapshot.newest().into_iter().map(|id| (id.name.clone(), id.clone())).collect()
}

/// What is installed on these kernels and was built against some version of a module, by kernel and module.
fn dependents(snapshot: &Snapshot, targets: &[Target]) -> BTreeMap<(Target, ModuleName), Vec<ModuleId>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for target in targets {
        for id in snapshot.installed_on(target) {
            let built = snapshot.get(&id).and_then(|found| found.built.get(target));
            for name in built.iter().flat_map(|built| built.dependencies.keys()) {
                found.entry((target.clone(), name.clone())).or_default().push(id.clone());
            }
        }
    }
    found
}

impl Survey<'_> {
    /// Confs of the modules that are asked for, of what they depend on, and of what was built against them.
    pub(super) fn take_confs(&self, world: &mut World, needs: &Needs) -> Result<(), FsError> {
        let (newest, dependents) = match needs.related {
            true => (newest_by_name(&world.snapshot), dependents(&world.snapshot, &needs.targets)),
            false => Default::default(),
        };
        let mut pending = needs.modules.clone();
        let mut seen = BTreeSet::new();
        while let Some(id) = pending.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let file = self.conf_of(&id, needs);
            for target in &needs.targets {
                let raw = self.read(Some(&id), &file, target)?;
                if let (Ok(raw), false) = (&raw, needs.lenient || world.notices.contains_key(&id)) {
                    self.notice(world, &id, &file, raw, Read::InPlace);
                }
                let conf = if needs.lenient {
                    Ok(conf::leniently(&raw.unwrap_or_default(), &id, target, &self.kernel(target)?.config))
                } else {
                    self.resolve(raw, &file, target)?
                };
                if let Ok(conf) = &conf {
                    pending.extend(conf.build_depends.iter().filter_map(|name| newest.get(name)).cloned());
                    let against = dependents.get(&(target.clone(), id.name.clone()));
                    pending.extend(against.into_iter().flatten().cloned());
                }
                world.confs.insert((id.clone(), target.clone()), conf);
            }
        }
        Ok(())
    }

    /// Keeps what is to be warned of once the module is worked on.
    pub(super) fn notice(&self, world: &mut World, id: &ModuleId, file: &Path, raw: &RawConf, read: Read) {
        let mut events = notices::on_unread(raw, &id.name);
        events.extend(notices::on_no_module(raw));
        // What is still to be copied becomes root's.
        let fault = if read == Read::InPlace { self.places.fault_for_root(file) } else { None };
        events.extend(fault.as_ref().map(trust::warning));
        if fault.is_some() && self.settings.exemption(Some(&id.name)).is_some() {
            let text = format!(
                "{id} runs in the sandbox although `sandbox` or `sandbox_exempt` says otherwise: another user may \
                 write its source"
            );
            events.push(Event::warning(text, []));
        }
        world.notices.insert(id.clone(), events);
    }

    /// Where the conf of a module is.
    pub(super) fn conf_of(&self, id: &ModuleId, needs: &Needs) -> PathBuf {
        let is_asked_for = needs.asked.as_ref() == Some(id);
        let folder = match &needs.new_source {
            _ if is_asked_for && self.conf_file.is_some() => {
                return self.conf_file.clone().unwrap_or_default();
            }
            Some(folder) if is_asked_for => folder.clone(),
            _ if needs.to_add.contains(id) => self.layout().source_dir(id),
            _ => self.layout().source_link(id),
        };
        folder.join("dkms.conf")
    }

    /// What a conf says for a kernel.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at; why the conf can't be read is inside.
    pub fn read(
        &self,
        id: Option<&ModuleId>,
        file: &Path,
        target: &Target,
    ) -> Result<Result<RawConf, ConfError>, FsError> {
        let source = ConfSource { id, file: file.to_owned() };
        Ok(self.reader.read(&source, &self.variables(target)?, &self.directives))
    }

    fn variables(&self, target: &Target) -> Result<Variables, FsError> {
        let kernel = self.kernel(target)?;
        Ok(Variables {
            target: target.clone(),
            kernel_source_dir: kernel.headers.clone(),
            kernel_config: kernel.config.path.clone(),
            parallel_jobs: self.jobs,
            dest_override: self.module_folder.clone(),
        })
    }

    pub(super) fn resolve(
        &self,
        raw: Result<RawConf, ConfError>,
        file: &Path,
        target: &Target,
    ) -> Result<Result<ModuleConf, ConfFault>, FsError> {
        let raw = match raw {
            Ok(raw) => raw,
            Err(error) => return Ok(Err(ConfFault::of(&error, file))),
        };
        let resolved = conf::resolve(&raw, target, &self.kernel(target)?.config, Check::Whole);
        Ok(resolved.map_err(|invalid| ConfFault::Invalid {
            path: invalid.file,
            problems: invalid.problems.iter().map(ToString::to_string).collect(),
        }))
    }

    /// What a dkms.conf of a module says for a kernel, wherever it lies.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at; what is wrong with the conf is inside.
    pub fn conf_in(
        &self,
        id: &ModuleId,
        file: &Path,
        target: &Target,
    ) -> Result<Result<ModuleConf, ConfFault>, FsError> {
        let raw = self.read(Some(id), file, target)?;
        self.resolve(raw, file, target)
    }

    /// What the conf of a module in the tree says now; `None` where that isn't valid.
    pub(in crate::engine) fn conf_again(&self, id: &ModuleId, target: &Target) -> Option<ModuleConf> {
        let file = self.conf_file.clone().unwrap_or_else(|| self.layout().source_link(id).join("dkms.conf"));
        let raw = self.read(Some(id), &file, target).ok()?;
        self.resolve(raw, &file, target).ok()?.ok()
    }

    /// As much of a module's conf as can be taken, for looking at what it has installed. If it is
    /// [read once](Self::reading_once), how the module is built may be missing.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at.
    pub fn lenient_conf(&self, id: &ModuleId, target: &Target) -> Result<ModuleConf, FsError> {
        let source = ConfSource { id: Some(id), file: self.layout().source_link(id).join("dkms.conf") };
        let read = self.reader.read_for_looking(&source, &self.variables(target)?, &self.directives);
        let raw = read.unwrap_or_default();
        Ok(conf::leniently(&raw, id, target, &self.kernel(target)?.config))
    }

    /// The module that a dkms.conf describes.
    ///
    /// # Errors
    /// [`FsError`] where the running kernel can't be looked at; what is wrong with the conf is inside.
    pub fn identify(&self, file: &Path) -> Result<Result<ModuleId, ConfFault>, FsError> {
        let Some(target) = running_target() else {
            return Ok(Err(ConfFault::Missing { path: file.to_owned() }));
        };
        let raw = self.read(None, file, &target)?;
        Ok(self.resolve(raw, file, &target)?.map(|conf| conf.id))
    }
}
