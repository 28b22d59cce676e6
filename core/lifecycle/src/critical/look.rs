//! Gathers the facts of this machine, or of an image, and asks for the answers. Changes nothing, starts
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Index, Machine, Place, Supplies, Supply};
use super::{Critical, console, decide, device, network, offline, storage};
use crate::conf::settings::CriticalModules;
use crate::engine::Survey;
use crate::engine::survey::running_target;
use crate::host::fs::{self, FsError};
use crate::id::{KernelRelease, ModuleName, Target};
use crate::install;
use crate::kernel::initramfs;
use crate::layout::Layout;
use crate::modfile::{ModuleFile, canonical_name, read_info};
use crate::sign::chroot;
use crate::tree::Snapshot;

/// No list of depmod is larger.
const LIST_LIMIT: u64 = 64 << 20;

/// Whether each module in the tree is critical for this machine; `kernels`: those that are installed.
///
/// # Errors
/// [`FsError`] where a kernel can't be looked at.
pub fn look(survey: &Survey<'_>, snapshot: &Snapshot, kernels: &[Target]) -> Result<Critical, FsError> {
    let names: BTreeSet<ModuleName> = snapshot.modules.keys().map(|id| id.name.clone()).collect();
    look_for(&names, survey, snapshot, kernels)
}

/// The same for some modules.
///
/// # Errors
/// [`FsError`] where a kernel can't be looked at.
pub fn look_for(
    names: &BTreeSet<ModuleName>,
    survey: &Survey<'_>,
    snapshot: &Snapshot,
    kernels: &[Target],
) -> Result<Critical, FsError> {
    let supplies = supplies(names, survey, snapshot, kernels)?;
    if supplies.is_empty() {
        return Ok(Critical::default());
    }
    let settings = survey.settings();
    let layout = &settings.layout;
    let is_auto = settings.critical == CriticalModules::Auto;
    let is_image =
        chroot::in_chroot(survey.environment()) || chroot::image(layout, survey.environment()).is_some();
    let place = if is_image { Place::Image } else { Place::Machine };
    let machine = match is_auto {
        true => machine(place, layout, kernels, &supplies),
        false => {
            Machine { place, needs: BTreeSet::new(), early: None, loaded: BTreeMap::new(), unknown: None }
        }
    };
    let index =
        if is_auto { index(&kernels_in_question(place, layout, kernels), layout) } else { Index::default() };
    Ok(decide(&settings.critical, &machine, &supplies, &index))
}

/// What is known of the machine.
pub(super) fn machine(place: Place, layout: &Layout, kernels: &[Target], supplies: &Supplies) -> Machine {
    let found = match place {
        Place::Machine => storage::needs(layout).map(|mut needs| {
            needs.extend(network::needs(layout));
            needs.extend(console::needs(layout));
            needs
        }),
        Place::Image => offline::needs(layout),
    };
    let wanted: BTreeSet<String> =
        supplies.values().flat_map(|supply| supply.modules.keys().cloned()).collect();
    let early = early(&kernels_in_question(place, layout, kernels), layout, &wanted);
    let unknown = match place {
        Place::Machine if found.is_none() => {
            Some("`/proc/self/mountinfo` does not show what this machine boots from".to_owned())
        }
        Place::Image if found.is_none() && early.is_none() => {
            Some("this image has no fstab, no crypttab and no initramfs that can be read".to_owned())
        }
        Place::Machine | Place::Image => None,
    };
    let loaded = match place {
        Place::Machine => loaded(&device::text(&layout.at("/proc/modules")).unwrap_or_default()),
        Place::Image => BTreeMap::new(),
    };
    Machine { place, needs: found.unwrap_or_default().into_iter().collect(), early, loaded, unknown }
}

/// The running kernel of a machine that has it; else each.
fn kernels_in_question(place: Place, layout: &Layout, kernels: &[Target]) -> Vec<KernelRelease> {
    let running = crate::kernel::running_kernel_here(layout).filter(|_| place == Place::Machine);
    running
        .map_or_else(|| kernels.iter().map(|target| target.kernel.clone()).collect(), |running| vec![running])
}

