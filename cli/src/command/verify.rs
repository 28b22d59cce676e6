//! `dkms verify`: whether kernels will load their modules, link by link. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use dkms_base::exit::ExitCode;
use dkms_base::id::{ModuleId, Target};
use dkms_core::bake::Manifest;
use dkms_core::plan::Refusal;
use dkms_core::tree::Snapshot;
use dkms_core::verify::{Proof, Verdict, Verifier};
use serde_json::{Value, json};

use super::trial::{self, Trial};
use super::{layout, rebuild};
use crate::failure::Failure;
use crate::grid::{self, Cell};
use crate::session::{Session, unless_interrupted};

/// Judges, and prints the verdicts.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    if session.args().rebuild {
        return rebuild::run(session);
    }
    if !session.invocation.paths.is_empty() {
        return layout::verify(session, &session.invocation.paths);
    }
    let mut proofs = proofs(session)?;
    for remedy in proofs.iter_mut().flat_map(|proof| &mut proof.links).filter_map(|link| link.remedy.as_mut())
    {
        *remedy = session.terminal.command(remedy);
    }
    unless_interrupted()?;
    let mut trials = Vec::new();
    if session.args().vm {
        let modules: Vec<_> = proofs.iter().map(|proof| (proof.id.clone(), proof.target.clone())).collect();
        trials = trial::run(session, &modules)?;
    }
    if session.args().json {
        let mut document = document(&proofs);
        if session.args().vm {
            document["vm"] = trial::document(&trials);
        }
        session.terminal.print(&document.to_string());
    } else if proofs.is_empty() {
        session.terminal.print("no module is installed, or should be");
    } else if session.terminal.is_watched() {
        show_grid(session, &proofs)?;
    } else {
        lines(&proofs).iter().for_each(|line| session.terminal.print(line));
    }
    if !session.args().json {
        trial::lines(&trials).iter().for_each(|line| session.terminal.print(line));
    }
    outcome(&proofs).and(outcome_of_trials(&trials))
}

fn outcome_of_trials(trials: &[Trial]) -> Result<(), Failure> {
    let (code, text) = match Verdict::of_all(trials.iter().map(Trial::verdict)) {
        Verdict::Proven => return Ok(()),
        Verdict::Refuted => (ExitCode::REFUTED, "a kernel does not take a module in a virtual machine"),
        Verdict::Unknown => (ExitCode::UNKNOWN, "not every module was tried in a virtual machine"),
    };
    Err(Failure::new(code, text))
}

/// The grid, and below it what is not proven.
fn show_grid(session: &Session<'_>, proofs: &[Proof]) -> Result<(), Failure> {
    let snapshot = session.snapshot()?;
    let baked = Manifest::known(&session.settings.layout);
    let cell = |proof: &Proof| {
        let state = match () {
            () if baked.modules.contains_key(&(proof.id.clone(), proof.target.clone())) => "installed",
            () if snapshot.is_installed(&proof.id, &proof.target) => "installed",
            () if snapshot.is_built(&proof.id, &proof.target) => "built",
            () if proof.links.first().is_some_and(|there| there.verdict == Verdict::Proven) => "weak",
            () => "missing",
        };
        ((proof.id.clone(), proof.target.clone()), Cell { state, verdict: Some(proof.verdict()) })
    };
    let cells: BTreeMap<_, _> = proofs.iter().map(cell).collect();
    let targets: BTreeSet<&Target> = proofs.iter().map(|proof| &proof.target).collect();
    let columns = session.columns(targets)?;
    grid::lines(&columns, &cells).iter().for_each(|line| session.terminal.print_painted(line));
    let open: Vec<Proof> =
        proofs.iter().filter(|proof| proof.verdict() != Verdict::Proven).cloned().collect();
    if !open.is_empty() {
        session.terminal.print("");
    }
    lines(&open).iter().for_each(|line| session.terminal.print(line));
    Ok(())
}

