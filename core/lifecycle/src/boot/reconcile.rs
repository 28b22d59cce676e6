//! Does what was decided, and puts in order what was left half done: by a command that was killed, and by
//! programs that write boot entries without knowing of us.

use super::guard::{BootError, Guard, Kernels, Report, Row};
use super::journal::{self, Hold, Stage};
use super::loaders::Loader;
use super::model::{Decision, Fitness};
use super::systemd_boot;
use crate::conf::settings::BootGuard;
use crate::critical::{Standing, Verdict};
use crate::id::KernelRelease;

impl Guard<'_> {
    /// Does what follows for each kernel after a batch; a line for each thing that was done or could not be.
    #[must_use]
    pub fn reconcile(&self, kernels: &Kernels<'_>) -> Vec<String> {
        let report = self.look(kernels);
        let changes = |row: &Row| matches!(row.decision, Decision::Hold | Decision::Stay | Decision::Release);
        if !report.rows.iter().any(changes) && !self.is_to_be_noted(&report) {
            self.notify(kernels);
            return report.rows.iter().filter_map(|row| told(&report, row)).collect();
        }
        let _held = match self.lock() {
            Ok(held) => held,
            Err(error) => return vec![format!("the boot guard does nothing: {error}")],
        };
        let mut lines = self.finish(kernels);
        let report = self.look(kernels);
        self.note_good(&report);
        for row in report.rows.iter().filter(|row| row.decision == Decision::Release) {
            lines.push(match self.release(&row.kernel, Some(&report)) {
                Ok(()) => format!("kernel {} is no longer held back by the boot guard", row.kernel),
                Err(error) => format!("kernel {} is still held: {error}", row.kernel),
            });
        }
        // What was released may be what others stand on.
        let report = self.look(kernels);
        for row in &report.rows {
            match row.decision {
                Decision::Hold => lines.push(match self.hold(&report, &row.kernel, &row.why(), false) {
                    Ok(()) => format!(
                        "kernel {} does not become the default: {}; `dkms boot release {}` lets it",
                        row.kernel,
                        row.why(),
                        row.kernel
                    ),
                    Err(error) => format!("{error}; {}", row.why()),
                }),
                _ => lines.extend(told(&report, row)),
            }
        }
        lines.extend(self.renew(kernels));
        self.notify(kernels);
        lines
    }

    /// Lets the boot menu begin with what it should, if another kernel that may boot has come or gone; a line
    /// if that could not be done.
    fn renew(&self, kernels: &Kernels<'_>) -> Option<String> {
        let report = self.look(kernels);
        let all = journal::all(self.layout);
        let (kernel, hold) = all.iter().find(|(_, hold)| self.is_stale(&report, hold))?;
        let renewed = self.hold(&report, kernel, &hold.why, hold.by_hand);
        renewed.err().map(|error| format!("kernel {kernel}: {error}"))
    }

    /// Remembers the running kernel if it has each critical module.
    fn note_good(&self, report: &Report) {
        if self.is_to_be_noted(report)
            && let Some(running) = &report.state.running
        {
            // A note that helps later; without it the running kernel is still never held.
            drop(journal::is_good(self.layout, running));
        }
    }

    /// Whether each critical module is there for the running kernel: what is refuted of them, in words.
    /// Remembers a kernel that has them. `None`: the kernel that runs is none of this system's.
    #[must_use]
    pub fn check_running(&self, kernels: &Kernels<'_>) -> Option<(KernelRelease, Vec<String>)> {
        let report = self.look(kernels);
        let running = report.state.running.clone()?;
        self.notify(kernels);
        if self.is_to_be_noted(&report) {
            drop(self.lock().map(|_held| self.note_good(&report)));
        }
        let is_meant =
            |module: &&Standing| module.target.kernel == running && module.verdict == Verdict::Refuted;
        let lacking = kernels.standings.iter().filter(is_meant).map(ToString::to_string).collect();
        Some((running, lacking))
    }

    fn is_to_be_noted(&self, report: &Report) -> bool {
        let running = report.state.running.as_ref();
        self.mode == BootGuard::Hold
            && report.state.has_critical
            && running != report.state.last_good.as_ref()
            && running.is_some_and(|running| report.state.kernels.get(running) == Some(&Fitness::Fit))
    }

    /// Puts in order what a killed command and programs that write boot entries have left. The caller has
    /// [`lock`](Self::lock)ed. A line for what could not be.
    #[must_use]
    pub fn finish(&self, kernels: &Kernels<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut tell = |kernel: &KernelRelease, result: Result<(), BootError>| {
            if let Err(error) = result {
                lines.push(format!("kernel {kernel}: {error}"));
            }
        };
        for (kernel, hold) in journal::all(self.layout) {
            let report = self.look(kernels);
            let is_offered = report.menu.entries.contains_key(&kernel);
            let hold_again = || self.hold(&report, &kernel, &hold.why, hold.by_hand);
            match hold.stage {
                Stage::Releasing => tell(&kernel, self.release(&kernel, Some(&report))),
                _ if !is_offered => tell(&kernel, self.release(&kernel, Some(&report))),
                Stage::Holding => match hold_again() {
                    // The rules and the boot menu may be others by now.
                    Err(BootError::Refused(..) | BootError::NoWay(..)) => {
                        tell(&kernel, self.release(&kernel, Some(&report)));
                    }
                    result => tell(&kernel, result),
                },
                Stage::Held if is_undone(&report, &kernel, &hold) => match hold_again() {
                    // Whether it is released is decided with the verdicts.
                    Err(BootError::Refused(..)) => {}
                    result => tell(&kernel, result),
                },
                Stage::Held => {}
            }
        }
        lines
    }

    /// What kernel-install's plugin does: what is held stays held although entries have been written again,
    /// and nothing is held or released besides. A line for what could not be.
    ///
    /// # Errors
    /// [`BootError`].
    pub fn restore(&self, kernels: &Kernels<'_>) -> Result<Vec<String>, BootError> {
        if journal::all(self.layout).is_empty() {
            return Ok(Vec::new());
        }
        let _held = self.lock()?;
        Ok(self.finish(kernels))
    }
}

