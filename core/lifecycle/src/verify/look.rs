//! Gathers [`Facts`] of modules on kernels: what the tree, the kernel's folder, its images and the machine
//! show. Starts no process of its own, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::facts::{Facts, File, Holds, Image, Index, State, Trust};
use super::index::{ModuleIndex, search_order};
use super::search::SearchOrder;
use super::{Examination, Examiner, Fault, Proof, judge, running_kernel};
use crate::bake::{BakedFile, BakedModule, FileState, Manifest};
use crate::conf::ModuleConf;
use crate::engine::Survey;
use crate::engine::refused::Judge;
use crate::host::fs::{self, FsError};
use crate::id::{KernelRelease, ModuleId, Target};
use crate::install::{self, HeldImage};
use crate::kernel::KernelFacts;
use crate::layout::Layout;
use crate::tree::{Snapshot, images, weak};

/// Which module, on which kernel.
pub type Pair = (ModuleId, Target);

/// Looks at modules on kernels, each kernel once.
#[derive(Debug)]
pub struct Verifier<'a> {
    layout: &'a Layout,
    survey: &'a Survey<'a>,
    snapshot: &'a Snapshot,
    order: SearchOrder,
    judge: Judge<'a>,
    weak: Vec<(ModuleId, Target, KernelRelease)>,
    baked: Manifest,
}

impl<'a> Verifier<'a> {
    /// For a tree.
    ///
    /// # Errors
    /// [`FsError`] where a folder can't be read.
    pub fn new(layout: &'a Layout, survey: &'a Survey<'a>, snapshot: &'a Snapshot) -> Result<Self, FsError> {
        let (order, weak) = (search_order(layout)?, survey.weak(snapshot)?);
        let baked = Manifest::known(layout);
        Ok(Self { layout, survey, snapshot, order, judge: survey.judge(), weak, baked })
    }

    /// A module that the image of this system was made with, unless the tree has installed it there.
    fn baked(&self, id: &ModuleId, target: &Target) -> Option<&BakedModule> {
        let found = self.baked.modules.get(&(id.clone(), target.clone()));
        found.filter(|_| self.snapshot.installed_version(&id.name, target).is_none())
    }

    /// The modules that are, or should be, on a kernel: what is installed or linked there or part of the
    /// system's image, and of the others the newest versions that autoinstall would bring.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at.
    pub fn wanted(&self, target: &Target) -> Result<Vec<ModuleId>, FsError> {
        let mut ids: BTreeSet<ModuleId> = self.snapshot.installed_on(target).collect();
        ids.extend(self.weak.iter().filter(|(_, on, _)| on == target).map(|(id, ..)| id.clone()));
        ids.extend(
            self.baked
                .modules
                .keys()
                .map(|(id, _)| id)
                .filter(|id| self.baked(id, target).is_some())
                .cloned(),
        );
        let tree = self.survey.module_tree(target)?;
        for id in self.snapshot.newest() {
            if ids.iter().any(|other| other.name == id.name) {
                continue;
            }
            let conf = self.survey.lenient_conf(id, target)?;
            let is_wanted = conf.autoinstall && conf.excluded.is_none();
            if is_wanted && self.survey.prebuilt(&conf, target, &tree).is_none() {
                ids.insert(id.clone());
            }
        }
        Ok(ids.into_iter().collect())
    }

    /// Judges modules on one kernel.
    ///
    /// # Errors
    /// [`FsError`] where the kernel can't be looked at.
    pub fn proofs(&self, ids: &[ModuleId], target: &Target) -> Result<Vec<Proof>, FsError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let kernel = self.survey.kernel(target)?;
        let on = OnKernel {
            verifier: self,
            index: ModuleIndex::look(self.layout, target, &self.order)?,
            examiner: Examiner::new(self.layout, &kernel),
            kernel: &kernel,
        };
        let mut found: Vec<(Facts, Vec<PathBuf>)> = Vec::new();
        let builtin = on.index.builtin();
        for id in ids {
            found.push(on.facts(id, &builtin)?);
        }
        on.take_images(&mut found);
        Ok(found.iter().map(|(facts, _)| judge(facts)).collect())
    }
}

/// One kernel.
struct OnKernel<'a> {
    verifier: &'a Verifier<'a>,
    index: ModuleIndex<'a>,
    examiner: Examiner<'a>,
    kernel: &'a KernelFacts,
}

