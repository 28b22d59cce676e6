//! What a batch has done, a line for each kernel, and what failed, each with its log and the
//! command that helps. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use dkms_base::id::Target;
use dkms_core::engine::Outcome;
use dkms_core::plan::Action;
use dkms_core::verify::Proof;

/// What a batch has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// A line for each kernel.
    pub done: Vec<String>,
    /// What was installed and its kernel will not load.
    #[serde(default)]
    pub refuted: Vec<Failure>,
    /// The kernels that the batch was about.
    #[serde(default)]
    pub about: BTreeSet<String>,
    /// What modules that the machine can't boot or be reached without lack on them.
    #[serde(default)]
    pub critical: Vec<Failure>,
    /// Kernels that have lost a module.
    #[serde(default)]
    pub lost: Vec<String>,
    /// What is wrong with images that are not remade.
    #[serde(default)]
    pub images: Vec<String>,
    /// What the boot guard has done or would do.
    #[serde(default)]
    pub boot: Vec<String>,
    /// What failed, in the plan's order.
    pub failed: Vec<Failure>,
    /// Modules that were not tried, since something that they need failed.
    pub left_out: Vec<String>,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed, and why.
    pub text: String,
    /// What is known besides, and what to do about it, a line each.
    pub hints: Vec<String>,
}

impl Summary {
    /// Of a batch that has ended.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let failed = outcome.failures.iter();
        let mut left_out = outcome.left_out();
        // What failed somewhere is named there.
        for module in failed.clone().filter_map(|one| one.action.module()) {
            left_out.remove(&module.to_string());
        }
        Self {
            done: done(&outcome.done),
            refuted: refuted(&outcome.refuted),
            about: outcome.about.iter().map(|target| target.kernel.to_string()).collect(),
            critical: Vec::new(),
            lost: Vec::new(),
            images: outcome.images.clone(),
            boot: Vec::new(),
            failed: failed
                .map(|one| Failure { text: one.error.to_string(), hints: one.error.hints() })
                .collect(),
            left_out: left_out.into_iter().collect(),
        }
    }

    /// Of one failure.
    #[must_use]
    pub fn failure(text: String, hints: Vec<String>) -> Self {
        Self { failed: vec![Failure { text, hints }], ..Self::default() }
    }

    /// Of a batch that was interrupted.
    #[must_use]
    pub fn of_interrupted(outcome: &Outcome) -> Self {
        let hint = "`dkms autoinstall -k KERNEL` installs the missing modules for a kernel".to_owned();
        Self::of(outcome).and(Self::failure("interrupted: not all modules are built".to_owned(), vec![hint]))
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let said = [&self.refuted, &self.critical, &self.failed];
        self.done.is_empty()
            && self.about.is_empty()
            && self.lost.is_empty()
            && self.images.is_empty()
            && said.iter().all(|list| list.is_empty())
            && self.left_out.is_empty()
    }

    /// With what another batch of the same transaction has done.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.done.extend(other.done);
        self.about.extend(other.about);
        self.critical.extend(other.critical);
        self.refuted.extend(other.refuted);
        self.lost.extend(other.lost);
        for line in other.images {
            if !self.images.contains(&line) {
                self.images.push(line);
            }
        }
        self.boot.extend(other.boot);
        self.failed.extend(other.failed);
        self.left_out.extend(other.left_out);
        self
    }

    /// As lines: what was done, then what failed, so that this is what is seen; of that first what the
    /// machine can't boot or be reached without.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.done.clone();
        lines.extend(self.lost.iter().chain(&self.images).map(|text| format!("warning: {text}")));
        let refuted = self.refuted.iter().map(|one| ("warning", one));
        let failed = self.critical.iter().chain(&self.failed).map(|one| ("error", one));
        for (label, Failure { text, hints }) in refuted.chain(failed) {
            lines.extend(format!("{label}: {text}").lines().map(str::to_owned));
            lines.extend(hints.iter().flat_map(|hint| hint.lines()).map(|line| format!("  {line}")));
        }
        if !self.left_out.is_empty() {
            lines.push(format!("not tried, since they need one of these: {}", self.left_out.join(", ")));
        }
        lines.extend(self.boot.iter().cloned());
        lines
    }
}

/// Modules that are installed and that their kernels will not load, each with the first reason and the
/// command that helps.
#[must_use]
pub fn refuted(proofs: &[Proof]) -> Vec<Failure> {
    let of = |proof: &Proof| {
        let link = proof.open().next()?;
        let (id, target) = (&proof.id, &proof.target);
        let reason = link.reason.as_deref().unwrap_or_default();
        let text = format!("kernel {} ({}) will not load {id}: {reason}", target.kernel, target.arch);
        Some(Failure { text, hints: link.remedy.iter().map(|command| format!("fix: {command}")).collect() })
    };
    proofs.iter().filter_map(of).collect()
}

/// What was done on each kernel.
#[must_use]
pub fn done(done: &[Action]) -> Vec<String> {
    let mut kernels: BTreeMap<&Target, Vec<(&'static str, String)>> = BTreeMap::new();
    for action in done {
        let (target, word, id) = match action {
            Action::Install { id, target } => (target, "installed", id),
            Action::Uninstall { id, target } => (target, "uninstalled", id),
            Action::Unbuild { id, target } => (target, "build dropped", id),
            _ => continue,
        };
        let list = kernels.entry(target).or_default();
        match list.iter_mut().find(|(known, _)| *known == word) {
            Some((_, ids)) => *ids = format!("{ids}, {id}"),
            None => list.push((word, id.to_string())),
        }
    }
    kernels
        .into_iter()
        .map(|(target, list)| {
            let parts: Vec<String> = list.into_iter().map(|(word, ids)| format!("{word}: {ids}")).collect();
            format!("kernel {} ({}): {}", target.kernel, target.arch, parts.join("; "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::id::ModuleId;

    #[test]
    fn a_kernel_is_a_line() {
        let install = |name: &str, kernel: &str| Action::Install {
            id: ModuleId::parse(name, "1").unwrap(),
            target: Target::parse(kernel, "x86_64").unwrap(),
        };
        let depmod = Action::Depmod { target: Target::parse("6.1", "x86_64").unwrap() };
        let actions = [install("a", "6.2"), install("a", "6.1"), install("b", "6.1"), depmod];
        assert_eq!(
            done(&actions),
            ["kernel 6.1 (x86_64): installed: a/1, b/1", "kernel 6.2 (x86_64): installed: a/1"]
        );
    }

    #[test]
    fn failures_come_last() {
        let failure = Failure { text: "a/1 can't".to_owned(), hints: vec!["its log".to_owned()] };
        let first = Summary { failed: vec![failure], left_out: vec!["b/1".to_owned()], ..Summary::default() };
        let all = first.and(Summary { done: vec!["kernel 6.1".to_owned()], ..Summary::default() });
        assert_eq!(
            all.lines(),
            ["kernel 6.1", "error: a/1 can't", "  its log", "not tried, since they need one of these: b/1"]
        );
    }
}
