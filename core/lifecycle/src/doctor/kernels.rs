//! Faults of what is, or should be, installed on the kernels.

use std::collections::BTreeMap;

use super::facts::{Install, InstalledFile};
use super::{Facts, Finding, Fix, missing, on};
use crate::bake::FileState;
use crate::host::process::quote;
use crate::id::{ModuleId, Target};
use crate::install::{InstalledState, OutOfDate};
use crate::plan::Refusal;
use crate::tree::turns::PackageRemoval;
use crate::trust::{Fault, Rejection, Untrusted, Way};
use crate::verify::{Link, Verdict};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    confs(facts, &mut findings);
    findings.extend(missing::findings(facts));
    for ((id, target), install) in &facts.installs {
        installed(facts, id, target, install, &mut findings);
    }
    twice(facts, &mut findings);
    baked(facts, &mut findings);
    images(facts, &mut findings);
    made_before(facts, &mut findings);
    refuted(facts, &mut findings);
    held_removed(facts, &mut findings);
    kept_images(facts, &mut findings);
    unfinished(facts, &mut findings);
    findings
}

/// Links that do not hold and that no other finding is about.
fn refuted(facts: &Facts, findings: &mut Vec<Finding>) {
    for proof in &facts.proofs {
        let (id, target) = (&proof.id, &proof.target);
        for link in proof.links.iter().filter(|link| link.verdict == Verdict::Refuted) {
            let kinds: &[&str] = match link.link {
                Link::There => &["drift", "build-incomplete", "not-installed", "installed-without-build"],
                Link::Whole => &["not-a-module", "other-machine"],
                Link::Kernel => &["other-kernel"],
                Link::Linked => &["unknown-symbols", "other-build", "gpl-only", "namespace", "no-crcs"],
                Link::Trusted => &["unsigned", "untrusted-key"],
                Link::Found => &["shadowed", "stale-index", "owed-depmod"],
                Link::Boot => &["initramfs-out-of-date"],
            };
            let is_told = |finding: &Finding| {
                let is_same = |other: &ModuleId| other == id;
                kinds.contains(&finding.kind)
                    && finding.target.as_ref() == Some(target)
                    && finding.module.as_ref().is_none_or(is_same)
            };
            let depmod_is_told = link.link == Link::Found && facts.owed.contains(target);
            if findings.iter().any(is_told) || depmod_is_told {
                continue;
            }
            let reason = link.reason.clone().unwrap_or_default();
            let finding =
                Finding::problem(link.link.word(), format!("kernel {}: {id}: {reason}", target.kernel));
            let finding = finding.module(id).on(target);
            findings.push(match &link.remedy {
                remedy if link.link == Link::Boot => remade_by(remedy.as_ref(), finding, target, facts),
                Some(command) => finding.command(command.clone()),
                None => finding,
            });
        }
    }
}

/// Modules that a package brings prebuilt, which arrived after dkms had built them.
fn twice(facts: &Facts, findings: &mut Vec<Finding>) {
    for ((id, target), brought) in &facts.twice {
        let what = format!(
            "package `{}` brings the modules of {id} for kernel {} as well (version {})",
            brought.package, target.kernel, brought.version
        );
        findings.push(
            Finding::hint("built-twice", what)
                .module(id)
                .on(target)
                .why("the build of dkms is loaded, and is built again whenever it changes")
                .command(format!("dkms unbuild {id} {}", on(target))),
        );
    }
}

/// Modules of this system's image that are not as they were made. There is nothing to remake them from.
fn baked(facts: &Facts, findings: &mut Vec<Finding>) {
    for ((id, target), files) in &facts.baked {
        for (file, state) in files {
            let (kind, what) = match state {
                FileState::Missing => ("baked-missing", "is not there"),
                FileState::Same | FileState::Different => ("baked-changed", "is not what it was made as"),
            };
            let what = format!("`{}` of {id}, which is part of this system's image, {what}", file.display());
            findings.push(
                Finding::problem(kind, what)
                    .module(id)
                    .on(target)
                    .why("update the system from its image, or add the module and build it here"),
            );
        }
    }
    if let Some(fault) = &facts.baked_fault {
        findings.push(Finding::problem("baked-list", fault.clone()));
    }
}

