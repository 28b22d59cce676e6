//! Looks at the boot state, and decides. Changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::grub;
use super::journal::{self, Hold};
use super::loaders::Menu;
use super::model::{self, Decision, Fitness, Refused, State};
use crate::conf::settings::BootGuard;
use crate::critical::{Standing, Verdict};
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::id::{KernelRelease, Target};
use crate::layout::Layout;
use crate::report::Reporter;
use crate::tree::lock::{self, Held, LockError};
use crate::tree::{Key, Keys, Mode};
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
    /// The boot menu could not be made again.
    #[error("kernel {kernel} is still {state}: {why}")]
    Menu {
        /// The kernel.
        kernel: KernelRelease,
        /// `held`, or `not held`.
        state: &'static str,
        /// What failed.
        why: String,
    },
    /// Another command works on the boot configuration.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file could not be changed.
    #[error("the boot configuration could not be changed, and is as before: {0}")]
    Fs(#[from] FsError),
}

impl BootError {
    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Lock(error) => error.hints(),
            Self::Fs(error) if error.is_no_space() => {
                vec!["free space on that file system, then run `dkms boot` again".to_owned()]
            }
            Self::Fs(error) if error.is_read_only() => {
                vec![
                    "the boot partition is mounted read-only: mount it writable, then run the command again"
                        .to_owned(),
                ]
            }
            Self::Menu { .. } => vec!["`update-grub` shows what is wrong".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// What is known of the kernels, whatever the boot loader does.
#[derive(Debug, Clone, Copy)]
pub struct Kernels<'a> {
    /// Those that are installed.
    pub installed: &'a [Target],
    /// The critical modules on each of them.
    pub standings: &'a [Standing],
    /// Whether there are critical modules.
    pub has_critical: bool,
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
    /// Journals that can't be read: their kernels may be held too.
    pub unreadable: Vec<PathBuf>,
}

/// The boot guard of a system.
pub struct Guard<'a> {
    /// Where everything is.
    pub layout: &'a Layout,
    /// What programs see.
    pub environment: &'a Environment,
    /// `boot_guard`.
    pub mode: BootGuard,
    /// How long another command is waited for.
    pub lock_timeout: Duration,
    /// Gets the note that we wait for it.
    pub reporter: &'a dyn Reporter,
}

impl Guard<'_> {
    /// Looks, and decides.
    #[must_use]
    pub fn look(&self, kernels: &Kernels<'_>) -> Report {
        let Kernels { installed, standings, has_critical } = *kernels;
        let (all, unreadable) = journal::read(self.layout);
        let releases = releases(installed.iter().map(|target| target.kernel.clone()), &all);
        let mut menu = Menu::look(self.layout, &releases, &all);
        if let Some((path, why)) = unreadable.first() {
            menu.unclear =
                Some(format!("`{}` cannot be read ({why}), so it is not known what is held", path.display()));
        }
        let holds: BTreeMap<KernelRelease, Hold> = all.into_iter().collect();
        let of = |kernel: &KernelRelease| -> Vec<Standing> {
            standings.iter().filter(|standing| standing.target.kernel == *kernel).cloned().collect()
        };
        let fitness = |kernel: &KernelRelease| fitness(&of(kernel), has_critical);
        let state = State {
            kernels: menu.entries.keys().map(|kernel| (kernel.clone(), fitness(kernel))).collect(),
            running: crate::kernel::running_kernel_here(self.layout),
            last_good: journal::last_good(self.layout),
            explicit: menu.explicit.clone(),
            choice: menu.choice.clone(),
            held: holds.iter().map(|(kernel, hold)| (kernel.clone(), hold.by_hand)).collect(),
            has_critical,
        };
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
        let unreadable = unreadable.into_iter().map(|(path, _)| path).collect();
        Report { menu, state, rows, unreadable }
    }

    /// Keeps other commands from the boot configuration. Those that only look do not need it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock(&self) -> Result<Held, LockError> {
        let keys = Keys::default().with(Key::Boot, Mode::Exclusive);
        let held = lock::acquire(self.layout, &keys, self.lock_timeout, self.reporter)?;
        // What a killed command has begun to write; what stays disturbs nobody.
        drop(journal::sweep(self.layout).and_then(|()| grub::sweep(self.layout)));
        Ok(held)
    }

    /// Everything that is held.
    #[must_use]
    pub fn held(&self) -> Vec<(KernelRelease, Hold)> {
        journal::all(self.layout)
    }
}

/// Those that are installed, and those that are held.
pub(super) fn releases(
    installed: impl Iterator<Item = KernelRelease>,
    holds: &[(KernelRelease, Hold)],
) -> Vec<KernelRelease> {
    let mut releases: Vec<KernelRelease> = installed.collect();
    let others = holds.iter().map(|(kernel, _)| kernel).filter(|kernel| !releases.contains(kernel));
    let others: Vec<KernelRelease> = others.cloned().collect();
    releases.extend(others);
    releases
}

impl Row {
    /// What is refuted, in words.
    #[must_use]
    pub fn why(&self) -> String {
        let refuted = self.modules.iter().filter(|module| module.verdict == Verdict::Refuted);
        refuted.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

pub(super) fn fitness(modules: &[Standing], has_critical: bool) -> Fitness {
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