impl OnKernel<'_> {
    /// All but the images; with the files that are there.
    fn facts(&self, id: &ModuleId, builtin: &BTreeSet<String>) -> Result<(Facts, Vec<PathBuf>), FsError> {
        let Verifier { layout, survey, snapshot, judge, weak, .. } = self.verifier;
        let target = &self.kernel.target;
        let conf = survey.lenient_conf(id, target)?;
        let from = weak.iter().find(|(served, on, _)| served == id && on == target);
        let is_installed = snapshot.installed_version(&id.name, target).is_some();
        let from = from.filter(|_| !is_installed).map(|(_, _, from)| from);
        let baked = self.verifier.baked(id, target);
        let mut files = match (baked, from) {
            (Some(baked), _) => self.baked_files(baked),
            (None, Some(from)) => self.linked_files(id, &conf, from),
            (None, None) => self.own_files(id, &conf),
        };
        let there: Vec<PathBuf> =
            files.iter().filter(|file| file.state != State::Missing).map(|file| file.path.clone()).collect();
        let examined = self.examiner.examinations(&there);
        let mut examined: BTreeMap<&PathBuf, Examination> = there.iter().zip(examined).collect();
        for file in &mut files {
            let Some(Examination { faults, doubts, depends }) = examined.remove(&file.path) else { continue };
            (file.faults, file.doubts) = (faults, doubts);
            file.lost = self.index.lost(&file.path, &depends, builtin);
        }
        let trust = match judge.refuses(self.kernel, &there) {
            Some(rejection) => Trust::Rejected(rejection),
            None if judge.demands(self.kernel) => Trust::Accepted,
            None => Trust::NotAsked,
        };
        let index = match () {
            () if self.index.is_there() => Index::There,
            () if self.index.has_own_modules() => Index::Missing,
            () => Index::Coming,
        };
        let registration = snapshot.get(id);
        let conf_fault = match registration {
            _ if baked.is_some() => None,
            Some(found) if found.is_broken() => {
                Some(format!("the source of {id} is gone, so is its dkms.conf"))
            }
            _ if conf.modules.is_empty() => {
                Some(format!("dkms.conf of {id} cannot be used, or names no module"))
            }
            _ => None,
        };
        let mut facts = Facts {
            id: id.clone(),
            target: target.clone(),
            kernel_is_gone: !self.kernel.module_dir_exists,
            conf_fault,
            excluded: conf.excluded.as_ref().map(|excluded| excluded.directive.clone()),
            asks_for_running: None,
            installed: match baked {
                Some(_) => Some(id.version.clone()),
                None => snapshot.installed_version(&id.name, target).cloned(),
            },
            is_weak: baked.is_none() && from.is_some(),
            headers_remedy: survey.headers_remedy_where_missing(self.kernel),
            files,
            trust,
            index,
            images: Vec::new(),
            images_command: None,
            is_needed_at_boot: conf.remake_initrd,
            made_without_modules: images::is_noted(layout, &target.kernel),
        };
        if facts.files.iter().flat_map(|file| &file.faults).any(Fault::is_for_another_release) {
            facts.asks_for_running = running_kernel(&layout.source_link(id));
        }
        Ok((facts, there))
    }

    /// What is, or should be, in the folder of the kernel that it was built for.
    fn own_files(&self, id: &ModuleId, conf: &ModuleConf) -> Vec<File> {
        let layout = self.verifier.layout;
        let built_dir = layout.built_dir(id, &self.kernel.target);
        let folder = self.verifier.survey.module_folder.as_deref();
        let placed = install::placed(&built_dir, &self.index.dir, conf, folder, self.kernel.compression);
        placed.into_iter().map(|placed| self.file(placed.path, placed.built.as_deref())).collect()
    }

    /// What another kernel's build has linked into this one's folder.
    fn linked_files(&self, id: &ModuleId, conf: &ModuleConf, from: &KernelRelease) -> Vec<File> {
        let target = Target::new(from.clone(), self.kernel.target.arch.clone());
        let built_dir = self.verifier.layout.built_dir(id, &target);
        let folder = self.verifier.survey.module_folder.as_deref();
        let placed = install::placed(&built_dir, &self.index.dir, conf, folder, self.kernel.compression);
        let links = self.index.dir.join(weak::FOLDER);
        let file = |placed: install::Placed| {
            let name = placed.built.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
            let below = |path: &&PathBuf| {
                path.starts_with(&links) && path.file_name().map(|other| other.to_string_lossy()) == name
            };
            let paths = self.index.tree.paths(&placed.name);
            let path = paths.iter().find(below).cloned().unwrap_or_else(|| links.join(&placed.name));
            self.file(path, placed.built.as_deref())
        };
        placed.into_iter().map(file).collect()
    }

    /// What the image of this system was made with.
    fn baked_files(&self, baked: &BakedModule) -> Vec<File> {
        let layout = self.verifier.layout;
        let file = |file: &BakedFile| {
            let state = match file.state(layout) {
                FileState::Same => State::Same,
                FileState::Missing => State::Missing,
                FileState::Different => State::Different,
            };
            self.in_state(layout.at(&file.path.to_string_lossy()), state)
        };
        baked.files.iter().map(file).collect()
    }

    fn file(&self, path: PathBuf, built: Option<&Path>) -> File {
        let state = match built {
            _ if !fs::is_file(&path) => State::Missing,
            None => State::Alone,
            Some(built) if fs::same_bytes(built, &path) => State::Same,
            Some(_) => State::Different,
        };
        self.in_state(path, state)
    }

    fn in_state(&self, path: PathBuf, state: State) -> File {
        File {
            state,
            faults: Vec::new(),
            doubts: Vec::new(),
            shadowed_by: self.index.shadowing(&path),
            is_indexed: self.index.names(&path).unwrap_or(false),
            lost: Vec::new(),
            path,
        }
    }

    /// Each image is read once for all modules.
    fn take_images(&self, found: &mut [(Facts, Vec<PathBuf>)]) {
        let all: Vec<PathBuf> = found.iter().flat_map(|(_, files)| files.iter().cloned()).collect();
        let (layout, kernel) = (self.verifier.layout, &self.kernel.target.kernel);
        let (held, command) = install::held(kernel, &all, layout, self.verifier.survey.environment());
        for (facts, files) in found {
            facts.images = held.iter().map(|image| of_module(image, files)).collect();
            facts.images_command.clone_from(&command);
        }
    }
}

/// What an image holds of the files of one module.
fn of_module(image: &HeldImage, files: &[PathBuf]) -> Image {
    let holds = match &image.content {
        Err(error) => Holds::Unreadable { why: error.to_string(), is_denied: image.is_denied },
        Ok(content) => {
            let others: Vec<String> =
                files.iter().filter_map(|file| content.others.get(file).cloned()).collect();
            let holds_any = files.iter().any(|file| content.same.contains(file));
            match () {
                () if !others.is_empty() => Holds::Others(others),
                () if !holds_any && files.iter().any(|file| content.newer.contains(file)) => Holds::Older,
                () => Holds::Fits,
            }
        }
    };
    Image { path: image.path.clone(), holds }
}