/// The modules on kernels that were named, in their order.
fn proofs(session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
    let snapshot = session.snapshot()?;
    is_known(session, &snapshot)?;
    let survey = session.survey();
    let verifier = Verifier::new(&session.settings.layout, &survey, &snapshot)?;
    let mut proofs = Vec::new();
    for target in session.verified_targets()? {
        let ids = of_kernel(session, &snapshot, &verifier, &target)?;
        proofs.extend(verifier.proofs(&ids, &target)?);
    }
    proofs.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(proofs)
}

/// The modules that are asked for on a kernel: the one that is named, in the version that is installed
/// there or else the newest; without a name all that are, or should be, there.
fn of_kernel(
    session: &Session<'_>,
    snapshot: &Snapshot,
    verifier: &Verifier<'_>,
    target: &Target,
) -> Result<Vec<ModuleId>, Failure> {
    let Some(name) = &session.invocation.name else { return Ok(verifier.wanted(target)?) };
    if let Some(version) = &session.invocation.version {
        return Ok(vec![ModuleId::new(name.clone(), version.clone())]);
    }
    let wanted = verifier.wanted(target)?.into_iter().find(|id| id.name == *name);
    let newest = || snapshot.versions(name).last().map(|id| (*id).clone());
    Ok(wanted.or_else(newest).into_iter().collect())
}

fn is_known(session: &Session<'_>, snapshot: &Snapshot) -> Result<(), Failure> {
    let baked = Manifest::known(&session.settings.layout);
    let mut baked = baked.modules.keys().map(|(id, _)| id);
    match (&session.invocation.name, &session.invocation.version) {
        (Some(name), Some(version)) => {
            let id = ModuleId::new(name.clone(), version.clone());
            if snapshot.get(&id).is_some() || baked.any(|other| *other == id) {
                Ok(())
            } else {
                Err(Refusal::NotInTree { id }.into())
            }
        }
        (Some(name), None)
            if snapshot.versions(name).is_empty() && !baked.any(|other| other.name == *name) =>
        {
            let text = format!("module `{name}` is not in the dkms tree");
            Err(Failure::new(ExitCode::NOT_IN_TREE, text).hint("`dkms status` lists what is"))
        }
        _ => Ok(()),
    }
}

/// A line for each module and kernel, and below it each link that is not proven.
fn lines(proofs: &[Proof]) -> Vec<String> {
    let mut lines = Vec::new();
    for proof in proofs {
        let Target { kernel, arch } = &proof.target;
        lines.push(format!("{}, {kernel}, {arch}: {}", proof.id, proof.verdict().word()));
        for open in proof.open().filter(|open| !proof.is_told_by_absence(open)) {
            let reason = open.reason.as_deref().unwrap_or_default();
            lines.push(format!("  {} ({}): {reason}", open.link.word(), open.verdict.word()));
            lines.extend(open.remedy.iter().map(|command| format!("    fix: {command}")));
        }
    }
    lines
}

/// As programs read it.
pub(super) fn document(proofs: &[Proof]) -> Value {
    let modules: Vec<Value> = proofs
        .iter()
        .map(|proof| {
            let links: Vec<Value> = proof
                .links
                .iter()
                .map(|link| {
                    json!({
                        "link": link.link.word(),
                        "verdict": link.verdict.word(),
                        "reason": link.reason,
                        "remedy": link.remedy,
                    })
                })
                .collect();
            json!({
                "module": proof.id.name,
                "version": proof.id.version,
                "kernel": proof.target.kernel,
                "arch": proof.target.arch,
                "verdict": proof.verdict().word(),
                "links": links,
            })
        })
        .collect();
    json!({ "modules": modules })
}

