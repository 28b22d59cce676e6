//! What modules that the machine can't boot or be reached without lack on the kernels that a batch was about:
//! looked at when the summary is said, since a later batch of the transaction may have brought it.

use std::collections::BTreeSet;

use dkms_base::id::Target;
use dkms_core::critical::{self, Standing, Verdict};
use dkms_core::engine::Outcome;
use dkms_core::event::Happening;
use dkms_core::plan::Action;

use super::summary::{Failure, Summary};
use super::{Adapter, AdapterError};

/// The kernels that a batch was about: those that have come, and those that it has worked on.
pub(super) fn about(told: &[Happening], outcome: &Outcome) -> BTreeSet<Target> {
    let come = told.iter().filter_map(|happening| match happening {
        Happening::KernelArrived(target) | Happening::HeadersArrived(target) => Some(target),
        _ => None,
    });
    let failed = outcome.failures.iter().map(|failed| &failed.action).chain(&outcome.pruned);
    come.chain(outcome.done.iter().chain(failed).filter_map(Action::target)).cloned().collect()
}

impl Adapter {
    /// A summary with what critical modules lack by now on its kernels. What can't be looked at lacks nothing:
    /// nobody's transaction fails for it.
    #[must_use]
    pub fn judged(&self, mut summary: Summary) -> Summary {
        if !summary.about.is_empty() {
            summary.critical = self.lacking(&summary.about).unwrap_or_default();
        }
        summary.about.clear();
        summary
    }

    fn lacking(&self, about: &BTreeSet<String>) -> Result<Vec<Failure>, AdapterError> {
        let snapshot = self.snapshot()?;
        let installed = self.installed()?;
        let is_meant = |target: &&Target| about.contains(target.kernel.as_str());
        let kernels: Vec<Target> = installed.iter().filter(is_meant).cloned().collect();
        if snapshot.modules.is_empty() || kernels.is_empty() {
            return Ok(Vec::new());
        }
        let survey = self.survey();
        let critical = critical::look(&survey, &snapshot, &installed)?;
        let standings = critical::standings(&critical, &survey, &snapshot, &kernels)?;
        let refuted = standings.iter().filter(|standing| standing.verdict == Verdict::Refuted);
        Ok(refuted.map(failure).collect())
    }
}

fn failure(standing: &Standing) -> Failure {
    Failure { text: standing.to_string(), hints: standing.remedy.clone().into_iter().collect() }
}
