//! What failures of a plan or of a run mean for the command.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::id::Target;
use dkms_base::report::{Event, Reporter};
use dkms_core::critical::{self, Verdict};
use dkms_core::engine::{Failed, Outcome, StepError};
use dkms_core::plan::{self, Refusal};
use dkms_hooks::summary;

use super::{Session, interrupted};
use crate::action::Action;
use crate::failure::Failure;
use crate::render::{say, warn};

/// What failed, as errors: headers that several modules need are one error.
fn told_once(failed: Vec<Failed>) -> Vec<Failure> {
    let (mut refused, mut others) = (Vec::new(), Vec::new());
    for failed in failed {
        match failed.error {
            StepError::Refused(refusal @ Refusal::HeadersMissing { .. }) => refused.push(refusal),
            error => others.push(Failure::from(error)),
        }
    }
    Refusal::once_per_kernel(refused).into_iter().map(Failure::from).chain(others).collect()
}

impl Session<'_> {
    /// How the command would end, as far as the plan knows.
    pub(super) fn verdict_of_plan(&self, plan: &plan::Plan) -> Result<(), Failure> {
        let refusals = plan.steps.iter().filter_map(|step| match &step.action {
            plan::Action::Refuse(refusal) => Some(Failure::from(refusal.clone())),
            _ => None,
        });
        let refusals: Vec<Failure> = refusals.collect();
        let codes: Vec<ExitCode> = refusals.iter().map(|refusal| refusal.code).collect();
        match refusals.into_iter().next() {
            None => Ok(()),
            Some(first) if self.is_batch() => Err(Failure { code: self.code_of_batch(&codes), ..first }),
            Some(first) => Err(first),
        }
    }

    /// What the failures of a run mean for the command.
    pub(super) fn verdict(&self, outcome: Outcome) -> Result<(), Failure> {
        let left_out = outcome.left_out();
        let is_batch = self.is_batch();
        for text in &outcome.images {
            warn(self.terminal, text);
        }
        if is_batch && outcome.failures.iter().any(|failed| failed.action.module().is_some()) {
            self.lacking(&outcome)?;
        }
        if is_batch {
            summary::done(&outcome.done).into_iter().for_each(|line| say(self.terminal, line));
            for summary::Failure { text, hints } in summary::refuted(&outcome.refuted) {
                self.terminal.report(Event::warning(text, hints));
            }
        }
        let is_interrupted = outcome.is_interrupted();
        let mut failures = outcome.failures.into_iter();
        let Some(first) = failures.next() else {
            return if is_interrupted { Err(interrupted()) } else { Ok(()) };
        };
        if !is_batch {
            for failed in failures {
                self.terminal.failure(&failed.error.into());
            }
            return Err(first.error.into());
        }
        let mut codes = Vec::new();
        let failed: Vec<Failed> = std::iter::once(first).chain(failures).collect();
        let name = |failed: &Failed| {
            failed.action.module().map_or_else(|| failed.action.to_string(), ToString::to_string)
        };
        let mut names: Vec<String> = failed.iter().map(name).collect();
        for failure in told_once(failed) {
            if failure.code == ExitCode::INTERRUPTED {
                return Err(failure);
            }
            codes.push(failure.code);
            self.terminal.failure(&failure);
        }
        let code = self.code_of_batch(&codes);
        names.sort_unstable();
        names.dedup();
        let mut failure =
            Failure::new(code, format!("{} failed for {}", self.invocation.action.name(), names.join(", ")));
        let others: Vec<_> = left_out.into_iter().filter(|name| !names.contains(name)).collect();
        if !others.is_empty() {
            failure = failure.hint(format!("not tried, since they need one of these: {}", others.join(", ")));
        }
        Err(failure)
    }

    /// Says first what the machine can't boot or be reached without.
    fn lacking(&self, outcome: &Outcome) -> Result<(), Failure> {
        let failed = outcome.failures.iter().map(|failed| &failed.action).chain(&outcome.pruned);
        let kernels: BTreeSet<Target> = failed.filter_map(plan::Action::target).cloned().collect();
        let kernels: Vec<Target> = kernels.into_iter().collect();
        let (snapshot, survey) = (self.snapshot()?, self.survey());
        let critical = critical::look(&survey, &snapshot, &self.installed_targets()?)?;
        for standing in critical::standings(&critical, &survey, &snapshot, &kernels)? {
            if standing.verdict == Verdict::Refuted {
                let hints: Vec<String> = standing.remedy.clone().into_iter().collect();
                self.terminal.report(Event::warning(standing.to_string(), hints));
            }
        }
        Ok(())
    }

    /// What several failures are together, where all modules of a kernel were asked for.
    fn code_of_batch(&self, codes: &[ExitCode]) -> ExitCode {
        match self.invocation.action {
            Action::KernelPreinst | Action::KernelPrerm => ExitCode::KERNEL_HOOK_FAILED,
            _ if codes.iter().all(|code| *code == ExitCode::NO_HEADERS) => ExitCode::NO_HEADERS,
            _ => ExitCode::AUTOINSTALL_FAILED,
        }
    }

    pub(super) fn is_batch(&self) -> bool {
        matches!(
            self.invocation.action,
            Action::Autoinstall
                | Action::KernelPreinst
                | Action::KernelPostinst
                | Action::KernelPrerm
                | Action::Plan
        )
    }
}
