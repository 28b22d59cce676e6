//! Looks at the boot state, decides, and does it: journal first, then the change; taken back the other way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::journal::{self, Hold};
use super::loaders::{Loader, Menu};
use super::model::{self, Decision, Fitness, Refused, State};
use super::{grub, systemd_boot};
use crate::conf::settings::BootGuard;
use crate::critical::{Standing, Verdict};
use crate::host::fs::{self, FsError};
use crate::host::{Environment, clock};
use crate::id::{KernelRelease, Target};
use crate::layout::Layout;
use crate::version;

/// Why a kernel could not be held or released.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A rule is against it.
    #[error("kernel {0} is not held: {1}")]
    Refused(KernelRelease, Refused),
    /// The boot loader offers no way.
    #[error("kernel {0} is not held: {1}")]
    NoWay(KernelRelease, String),
    /// Nothing holds it.
    #[error("kernel {0} is not held")]
    NotHeld(KernelRelease),
    /// A file could not be changed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// A kernel in the boot menu, or held.
#[derive(Debug, Clone)]
pub struct Row {
    /// The kernel.
    pub kernel: KernelRelease,
    /// Its entries: files of systemd-boot, ids of GRUB.
    pub entries: Vec<PathBuf>,
    /// Whether it has the critical modules.
    pub fitness: Fitness,
    /// They, each with its verdict.
    pub modules: Vec<Standing>,
    /// What holds it.
    pub hold: Option<Hold>,
    /// What should become of it.
    pub decision: Decision,
}

/// The boot state, with what follows from it.
#[derive(Debug, Clone)]
pub struct Report {
    /// The boot menu.
    pub menu: Menu,
    /// The state that was judged.
    pub state: State,
    /// Each kernel, the newest first.
    pub rows: Vec<Row>,
}

/// The boot guard of a system.
#[derive(Debug)]
pub struct Guard<'a> {
    /// Where everything is.
    pub layout: &'a Layout,
    /// What programs see.
    pub environment: &'a Environment,
    /// `boot_guard`.
    pub mode: BootGuard,
}

