//! All modules of a kernel at once: autoinstall, match, and what kernel packages ask for
//! before and after a kernel.

use std::collections::{BTreeMap, BTreeSet};

use super::order;
use super::planner::Planner;
use super::refusal::Refusal;
use crate::conf::ModuleConf;
use crate::event::LookAhead;
use crate::id::{ModuleId, ModuleName, Target};
use crate::modfile::canonical_name;
use crate::tree::Registration;

/// Every `AUTOINSTALL` module in its newest version, dependencies first.
pub(super) fn autoinstall(planner: &mut Planner<'_>, targets: &[Target]) {
    if is_switched_off(planner) {
        return;
    }
    planner.side_by_side();
    warn_of_broken(planner, |_| true);
    let newest: Vec<ModuleId> = planner.world.snapshot.newest().into_iter().cloned().collect();
    for target in targets.iter().collect::<BTreeSet<_>>() {
        bring_up(planner, &newest, target, &Rules::default());
    }
}

/// Builds of modules that do not depend on each other; nothing is installed.
pub(super) fn build_each(planner: &mut Planner<'_>, ids: &[ModuleId], target: &Target) {
    planner.side_by_side();
    for id in ids {
        planner.each_known(id, std::slice::from_ref(target), Planner::build);
    }
}

/// Modules for the kernels of an image: these by their names, with `all` also every `AUTOINSTALL`
/// one, and what any of them is built against. It does not matter that autoinstall is switched
/// off: a user asks for it.
pub(super) fn bake(planner: &mut Planner<'_>, named: &[ModuleId], all: bool, targets: &[Target]) {
    planner.side_by_side();
    warn_of_broken(planner, |id| all || named.contains(id));
    let mut ids = Vec::new();
    for id in named {
        match planner.world.snapshot.get(id) {
            Some(found) if found.is_broken() => {}
            Some(_) => ids.push(id.clone()),
            None if planner.register(id, None, "it is not in the dkms tree yet").is_some() => {
                ids.push(id.clone());
            }
            None => {}
        }
    }
    let newest = planner.world.snapshot.newest();
    let mut others: Vec<ModuleId> = Vec::new();
    if all {
        others.extend(
            newest
                .iter()
                .filter(|id| !named.iter().any(|other| other.name == id.name))
                .map(|id| (*id).clone()),
        );
    }
    for target in targets.iter().collect::<BTreeSet<_>>() {
        let mut wanted: BTreeSet<ModuleName> = ids.iter().map(|id| id.name.clone()).collect();
        let mut here: Vec<ModuleId> = ids.iter().chain(&others).cloned().collect();
        let mut place = 0;
        while let Some(id) = here.get(place).cloned() {
            place += 1;
            let Ok(conf) = planner.conf(&id, target) else { continue };
            for name in &conf.build_depends {
                wanted.extend(wanted.contains(&id.name).then(|| name.clone()));
                let is_new = !here.iter().any(|other| other.name == *name);
                here.extend(newest.iter().filter(|id| is_new && id.name == *name).map(|id| (*id).clone()));
            }
        }
        bring_up(planner, &here, target, &Rules { named: wanted, ..Rules::default() });
    }
}

/// Whether the admin wants nothing to be done by itself; says so.
pub(super) fn is_switched_off(planner: &mut Planner<'_>) -> bool {
    if planner.world.no_autoinstall {
        planner.note("autoinstall is switched off by `/etc/dkms/no-autoinstall`");
    }
    planner.world.no_autoinstall
}

/// What differs between a person who asks for autoinstall, and a package transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// Modules that go: nothing is built against them.
    pub(super) going: BTreeSet<ModuleName>,
    /// A package transaction: a kernel without headers gets its modules when its headers arrive,
    /// which is no failure.
    pub(super) headers_may_come: bool,
    /// Modules that are wanted by name, also if they are not installed by themselves.
    pub(super) named: BTreeSet<ModuleName>,
    /// What is left to a later batch, or said by one.
    pub(super) ahead: LookAhead,
}

impl Rules {
    /// Whether what is passed over is reported of a module: not where its own package has yet to ask for it.
    fn tells(&self, id: &ModuleId) -> bool {
        !self.ahead.ahead.contains(id)
    }
}

