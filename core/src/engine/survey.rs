//! Gathering: looks at what a request may need to know, once, and makes the [`World`] of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::conf::{self, ConfError, ConfSource, ModuleConf, Reader, Settings, Variables};
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, ModuleName, Target};
use crate::kernel::{Distribution, HeadersPackage, KernelFacts, Overrides};
use crate::layout::Layout;
use crate::plan::{ConfFault, Request, Work, World};
use crate::tree::{Snapshot, weak};

/// How confs are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// What is wrong is a fault.
    Strict,
    /// As much as can be taken: for taking things out.
    Lenient,
}

/// Everything that looking needs.
pub struct Survey<'a> {
    settings: &'a Settings,
    distribution: &'a Distribution,
    environment: &'a Environment,
    reader: Reader,
    /// `-c`: in place of the conf of the module that is asked for.
    pub conf_file: Option<PathBuf>,
    /// `--directive`.
    pub directives: Vec<String>,
    /// `--kernelsourcedir` and `--config`.
    pub overrides: Overrides,
    /// What `parallel_jobs` is for confs.
    pub jobs: u32,
    kernels: RefCell<BTreeMap<Target, KernelFacts>>,
}

impl<'a> Survey<'a> {
    /// Nothing overridden.
    #[must_use]
    pub fn new(settings: &'a Settings, distribution: &'a Distribution, environment: &'a Environment) -> Self {
        Self {
            settings,
            distribution,
            environment,
            reader: Reader::new(&settings.layout, environment),
            conf_file: None,
            directives: Vec::new(),
            overrides: Overrides::default(),
            jobs: 1,
            kernels: RefCell::default(),
        }
    }

    fn layout(&self) -> &Layout {
        &self.settings.layout
    }

    /// The world for a request.
    ///
    /// # Errors
    /// [`FsError`] where the tree or a kernel's folder can't be read. A conf that can't is a fault in the world.
    pub fn world(&self, request: &Request, snapshot: Snapshot) -> Result<World, FsError> {
        let layout = self.layout();
        let needs = Needs::of(&request.work, &snapshot);
        let mut world = World {
            sources: BTreeMap::new(),
            kernels: BTreeMap::new(),
            confs: BTreeMap::new(),
            plain_confs: BTreeMap::new(),
            weak: BTreeSet::new(),
            no_autoinstall: fs::exists(&layout.etc_dkms().join("no-autoinstall")),
            headers_remedy: BTreeMap::new(),
            snapshot,
        };
        for target in &needs.targets {
            let facts = self.kernel(target)?;
            if !facts.headers_usable {
                let remedy = HeadersPackage::of(&target.kernel, self.distribution, layout).to_string();
                world.headers_remedy.insert(target.clone(), remedy);
            }
            world.kernels.insert(target.clone(), facts);
        }
        for id in &needs.added {
            let dir = layout.source_dir(id);
            if fs::is_dir(&dir) {
                world.sources.insert(id.clone(), dir);
            }
            if let Some(conf) = self.conf_to_add(id, needs.new_source.as_deref(), needs.targets.first()) {
                world.plain_confs.insert(id.clone(), conf);
            }
        }
        self.take_confs(&mut world, &needs)?;
        if matches!(request.work, Work::Autoinstall { .. }) {
            world.weak = self.weak(&world.snapshot)?.into_iter().map(|(id, target, _)| (id, target)).collect();
        }
        Ok(world)
    }

    /// Confs of the modules that are asked for, of what they depend on, and of what was built against them.
    fn take_confs(&self, world: &mut World, needs: &Needs) -> Result<(), FsError> {
        let mut pending: Vec<ModuleId> = needs.modules.iter().cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = pending.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            for target in &needs.targets {
                let file = self.conf_of(&id, needs);
                let conf = match needs.strictness {
                    Strictness::Strict => self.conf(&id, &file, target)?,
                    Strictness::Lenient => Ok(self.lenient_conf(&id, &file, target)?),
                };
                if let Ok(conf) = &conf {
                    let newest = world.snapshot.newest();
                    let depends = newest.iter().filter(|other| conf.build_depends.contains(&other.name));
                    pending.extend(depends.map(|other| (*other).clone()));
                    pending.extend(built_against(&world.snapshot, &id.name, target));
                }
                world.confs.insert((id.clone(), target.clone()), conf);
            }
        }
        Ok(())
    }

    /// Where the conf of a module is.
    fn conf_of(&self, id: &ModuleId, needs: &Needs) -> PathBuf {
        let is_asked_for = needs.asked.as_ref() == Some(id);
        match (&self.conf_file, &needs.new_source) {
            (Some(file), _) if is_asked_for => file.clone(),
            (None, Some(folder)) if is_asked_for => folder.join("dkms.conf"),
            _ if needs.added.contains(id) => self.layout().source_dir(id).join("dkms.conf"),
            _ => self.layout().source_link(id).join("dkms.conf"),
        }
    }

    /// The facts of a kernel, looked at once.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn kernel(&self, target: &Target) -> Result<KernelFacts, FsError> {
        if let Some(facts) = self.kernels.borrow().get(target) {
            return Ok(facts.clone());
        }
        let facts = KernelFacts::look(target, self.layout(), &self.overrides, self.environment)?;
        self.kernels.borrow_mut().insert(target.clone(), facts.clone());
        Ok(facts)
    }

    fn variables(&self, target: &Target, kernel: &KernelFacts) -> Variables {
        Variables {
            target: target.clone(),
            kernel_source_dir: kernel.headers.clone(),
            kernel_config: kernel.config.path.clone(),
            parallel_jobs: self.jobs,
        }
    }

    /// The conf of a module for a kernel.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at; the conf's own faults are inside.
    pub fn conf(
        &self,
        id: &ModuleId,
        file: &Path,
        target: &Target,
    ) -> Result<Result<ModuleConf, ConfFault>, FsError> {
        let kernel = self.kernel(target)?;
        let source = ConfSource { id: Some(id), file: file.to_owned() };
        let raw = self.reader.read(&source, &self.variables(target, &kernel), &self.directives);
        let resolved = raw.map_err(|error| fault(&error, file)).and_then(|raw| {
            conf::resolve(&raw, target, &kernel.config).map_err(|invalid| ConfFault::Invalid {
                path: file.to_owned(),
                problems: invalid.problems(),
            })
        });
        Ok(resolved.and_then(|conf| check_identity(conf, id, file)))
    }

    /// As much of a conf as can be taken.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at.
    pub fn lenient_conf(&self, id: &ModuleId, file: &Path, target: &Target) -> Result<ModuleConf, FsError> {
        let kernel = self.kernel(target)?;
        let source = ConfSource { id: Some(id), file: file.to_owned() };
        let raw = self.reader.read(&source, &self.variables(target, &kernel), &self.directives).unwrap_or_default();
        Ok(conf::resolve_leniently(&raw, id, target, &kernel.config))
    }
}
