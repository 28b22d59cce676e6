//! Holds and releases a kernel: the journal first, then the change; taken back the other way. Each step can
//! be done again, so that a command that was killed between two of them is finished by the next one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::guard::{BootError, Guard, Report};
use super::journal::{self, Hold, Stage};
use super::loaders::{Loader, Menu};
use super::model::{self, Fitness};
use super::{grub, systemd_boot};
use crate::host::clock;
use crate::host::fs::FsError;
use crate::id::KernelRelease;
use crate::version;

/// Who is held, with how.
type Holds = [(KernelRelease, Hold)];

impl Guard<'_> {
    /// Holds a kernel. The caller has [`lock`](Self::lock)ed.
    ///
    /// # Errors
    /// [`BootError`]; then everything is as before.
    pub fn hold(
        &self,
        report: &Report,
        kernel: &KernelRelease,
        why: &str,
        by_hand: bool,
    ) -> Result<(), BootError> {
        let mut state = report.state.clone();
        state.held.remove(kernel);
        model::may_hold(&state, kernel).map_err(|refused| BootError::Refused(kernel.clone(), refused))?;
        if let Some(unclear) = &report.menu.unclear {
            return Err(BootError::NoWay(kernel.clone(), unclear.clone()));
        }
        let holds = journal::all(self.layout);
        let before = holds.iter().find(|(held, _)| held == kernel).map(|(_, hold)| hold.clone());
        let hold = Hold {
            layer: report.menu.loader.word().to_owned(),
            before: None,
            after: String::new(),
            more: Vec::new(),
            why: why.to_owned(),
            when: before.as_ref().map_or_else(clock::unix_seconds, |before| before.when),
            by_hand: by_hand || before.as_ref().is_some_and(|before| before.by_hand),
            stage: Stage::Holding,
        };
        match report.menu.loader {
            Loader::SystemdBoot => self.hold_entries(&report.menu, kernel, before, hold),
            Loader::GrubTopLevel => self.hold_below(report, kernel, &holds, hold),
            Loader::GrubSaved => self.hold_by_saved(report, kernel, &holds, hold),
            Loader::GrubFixed => {
                Err(no_way(kernel, "this GRUB offers no way but `GRUB_DEFAULT=saved`".to_owned()))
            }
            Loader::Unknown => Err(no_way(kernel, "the boot loader of this system is not known".to_owned())),
        }
    }

    /// Renames the entries of a kernel; what was renamed before stays so.
    pub(super) fn hold_entries(
        &self,
        menu: &Menu,
        kernel: &KernelRelease,
        before: Option<Hold>,
        mut hold: Hold,
    ) -> Result<(), BootError> {
        let mut renames: Vec<(PathBuf, PathBuf)> = before.as_ref().map(Hold::renames).unwrap_or_default();
        let entries = menu.entries.get(kernel).into_iter().flatten();
        for entry in entries.filter(|entry| !systemd_boot::is_last(entry)) {
            let held = systemd_boot::held_name(entry);
            // One that was written again is what is put back.
            renames.retain(|(_, after)| *after != held);
            renames.push((entry.clone(), held));
        }
        let text = |path: &PathBuf| path.display().to_string();
        let mut all = renames.iter().map(|(before, after)| (text(before), text(after)));
        let Some((from, to)) = all.next() else {
            // Each of them is the last already, and not by us.
            return Err(no_way(kernel, "its entries have no tries left already".to_owned()));
        };
        (hold.before, hold.after, hold.more) = (Some(from), to, all.collect());
        journal::note(self.layout, kernel, &hold)?;
        if let Err(error) = systemd_boot::hold(&renames) {
            // What was renamed goes back; if that fails too, the journal stays for the next command.
            systemd_boot::release(&renames)?;
            journal::forget(self.layout, kernel)?;
            return Err(error.into());
        }
        Ok(self.is_held(kernel, hold)?)
    }

    fn hold_below(
        &self,
        report: &Report,
        kernel: &KernelRelease,
        holds: &Holds,
        mut hold: Hold,
    ) -> Result<(), BootError> {
        let text = snippet(report, &held_with(holds, Some(kernel), None));
        hold.after = text.clone().unwrap_or_default();
        journal::note(self.layout, kernel, &hold)?;
        match self.make_menu(text.as_deref()) {
            Ok(Ok(())) => Ok(self.is_held(kernel, hold)?),
            Ok(Err(why)) => {
                let state = if self.put_back(kernel, holds)? { "held" } else { "not held" };
                Err(BootError::Menu { kernel: kernel.clone(), state, why })
            }
            Err(error) => {
                self.put_back(kernel, holds)?;
                Err(error.into())
            }
        }
    }

    /// Lets the journal say of a kernel what it said before a change that failed; whether that is held.
    fn put_back(&self, kernel: &KernelRelease, before: &Holds) -> Result<bool, FsError> {
        let is_held = |(held, hold): &&(KernelRelease, Hold)| held == kernel && hold.stage == Stage::Held;
        match before.iter().find(is_held) {
            Some((_, hold)) => journal::note(self.layout, kernel, hold).map(|()| true),
            None => journal::forget(self.layout, kernel).map(|()| false),
        }
    }

    /// Whether what is written so that a kernel is held is not what would be written now: another kernel that
    /// may boot instead has come or gone.
    pub(super) fn is_stale(&self, report: &Report, hold: &Hold) -> bool {
        let all = journal::all(self.layout);
        let held = held_with(&all, None, None);
        match report.menu.loader {
            loader if hold.layer != loader.word() || hold.stage != Stage::Held => false,
            Loader::GrubTopLevel => !grub::has_snippet(self.layout, snippet(report, &held).as_deref()),
            Loader::GrubSaved => self
                .to_be_saved(report, &all, &held)
                .is_ok_and(|(_, after)| after != grub::saved_entry(self.layout)),
            _ => false,
        }
    }

    fn make_menu(&self, text: Option<&str>) -> Result<Result<(), String>, FsError> {
        if grub::has_snippet(self.layout, text) {
            return Ok(Ok(()));
        }
        grub::write_snippet(self.layout, text, self.environment)
    }

    fn hold_by_saved(
        &self,
        report: &Report,
        kernel: &KernelRelease,
        holds: &Holds,
        hold: Hold,
    ) -> Result<(), BootError> {
        // What this kernel's journal says of an earlier turn is how our own entry is known.
        let noted = |hold: &Hold| (hold.before.clone(), hold.after.clone());
        let known = holds.iter().find(|(held, _)| held == kernel).map(|(_, hold)| noted(hold));
        let (before, after) = known.unwrap_or_else(|| noted(&hold));
        let mut all: Vec<(KernelRelease, Hold)> =
            holds.iter().filter(|(held, _)| held != kernel).cloned().collect();
        all.push((kernel.clone(), Hold { before, after, ..hold.clone() }));
        let held = held_with(&all, None, None);
        let done = self.save(report, &all, &held);
        match done {
            Ok(hold_of) => Ok(self.is_held(kernel, Hold { before: hold_of.0, after: hold_of.1, ..hold })?),
            Err(error) => {
                self.put_back(kernel, holds)?;
                Err(match error {
                    Failed::Fs(error) => error.into(),
                    Failed::NoWay(why) => no_way(kernel, why),
                })
            }
        }
    }

    /// What GRUB's saved entry would be without us, and what it is to be: the same if that is not held,
    /// otherwise the best one that is not.
    fn to_be_saved(
        &self,
        report: &Report,
        all: &Holds,
        held: &BTreeSet<KernelRelease>,
    ) -> Result<(Option<String>, Option<String>), Failed> {
        let before = match grub::saved_by_us(self.layout, all) {
            Some(ours) => ours.before,
            None => grub::saved_entry(self.layout),
        };
        let is_held = match before.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => report.menu.of_saved(text).is_some_and(|kernel| held.contains(&kernel)),
            None => report
                .rows
                .iter()
                .find(|row| !row.entries.is_empty())
                .is_some_and(|row| held.contains(&row.kernel)),
        };
        if !is_held {
            return Ok((before.clone(), before));
        }
        let other =
            best(report, held).ok_or_else(|| Failed::NoWay("no other kernel is proven".to_owned()))?;
        let id = grub::entry_id(self.layout, &other);
        let id = id.ok_or_else(|| Failed::NoWay(format!("GRUB has no entry of {other}")))?;
        Ok((before, Some(id)))
    }

    /// Lets GRUB's saved entry be what it is to be; what it was and is.
    fn save(
        &self,
        report: &Report,
        all: &Holds,
        held: &BTreeSet<KernelRelease>,
    ) -> Result<(Option<String>, String), Failed> {
        let current = grub::saved_entry(self.layout);
        let (before, after) = self.to_be_saved(report, all, held)?;
        let told = (before.clone(), after.clone().unwrap_or_default());
        for (kernel, hold) in all.iter().filter(|(kernel, _)| held.contains(kernel)) {
            let hold = Hold { before: told.0.clone(), after: told.1.clone(), ..hold.clone() };
            journal::note(self.layout, kernel, &hold)?;
        }
        if after != current && !grub::save(self.layout, after.as_deref())? {
            return Err(Failed::NoWay("grubenv is no block of GRUB's, or is full".to_owned()));
        }
        Ok(told)
    }

    fn is_held(&self, kernel: &KernelRelease, hold: Hold) -> Result<(), FsError> {
        journal::note(self.layout, kernel, &Hold { stage: Stage::Held, ..hold })
    }

    /// Puts back exactly what was before. The caller has [`lock`](Self::lock)ed; `report`: what is in the
    /// boot menu, needed where others stay held.
    ///
    /// # Errors
    /// [`BootError`]; then it is still held.
    pub fn release(&self, kernel: &KernelRelease, report: Option<&Report>) -> Result<(), BootError> {
        let all = journal::all(self.layout);
        let hold = all.iter().find(|(held, _)| held == kernel).map(|(_, hold)| hold.clone());
        let hold = hold.ok_or_else(|| BootError::NotHeld(kernel.clone()))?;
        let stage = Stage::Releasing;
        journal::note(self.layout, kernel, &Hold { stage, ..hold.clone() })?;
        let held = held_with(&all, None, Some(kernel));
        let is_last = !all.iter().any(|(other, one)| other != kernel && one.layer == hold.layer);
        match (hold.layer.as_str(), report) {
            ("systemd-boot", _) => systemd_boot::release(&hold.renames())?,
            ("grub-top-level", report) if is_last || report.is_some() => {
                let text = report.filter(|_| !is_last).and_then(|report| snippet(report, &held));
                if let Err(why) = self.make_menu(text.as_deref())? {
                    return Err(BootError::Menu { kernel: kernel.clone(), state: "held", why });
                }
            }
            ("grub-saved", Some(report)) if !is_last => match self.save(report, &all, &held) {
                Ok(_) => {}
                Err(Failed::Fs(error)) => return Err(error.into()),
                Err(Failed::NoWay(why)) => {
                    return Err(BootError::Menu { kernel: kernel.clone(), state: "held", why });
                }
            },
            // What has been saved since stays.
            ("grub-saved", _)
                if is_last
                    && grub::saved_by_us(self.layout, &all).is_some()
                    && hold.before.as_ref() != Some(&hold.after) =>
            {
                grub::save(self.layout, hold.before.as_deref())?;
            }
            _ => {}
        }
        Ok(journal::forget(self.layout, kernel)?)
    }
}

