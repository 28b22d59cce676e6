//! Gathering: looks at what a request may need to know, once, and makes the [`World`] of it.

mod confs;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::meant;
use super::memory;
use super::needs::Needs;
use super::refused::Judge;
use crate::build::Memory;
use crate::build::inputs::InputsKey;
use crate::bundles::Listing;
use crate::conf::confined::Confined;
use crate::conf::{ModuleConf, Reader, Settings, notices};
use crate::critical;
use crate::event::{self, Kernels};
use crate::forecast;
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::host::process;
use crate::host::trusted::Places;
use crate::id::{KernelRelease, ModuleId, ModuleName, Target};
use crate::install;
use crate::kernel::{Distribution, HeadersPackage, KernelFacts, Overrides, Owner};
use crate::layout::Layout;
use crate::plan::preflight::{Prospect, Question, preflight};
use crate::plan::{ConfFault, Cost, Options, Reading, Request, Work, World};
use crate::tree::attempts::{self, Expected};
use crate::tree::{Held, Snapshot, images, owed, weak};
use crate::verify::{Link, LinkProof, Verdict, Verifier};

/// Everything that looking needs.
#[derive(Debug)]
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
    /// What only the author of a conf can fix is reported, too.
    pub advises_authors: bool,
    /// What `parallel_jobs` is for confs.
    pub jobs: u32,
    /// The folder below `/lib/modules/K` that all modules go to; `None`: where each conf says.
    pub module_folder: Option<String>,
    /// Packages that bring kernels, where a transaction says; of others the package
    /// manager's database is asked.
    pub owners: BTreeMap<KernelRelease, Owner>,
    kernels: RefCell<BTreeMap<Target, Rc<KernelFacts>>>,
    /// Sources share the folders that they are in.
    places: Places,
}