/// Images that the system boots and that were made of other builds.
fn images(facts: &Facts, findings: &mut Vec<Finding>) {
    for (target, images) in &facts.images {
        for OutOfDate { image, modules, command } in images {
            let what = format!(
                "`{}` holds another build of {} than is installed on kernel {}",
                image.display(),
                modules.join(", "),
                target.kernel
            );
            let finding = Finding::problem("initramfs-out-of-date", what)
                .on(target)
                .why("the one in the image is loaded at boot");
            findings.push(remade_by(command.as_ref(), finding, target, facts));
        }
    }
}

/// Images that were made before the modules of their kernel, and were not made anew: `remake_initrd=no`, or
/// that failed. Whether they would hold the modules is not known.
fn made_before(facts: &Facts, findings: &mut Vec<Finding>) {
    for (target, images) in &facts.made_before {
        for OutOfDate { image, modules, command } in images {
            let what = format!(
                "`{}` was made before {} was installed on kernel {}",
                image.display(),
                modules.join(", "),
                target.kernel
            );
            let finding = Finding::hint("initramfs-made-before", what)
                .on(target)
                .why("what is needed to mount the root file system must be in it");
            findings.push(remade_by(command.as_ref(), finding, target, facts));
        }
    }
}

/// Images that hold modules which were removed since.
fn held_removed(facts: &Facts, findings: &mut Vec<Finding>) {
    for (target, images) in &facts.held_removed {
        for OutOfDate { image, modules, command } in images {
            let what = format!(
                "`{}` still holds {}, which was removed from kernel {}",
                image.display(),
                modules.join(", "),
                target.kernel
            );
            let finding = Finding::problem("initramfs-holds-removed", what)
                .on(target)
                .why("the one in the image is loaded at boot");
            findings.push(remade_by(command.as_ref(), finding, target, facts));
        }
    }
}

/// A finding about an image with the command that makes it again; but not where that would take out of it
/// what it is kept for.
fn remade_by(command: Option<&String>, finding: Finding, target: &Target, facts: &Facts) -> Finding {
    let is_kept = facts.kept_images.keys().any(|(_, on)| on == target);
    let is_unfinished = facts.unfinished.iter().any(|removal| removal.kernels.contains(target));
    match command {
        Some(_) if is_kept || is_unfinished => {
            finding.why("it is remade when the module that it is kept for is installed, or removed for good")
        }
        Some(command) => finding.command(command.clone()),
        None => finding,
    }
}

/// Images that hold the last build of a module there is for their kernel.
fn kept_images(facts: &Facts, findings: &mut Vec<Finding>) {
    for ((id, target), images) in &facts.kept_images {
        for OutOfDate { image, modules, .. } in images {
            let kernel = &target.kernel;
            let what = format!(
                "of kernel {kernel} only `{}` still has {}: {id} is not installed",
                image.display(),
                modules.join(", ")
            );
            let finding = Finding::problem("initramfs-kept", what)
                .on(target)
                .why("a package removed the version in it; an image that is made now is without the module");
            // For one that is not for this kernel there is none.
            let is_excluded = matches!(
                facts.world.confs.get(&(id.clone(), target.clone())),
                Some(Ok(conf)) if conf.excluded.is_some()
            );
            findings.push(match is_excluded {
                true => finding,
                false => finding.command(format!("dkms install {id} -k {kernel}")),
            });
        }
    }
}

/// Modules that went with the old version of a package, whose new one has not come.
fn unfinished(facts: &Facts, findings: &mut Vec<Finding>) {
    for PackageRemoval { id, package, .. } in &facts.unfinished {
        let what = format!("{id} was removed for an upgrade of package {package}, which has not ended");
        let finding = Finding::problem("package-unfinished", what)
            .why("the package is not configured, or dpkg has gone back to the version before")
            .command(format!("dpkg --configure -a && apt-get install --reinstall {}", quote(package)));
        findings.push(finding);
    }
}