/// Why GRUB's saved entry was not changed.
enum Failed {
    Fs(FsError),
    NoWay(String),
}

impl From<FsError> for Failed {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}

fn no_way(kernel: &KernelRelease, why: String) -> BootError {
    BootError::NoWay(kernel.clone(), why)
}

fn held_with(
    holds: &Holds,
    more: Option<&KernelRelease>,
    without: Option<&KernelRelease>,
) -> BTreeSet<KernelRelease> {
    let held = holds.iter().map(|(kernel, _)| kernel).filter(|kernel| Some(*kernel) != without);
    held.chain(more).cloned().collect()
}

/// What GRUB's snippet says if these are held.
fn snippet(report: &Report, held: &BTreeSet<KernelRelease>) -> Option<String> {
    grub::snippet_for(&first(report, held))
}

/// The kernels that come first in the menu instead of those that are held, the best first: what is newer than
/// each of them and not held stays where it is, and after that what is proven. None if nothing in the menu
/// is held.
fn first(report: &Report, held: &BTreeSet<KernelRelease>) -> Vec<KernelRelease> {
    let rows: Vec<_> = report.rows.iter().filter(|row| !row.entries.is_empty()).collect();
    let Some(newest) = rows.iter().position(|row| held.contains(&row.kernel)) else { return Vec::new() };
    let newer = rows[..newest].iter().map(|row| row.kernel.clone());
    let older =
        rows[newest..].iter().filter(|row| is_proven(report, row.fitness)).map(|row| row.kernel.clone());
    newer.chain(older).filter(|kernel| !held.contains(kernel)).collect()
}

/// The newest kernel that may be booted instead.
fn best(report: &Report, held: &BTreeSet<KernelRelease>) -> Option<KernelRelease> {
    let fits = report.rows.iter().filter(|row| {
        !row.entries.is_empty() && is_proven(report, row.fitness) && !held.contains(&row.kernel)
    });
    fits.map(|row| row.kernel.clone()).max_by(|a, b| version::compare(a.as_str(), b.as_str()))
}

fn is_proven(report: &Report, fitness: Fitness) -> bool {
    match report.state.has_critical {
        true => fitness == Fitness::Fit,
        false => fitness != Fitness::Unfit,
    }
}
