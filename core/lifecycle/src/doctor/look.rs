//! Gathers [`Facts`]: one look at the tree, at each kernel and at the system around them. Changes
//! nothing. As root it runs one program, which does nothing, to see what a sandbox has here.

mod system;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::facts::{Facts, Install, InstalledFile};
use crate::bake::{BakedModule, FileState, Manifest};
use crate::boot::{Guard, Kernels, Notice};
use crate::bundles::Note;
use crate::conf::framework::SettingFault;
use crate::conf::settings::SandboxMode;
use crate::conf::{ModuleConf, Settings};
use crate::critical;
use crate::engine::Survey;
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, ModuleName, Target};
use crate::install::{self, CompareBy};
use crate::kernel::KernelFacts;
use crate::layout::Layout;
use crate::plan::{Options, Request, Work};
use crate::report::Silent;
use crate::sign::TrustedKey;
use crate::tree::turns::PackageRemoval;
use crate::tree::{Snapshot, attempts, images};
use crate::verify::index::{ModuleIndex, search_order};
use crate::verify::search::SearchOrder;
use crate::verify::{Examiner, Verifier};
use crate::version;
use dkms_base::visible::visible;

use system::{disks, missing_layers, no_build_user, untrusted};
pub(super) use tree::leads_nowhere;
use tree::{dangling, dangling_links, interrupted, leftovers, owed};

/// What the boot guard has to say.
fn boot(
    settings: &Settings,
    survey: &Survey<'_>,
    facts: &Facts,
    installed: &[Target],
) -> Result<Vec<Notice>, FsError> {
    let standings = critical::standings(&facts.critical, survey, &facts.world.snapshot, installed)?;
    let guard = Guard {
        layout: &settings.layout,
        environment: survey.environment(),
        mode: settings.boot_guard,
        lock_timeout: settings.lock_timeout,
        reporter: &Silent,
    };
    let has_critical = facts.critical.names().next().is_some();
    Ok(guard.look(&Kernels { installed, standings: &standings, has_critical }).notices())
}

/// Looks. `installed`: every kernel that is; `faults`: invalid values and unknown names in framework.conf.
///
/// # Errors
/// [`FsError`] where the tree or a kernel can't be looked at.
pub fn look(
    settings: &Settings,
    survey: &Survey<'_>,
    installed: &[Target],
    faults: Vec<SettingFault>,
) -> Result<Facts, FsError> {
    let layout = &settings.layout;
    let work = Work::Autoinstall { targets: installed.to_vec() };
    let world =
        survey.world(&Request { work, options: Options::default() }, Snapshot::take(layout)?, None)?;
    let failure = |key: &(ModuleId, Target)| {
        Some((key.clone(), attempts::last(layout, &key.0, &key.1)?.record.failure?))
    };
    let failed = world.confs.keys().filter_map(failure).collect();
    let mut facts = Facts {
        installed_kernels: installed.iter().cloned().collect(),
        booted: booted(world.kernels.values()),
        critical: critical::look(survey, &world.snapshot, installed)?,
        dangling: Vec::new(),
        installs: BTreeMap::new(),
        leftovers: leftovers(layout, installed)?,
        interrupted: interrupted(layout)?,
        owed: owed(layout, installed),
        refused: BTreeMap::new(),
        proofs: Vec::new(),
        unfit: BTreeMap::new(),
        doubts: BTreeSet::new(),
        not_signed: BTreeMap::new(),
        failed,
        images: BTreeMap::new(),
        made_before: BTreeMap::new(),
        held_removed: BTreeMap::new(),
        kept_images: BTreeMap::new(),
        unfinished: Vec::new(),
        twice: BTreeMap::new(),
        baked: BTreeMap::new(),
        distrusted: BTreeMap::new(),
        baked_fault: None,
        disks: disks(settings, &world.snapshot)?,
        // What lies below /usr may be read-only on purpose.
        read_only: [&layout.dkms_tree, &layout.install_tree]
            .into_iter()
            .filter(|tree| {
                fs::is_read_only(tree) && !fs::canonical(tree).is_ok_and(|real| real.starts_with("/usr"))
            })
            .cloned()
            .collect(),
        untrusted: untrusted(layout, &faults),
        setting_faults: faults,
        builds_as_root: settings.build_user == "root" || settings.build_user == "0",
        no_build_user: no_build_user(settings, survey.environment()),
        missing_layers: missing_layers(settings, survey.environment()),
        needs_all_layers: settings.sandbox == SandboxMode::Strict,
        framework_conf: layout.etc_dkms().join("framework.conf"),
        boot: Vec::new(),
        world,
    };
    facts.boot = boot(settings, survey, &facts, installed)?;
    match Manifest::read(layout) {
        Ok(manifest) => facts.baked = changed_since(&manifest, layout),
        Err(error) => facts.baked_fault = Some(error.to_string()),
    }
    let snapshot = &facts.world.snapshot;
    for (name, link) in dangling_links(layout, snapshot)? {
        facts.dangling.push(dangling(survey, layout, snapshot, name, link)?);
    }
    // Others can't read keys.
    if rustix::process::geteuid().is_root() {
        let judge = survey.judge();
        let kernels = installed.iter().filter_map(|target| facts.world.kernels.get(target));
        facts.doubts = kernels.flat_map(|kernel| judge.doubts(kernel)).collect();
    }
    let removals = PackageRemoval::all(layout);
    let is_registered = |name: &ModuleName| snapshot.modules.keys().any(|id| id.name == *name);
    facts.unfinished = removals.iter().filter(|one| !is_registered(&one.id.name)).cloned().collect();
    let verifier = Verifier::new(layout, survey, snapshot)?;
    for target in installed {
        let ids: Vec<ModuleId> = snapshot.installed_on(target).collect();
        if !ids.is_empty() {
            facts.proofs.extend(verifier.proofs(&ids, target)?);
        }
    }
    let look = OfKernels {
        survey,
        order: search_order(layout)?,
        // If they can't be read, nobody is known to be distrusted.
        trusted: crate::sign::trusted(&settings.prebuilt_keys).ok().map(|(keys, _)| keys),
        removals,
    };
    look.take(&mut facts, installed)?;
    Ok(facts)
}