/// Of these modules those that an image holds.
fn early(kernels: &[KernelRelease], layout: &Layout, wanted: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let images = kernels.iter().flat_map(|kernel| install::boot_images(kernel, layout));
    let mut found = None;
    for image in images {
        if let Ok(builds) = initramfs::builds(&image, wanted) {
            found.get_or_insert_with(BTreeSet::new).extend(builds.into_keys());
        }
    }
    found
}

/// `/proc/modules`: `NAME SIZE REFERENCES …`.
fn loaded(text: &str) -> BTreeMap<String, u32> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What depmod has written for these kernels.
fn index(kernels: &[KernelRelease], layout: &Layout) -> Index {
    let mut index = Index::default();
    for kernel in kernels {
        let folder = layout.kernel_dir(kernel);
        let read = |name: &str| {
            let bytes = fs::read_limited(&folder.join(name), LIST_LIMIT).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        add_dependencies(&mut index, &read("modules.dep"));
        for line in read("modules.alias").lines() {
            // Devices name their drivers themselves; these are the names that the kernel asks for.
            if let Some((pattern, module)) = line.strip_prefix("alias ").and_then(|rest| rest.split_once(' '))
                && !pattern.contains(':')
            {
                index.aliases.push((pattern.to_owned(), module.to_owned()));
            }
        }
    }
    index
}

/// `PATH: PATH…`, all that a module needs.
pub(super) fn add_dependencies(index: &mut Index, text: &str) {
    let name = |path: &str| {
        let file = path.rsplit('/').next()?;
        ModuleFile::from_name(file).map(|file| canonical_name(&file.stem))
    };
    for (path, needed) in text.lines().filter_map(|line| line.split_once(':')) {
        if let Some(module) = name(path) {
            index.depends.entry(module).or_default().extend(needed.split_whitespace().filter_map(name));
        }
    }
}

/// What dkms has of these modules: names by their confs and by what was built, aliases by one build of each.
fn supplies(
    names: &BTreeSet<ModuleName>,
    survey: &Survey<'_>,
    snapshot: &Snapshot,
    kernels: &[Target],
) -> Result<Supplies, FsError> {
    let layout = survey.layout();
    let mut supplies = Supplies::new();
    for id in snapshot.newest().into_iter().filter(|id| names.contains(&id.name)) {
        let mut supply = Supply::default();
        let targets: Vec<Target> = kernels.iter().cloned().chain(snapshot.targets(id)).collect();
        let targets = if targets.is_empty() { running_target().into_iter().collect() } else { targets };
        for target in &targets {
            let conf = survey.lenient_conf(id, target)?;
            supply.word = supply.word.or(conf.critical);
            for record in &conf.modules {
                supply.modules.entry(canonical_name(&record.dest_name)).or_default();
            }
        }
        if let Some(target) = snapshot.targets(id).last() {
            for (module, aliases) in built(layout, id, target) {
                supply.modules.insert(module, aliases);
            }
        }
        // Where no kernel is there whose conf could be asked.
        if supply.modules.is_empty() {
            supply.modules.insert(canonical_name(id.name.as_str()), Vec::new());
        }
        supplies.insert(id.name.clone(), supply);
    }
    Ok(supplies)
}

/// The modules of a build, with their aliases.
fn built(layout: &Layout, id: &crate::id::ModuleId, target: &Target) -> Vec<(String, Vec<String>)> {
    let folder = layout.built_dir(id, target);
    let module = |entry: fs::Entry| {
        let file = ModuleFile::from_name(entry.name.to_str()?)?;
        let aliases = read_info(&folder.join(&entry.name)).map(|info| info.aliases).unwrap_or_default();
        Some((canonical_name(&file.stem), aliases))
    };
    fs::list(&folder).unwrap_or_default().into_iter().filter_map(module).collect()
}