/// Installs the `AUTOINSTALL` ones of these modules on a kernel, dependencies first.
pub(super) fn bring_up(planner: &mut Planner<'_>, ids: &[ModuleId], target: &Target, rules: &Rules) {
    let mut wanted = BTreeMap::new();
    for id in ids {
        if let Some(conf) = wants_autoinstall(planner, id, target, rules) {
            wanted.insert(id.name.clone(), (id.clone(), conf));
        }
    }
    if rules.headers_may_come {
        wait_for_headers(planner, &mut wanted, target, rules);
    }
    let order = sorted(planner, &mut wanted, target, rules);
    let is_ruled_out = |conf: &ModuleConf| conf.excluded.is_some();
    let decided = wanted.iter().filter(|(_, (_, conf))| !is_ruled_out(conf));
    planner.decided.extend(decided.map(|(name, _)| (name.clone(), target.clone())));
    let mut deferred = BTreeSet::new();
    for name in &order.sorted {
        let (id, conf) = &wanted[name];
        let kernel = &target.kernel;
        if is_ruled_out(conf) && !planner.is_undecided(target, conf) {
            tell_exclusion(planner, id, target, conf, rules);
            continue;
        }
        let later = conf.build_depends.iter().find(|name| {
            rules.ahead.later.contains(*name)
                && planner.world.snapshot.installed_version(name, target).is_none()
        });
        let because = if let Some(later) = later {
            Some(format!("it needs `{later}`, whose package is not configured yet"))
        } else if let Some(going) = conf.build_depends.iter().find(|name| rules.going.contains(name)) {
            Some(format!("it needs `{going}`, which is being removed"))
        } else if let Some(unknown) = unknown_dependency(planner, conf, target) {
            Some(format!("it needs `{unknown}`, which dkms does not know yet"))
        } else {
            let waited_for = deferred_dependency(planner, conf, target, &deferred);
            waited_for.map(|waited_for| format!("it needs `{waited_for}`, which is deferred"))
        };
        match because {
            Some(because) if !rules.tells(id) => {
                drop(because);
                deferred.insert(name);
            }
            Some(because) => {
                planner.note(format!("module `{id}` is deferred on kernel {kernel}: {because}"));
                deferred.insert(name);
            }
            None => {
                planner.install(id, target);
            }
        }
    }
    for (name, path) in order.cyclic {
        let (id, _) = &wanted[&name];
        planner.refuse(Refusal::DependencyCycle { id: id.clone(), path });
    }
}

/// The order in which they are built. What a conf rules out for now waits for what it depends on; in a circle
/// it stays ruled out.
fn sorted(
    planner: &mut Planner<'_>,
    wanted: &mut BTreeMap<ModuleName, (ModuleId, &ModuleConf)>,
    target: &Target,
    rules: &Rules,
) -> order::Order {
    let sort = |wanted: &BTreeMap<ModuleName, (ModuleId, &ModuleConf)>| {
        let depends = wanted.iter().map(|(name, (_, conf))| (name.clone(), conf.build_depends.clone()));
        order::sort(&depends.collect())
    };
    let order = sort(wanted);
    let in_circles =
        wanted.iter().filter(|(name, (_, conf))| conf.excluded.is_some() && order.cyclic.contains_key(*name));
    let in_circles: Vec<ModuleName> = in_circles.map(|(name, _)| name.clone()).collect();
    for name in &in_circles {
        if let Some((id, conf)) = wanted.remove(name) {
            tell_exclusion(planner, &id, target, conf, rules);
        }
    }
    if in_circles.is_empty() { order } else { sort(wanted) }
}

/// Says why a module is not for a kernel.
fn tell_exclusion(
    planner: &mut Planner<'_>,
    id: &ModuleId,
    target: &Target,
    conf: &ModuleConf,
    rules: &Rules,
) {
    if let Some(exclusion) = conf.excluded.as_ref().filter(|_| rules.tells(id)) {
        planner.note(format!("module `{id}` is not for kernel {}: {exclusion}", target.kernel));
    }
}