/// What looking at each kernel needs.
struct OfKernels<'a> {
    survey: &'a Survey<'a>,
    order: SearchOrder,
    trusted: Option<Vec<TrustedKey>>,
    removals: Vec<PackageRemoval>,
}

impl OfKernels<'_> {
    fn take(&self, facts: &mut Facts, installed: &[Target]) -> Result<(), FsError> {
        let layout = self.survey.layout();
        for target in installed {
            if let Some(note) = images::read(layout, &target.kernel) {
                self.take_removed(facts, target, &note);
            }
            let ids: Vec<ModuleId> = facts.world.snapshot.installed_on(target).collect();
            if !ids.is_empty() {
                self.take_installed(facts, target, &ids)?;
            }
        }
        Ok(())
    }

    /// Images that hold modules which were removed.
    fn take_removed(&self, facts: &mut Facts, target: &Target, note: &images::Note) {
        let (removed, kept) = removed_modules(note, &facts.world.snapshot, &self.removals);
        let (layout, environment) = (self.survey.layout(), self.survey.environment());
        let holding = |names| install::holds_removed(&target.kernel, &names, layout, environment);
        facts.held_removed.insert(target.clone(), holding(removed));
        let kept = kept.into_iter().map(|(id, names)| ((id, target.clone()), holding(names)));
        facts.kept_images.extend(kept);
    }

    /// The modules that are installed on a kernel, and its images.
    fn take_installed(&self, facts: &mut Facts, target: &Target, ids: &[ModuleId]) -> Result<(), FsError> {
        let (survey, layout, environment) = (self.survey, self.survey.layout(), self.survey.environment());
        let index = ModuleIndex::look(layout, target, &self.order)?;
        let judge = survey.judge();
        let kernel = facts.world.kernels.get(target);
        let examiner = kernel.map(|facts| Examiner::new(layout, facts));
        let mut installed_files = Vec::new();
        for id in ids {
            let key = || (id.clone(), target.clone());
            let conf = survey.lenient_conf(id, target)?;
            let taken = Note::of_built(layout, id, target).zip(self.trusted.as_ref());
            let is_trusted = |note: &Note, keys: &[TrustedKey]| keys.iter().any(|one| one.id == note.key);
            let distrusted = taken.filter(|(note, keys)| !is_trusted(note, keys));
            facts.distrusted.extend(distrusted.map(|(note, _)| (key(), note)));
            let install = install_of(&index, survey, layout, (id, target), &conf);
            let brought = survey.prebuilt(&conf, target, &index.tree);
            facts.twice.extend(brought.map(|brought| (key(), brought)));
            let files: Vec<PathBuf> = install.files.iter().map(|file| file.path.clone()).collect();
            facts.not_signed.extend(not_signed(layout, id, target).map(|why| (key(), why)));
            let rejection = kernel.and_then(|kernel| judge.refuses(kernel, &files));
            facts.refused.extend(rejection.map(|rejection| (key(), rejection)));
            if let Some(examiner) = &examiner {
                let faults = files.iter().cloned().zip(examiner.examine(&files));
                let faults: Vec<_> = faults
                    .flat_map(|(file, faults)| faults.into_iter().map(move |fault| (file.clone(), fault)))
                    .collect();
                if !faults.is_empty() {
                    facts.unfit.insert(key(), faults);
                }
            }
            installed_files.extend(files);
            facts.installs.insert(key(), install);
        }
        let images = install::out_of_date(&target.kernel, &installed_files, layout, environment);
        if !images.is_empty() {
            facts.images.insert(target.clone(), images);
        }
        if images::is_noted(layout, &target.kernel) {
            let found = install::made_before(&target.kernel, &installed_files, layout, environment);
            facts.made_before.insert(target.clone(), found);
        }
        Ok(())
    }
}