/// Whether another program has taken back what we did: an entry was written again, kernel-install has saved
/// the kernel.
fn is_undone(report: &Report, kernel: &KernelRelease, hold: &Hold) -> bool {
    match report.menu.loader {
        Loader::SystemdBoot => {
            hold.layer == Loader::SystemdBoot.word()
                && report
                    .menu
                    .entries
                    .get(kernel)
                    .into_iter()
                    .flatten()
                    .any(|path| !systemd_boot::is_last(path))
        }
        Loader::GrubSaved => {
            hold.layer == Loader::GrubSaved.word() && report.menu.next.as_ref() == Some(kernel)
        }
        _ => false,
    }
}

/// The line about a kernel that boots next and should not.
fn told(report: &Report, row: &Row) -> Option<String> {
    let because = match row.decision {
        _ if report.menu.next.as_ref() != Some(&row.kernel) => return None,
        Decision::Refuse(refused) => refused.to_string(),
        Decision::Warn => match &report.menu.unclear {
            Some(unclear) => unclear.clone(),
            None => "`dkms boot hold` would hold it back".to_owned(),
        },
        _ => return None,
    };
    Some(format!("kernel {} boots next: {} ({because})", row.kernel, row.why()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Environment;
    use crate::host::fs;
    use crate::id::Target;
    use crate::layout::Layout;
    use crate::report::Silent;
    use std::time::Duration;

    #[test]
    fn nothing_held_needs_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let environment = Environment::of_this_process();
        let guard = Guard {
            layout: &layout,
            environment: &environment,
            mode: BootGuard::Warn,
            lock_timeout: Duration::ZERO,
            reporter: &Silent,
        };
        let installed = [Target::parse("6.1", "x86_64").unwrap()];
        let kernels = Kernels { installed: &installed, standings: &[], has_critical: false };
        assert!(guard.restore(&kernels).unwrap().is_empty() && guard.reconcile(&kernels).is_empty());
        assert!(!fs::exists(&layout.locks_dir()));
    }
}