/// Takes out what can't be built without headers; says what waits, and for what.
fn wait_for_headers(
    planner: &mut Planner<'_>,
    wanted: &mut BTreeMap<ModuleName, (ModuleId, &ModuleConf)>,
    target: &Target,
    rules: &Rules,
) {
    // Where nothing is built, nothing waits.
    if planner.world.has_headers(target) || planner.world.only_taken_from.is_some() {
        return;
    }
    let mut waiting = Vec::new();
    wanted.retain(|_, (id, conf)| {
        let is_built =
            planner.is_built(id, target) || conf.excluded.is_some() || planner.may_be_taken(id, target);
        if !is_built && rules.tells(id) {
            waiting.push(format!("`{id}`"));
        }
        is_built
    });
    if !waiting.is_empty() {
        let remedy = planner.world.headers_remedy.get(target).map(|text| format!("; {text}"));
        planner.note(format!(
            "kernel {} has no headers yet, and {} must wait for them{}",
            target.kernel,
            waiting.join(", "),
            remedy.unwrap_or_default()
        ));
    }
}

/// Broken modules are passed over, and said.
pub(super) fn warn_of_broken(planner: &mut Planner<'_>, concerned: impl Fn(&ModuleId) -> bool) {
    for (id, found) in &planner.world.snapshot.modules {
        if found.is_broken() && concerned(id) {
            planner.warn(Refusal::broken(id, found).to_string());
        }
    }
}

/// Whether autoinstall has work with a module; says so where it is passed over for a reason
/// that isn't plain to see.
fn wants_autoinstall<'a>(
    planner: &mut Planner<'a>,
    id: &ModuleId,
    target: &Target,
    rules: &Rules,
) -> Option<&'a ModuleConf> {
    let world = planner.world;
    let key = (id.clone(), target.clone());
    match world.confs.get(&key)? {
        Err(fault) => {
            planner.refuse(Refusal::of_conf(id, fault));
            None
        }
        Ok(conf) if !conf.autoinstall && !rules.named.contains(&id.name) => None,
        Ok(_) if planner.is_installed(id, target) => {
            // Who asks for it wants to know; a package manager that brings something else doesn't.
            if !rules.headers_may_come {
                planner.note(format!(
                    "module `{id}` is already installed on kernel {} ({})",
                    target.kernel, target.arch
                ));
            }
            None
        }
        Ok(_) if world.weak.contains(&key) => {
            planner.note(format!("module `{id}` serves kernel {} through weak-updates", target.kernel));
            None
        }
        Ok(conf) => match &conf.excluded {
            Some(_) if conf.is_computed && !conf.build_depends.is_empty() => Some(conf),
            Some(_) => {
                tell_exclusion(planner, id, target, conf, rules);
                None
            }
            None if is_baked(planner, &key, rules) => None,
            None if is_prebuilt(planner, &key, rules) || will_be_prebuilt(planner, &key, conf, rules) => None,
            None => Some(conf),
        },
    }
}

/// Whether a package brings the module prebuilt, in this version or a newer one; says so.
/// `--force` builds it.
fn is_prebuilt(planner: &mut Planner<'_>, key: &(ModuleId, Target), rules: &Rules) -> bool {
    let Some(found) = planner.world.prebuilt.get(key).filter(|_| !planner.options.force) else {
        return false;
    };
    let (id, target) = key;
    if rules.tells(id) {
        planner.note(format!(
            "module `{id}` is not built for kernel {}: package `{}` brings it (version {})",
            target.kernel, found.package, found.version
        ));
    }
    true
}

/// Whether the image of this system has the module already; says so. `--force` builds it.
fn is_baked(planner: &mut Planner<'_>, key: &(ModuleId, Target), rules: &Rules) -> bool {
    let Some(version) = planner.world.baked.get(key).filter(|_| !planner.options.force) else {
        return false;
    };
    let (id, target) = key;
    if rules.tells(id) && !rules.headers_may_come {
        planner.note(format!(
            "module `{id}` is not built for kernel {}: this system's image has it (version {version})",
            target.kernel
        ));
    }
    true
}

/// Whether unpacked packages will bring all of the module prebuilt; says so. It is looked at
/// again when they have: their version isn't known before.
fn will_be_prebuilt(
    planner: &mut Planner<'_>,
    (id, target): &(ModuleId, Target),
    conf: &ModuleConf,
    rules: &Rules,
) -> bool {
    let coming = &rules.ahead.prebuilt;
    let world = planner.world;
    let is_asked = !coming.is_empty()
        && !planner.options.force
        && world.snapshot.installed_version(&id.name, target).is_none();
    let is_needed = || {
        let mut others = world.confs.iter().filter(|((_, other), _)| other == target);
        others.any(|(_, other)| other.as_ref().is_ok_and(|other| other.build_depends.contains(&id.name)))
    };
    if !is_asked || is_needed() {
        return false;
    }
    let package = |name: &str| coming.get(&(target.kernel.clone(), canonical_name(name)));
    let packages: Option<Vec<_>> = conf.included().map(|module| package(&module.dest_name)).collect();
    let Some(package) = packages.and_then(|packages| packages.first().copied()) else { return false };
    if rules.tells(id) {
        planner.note(format!(
            "module `{id}` is not built for kernel {}: package `{package}` will bring it",
            target.kernel
        ));
    }
    true
}