/// Confs that can't be used, each told once.
fn confs(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut told = BTreeMap::new();
    for ((id, _), conf) in &facts.world.confs {
        if let Err(fault) = conf {
            told.entry(id).or_insert(fault);
        }
    }
    for (id, fault) in told {
        let refusal = Refusal::of_conf(id, fault);
        let path = match &refusal {
            Refusal::ConfMissing { path, .. } | Refusal::ConfInvalid { path, .. } => path.clone(),
            _ => continue,
        };
        findings.push(
            Finding::problem("invalid-conf", refusal.to_string())
                .module(id)
                .why("it is built and installed nowhere")
                .command(format!("\"${{EDITOR:-vi}}\" {}", quote(&path.display().to_string()))),
        );
    }
}

/// It will not load.
fn rejected(rejection: &Rejection, id: &ModuleId, target: &Target, rebuild: String) -> Finding {
    let what = format!("kernel {} will not load {id}: {rejection}", target.kernel);
    let why =
        format!("it loads only modules that are signed with a key that it trusts: {}", rejection.demand);
    let finding = |kind| Finding::problem(kind, what).why(why);
    match rejection.fault {
        Fault::Unsigned => finding("unsigned").command(rebuild),
        Fault::OtherKey => finding("untrusted-key").command(rebuild),
        Fault::Key(Untrusted::Waiting) => finding("untrusted-key").command("reboot"),
        Fault::Key(Untrusted::NotEnrolled) if rejection.way == Way::Mokutil => {
            finding("untrusted-key").command(format!("dkms mok enroll {}", on(target)))
        }
        Fault::Key(_) => finding("untrusted-key").command(format!("dkms mok {}", on(target))),
    }
}

/// What is wrong with something that is installed.
fn installed(facts: &Facts, id: &ModuleId, target: &Target, install: &Install, findings: &mut Vec<Finding>) {
    let place = |finding: Finding| finding.module(id).on(target);
    let reinstall = format!("dkms install {id} {} --force", on(target));
    let rebuild = format!("dkms build {id} {} --force && {reinstall}", on(target));
    match install.state {
        InstalledState::Same => {}
        InstalledState::Missing => findings.push(place(
            Finding::problem(
                "build-incomplete",
                format!("a module of {id} is not among those built for kernel {}", target.kernel),
            )
            .command(rebuild.clone()),
        )),
        InstalledState::Different => findings.push(place(
            Finding::problem(
                "drift",
                format!("what is installed of {id} on kernel {} is not what was built", target.kernel),
            )
            .command(reinstall.clone()),
        )),
    }
    if let Some(rejection) = facts.refused.get(&(id.clone(), target.clone())) {
        findings.push(place(rejected(rejection, id, target, rebuild.clone())));
    }
    for (path, fault) in facts.unfit.get(&(id.clone(), target.clone())).into_iter().flatten() {
        let mut why = fault.hints();
        why.insert(0, fault.consequence().to_owned());
        findings.push(place(
            Finding::problem(fault.word(), format!("`{}` of {id} {fault}", path.display()))
                .why(why.join("; "))
                .command(rebuild.clone()),
        ));
    }
    for InstalledFile { path, shadowed_by, indexed } in &install.files {
        let file = path.display();
        if let Some(other) = shadowed_by {
            let this = quote(&other.display().to_string());
            findings.push(place(
                Finding::problem(
                    "shadowed",
                    format!("`{file}` is never loaded: depmod prefers `{}`", other.display()),
                )
                .why("of two modules of one name, the order of folders in depmod.d decides")
                .command(format!("mv {this} {this}.shadowing && depmod {}", target.kernel)),
            ));
        } else if *indexed == Some(false) && !facts.owed.contains(target) {
            findings.push(place(
                Finding::problem(
                    "stale-index",
                    format!("modules.dep of kernel {} does not know `{file}`", target.kernel),
                )
                .command(format!("depmod {}", target.kernel))
                .fix(Fix::Depmod(target.clone())),
            ));
        }
    }
}
