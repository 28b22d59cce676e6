//! Gathers [`Facts`]: one look at the tree, at each kernel and at the system around them. Changes
//! nothing. As root it runs one program, which does nothing, to see what a sandbox has here.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::facts::{Dangling, Disk, Facts, Install, InstalledFile, NoBuildUser, Untrusted};
use crate::bake::{BakedModule, FileState, Manifest};
use crate::boot::{Guard, Kernels, Notice};
use crate::bundles::Note;
use crate::conf::framework::{self, SettingFault};
use crate::conf::settings::{BUILD_USER, SandboxMode};
use crate::conf::{ModuleConf, Settings};
use crate::critical;
use crate::engine::Survey;
use crate::host::ancestry::{self, ProcessIdentity};
use crate::host::fs::{self, FsError};
use crate::host::leftovers::{abandoned, is_abandoned};
use crate::host::process::quote;
use crate::host::sandbox::{Account, FALLBACK, Told, missing_here};
use crate::host::{Environment, programs, root, trusted};
use crate::id::{KernelRelease, ModuleId, ModuleName, ModuleVersion, Target};
use crate::install::{self, Closely};
use crate::kernel::KernelFacts;
use crate::layout::Layout;
use crate::plan::{Options, Request, Work};
use crate::report::Silent;
use crate::sign::TrustedKey;
use crate::tree::turns::PackageRemoval;
use crate::tree::{Key, Snapshot, Source, attempts, images, lock};
use crate::verify::index::{ModuleIndex, search_order};
use crate::verify::{Examiner, Verifier};
use crate::version;
use dkms_base::visible::visible;

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
    let failure =
        |key: &(ModuleId, Target)| Some((key.clone(), attempts::last_error(layout, &key.0, &key.1)?));
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
    let order = search_order(layout)?;
    let verifier = Verifier::new(layout, survey, snapshot)?;
    let judge = survey.judge();
    // If they can't be read, nobody is known to be distrusted.
    let trusted = crate::sign::trusted(&settings.prebuilt_keys).ok().map(|(keys, _)| keys);
    // Others can't read keys.
    if rustix::process::geteuid().is_root() {
        let kernels = installed.iter().filter_map(|target| facts.world.kernels.get(target));
        facts.doubts = kernels.flat_map(|kernel| judge.doubts(kernel)).collect();
    }
    let removals = PackageRemoval::all(layout);
    let is_registered = |name: &ModuleName| snapshot.modules.keys().any(|id| id.name == *name);
    facts.unfinished = removals.iter().filter(|one| !is_registered(&one.id.name)).cloned().collect();
    for target in installed {
        if let Some(note) = images::read(layout, &target.kernel) {
            let (removed, kept) = removed_modules(&note, snapshot, &removals);
            let holding =
                |names| install::holds_removed(&target.kernel, &names, layout, survey.environment());
            facts.held_removed.insert(target.clone(), holding(removed));
            facts
                .kept_images
                .extend(kept.into_iter().map(|(id, names)| ((id, target.clone()), holding(names))));
        }
        let ids: Vec<ModuleId> = snapshot.installed_on(target).collect();
        if ids.is_empty() {
            continue;
        }
        let kernel = ModuleIndex::look(layout, target, &order)?;
        let examiner = facts.world.kernels.get(target).map(|facts| Examiner::new(layout, facts));
        let mut installed_files = Vec::new();
        facts.proofs.extend(verifier.proofs(&ids, target)?);
        for id in ids {
            let conf = survey.lenient_conf(&id, target)?;
            let taken = Note::of_built(layout, &id, target).zip(trusted.as_ref());
            let is_trusted = |note: &Note, keys: &[TrustedKey]| keys.iter().any(|key| key.id == note.key);
            let distrusted = taken.filter(|(note, keys)| !is_trusted(note, keys));
            facts.distrusted.extend(distrusted.map(|(note, _)| ((id.clone(), target.clone()), note)));
            let install = install_of(&kernel, survey, layout, (&id, target), &conf);
            let brought = survey.prebuilt(&conf, target, &kernel.tree);
            facts.twice.extend(brought.map(|brought| ((id.clone(), target.clone()), brought)));
            let files: Vec<PathBuf> = install.files.iter().map(|file| file.path.clone()).collect();
            if let Some(why) = not_signed(layout, &id, target) {
                facts.not_signed.insert((id.clone(), target.clone()), why);
            }
            let rejection = facts.world.kernels.get(target).and_then(|facts| judge.refuses(facts, &files));
            facts.refused.extend(rejection.map(|rejection| ((id.clone(), target.clone()), rejection)));
            if let Some(examiner) = &examiner {
                let faults = files.iter().cloned().zip(examiner.examine(&files));
                let faults: Vec<_> = faults
                    .flat_map(|(file, faults)| faults.into_iter().map(move |fault| (file.clone(), fault)))
                    .collect();
                if !faults.is_empty() {
                    facts.unfit.insert((id.clone(), target.clone()), faults);
                }
            }
            installed_files.extend(files);
            facts.installs.insert((id, target.clone()), install);
        }
        let images = install::out_of_date(&target.kernel, &installed_files, layout, survey.environment());
        if !images.is_empty() {
            facts.images.insert(target.clone(), images);
        }
        if images::is_noted(layout, &target.kernel) {
            let found = install::made_before(&target.kernel, &installed_files, layout, survey.environment());
            facts.made_before.insert(target.clone(), found);
        }
    }
    Ok(facts)
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

