//! Faults of the tree: registrations, links, builds for kernels that are gone, leftovers.

use super::{Facts, Finding, Fix, on};
use crate::host::process::quote;
use crate::tree::Source;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    broken(facts, &mut findings);
    orphans(facts, &mut findings);
    dangling(facts, &mut findings);
    leftovers(facts, &mut findings);
    distrusted(facts, &mut findings);
    findings
}

fn broken(facts: &Facts, findings: &mut Vec<Finding>) {
    for (id, found) in &facts.world.snapshot.modules {
        let finding = match &found.source {
            Source::Present(_) => continue,
            Source::Unlinked(path) => Finding::problem(
                "broken",
                format!("the registration of {id} has lost its link to `{}`", path.display()),
            )
            .command(format!("dkms add {id}"))
            .fix(Fix::Register(id.clone())),
            Source::Dangling(path) => {
                let folder = quote(&path.display().to_string());
                Finding::problem("broken", format!("the source folder `{}` of {id} is gone", path.display()))
                    .why("put it back to keep the module; the command forgets it")
                    .command(format!("mkdir -p {folder} && dkms remove {id} --all"))
            }
        };
        findings.push(finding.module(id));
    }
}

fn orphans(facts: &Facts, findings: &mut Vec<Finding>) {
    for (id, found) in &facts.world.snapshot.modules {
        for target in found.built.keys().filter(|target| !facts.installed_kernels.contains(target)) {
            findings.push(
                Finding::problem(
                    "orphan",
                    format!("{id} is built for kernel {} ({}), which is gone", target.kernel, target.arch),
                )
                .module(id)
                .on(target)
                .command(format!("dkms unbuild {id} {}", on(target)))
                .fix(Fix::DropKernel(target.clone())),
            );
        }
    }
}

fn dangling(facts: &Facts, findings: &mut Vec<Finding>) {
    for dangling in &facts.dangling {
        let link = dangling.link.display();
        let remove = format!("rm {}", quote(&link.to_string()));
        let mut finding = match (dangling.files.first(), &dangling.target) {
            (Some(file), Some(target)) => {
                let newest = facts.world.snapshot.newest().into_iter().find(|id| id.name == dangling.name);
                let finding = Finding::problem(
                    "installed-without-build",
                    format!("`{}` is installed, and what it was built from is gone", file.display()),
                )
                .why(format!("`{link}` leads nowhere; it can be neither compared nor uninstalled"));
                match newest {
                    Some(id) => {
                        finding.module(id).command(format!("dkms install {id} {} --force", on(target)))
                    }
                    None => {
                        let files = dangling.files.iter().map(|file| quote(&file.display().to_string()));
                        let files: Vec<_> = files.collect();
                        finding.command(format!("{remove} {} && depmod {}", files.join(" "), target.kernel))
                    }
                }
            }
            _ => Finding::problem("dangling-link", format!("`{link}` leads to nothing that is built"))
                .command(remove)
                .fix(Fix::Unlink(dangling.link.clone())),
        };
        finding.target.clone_from(&dangling.target);
        findings.push(finding);
    }
}

fn distrusted(facts: &Facts, findings: &mut Vec<Finding>) {
    for ((id, target), note) in &facts.distrusted {
        findings.push(
            Finding::problem(
                "prebuilt-distrusted",
                format!("{id} for kernel {} was taken from {}, which is not trusted", target.kernel, note.origin()),
            )
            .why("the key is not among those of `prebuilt_keys` any more; the command takes or builds it again")
            .module(id)
            .on(target)
            .command(format!("dkms unbuild {id} {on} && dkms install {id} {on}", on = on(target))),
        );
    }
}

fn leftovers(facts: &Facts, findings: &mut Vec<Finding>) {
    for path in &facts.leftovers {
        findings.push(
            Finding::problem("leftover", format!("`{}` was left by an interrupted command", path.display()))
                .command(format!("rm -r {}", quote(&path.display().to_string())))
                .fix(Fix::Remove(path.clone())),
        );
    }
    for path in &facts.interrupted {
        findings.push(
            Finding::problem(
                "interrupted",
                format!("`{}` records work that was begun and never ended", path.display()),
            )
            .why("the next command that changes something finishes or undoes it")
            .command("dkms doctor --fix")
            .fix(Fix::Recover),
        );
    }
    for target in &facts.owed {
        findings.push(
            Finding::problem(
                "owed-depmod",
                format!("the modules of kernel {} have changed, and depmod has not seen it", target.kernel),
            )
            .on(target)
            .command(format!("depmod {}", target.kernel))
            .fix(Fix::Depmod(target.clone())),
        );
    }
}
