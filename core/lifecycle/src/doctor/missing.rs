//! `AUTOINSTALL` modules that should be on a kernel and are not: why, and what brings them there.

use super::{Facts, Finding, on};
use crate::id::{ModuleId, ModuleName, Target};
use crate::tree::attempts::Failure;

/// Why nothing is installed by itself.
const SWITCHED_OFF: &str = "autoinstall is switched off by `/etc/dkms/no-autoinstall`";

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let does_autoinstall = facts.world.confs.values().flatten().any(|conf| conf.autoinstall);
    if facts.world.no_autoinstall && does_autoinstall {
        let finding = Finding::hint("autoinstall-off", SWITCHED_OFF);
        findings.push(finding.why("no kernel gets a module by itself as long as this file exists"));
    }
    for target in &facts.installed_kernels {
        on_kernel(facts, target, &mut findings);
    }
    findings
}

/// What a kernel lacks: for want of headers, or for another reason.
fn on_kernel(facts: &Facts, target: &Target, findings: &mut Vec<Finding>) {
    let snapshot = &facts.world.snapshot;
    let missing: Vec<&ModuleId> = snapshot
        .newest()
        .into_iter()
        .filter(|id| {
            let key = ((*id).clone(), target.clone());
            let wanted = matches!(
                facts.world.confs.get(&key),
                Some(Ok(conf)) if conf.autoinstall && conf.excluded.is_none()
            );
            let is_served = facts.world.weak.contains(&key)
                || facts.world.prebuilt.contains_key(&key)
                || facts.world.baked.contains_key(&key);
            wanted && !snapshot.is_installed(id, target) && !is_served
        })
        .collect();
    if !missing.is_empty() && !facts.world.has_headers(target) {
        findings.push(no_headers(facts, target, &missing));
        return;
    }
    // The machine may be booted into any kernel, and does not come up without its critical modules; a build
    // that failed for a kernel that nobody boots now is worth knowing too.
    let is_booted = facts.booted.contains(target);
    let critical = |id: &ModuleId| facts.critical.why(&id.name);
    let obstacle = |id: &ModuleId| Obstacle::of(facts, id, target);
    let counts = |id: &&ModuleId| {
        is_booted || critical(id).is_some() || matches!(obstacle(id), Some(Obstacle::Failed(_)))
    };
    let wanted: Vec<&ModuleId> = missing.into_iter().filter(counts).collect();
    // What autoinstall brings: also what a module is built against, in the right order.
    let is_simple = |id: &ModuleId| match obstacle(id) {
        None => true,
        Some(Obstacle::Depends(names)) => {
            names.iter().all(|name| wanted.iter().any(|id| id.name == **name && obstacle(id).is_none()))
        }
        Some(_) => false,
    };
    let is_together = !facts.world.no_autoinstall && wanted.iter().filter(|id| is_simple(id)).count() > 1;
    for id in &wanted {
        let what = match critical(id) {
            Some(_) => format!("{id} is not there for {}", target.kernel),
            None => format!("{id} is not installed on kernel {} ({})", target.kernel, target.arch),
        };
        let finding = if is_booted { Finding::problem } else { Finding::hint }("not-installed", what);
        let finding = finding.module(id).on(target);
        let obstacle = obstacle(id);
        let is_off = (obstacle.is_none() && facts.world.no_autoinstall).then(|| SWITCHED_OFF.to_owned());
        let finding = match obstacle.as_ref().map(Obstacle::why).or(is_off) {
            Some(why) => finding.why(why),
            None => finding,
        };
        let command = match is_together && is_simple(id) {
            true => Some(format!("dkms autoinstall {}", on(target))),
            false => command(facts, id, target, obstacle.as_ref()),
        };
        findings.push(match command {
            Some(command) => finding.command(command),
            None => finding,
        });
    }
}