fn outcome(proofs: &[Proof]) -> Result<(), Failure> {
    let verdict = Verdict::of_all(proofs.iter().map(Proof::verdict));
    let (code, what) = match verdict {
        Verdict::Proven => return Ok(()),
        Verdict::Refuted => (ExitCode::REFUTED, "will not be loaded by"),
        Verdict::Unknown => (ExitCode::UNKNOWN, ""),
    };
    let found: Vec<&Proof> = proofs.iter().filter(|proof| proof.verdict() == verdict).collect();
    let kernels: BTreeSet<&str> = found.iter().map(|proof| proof.target.kernel.as_str()).collect();
    let modules: BTreeSet<String> = found.iter().map(|proof| proof.id.to_string()).collect();
    let (kernel, loads) = if kernels.len() == 1 { ("kernel", "loads") } else { ("kernels", "load") };
    let (kernels, modules) = (named(kernels.into_iter().map(str::to_owned)), named(modules.into_iter()));
    let text = match verdict {
        Verdict::Unknown => format!("it is not known whether {kernel} {kernels} {loads} {modules}"),
        _ => format!("{modules} {what} {kernel} {kernels}"),
    };
    Err(Failure::new(code, text))
}

/// So many are named in an error; all of them are above it.
const NAMED: usize = 8;

/// Names, the first of them where there are many.
fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let others = names.len().saturating_sub(NAMED);
    let text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if others == 0 { text } else { format!("{text} and {others} others") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_core::verify::{Link, LinkProof};

    fn proof(name: &str, links: Vec<LinkProof>) -> Proof {
        let target = Target::parse("6.1", "x86_64").unwrap();
        Proof { id: ModuleId::parse(name, "1").unwrap(), target, links }
    }

    fn link(link: Link, verdict: Verdict, remedy: Option<&str>) -> LinkProof {
        let reason = (verdict != Verdict::Proven).then(|| "so it is".to_owned());
        LinkProof { link, verdict, reason, remedy: remedy.map(str::to_owned) }
    }

    #[test]
    fn what_is_not_proven_has_its_reason_and_command() {
        let good = proof("good", vec![link(Link::There, Verdict::Proven, None)]);
        let bad = proof(
            "bad",
            vec![
                link(Link::Linked, Verdict::Unknown, None),
                link(Link::Found, Verdict::Refuted, Some("depmod 6.1")),
            ],
        );
        let text = [
            "good/1, 6.1, x86_64: proven",
            "bad/1, 6.1, x86_64: refuted",
            "  found (refuted): so it is",
            "    fix: depmod 6.1",
            "  linked (unknown): so it is",
        ];
        assert_eq!(lines(&[good.clone(), bad.clone()]), text);
        let failure = outcome(&[good.clone(), bad]).unwrap_err();
        assert_eq!(
            (failure.code.0, failure.message.as_str()),
            (30, "bad/1 will not be loaded by kernel 6.1")
        );
        let many: Vec<Proof> = (0..20)
            .map(|number| proof(&format!("m{number:02}"), vec![link(Link::Whole, Verdict::Refuted, None)]))
            .collect();
        let message = outcome(&many).unwrap_err().message;
        assert!(
            message.starts_with("m00/1, m01/1, ") && message.contains(", m07/1 and 12 others will not"),
            "{message}"
        );
        let unknown = proof("odd", vec![link(Link::Boot, Verdict::Unknown, None)]);
        let failure = outcome(&[good.clone(), unknown]).unwrap_err();
        assert_eq!(
            (failure.code.0, failure.message.as_str()),
            (31, "it is not known whether kernel 6.1 loads odd/1")
        );
        let absent = Link::ALL.into_iter().skip(1).map(LinkProof::of_absent);
        let missing = link(Link::There, Verdict::Refuted, Some("dkms install gone/1 -k 6.1"));
        let gone = proof("gone", std::iter::once(missing).chain(absent).collect());
        let text = [
            "gone/1, 6.1, x86_64: refuted",
            "  there (refuted): so it is",
            "    fix: dkms install gone/1 -k 6.1",
        ];
        assert_eq!(lines(&[gone]), text);
        assert_eq!(outcome(&[good]), Ok(()));
    }
}