impl Guard<'_> {
    /// Looks, and decides. `installed`: the kernels that are; `standings`: the critical
    /// modules on each of them.
    #[must_use]
    pub fn look(&self, installed: &[Target], standings: &[Standing], has_critical: bool) -> Report {
        let holds: BTreeMap<KernelRelease, Hold> = journal::all(self.layout).into_iter().collect();
        let mut releases: Vec<KernelRelease> = installed.iter().map(|target| target.kernel.clone()).collect();
        releases
            .extend(holds.keys().filter(|kernel| !releases.contains(kernel)).cloned().collect::<Vec<_>>());
        let menu = Menu::look(self.layout, &releases);
        let of = |kernel: &KernelRelease| -> Vec<Standing> {
            standings.iter().filter(|standing| standing.target.kernel == *kernel).cloned().collect()
        };
        let fitness = |kernel: &KernelRelease| fitness(&of(kernel), has_critical);
        let running = crate::kernel::running_kernel_here(self.layout);
        let state = State {
            kernels: menu.entries.keys().map(|kernel| (kernel.clone(), fitness(kernel))).collect(),
            running,
            last_good: journal::last_good(self.layout),
            explicit: menu.explicit.clone(),
            held: holds.iter().map(|(kernel, hold)| (kernel.clone(), hold.by_hand)).collect(),
            has_critical,
        };
        // What GRUB saves is the default of the one that we have saved, not the admin's.
        let state = self.without_own_default(state, &holds);
        let mut decisions = model::decide(&state, self.mode);
        if menu.unclear.is_some() {
            for decision in decisions.values_mut().filter(|decision| **decision == Decision::Hold) {
                *decision = Decision::Warn;
            }
        }
        let mut rows: Vec<Row> = decisions
            .into_iter()
            .map(|(kernel, decision)| Row {
                entries: menu.entries.get(&kernel).cloned().unwrap_or_default(),
                fitness: fitness(&kernel),
                modules: of(&kernel),
                hold: holds.get(&kernel).cloned(),
                decision,
                kernel,
            })
            .collect();
        rows.sort_by(|a, b| version::compare(b.kernel.as_str(), a.kernel.as_str()));
        Report { menu, state, rows }
    }

    fn without_own_default(&self, mut state: State, holds: &BTreeMap<KernelRelease, Hold>) -> State {
        let saved = grub::saved_entry(self.layout);
        let is_ours =
            |hold: &Hold| hold.layer == Loader::GrubSaved.word() && saved.as_ref() == Some(&hold.after);
        if holds.values().any(is_ours) {
            state.explicit.clear();
        }
        state
    }

    /// Does what was decided; a line for each thing that was done or could not be.
    pub fn reconcile(&self, report: &Report) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(running) = report.state.running.as_ref()
            && report.state.has_critical
            && report.state.kernels.get(running) == Some(&Fitness::Fit)
            && self.mode == BootGuard::Hold
        {
            // A note that helps later; without it the running kernel is still never held.
            drop(journal::is_good(self.layout, running));
        }
        for row in report.rows.iter().filter(|row| row.decision == Decision::Release) {
            match self.release(&row.kernel) {
                Ok(warning) => {
                    lines.push(format!("kernel {} is no longer held back by the boot guard", row.kernel));
                    lines.extend(warning);
                }
                Err(error) => lines.push(format!("kernel {} is still held: {error}", row.kernel)),
            }
        }
        for row in &report.rows {
            let why = || row.why();
            match row.decision {
                Decision::Hold => match self.hold(report, &row.kernel, &why(), false) {
                    Ok(warning) => {
                        lines.push(format!(
                            "kernel {} does not become the default: {}; `dkms boot release {}` lets it",
                            row.kernel,
                            why(),
                            row.kernel
                        ));
                        lines.extend(warning);
                    }
                    Err(error) => lines.push(format!("{error}; {}", why())),
                },
                Decision::Stay => {
                    let is_undone = |path: &PathBuf| !systemd_boot::is_last(path);
                    let was = row.hold.as_ref();
                    if report.menu.loader == Loader::SystemdBoot
                        && row.entries.iter().any(is_undone)
                        && let Some(hold) = was
                        && let Err(error) = self.hold(report, &row.kernel, &hold.why, hold.by_hand)
                    {
                        lines.push(error.to_string());
                    }
                }
                Decision::Warn | Decision::Refuse(_) if report.menu.next.as_ref() == Some(&row.kernel) => {
                    let because = match row.decision {
                        Decision::Refuse(refused) => refused.to_string(),
                        _ => "`dkms boot hold` would hold it back".to_owned(),
                    };
                    lines.push(format!("kernel {} boots next: {} ({because})", row.kernel, why()));
                }
                Decision::Keep | Decision::Warn | Decision::Refuse(_) | Decision::Release => {}
            }
        }
        lines
    }

    /// Holds a kernel; a warning about what is left to do.
    ///
    /// # Errors
    /// [`BootError`]; then everything is as before.
    pub fn hold(
        &self,
        report: &Report,
        kernel: &KernelRelease,
        why: &str,
        by_hand: bool,
    ) -> Result<Option<String>, BootError> {
        let mut state = report.state.clone();
        let before =
            journal::all(self.layout).into_iter().find(|(held, _)| held == kernel).map(|(_, hold)| hold);
        state.held.remove(kernel);
        model::may_hold(&state, kernel).map_err(|refused| BootError::Refused(kernel.clone(), refused))?;
        if let Some(unclear) = &report.menu.unclear {
            return Err(BootError::NoWay(kernel.clone(), unclear.clone()));
        }
        let mut hold = Hold {
            layer: report.menu.loader.word().to_owned(),
            before: None,
            after: String::new(),
            more: Vec::new(),
            why: why.to_owned(),
            when: clock::unix_seconds(),
            by_hand,
        };
        match report.menu.loader {
            Loader::SystemdBoot => {
                self.hold_entries(report, kernel, before, hold)?;
                Ok(None)
            }
            Loader::GrubTopLevel => {
                let other = other(&state, kernel).ok_or_else(|| no_other(kernel))?;
                hold.after = grub::snippet_for(&other);
                journal::note(self.layout, kernel, &hold)?;
                let written = grub::write_snippet(self.layout, Some(&hold.after), self.environment);
                Ok(self.or_forget(kernel, written)?)
            }
            Loader::GrubSaved => {
                let other = other(&state, kernel).ok_or_else(|| no_other(kernel))?;
                let id = grub::entry_id(self.layout, &other);
                let id = id.ok_or_else(|| {
                    BootError::NoWay(kernel.clone(), format!("GRUB has no entry of {other}"))
                })?;
                // Of several that are held, the first has what was before.
                let earlier =
                    journal::all(self.layout).into_iter().find(|(_, hold)| hold.layer == "grub-saved");
                hold.before = match earlier {
                    Some((_, earlier)) => earlier.before,
                    None => grub::saved_entry(self.layout),
                };
                hold.after = id.clone();
                journal::note(self.layout, kernel, &hold)?;
                let saved = grub::save(self.layout, Some(&id));
                if self.or_forget(kernel, saved)? {
                    return Ok(None);
                }
                journal::forget(self.layout, kernel)?;
                Err(BootError::NoWay(kernel.clone(), "grubenv is no block of GRUB's, or is full".to_owned()))
            }
            Loader::GrubFixed | Loader::Unknown => Err(BootError::NoWay(
                kernel.clone(),
                match report.menu.loader {
                    Loader::GrubFixed => "this GRUB offers no way but `GRUB_DEFAULT=saved`".to_owned(),
                    _ => "the boot loader of this system is not known".to_owned(),
                },
            )),
        }
    }

    fn hold_entries(
        &self,
        report: &Report,
        kernel: &KernelRelease,
        before: Option<Hold>,
        mut hold: Hold,
    ) -> Result<(), BootError> {
        let mut renames: Vec<(PathBuf, PathBuf)> = before.as_ref().map(Hold::renames).unwrap_or_default();
        let entries = report.menu.entries.get(kernel).into_iter().flatten();
        for entry in entries.filter(|entry| !systemd_boot::is_last(entry)) {
            if !renames.iter().any(|(known, _)| known == entry) {
                renames.push((entry.clone(), systemd_boot::held_name(entry)));
            }
        }
        let text = |path: &PathBuf| path.display().to_string();
        let mut all = renames.iter().map(|(before, after)| (text(before), text(after)));
        let Some((from, to)) = all.next() else {
            // Each of them is the last already, and not by us.
            return Err(BootError::NoWay(
                kernel.clone(),
                "its entries have no tries left already".to_owned(),
            ));
        };
        (hold.before, hold.after, hold.more) = (Some(from), to, all.collect());
        if let Some(before) = before {
            (hold.when, hold.by_hand) = (before.when, before.by_hand || hold.by_hand);
        }
        journal::note(self.layout, kernel, &hold)?;
        let done = systemd_boot::hold(&renames);
        if done.is_err() {
            // What was renamed goes back; what can't be stays in the journal.
            systemd_boot::release(&renames)?;
        }
        self.or_forget(kernel, done)?;
        Ok(())
    }

    fn or_forget<T>(&self, kernel: &KernelRelease, result: Result<T, FsError>) -> Result<T, FsError> {
        if result.is_err() {
            journal::forget(self.layout, kernel)?;
        }
        result
    }

    /// Puts back exactly what was before; a warning about what is left to do.
    ///
    /// # Errors
    /// [`BootError`]; then it is still held.
    pub fn release(&self, kernel: &KernelRelease) -> Result<Option<String>, BootError> {
        let mut all = journal::all(self.layout);
        let at = all.iter().position(|(held, _)| held == kernel);
        let (_, hold) = all.remove(at.ok_or_else(|| BootError::NotHeld(kernel.clone()))?);
        let is_last_of_layer = !all.iter().any(|(_, other)| other.layer == hold.layer);
        let mut warning = None;
        match hold.layer.as_str() {
            "systemd-boot" => systemd_boot::release(&hold.renames())?,
            "grub-top-level" if is_last_of_layer => {
                warning = grub::write_snippet(self.layout, None, self.environment)?;
            }
            // What the admin has saved since stays.
            "grub-saved"
                if is_last_of_layer && grub::saved_entry(self.layout).as_ref() == Some(&hold.after) =>
            {
                grub::save(self.layout, hold.before.as_deref())?;
            }
            _ => {}
        }
        journal::forget(self.layout, kernel)?;
        Ok(warning)
    }

    /// Everything that is held.
    #[must_use]
    pub fn held(&self) -> Vec<(KernelRelease, Hold)> {
        journal::all(self.layout)
    }
}

