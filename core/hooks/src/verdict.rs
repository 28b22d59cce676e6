//! What modules that the machine can't boot or be reached without lack on the kernels that a batch was about:
//! looked at when the summary is printed, since a later batch of the transaction may have brought it.

use std::collections::BTreeSet;

use dkms_base::id::Target;
use dkms_base::report::Silent;
use dkms_core::boot::{self, Guard, Kernels};
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
    /// A summary with what critical modules lack by now on its kernels. Where that can't be found out it is
    /// a warning: nobody's transaction fails for it.
    #[must_use]
    pub fn judged(&self, mut summary: Summary) -> Summary {
        if !summary.about.is_empty() || !boot::guard::is_idle(&self.settings.layout) {
            (summary.critical, summary.boot) = self.lacking(&summary.about).unwrap_or_else(|error| {
                let unknown = "warning: whether critical modules are there for these kernels is not known";
                (Vec::new(), vec![format!("{unknown}: {error}; `dkms critical` tries again")])
            });
        }
        summary.about.clear();
        summary
    }

    /// Puts back whatever the boot guard holds, since we go: nobody would release it later. A line for what
    /// could not be.
    #[must_use]
    pub fn release_held(&self) -> Vec<String> {
        let guard = self.guard();
        boot::notice::forget(&self.settings.layout);
        if guard.held().is_empty() {
            return Vec::new();
        }
        let _locked = match guard.lock() {
            Ok(locked) => locked,
            Err(error) => return vec![error.to_string()],
        };
        let release = |kernel| guard.release(&kernel, None).err().map(|error| error.to_string());
        guard.held().into_iter().filter_map(|(kernel, _)| release(kernel)).collect()
    }

    fn guard(&self) -> Guard<'_> {
        let Self { settings, environment, .. } = self;
        Guard {
            layout: &settings.layout,
            environment,
            mode: settings.boot_guard,
            lock_timeout: settings.lock_timeout,
            reporter: &Silent,
        }
    }

    /// What is lacking, and what the boot guard makes of it.
    fn lacking(&self, about: &BTreeSet<String>) -> Result<(Vec<Failure>, Vec<String>), AdapterError> {
        let snapshot = self.snapshot()?;
        let installed = self.installed()?;
        let survey = self.survey();
        let critical = critical::look(&survey, &snapshot, &installed)?;
        let guard = self.guard();
        if critical.names().next().is_none() && guard.held().is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let standings = critical::standings(&critical, &survey, &snapshot, &installed)?;
        let is_meant = |standing: &&Standing| {
            standing.verdict == Verdict::Refuted && about.contains(standing.target.kernel.as_str())
        };
        let lacking = standings.iter().filter(is_meant).map(failure).collect();
        let has_critical = critical.names().next().is_some();
        let kernels = Kernels { installed: &installed, standings: &standings, has_critical };
        Ok((lacking, guard.reconcile(&kernels)))
    }
}

fn failure(standing: &Standing) -> Failure {
    Failure { text: standing.to_string(), hints: standing.remedy.clone().into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use dkms_base::host::{Environment, fs};
    use dkms_base::layout::Layout;
    use dkms_conf::Settings;
    use dkms_kernel::Distribution;

    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        fs::create_dir_all(layout.install_tree.parent().unwrap()).unwrap();
        let adapter = Adapter {
            settings: Settings::defaults(layout.clone()),
            distribution: Distribution::parse("ID=debian"),
            environment: Environment::default(),
            arch: None,
            kernel_files: &[],
            replaces_newer: false,
            other_kernels: BTreeSet::new(),
            module_folder: None,
            jobs: 1,
        };
        let about = || Summary { about: ["6.1.0-9-amd64".to_owned()].into(), ..Summary::default() };
        assert!(adapter.judged(about()).boot.is_empty());
        // A link to itself can't be followed.
        fs::symlink(&layout.install_tree, &layout.install_tree).unwrap();
        let said = adapter.judged(about()).boot;
        assert!(
            said.len() == 1 && said[0].contains("is not known") && said[0].contains("lib/modules"),
            "{said:?}"
        );
    }
}