/// Of the modules that are noted as removed: those that no image should hold any more, and those
/// that an image is kept for, each with what is to be installed.
fn removed_modules(
    note: &images::Note,
    snapshot: &Snapshot,
    removals: &[PackageRemoval],
) -> (BTreeSet<String>, BTreeMap<ModuleId, BTreeSet<String>>) {
    let newest = snapshot.newest();
    let (mut removed, mut kept) = (BTreeSet::new(), BTreeMap::<_, BTreeSet<_>>::new());
    removed.extend(note.removed.keys().cloned());
    let is_at_work = |of: &ModuleName| removals.iter().any(|removal| removal.id.name == *of);
    for (name, of) in &note.held {
        match newest.iter().find(|id| Some(&id.name) == of.as_ref()) {
            Some(id) => drop(kept.entry((*id).clone()).or_default().insert(name.clone())),
            None if of.as_ref().is_some_and(is_at_work) => {}
            None => drop(removed.insert(name.clone())),
        }
    }
    (removed, kept)
}

/// Files of the image's modules that are not what they were made as, of kernels that are there.
fn changed_since(
    manifest: &Manifest,
    layout: &Layout,
) -> BTreeMap<(ModuleId, Target), Vec<(PathBuf, FileState)>> {
    let changed = |((id, target), module): (&(ModuleId, Target), &BakedModule)| {
        let states = module.files.iter().map(|file| (file.path.clone(), file.state(layout)));
        let changed: Vec<_> = states.filter(|(_, state)| *state != FileState::Same).collect();
        let is_there = fs::is_dir(&layout.kernel_dir(&target.kernel));
        (is_there && !changed.is_empty()).then(|| ((id.clone(), target.clone()), changed))
    };
    manifest.modules.iter().filter_map(changed).collect()
}

/// Why a module was built unsigned though something was to sign it, as its log says.
fn not_signed(layout: &Layout, id: &ModuleId, target: &Target) -> Option<String> {
    let log = layout.target_dir(id, target).join("log/make.log");
    let bytes = fs::read_limited(&log, 1 << 20).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let notes = text.lines().filter_map(|line| line.strip_prefix("# `"));
    let why = notes.filter_map(|line| line.split_once(" is not signed: ")).next_back()?.1;
    Some(visible(why).into_owned())
}

/// The running kernel and the newest.
fn booted<'a>(kernels: impl Iterator<Item = &'a KernelFacts>) -> BTreeSet<Target> {
    let there: Vec<_> = kernels.filter(|kernel| kernel.module_dir_exists).collect();
    let newest = there
        .iter()
        .max_by(|a, b| version::compare(a.target.kernel.as_str(), b.target.kernel.as_str()))
        .map(|kernel| kernel.target.clone());
    there.iter().filter(|kernel| kernel.running).map(|kernel| kernel.target.clone()).chain(newest).collect()
}

/// What is installed of a module, and how modprobe finds it.
fn install_of(
    index: &ModuleIndex<'_>,
    survey: &Survey<'_>,
    layout: &Layout,
    (id, target): (&ModuleId, &Target),
    conf: &ModuleConf,
) -> Install {
    let folder = survey.module_folder.as_deref();
    let built_dir = layout.built_dir(id, target);
    let file = |path: PathBuf| InstalledFile {
        shadowed_by: index.shadowing(&path),
        indexed: index.names(&path),
        path,
    };
    let files = install::installed_files(&index.dir, conf, folder).into_iter().map(file);
    Install {
        state: install::compare_installed(&built_dir, &index.dir, conf, folder, CompareBy::Bytes),
        files: files.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelConfig;

    fn kernel(release: &str, running: bool, config: &str) -> KernelFacts {
        let target = Target::parse(release, "x86_64").unwrap();
        KernelFacts {
            config: KernelConfig { path: None, options: KernelConfig::parse_options(config) },
            running,
            ..KernelFacts::usual(target, &Layout::under("/"))
        }
    }

    #[test]
    fn the_running_and_the_newest_kernel_are_booted() {
        let kernels = [kernel("6.9", false, ""), kernel("6.1", true, ""), kernel("6.10", false, "")];
        let booted: Vec<_> = booted(kernels.iter()).iter().map(|target| target.kernel.to_string()).collect();
        assert_eq!(booted, ["6.1", "6.10"]);
    }
}