/// What keeps a module from being installed, besides that nobody has done it.
enum Obstacle<'a> {
    /// Its last build failed.
    Failed(&'a Failure),
    /// Modules that it is built against are not in the tree.
    Unknown(Vec<&'a ModuleName>),
    /// Modules that it is built against are not installed on this kernel.
    Depends(Vec<&'a ModuleName>),
    /// Another version is.
    Version(String),
}

impl<'a> Obstacle<'a> {
    fn of(facts: &'a Facts, id: &ModuleId, target: &Target) -> Option<Self> {
        let snapshot = &facts.world.snapshot;
        let key = (id.clone(), target.clone());
        let conf = facts.world.confs.get(&key).and_then(|conf| conf.as_ref().ok());
        let depends = conf.map(|conf| conf.build_depends.as_slice()).unwrap_or_default();
        let missing: Vec<&ModuleName> =
            depends.iter().filter(|name| snapshot.installed_version(name, target).is_none()).collect();
        let (known, unknown): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|name| facts.world.newest_known(name).is_some());
        if !unknown.is_empty() {
            return Some(Self::Unknown(unknown));
        }
        if let Some(failure) = facts.failed.get(&key) {
            return Some(Self::Failed(failure));
        }
        if !known.is_empty() {
            return Some(Self::Depends(known));
        }
        snapshot.installed_version(&id.name, target).map(|version| Self::Version(version.to_string()))
    }

    fn why(&self) -> String {
        let list = |names: &[&ModuleName]| {
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Failed(failure) => {
                let lines = failure.diagnosis.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
                let what = if lines.is_empty() { failure.error.clone() } else { lines };
                format!("its last build failed: {what}")
            }
            Self::Unknown(names) => {
                format!("it needs {}, which dkms does not know yet: `dkms add` its source first", list(names))
            }
            Self::Depends(names) => format!("it needs {} installed on this kernel first", list(names)),
            Self::Version(version) => format!("version {version} is"),
        }
    }
}

/// What to run for one module; `None`: no command of ours helps yet.
fn command(facts: &Facts, id: &ModuleId, target: &Target, obstacle: Option<&Obstacle<'_>>) -> Option<String> {
    let install = |id: &ModuleId| format!("dkms install {id} {}", on(target));
    match obstacle {
        None | Some(Obstacle::Version(_)) => Some(install(id)),
        // The same build would fail again.
        Some(Obstacle::Failed(_)) => Some(format!("dkms log {id} {}", on(target))),
        Some(Obstacle::Unknown(_)) => None,
        Some(Obstacle::Depends(names)) => {
            let first: Option<Vec<String>> = names
                .iter()
                .map(|name| {
                    let first = facts.world.newest_known(name)?;
                    let conf = facts.world.confs.get(&(first.clone(), target.clone()));
                    let is_for_it = !matches!(conf, Some(Ok(conf)) if conf.excluded.is_some());
                    let is_free = is_for_it && Obstacle::of(facts, first, target).is_none();
                    is_free.then(|| install(first))
                })
                .collect();
            Some([first?, vec![install(id)]].concat().join(" && "))
        }
    }
}

/// Modules that can't be built, since the kernel's headers are not there.
fn no_headers(facts: &Facts, target: &Target, missing: &[&ModuleId]) -> Finding {
    let names: Vec<String> = missing.iter().map(|id| facts.critical.named(id)).collect();
    let text = format!("the headers of kernel {} are not there", target.kernel);
    let first = missing.iter().find_map(|id| Some((id, facts.critical.why(&id.name)?)));
    let text = match first {
        Some((id, why)) => format!("{id} ({why}) is not there for {}: {text}", target.kernel),
        None => text,
    };
    let is_booted = facts.booted.contains(target);
    let mut finding = if is_booted { Finding::problem } else { Finding::hint }("no-headers", text).on(target);
    finding.critical = first.map(|(_, why)| why.to_owned());
    let finding = finding.why(format!("{} can't be built for it", names.join(", ")));
    match facts.world.headers_remedy.get(target) {
        Some(remedy) => finding.command(command_in(remedy)),
        None => finding,
    }
}

/// The command in a sentence like ``install the package `x`: `apt-get install x` ``; the sentence
/// where there is none.
fn command_in(remedy: &str) -> String {
    remedy
        .strip_suffix('`')
        .and_then(|text| text.rsplit_once('`'))
        .map_or(remedy, |(_, command)| command)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::conf::ModuleConf;
    use crate::kernel::KernelFacts;
    use crate::layout::Layout;
    use crate::tree::{Registration, Source};

    fn target() -> Target {
        Target::parse("6.1.0", "x86_64").unwrap()
    }

    fn id(text: &str) -> ModuleId {
        let (name, version) = text.split_once('/').unwrap();
        ModuleId::parse(name, version).unwrap()
    }

    /// A kernel with headers, and modules with what they are built against.
    fn facts(modules: &[(&str, &[&str])]) -> Facts {
        let mut facts = Facts::default();
        facts.installed_kernels.insert(target());
        facts.booted.insert(target());
        facts.world.kernels.insert(target(), KernelFacts::usual(target(), &Layout::under("/")));
        for (module, depends) in modules {
            let id = id(module);
            let conf = ModuleConf {
                autoinstall: true,
                build_depends: depends.iter().map(|name| ModuleName::new(*name).unwrap()).collect(),
                ..ModuleConf::empty(&id)
            };
            facts.world.confs.insert((id.clone(), target()), Ok(conf));
            let source = Source::Present("/usr/src/x".into());
            facts.world.snapshot.modules.insert(id, Registration { source, built: BTreeMap::new() });
        }
        facts
    }

    /// `what | why | command` of each.
    fn said(facts: &Facts) -> String {
        let line = |finding: Finding| {
            let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            format!("{} | {} | {}", finding.what, or(finding.why), or(finding.command))
        };
        findings(facts).into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn autoinstall_that_is_switched_off_is_named_and_not_proposed() {
        let mut facts = facts(&[("d1/1.0", &[]), ("d2/1.0", &[])]);
        insta::assert_snapshot!(said(&facts), @r"
        d1/1.0 is not installed on kernel 6.1.0 (x86_64) | - | dkms autoinstall -k 6.1.0/x86_64
        d2/1.0 is not installed on kernel 6.1.0 (x86_64) | - | dkms autoinstall -k 6.1.0/x86_64
        ");
        facts.world.no_autoinstall = true;
        insta::assert_snapshot!(said(&facts), @r"
        autoinstall is switched off by `/etc/dkms/no-autoinstall` | no kernel gets a module by itself as long as this file exists | -
        d1/1.0 is not installed on kernel 6.1.0 (x86_64) | autoinstall is switched off by `/etc/dkms/no-autoinstall` | dkms install d1/1.0 -k 6.1.0/x86_64
        d2/1.0 is not installed on kernel 6.1.0 (x86_64) | autoinstall is switched off by `/etc/dkms/no-autoinstall` | dkms install d2/1.0 -k 6.1.0/x86_64
        ");
    }

    #[test]
    fn what_a_module_is_built_against_comes_first() {
        insta::assert_snapshot!(said(&facts(&[("b9/1.0", &["spl"])])), @"b9/1.0 is not installed on kernel 6.1.0 (x86_64) | it needs `spl`, which dkms does not know yet: `dkms add` its source first | -");
        insta::assert_snapshot!(said(&facts(&[("b9/1.0", &["spl"]), ("spl/2.0", &[])])), @r"
        b9/1.0 is not installed on kernel 6.1.0 (x86_64) | it needs `spl` installed on this kernel first | dkms autoinstall -k 6.1.0/x86_64
        spl/2.0 is not installed on kernel 6.1.0 (x86_64) | - | dkms autoinstall -k 6.1.0/x86_64
        ");
        let mut facts = facts(&[("b9/1.0", &["spl"]), ("spl/2.0", &[])]);
        let key = (id("spl/2.0"), target());
        facts.world.confs.get_mut(&key).unwrap().as_mut().unwrap().autoinstall = false;
        insta::assert_snapshot!(said(&facts), @"b9/1.0 is not installed on kernel 6.1.0 (x86_64) | it needs `spl` installed on this kernel first | dkms install spl/2.0 -k 6.1.0/x86_64 && dkms install b9/1.0 -k 6.1.0/x86_64");
    }

    #[test]
    fn a_build_that_failed_is_not_proposed_again() {
        let mut facts = facts(&[("f1/1.0", &[]), ("f2/1.0", &[])]);
        let diagnosis = ["first error: f.c:7: nix", "the disk is full", "free space", "more"];
        let diagnosis = diagnosis.map(str::to_owned).to_vec();
        facts.failed.insert((id("f1/1.0"), target()), Failure { error: "make".to_owned(), diagnosis });
        insta::assert_snapshot!(said(&facts), @r"
        f1/1.0 is not installed on kernel 6.1.0 (x86_64) | its last build failed: first error: f.c:7: nix; the disk is full; free space | dkms log f1/1.0 -k 6.1.0/x86_64
        f2/1.0 is not installed on kernel 6.1.0 (x86_64) | - | dkms install f2/1.0 -k 6.1.0/x86_64
        ");
    }
}
