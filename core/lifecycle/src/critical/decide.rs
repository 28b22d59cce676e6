//! Facts of a machine → which modules are critical. No input or output.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Index, Machine, Place, Role, Supplies, Supply, Wants};
use super::{Answer, Critical};
use crate::conf::settings::CriticalModules;
use crate::id::ModuleName;
use crate::modfile::canonical_name;

/// Decides for all modules of dkms. The admin's word counts first: for a module, then for all.
#[must_use]
pub fn decide(setting: &CriticalModules, machine: &Machine, supplies: &Supplies, index: &Index) -> Critical {
    let roles = roles(machine, supplies, index);
    let answer = |name: &ModuleName, supply: &Supply| {
        if let Some(word) = supply.word {
            let text = if word { "yes" } else { "no" };
            return Answer { critical: Some(word), why: format!("CRITICAL={text} in its configuration") };
        }
        match setting {
            CriticalModules::None => {
                Answer { critical: Some(false), why: "critical=none in framework.conf".to_owned() }
            }
            CriticalModules::Names(names) => {
                let named = names.iter().any(|one| one == name.as_str());
                let not = if named { " names it" } else { " does not name it" };
                Answer { critical: Some(named), why: format!("critical in framework.conf{not}") }
            }
            CriticalModules::Auto => found(machine, supply, roles.get(name)),
        }
    };
    Critical(supplies.iter().map(|(name, supply)| (name.clone(), answer(name, supply))).collect())
}

/// What the facts say.
fn found(machine: &Machine, supply: &Supply, roles: Option<&BTreeSet<Role>>) -> Answer {
    if let Some(roles) = roles {
        let why: Vec<String> = roles.iter().map(ToString::to_string).collect();
        return Answer { critical: Some(true), why: why.join(", ") };
    }
    let is_early = |early: &BTreeSet<String>| supply.modules.keys().any(|module| early.contains(module));
    if machine.early.as_ref().is_some_and(is_early) {
        let whose = match machine.place {
            Place::Machine => "in the initramfs of the running kernel",
            Place::Image => "in the initramfs of a kernel",
        };
        return Answer { critical: Some(true), why: whose.to_owned() };
    }
    if let Some(why) = &machine.unknown {
        return Answer { critical: None, why: why.clone() };
    }
    let why = match machine.place {
        Place::Machine => "nothing that this machine boots from or is reached by needs it",
        Place::Image if supply.modules.values().flatten().any(|alias| is_of_device(alias)) => {
            let why = "it serves devices, and which of them the machine of this image has is not known";
            return Answer { critical: None, why: why.to_owned() };
        }
        Place::Image => "neither fstab, crypttab nor an initramfs needs it",
    };
    Answer { critical: Some(false), why: why.to_owned() }
}

/// Whether an alias is one by which a bus names its devices (`pci:v…`).
fn is_of_device(alias: &str) -> bool {
    alias.contains(':')
        && !["devname:", "char-major-", "net-pf-"].iter().any(|other| alias.starts_with(other))
}

/// What each module of dkms is needed for.
fn roles(machine: &Machine, supplies: &Supplies, index: &Index) -> BTreeMap<ModuleName, BTreeSet<Role>> {
    let owners: BTreeMap<&str, &ModuleName> = supplies
        .iter()
        .flat_map(|(name, supply)| supply.modules.keys().map(move |module| (module.as_str(), name)))
        .collect();
    let mut roles: BTreeMap<ModuleName, BTreeSet<Role>> = BTreeMap::new();
    for need in &machine.needs {
        let first = match &need.wants {
            Wants::Module(name) => BTreeSet::from([canonical_name(name)]),
            Wants::Alias(alias) => serving(alias, supplies, index),
            Wants::InUse(prefix) => in_use(prefix, machine, supplies),
        };
        for module in with_dependencies(first, index) {
            if let Some(name) = owners.get(module.as_str()) {
                roles.entry((*name).clone()).or_default().insert(need.role);
            }
        }
    }
    roles
}

/// The modules that the kernel may load for an alias, and the one that is named like it: file systems without
/// an alias are found by their names.
fn serving(alias: &str, supplies: &Supplies, index: &Index) -> BTreeSet<String> {
    let own = supplies.values().flat_map(|supply| &supply.modules);
    let own = own.flat_map(|(module, aliases)| aliases.iter().map(move |pattern| (pattern, module)));
    let all = own.chain(index.aliases.iter().map(|(pattern, module)| (pattern, module)));
    let mut found: BTreeSet<String> = all
        .filter(|(pattern, _)| matches(pattern, alias))
        .map(|(_, module)| canonical_name(module))
        .collect();
    for prefix in ["fs-", "rtnl-link-", "md-"] {
        found.extend(alias.strip_prefix(prefix).map(canonical_name));
    }
    found.insert(canonical_name(alias));
    found
}

/// Modules of dkms that are loaded and that something uses.
fn in_use(prefix: &str, machine: &Machine, supplies: &Supplies) -> BTreeSet<String> {
    let is_used = |module: &str| machine.loaded.get(module).is_some_and(|references| *references > 0);
    let modules = supplies.values().flat_map(|supply| &supply.modules);
    let fits = |module: &str, aliases: &[String]| {
        module.starts_with(&canonical_name(prefix)) || aliases.iter().any(|alias| alias.starts_with(prefix))
    };
    modules
        .filter(|(module, aliases)| is_used(module) && fits(module, aliases))
        .map(|(module, _)| module.clone())
        .collect()
}

/// The modules with everything that they need.
fn with_dependencies(first: BTreeSet<String>, index: &Index) -> BTreeSet<String> {
    let mut pending: Vec<String> = first.into_iter().collect();
    let mut found = BTreeSet::new();
    while let Some(module) = pending.pop() {
        if found.contains(&module) {
            continue;
        }
        pending.extend(index.depends.get(&module).into_iter().flatten().cloned());
        found.insert(module);
    }
    found
}

/// Whether a pattern of an alias, with `*` and `?`, takes a text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut place) = (0, 0);
    // Where the last `*` stands, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((from, reached)) => {
                    star = Some((from, reached + 1));
                    at = from + 1;
                    place = reached + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}