/// Places of ours that another user than root may change, each once, and without those that `faults` name.
/// Other users learn of them as well.
fn untrusted(layout: &Layout, faults: &[SettingFault]) -> Vec<Untrusted> {
    let trees = [layout.dkms_tree.clone(), layout.install_tree.clone()].map(|path| (path, false));
    let settings = framework::paths(layout).into_iter().map(|path| (path, true));
    let mut seen: BTreeSet<PathBuf> = faults
        .iter()
        .filter_map(|fault| match fault {
            SettingFault::Untrusted { fault } => Some(fault.place.clone()),
            _ => None,
        })
        .collect();
    let found = settings
        .chain(trees)
        .filter_map(|(path, is_setting)| Some(Untrusted { fault: trusted::fault(&path)?, is_setting }));
    found.filter(|found| seen.insert(found.fault.place.clone())).collect()
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

/// What stands in for a `build_user` that does not exist. No user builds where there is no sandbox.
fn no_build_user(settings: &Settings, environment: &Environment) -> Option<NoBuildUser> {
    let name = &settings.build_user;
    if settings.sandbox == SandboxMode::Off || Account::find(name).is_some() {
        return None;
    }
    let declared = settings.layout.at("/usr/lib/sysusers.d/dkms.conf");
    let is_declared = name == BUILD_USER
        && fs::exists(&declared)
        && programs::find("systemd-sysusers", environment).is_some();
    let command = if is_declared {
        format!("systemd-sysusers {}", quote(&declared.display().to_string()))
    } else {
        format!(
            "useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin {}",
            quote(name)
        )
    };
    let instead = Account::find(FALLBACK).map(|_| FALLBACK);
    Some(NoBuildUser { name: name.clone(), instead, command })
}

/// Others than root get fewer layers than a build has, and no program of an image is run.
fn missing_layers(settings: &Settings, environment: &Environment) -> Vec<Told> {
    let is_asked =
        settings.sandbox != SandboxMode::Off && rustix::process::geteuid().is_root() && !root::is_entered();
    if is_asked { missing_here(&settings.build_user, environment) } else { Vec::new() }
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

/// What interrupted commands left beside what they were about to change.
fn leftovers(layout: &Layout, installed: &[Target]) -> Result<Vec<PathBuf>, FsError> {
    let mut found = abandoned(&layout.source_tree, 0)?;
    found.extend(abandoned(&layout.dkms_tree, 4)?);
    found.extend(abandoned(&layout.at("/etc/modprobe.d"), 0)?);
    let kernels: BTreeSet<&KernelRelease> = installed.iter().map(|target| &target.kernel).collect();
    for kernel in kernels {
        found.extend(abandoned(&layout.kernel_dir(kernel), 16)?);
    }
    Ok(found)
}

/// Who wrote a journal; the rest of its first line is for who recovers.
#[derive(serde::Deserialize)]
struct Writer {
    pid: u32,
    started: u64,
}

/// Journals whose writer is gone, and those that nobody can read.
fn interrupted(layout: &Layout) -> Result<Vec<PathBuf>, FsError> {
    let dir = layout.journal_dir();
    let files = fs::list(&dir)?.into_iter().filter(|entry| entry.kind.is_file());
    let is_at_work = |path: &PathBuf| {
        let Ok(bytes) = fs::read_limited(path, 64 << 20) else { return !fs::exists(path) };
        let first = serde_json::Deserializer::from_slice(&bytes).into_iter::<Writer>().next();
        first.and_then(Result::ok).is_some_and(|Writer { pid, started }| {
            ancestry::identity(pid) == Some(ProcessIdentity { pid, started })
        })
    };
    let paths = files.map(|entry| dir.join(entry.name));
    Ok(paths.filter(|path| !is_abandoned(path) && !is_at_work(path)).collect())
}

/// Kernels that need a depmod, and that nobody works on.
fn owed(layout: &Layout, installed: &[Target]) -> BTreeSet<Target> {
    let is_due = |target: &&Target| {
        fs::exists(&layout.owed_depmod(&target.kernel))
            && lock::is_free(layout, &Key::Kernel(target.kernel.clone()))
    };
    installed.iter().filter(is_due).cloned().collect()
}

/// Free room on each file system that we write to.
fn disks(settings: &Settings, snapshot: &Snapshot) -> Result<Vec<Disk>, FsError> {
    let layout = &settings.layout;
    let mut seen = BTreeSet::new();
    let mut disks = Vec::new();
    for path in [&layout.dkms_tree, &layout.install_tree, &settings.tmp_location] {
        let Some(meta) = fs::stat(path)? else { continue };
        if seen.insert(meta.dev()) {
            // Builds run in the tree, on a copy of the source.
            let needed = if path == &layout.dkms_tree { largest_source(snapshot) } else { 0 };
            disks.push(Disk { path: path.clone(), free: fs::free_bytes(path)?, needed });
        }
    }
    Ok(disks)
}

/// The bytes of the largest source folder.
fn largest_source(snapshot: &Snapshot) -> u64 {
    let size = |found: &crate::tree::Registration| match &found.source {
        Source::Present(folder) => {
            let files = walkdir::WalkDir::new(folder).into_iter().flatten();
            files.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
        }
        Source::Dangling(_) | Source::Unlinked(_) => 0,
    };
    snapshot.modules.values().map(size).max().unwrap_or(0)
}

/// Links that lead to nothing built.
fn dangling_links(layout: &Layout, snapshot: &Snapshot) -> Result<Vec<(ModuleName, PathBuf)>, FsError> {
    let mut links = Vec::new();
    for entry in fs::list(&layout.dkms_tree)?.into_iter().filter(|entry| entry.kind.is_dir()) {
        let Some(Ok(name)) = entry.name.to_str().map(ModuleName::new) else { continue };
        let known = snapshot.installed.keys().filter(|(other, _)| *other == name);
        let known: BTreeSet<_> = known.map(|(name, target)| layout.installed_link(name, target)).collect();
        for entry in fs::list(&layout.module_dir(&name))? {
            let link = layout.module_dir(&name).join(&entry.name);
            let is_ours = entry.kind.is_symlink() && entry.name.as_encoded_bytes().starts_with(b"kernel-");
            if is_ours && !known.contains(&link) && leads_nowhere(&link) {
                links.push((name.clone(), link));
            }
        }
    }
    Ok(links)
}

/// Whether an installed link leads to nothing built.
pub(super) fn leads_nowhere(link: &Path) -> bool {
    !fs::is_dir(&link.join("module"))
}

fn dangling(
    survey: &Survey<'_>,
    layout: &Layout,
    snapshot: &Snapshot,
    name: ModuleName,
    link: PathBuf,
) -> Result<Dangling, FsError> {
    let text = link.file_name().and_then(|text| text.to_str()?.strip_prefix("kernel-"));
    let target = text.and_then(|text| text.rsplit_once('-')).and_then(|(k, a)| Target::parse(k, a).ok());
    let mut files = Vec::new();
    if let Some(target) = &target {
        let value = fs::link_target(&link)?.unwrap_or_default();
        let version = value.iter().next().and_then(|part| ModuleVersion::new(part.to_str()?).ok());
        let linked = version.map(|version| ModuleId::new(name.clone(), version));
        let id = linked.filter(|id| snapshot.get(id).is_some());
        let id = id.or_else(|| snapshot.versions(&name).last().map(|id| (*id).clone()));
        if let Some(id) = id {
            let conf = survey.lenient_conf(&id, target)?;
            let folder = survey.module_folder.as_deref();
            files = install::installed_files(&layout.kernel_dir(&target.kernel), &conf, folder);
        }
    }
    Ok(Dangling { link, name, target, files })
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
        state: install::compare_installed(&built_dir, &index.dir, conf, folder, Closely::AtBytes),
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

    #[test]
    fn who_writes_a_journal_now_was_not_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.journal_dir()).unwrap();
        let ProcessIdentity { pid, started } = ancestry::identity(std::process::id()).unwrap();
        for (name, text) in [
            ("living", format!("{{\"version\":1,\"pid\":{pid},\"started\":{started},\"x\":[]}}\n{{\"torn")),
            ("reused", format!("{{\"pid\":{pid},\"started\":{}}}\n", started + 1)),
            ("dead", "{\"pid\":4999999,\"started\":1}\n".to_owned()),
            ("garbage", "\0\0".to_owned()),
            (".tmp_4999999_0_x", String::new()),
        ] {
            fs::write_whole(&layout.journal_dir().join(name), text.as_bytes(), 0o644).unwrap();
        }
        let found = interrupted(&layout).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["dead", "garbage", "reused"]);
    }
}