/// A dependency that no version in the tree provides.
fn unknown_dependency(planner: &Planner<'_>, conf: &ModuleConf, target: &Target) -> Option<ModuleName> {
    let snapshot = &planner.world.snapshot;
    let is_known = |name: &&ModuleName| {
        snapshot.modules.keys().chain(planner.added.keys()).any(|id| id.name == **name)
            || snapshot.installed_version(name, target).is_some()
    };
    conf.build_depends.iter().find(|name| !is_known(name)).cloned()
}

/// A dependency that isn't there and has itself been deferred.
fn deferred_dependency<'c>(
    planner: &Planner<'_>,
    conf: &'c ModuleConf,
    target: &Target,
    deferred: &BTreeSet<&ModuleName>,
) -> Option<&'c ModuleName> {
    let is_there = |name: &ModuleName| planner.world.snapshot.installed_version(name, target).is_some();
    conf.build_depends.iter().find(|name| deferred.contains(name) && !is_there(name))
}

/// Installs on `target` what is installed on `template`.
pub(super) fn match_kernel(
    planner: &mut Planner<'_>,
    template: &Target,
    target: &Target,
    only: Option<&ModuleName>,
) {
    if template.kernel == target.kernel {
        return planner.refuse(Refusal::MatchesItself { target: target.clone() });
    }
    let snapshot = &planner.world.snapshot;
    if let Some(name) = only
        && snapshot.versions(name).is_empty()
    {
        return planner.refuse(Refusal::UnknownModule { name: name.clone() });
    }
    let installed = snapshot.installed_on(template).filter(|id| only.is_none_or(|name| *name == id.name));
    let matched = dependencies_first(planner, installed.collect(), target);
    if matched.is_empty() {
        planner.note(format!("no module is installed on kernel {}: nothing to match", template.kernel));
    }
    planner.side_by_side();
    warn_of_broken(planner, |id| matched.contains(id));
    for id in &matched {
        if !snapshot.get(id).is_some_and(Registration::is_broken) {
            planner.install(id, target);
        }
    }
}

/// Modules in dependency order; those in a circle come last and will be refused by their missing dependency.
fn dependencies_first(planner: &Planner<'_>, ids: Vec<ModuleId>, target: &Target) -> Vec<ModuleId> {
    let depends = ids
        .iter()
        .map(|id| {
            let conf = planner.world.confs.get(&(id.clone(), target.clone()));
            let names = conf.and_then(|conf| conf.as_ref().ok()).map(|conf| conf.build_depends.clone());
            (id.name.clone(), names.unwrap_or_default())
        })
        .collect();
    let order = order::sort(&depends);
    let names: Vec<ModuleName> = order.sorted.into_iter().chain(order.cyclic.into_keys()).collect();
    names.iter().flat_map(|name| ids.iter().filter(move |id| id.name == *name)).cloned().collect()
}

/// Before a kernel is replaced by another build of the same release: what autoinstall would make again goes.
pub(super) fn kernel_preinst(planner: &mut Planner<'_>, target: &Target) {
    planner.side_by_side();
    for id in planner.world.snapshot.built_on(target).cloned().collect::<Vec<_>>() {
        let key = (id.clone(), target.clone());
        if !matches!(planner.world.confs.get(&key), Some(Ok(conf)) if !conf.autoinstall) {
            planner.each_known(&id, std::slice::from_ref(target), Planner::unbuild);
        }
    }
}

/// Before a kernel goes: everything that was built for it goes, then the empty folders.
pub(super) fn kernel_prerm(planner: &mut Planner<'_>, target: &Target) {
    planner.side_by_side();
    for id in planner.world.snapshot.built_on(target).cloned().collect::<Vec<_>>() {
        planner.each_known(&id, std::slice::from_ref(target), Planner::unbuild);
    }
    planner.kernel_goes(target);
}