impl<'a> Survey<'a> {
    /// What knows which modules kernels let in.
    #[must_use]
    pub fn judge(&self) -> Judge<'a> {
        Judge::new(self.settings, self.distribution, self.environment)
    }

    /// Nothing overridden.
    #[must_use]
    pub fn new(settings: &'a Settings, distribution: &'a Distribution, environment: &'a Environment) -> Self {
        Self {
            settings,
            distribution,
            environment,
            reader: Reader::new(&settings.layout, &settings.for_packages(environment))
                .confined(Some(Confined::of(settings, environment))),
            conf_file: None,
            directives: Vec::new(),
            overrides: Overrides::default(),
            advises_authors: true,
            jobs: 1,
            module_folder: None,
            owners: BTreeMap::new(),
            kernels: RefCell::default(),
            places: Places::default(),
        }
    }

    /// The same for a command that changes nothing: each conf is looked at once, for however many kernels.
    #[must_use]
    pub fn reading_once(mut self) -> Self {
        self.reader = self.reader.once();
        self
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.settings.layout
    }

    pub(super) fn distribution(&self) -> &'a Distribution {
        self.distribution
    }

    pub(crate) fn settings(&self) -> &'a Settings {
        self.settings
    }

    pub(crate) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// A module's conf for a kernel; `None` where it can't be used.
    pub(super) fn conf_for(&self, id: &ModuleId, target: &Target) -> Result<Option<ModuleConf>, FsError> {
        let file = self.layout().source_link(id).join("dkms.conf");
        let raw = self.read(Some(id), &file, target)?;
        Ok(self.resolve(raw, &file, target)?.ok())
    }

    /// The world for a request; `held`: what we have locked.
    ///
    /// # Errors
    /// [`FsError`] where the tree or a kernel can't be looked at. A conf that can't is a fault in the world.
    pub fn world(
        &self,
        request: &Request,
        snapshot: Snapshot,
        held: Option<&Held>,
    ) -> Result<World, FsError> {
        let needs = Needs::of(&request.work, &snapshot);
        let mut world = World {
            source_tree: self.layout().source_tree.clone(),
            sources: BTreeMap::new(),
            kernels: BTreeMap::new(),
            confs: BTreeMap::new(),
            plain_confs: BTreeMap::new(),
            weak: BTreeSet::new(),
            private_folders: process::may_mount(),
            unconfined: BTreeSet::new(),
            costs: BTreeMap::new(),
            failed_before: BTreeMap::new(),
            prebuilt: BTreeMap::new(),
            baked: BTreeMap::new(),
            places: Vec::new(),
            only_taken_from: self.settings.prebuilt_only.then(|| self.places()),
            no_autoinstall: fs::exists(&self.layout().no_autoinstall()),
            headers_remedy: BTreeMap::new(),
            notices: BTreeMap::new(),
            reading: Reading {
                conf_file: needs.asked.clone().zip(self.conf_file.clone()),
                directives: self.directives.clone(),
                overrides: self.overrides.clone(),
            },
            owed: owed::unattended(self.layout(), held),
            with_image: BTreeSet::new(),
            with_image_to_remake: BTreeSet::new(),
            snapshot,
        };
        for target in &world.owed {
            world.kernels.insert(target.clone(), Rc::unwrap_or_clone(self.kernel(target)?));
        }
        let taken_out_of = needs.taken_out.iter().map(|(_, target)| target);
        for target in needs.targets.iter().chain(taken_out_of).collect::<BTreeSet<_>>() {
            let facts = self.kernel(target)?;
            if !facts.headers_usable {
                world.headers_remedy.insert(target.clone(), self.remedy_for(&facts, &request.work)?);
            }
            world.kernels.insert(target.clone(), Rc::unwrap_or_clone(facts));
        }
        for target in needs.left_by(&request.work) {
            if install::has_image(&target.kernel, self.layout()) {
                world.with_image.insert(target.clone());
            }
        }
        if request.options.initramfs.is_some() && !needs.lenient {
            let kernels = needs.targets.iter().filter(|target| self.has_image_to_remake(&target.kernel));
            world.with_image_to_remake = kernels.cloned().collect();
        }
        for id in &needs.to_add {
            self.take_source(&mut world, id, &needs)?;
        }
        self.take_confs(&mut world, &needs)?;
        for key @ (id, target) in &needs.taken_out {
            if !world.confs.contains_key(key) {
                world.confs.insert(key.clone(), Ok(self.lenient_conf(id, target)?));
            }
        }
        let names = world.confs.keys().map(|(id, _)| &id.name);
        world.unconfined =
            names.filter(|name| self.settings.exemption(Some(name)).is_some()).cloned().collect();
        self.take_known_sources(&mut world)?;
        self.take_past(&mut world, request.options.respect_failures);
        let is_missing = |(id, target): &(ModuleId, Target)| !world.snapshot.is_built(id, target);
        if request.options.force || world.confs.keys().any(is_missing) {
            world.places = Listing::all(self.settings, self.environment);
        }
        if matches!(request.work, Work::Autoinstall { .. } | Work::Bake { .. } | Work::Batch(_)) {
            self.take_prebuilt(&mut world)?;
            self.take_baked(&mut world);
        }
        if needs.weak {
            world.weak = self.weak_that_fit(&world.snapshot)?;
        }
        Ok(world)
    }

    /// Whether a kernel has an initramfs, or it is noted that one is to be made.
    fn has_image_to_remake(&self, kernel: &KernelRelease) -> bool {
        install::has_image(kernel, self.layout()) || images::read(self.layout(), kernel).is_some()
    }

    /// The places that prebuilt modules come from, for people.
    fn places(&self) -> String {
        let places: Vec<String> = self.settings.prebuilt.iter().map(|place| format!("`{place}`")).collect();
        if places.is_empty() { "any place (`prebuilt` is empty)".to_owned() } else { places.join(", ") }
    }

    /// What to do about a kernel's headers, which are not there, and what else is wrong with it.
    fn remedy_for(&self, facts: &KernelFacts, work: &Work) -> Result<String, FsError> {
        let kernel = &facts.target.kernel;
        let names_module = matches!(work, Work::Build { .. } | Work::Install { .. });
        let names_kernel = names_module || matches!(work, Work::Autoinstall { .. } | Work::Match { .. });
        if names_kernel && !facts.module_dir_exists {
            let there = crate::kernel::installed_kernels(self.layout())?;
            if let Some(meant) = meant::kernel(kernel, &there) {
                return Ok(format!("this system has no kernel {kernel}. Did you mean `-k {meant}`?"));
            }
        }
        let remedy = self.headers_remedy(kernel).to_string();
        let why = names_module.then(|| why_no_headers(facts)).flatten();
        Ok(why.into_iter().chain([remedy]).collect::<Vec<_>>().join("\n  "))
    }

    /// Source folders of what modules are built against and the tree does not have.
    fn take_known_sources(&self, world: &mut World) -> Result<(), FsError> {
        let depends = world.confs.values().flatten().flat_map(|conf| &conf.build_depends);
        let is_unknown = |name: &&ModuleName| world.snapshot.versions(name).is_empty();
        let unknown: BTreeSet<ModuleName> = depends.filter(is_unknown).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for entry in fs::list(&self.layout().source_tree)? {
            let folder = self.layout().source_tree.join(&entry.name);
            let name = entry.name.to_string_lossy();
            let of = |module: &ModuleName| {
                let version = name.strip_prefix(module.as_str())?.strip_prefix('-')?;
                ModuleId::parse(module.as_str(), version).ok()
            };
            if let Some(id) = unknown.iter().find_map(of)
                && fs::is_file(&folder.join("dkms.conf"))
            {
                world.sources.insert(id, folder);
            }
        }
        Ok(())
    }

    /// What would bring a kernel's headers.
    fn headers_remedy(&self, kernel: &KernelRelease) -> HeadersPackage {
        let layout = self.layout();
        let found = || Owner::of(kernel, self.distribution, layout, self.environment);
        let owner = self.owners.get(kernel).cloned().or_else(found);
        HeadersPackage::of(kernel, self.distribution, layout, owner.as_ref())
    }

    /// The same for a kernel whose headers are not there.
    pub(crate) fn headers_remedy_where_missing(&self, kernel: &KernelFacts) -> Option<String> {
        (!kernel.headers_usable).then(|| self.headers_remedy(&kernel.target.kernel).to_string())
    }

    /// What becomes of the modules in use, on the kernels in question: first those that the machine can't
    /// boot or be reached without.
    ///
    /// # Errors
    /// [`FsError`] where the tree or a kernel can't be looked at.
    pub fn prospects(
        &self,
        mut question: Question,
        options: Options,
        snapshot: Snapshot,
    ) -> Result<Vec<Prospect>, FsError> {
        let request = Request { work: Work::Batch(question.batch.clone()), options };
        let world = self.world(&request, snapshot, None)?;
        for (id, target) in world.confs.keys().filter(|(_, target)| !question.headers_coming.contains(target))
        {
            if let Some(why) = attempts::last_failure(self.layout(), id, target) {
                question.failed.insert((id.clone(), target.clone()), why);
            }
        }
        question.unfit = self.unfit(&question, &world);
        for target in &question.targets() {
            let version = question.headers_versions.get(&target.kernel).map(String::as_str);
            let standing = forecast::standing(target, version, self.layout(), self.environment);
            question.foreseen.extend(standing.into_iter().map(|(id, found)| ((id, target.clone()), found)));
        }
        let folders = world.kernels.values().filter(|kernel| kernel.module_dir_exists);
        let read_only = folders.filter(|kernel| fs::is_read_only(&kernel.module_dir));
        question.read_only = read_only.map(|kernel| kernel.target.clone()).collect();
        let mut prospects = preflight(&question, &world);
        let absent = prospects.iter().filter(|prospect| prospect.absent.is_some());
        let names = absent.map(|prospect| prospect.id.name.clone()).collect();
        let installed: Vec<Target> = question.installed.iter().cloned().collect();
        let critical = critical::look_for(&names, self, &world.snapshot, &installed)?;
        for prospect in &mut prospects {
            prospect.critical = critical.why(&prospect.id.name).map(str::to_owned);
        }
        prospects.sort_by_key(|prospect| prospect.critical.is_none());
        Ok(prospects)
    }

    /// What is remembered of earlier builds of the modules whose confs are known.
    fn take_past(&self, world: &mut World, failures: bool) {
        let names: BTreeSet<&ModuleName> = world.confs.keys().map(|(id, _)| &id.name).collect();
        let cost = |name: &ModuleName| {
            let Expected { seconds, memory } = attempts::expected(self.layout(), name)?;
            Some((name.clone(), Cost { seconds, memory }))
        };
        world.costs = names.into_iter().filter_map(cost).collect();
        let memory = Memory::default();
        let failed = |((id, target), conf): (&(ModuleId, Target), &Result<ModuleConf, ConfFault>)| {
            let (Ok(conf), Some(kernel)) = (conf, world.kernels.get(target)) else { return None };
            let installed = |name: &ModuleName| world.snapshot.installed_version(name, target).cloned();
            let look = memory::Look {
                settings: self.settings,
                environment: self.environment,
                id,
                conf,
                kernel,
                dependencies: &memory::dependencies(conf, installed),
            };
            Some(((id.clone(), target.clone()), memory::failed_before(&look, &memory)?))
        };
        if failures {
            world.failed_before = world.confs.iter().filter_map(failed).collect();
        }
    }

    /// The key of all that a build of a module of the tree would depend on now; `None`: something of it can't
    /// be looked at. `memory`: what several of them share.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at.
    pub fn inputs(
        &self,
        id: &ModuleId,
        target: &Target,
        snapshot: &Snapshot,
        memory: &Memory,
    ) -> Result<Option<InputsKey>, FsError> {
        let Some(conf) = self.conf_for(id, target)? else { return Ok(None) };
        let installed = |name: &ModuleName| snapshot.installed_version(name, target).cloned();
        let look = memory::Look {
            settings: self.settings,
            environment: self.environment,
            id,
            conf: &conf,
            kernel: &*self.kernel(target)?,
            dependencies: &memory::dependencies(&conf, installed),
        };
        Ok(memory::key(&look, memory))
    }

    /// The source of a module that is to be added, and its conf.
    fn take_source(&self, world: &mut World, id: &ModuleId, needs: &Needs) -> Result<(), FsError> {
        let dir = self.layout().source_dir(id);
        if fs::is_dir(&dir) {
            world.sources.insert(id.clone(), dir);
        } else if needs.new_source.is_none() {
            return Ok(());
        }
        let Some(target) = needs.targets.first().cloned().or_else(running_target) else { return Ok(()) };
        let file = self.conf_of(id, needs);
        let raw = self.read(Some(id), &file, &target)?;
        if let Ok(raw) = &raw {
            // What is copied is root's then.
            let read_there = if needs.new_source.is_some() { Read::Copy } else { Read::InPlace };
            self.notice(world, id, &file, raw, read_there);
            let of_its_author = if self.advises_authors { notices::on_add(raw) } else { Vec::new() };
            world.notices.entry(id.clone()).or_default().splice(0..0, of_its_author);
        }
        let conf = self.resolve(raw, &file, &target)?;
        world.plain_confs.insert(id.clone(), conf);
        Ok(())
    }

    /// The kernels that are installed, as [`crate::event`] wants to know them.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn kernels(&self, installed: &[Target]) -> Result<Kernels, FsError> {
        let here = crate::kernel::running_kernel_here(self.layout());
        let look = |target: &Target| {
            // What comes prebuilt needs none.
            let headers = self.kernel(target)?.headers_usable || !self.settings.prebuilt.is_empty();
            Ok((target.clone(), event::Kernel { headers, running: here.as_ref() == Some(&target.kernel) }))
        };
        let installed = installed.iter().map(look).collect::<Result<_, _>>()?;
        Ok(Kernels { installed, all: self.settings.autoinstall_all_kernels })
    }

    /// The facts of a kernel, looked at once.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn kernel(&self, target: &Target) -> Result<Rc<KernelFacts>, FsError> {
        if let Some(facts) = self.kernels.borrow().get(target) {
            return Ok(Rc::clone(facts));
        }
        let facts = Rc::new(KernelFacts::look(target, self.layout(), &self.overrides)?);
        self.kernels.borrow_mut().insert(target.clone(), Rc::clone(&facts));
        Ok(facts)
    }

    /// What weak-updates links serve and their kernels will load: by symbols, whatever the links' names say.
    fn weak_that_fit(&self, snapshot: &Snapshot) -> Result<BTreeSet<(ModuleId, Target)>, FsError> {
        let mut served = self.weak(snapshot)?;
        if served.is_empty() {
            return Ok(BTreeSet::new());
        }
        let verifier = Verifier::new(self.layout(), self, snapshot)?;
        let links = [Link::Whole, Link::Kernel, Link::Linked];
        let mut fit = BTreeSet::new();
        for (id, target, _) in served.drain(..) {
            let proofs = verifier.proofs(std::slice::from_ref(&id), &target)?;
            let is_refuted =
                |link: &LinkProof| links.contains(&link.link) && link.verdict == Verdict::Refuted;
            if !proofs.iter().flat_map(|proof| &proof.links).any(is_refuted) {
                fit.insert((id, target));
            }
        }
        Ok(fit)
    }

    /// What weak-updates links serve: module, the kernel served, the kernel built for.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn weak(&self, snapshot: &Snapshot) -> Result<Vec<(ModuleId, Target, KernelRelease)>, FsError> {
        let mut served = Vec::new();
        for link in weak::links(self.layout())? {
            for ((name, target), version) in &snapshot.installed {
                let id = ModuleId::new(name.clone(), version.clone());
                let on = Target::new(link.on.clone(), target.arch.clone());
                let file = self.layout().built_dir(&id, target).join(&link.file);
                let is_ours = target.kernel == link.from && fs::is_file(&file);
                if is_ours && !served.iter().any(|(known, known_on, _)| *known == id && *known_on == on) {
                    served.push((id, on, link.from.clone()));
                }
            }
        }
        Ok(served)
    }
}

/// From where a conf is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// From a folder that is about to be copied.
    Copy,
    /// From the module's source as it stays.
    InPlace,
}

/// The running kernel on its own architecture, for confs that are read where no kernel matters.
pub(crate) fn running_target() -> Option<Target> {
    let kernel = crate::kernel::running_kernel().ok()?;
    Target::parse(kernel.as_str(), &rustix::system::uname().machine().to_string_lossy()).ok()
}

/// What else is wrong: the kernel that the command names isn't there, or the link to its headers leads
/// nowhere.
fn why_no_headers(kernel: &KernelFacts) -> Option<String> {
    if !kernel.module_dir_exists {
        return Some(format!(
            "this system has no kernel {}: `dkms kernels` lists those that it has",
            kernel.target.kernel
        ));
    }
    let target = fs::link_target(&kernel.headers).ok()??;
    (!fs::exists(&kernel.headers)).then(|| {
        format!("`{}` leads to `{}`, which does not exist", kernel.headers.display(), target.display())
    })
}