impl Row {
    /// What is refuted, in words.
    #[must_use]
    pub fn why(&self) -> String {
        let refuted = self.modules.iter().filter(|module| module.verdict == Verdict::Refuted);
        refuted.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

fn no_other(kernel: &KernelRelease) -> BootError {
    BootError::Refused(kernel.clone(), Refused::NoOther)
}

/// The newest kernel that may be booted instead.
fn other(state: &State, kernel: &KernelRelease) -> Option<KernelRelease> {
    let wanted =
        if state.has_critical { [Fitness::Fit].as_slice() } else { &[Fitness::Fit, Fitness::Unclear] };
    let held: BTreeSet<&KernelRelease> = state.held.keys().collect();
    let fits = state
        .kernels
        .iter()
        .filter(|(other, fitness)| *other != kernel && wanted.contains(fitness) && !held.contains(other));
    fits.map(|(other, _)| other.clone()).max_by(|a, b| version::compare(a.as_str(), b.as_str()))
}

fn fitness(modules: &[Standing], has_critical: bool) -> Fitness {
    if modules.iter().any(|module| module.verdict == Verdict::Refuted) {
        Fitness::Unfit
    } else if has_critical
        && !modules.is_empty()
        && modules.iter().all(|module| module.verdict == Verdict::Proven)
    {
        Fitness::Fit
    } else {
        Fitness::Unclear
    }
}

/// Whether anything is written or noted of the boot guard.
#[must_use]
pub fn is_idle(layout: &Layout) -> bool {
    !fs::exists(&layout.state_dir().join("boot"))
}
