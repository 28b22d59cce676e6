//! What every call starts with, how a batch is run and told, and what a failure means to the package manager.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, fs, root};
use dkms_base::id::{KernelRelease, ModuleId, ModuleName, Target};
use dkms_base::layout::Layout;
use dkms_core::event::{Arrival, Happening};
use dkms_hooks::{Adapter, Initramfs, Output, Summary, hook, unsaid};

use crate::front::Front;
use crate::look::{self, LookError};
use crate::memory;
use crate::view::{Before, Change, View, changes};

/// Whether more is to come in this transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is still going on: scripts of packages may run after us.
    Meanwhile,
    /// It has ended.
    AtTheEnd,
}

/// A call at work.
#[derive(Debug)]
pub struct Session<'a> {
    /// The system.
    pub adapter: Adapter,
    /// Where it writes.
    pub out: &'a Output,
}

impl<'a> Session<'a> {
    /// Looks at the system. `None` where it has no tree: then it has no modules of ours either,
    /// and nothing is printed.
    #[must_use]
    pub fn begin(environment: Environment, out: &'a Output) -> Option<Self> {
        if !fs::is_dir(&Layout::under("/").dkms_tree) {
            return None;
        }
        // Not before: a root is entered by a process of one thread.
        hook::listen(out)?;
        match Adapter::begin(environment, out) {
            Ok(adapter) => Some(Self { adapter, out }),
            Err(error) => {
                say(out, &Summary::failure(error.to_string(), error.hints()));
                None
            }
        }
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.adapter.settings.layout
    }

    /// Who will call again.
    #[must_use]
    pub fn front(&self) -> Front {
        let has_triggers = || look::we_are_packaged(&self.adapter.environment);
        Front::look(self.layout(), has_triggers)
    }

    /// Sees what is there, so that a transaction that begins now can be compared with it.
    pub fn see(&self) {
        let kept = memory::view(self.layout());
        if kept.is_none() && !root::may_run_its_programs() {
            // Without rpm's answers everything would seem to have come with the transaction.
            return;
        }
        let seen = match kept.clone() {
            Some(view) => Ok(view),
            None => look::look(&self.adapter, None, self.out),
        };
        let seen = seen.and_then(|view| Ok(View { in_use: self.in_use()?, ..view }));
        let done = seen.and_then(|view| match kept.as_ref() == Some(&view) {
            true => Ok(()),
            false => Ok(memory::keep_view(self.layout(), &view)?),
        });
        if let Err(error) = done {
            self.out.say(&format!("warning: {error}"));
        }
    }

    /// Where modules are in use.
    fn in_use(&self) -> Result<BTreeSet<(String, String, String)>, LookError> {
        let snapshot = self.adapter.snapshot()?;
        let texts = |(name, target): &(ModuleName, Target)| {
            (name.to_string(), target.kernel.to_string(), target.arch.to_string())
        };
        Ok(snapshot.installed.keys().map(texts).collect())
    }

    /// Does all that follows from what has changed since the last time, and from `told`
    /// besides, as one batch.
    #[must_use]
    pub fn act(&self, told: &[Happening], when: When, initramfs: Initramfs) -> (Summary, ExitCode) {
        match self.try_to_act(told, when, initramfs) {
            Ok(result) => result,
            Err(error) => {
                let hints = match &error {
                    LookError::Adapter(error) => error.hints(),
                    LookError::Fs(_) | LookError::Process(_) | LookError::Rpm { .. } => {
                        vec!["`dkms autoinstall` does what is missing on the kernel that runs".to_owned()]
                    }
                };
                (Summary::failure(error.to_string(), hints), self.failed())
            }
        }
    }

    fn try_to_act(
        &self,
        told: &[Happening],
        when: When,
        initramfs: Initramfs,
    ) -> Result<(Summary, ExitCode), LookError> {
        let (layout, adapter) = (self.layout(), &self.adapter);
        let before = memory::view(layout);
        let mut now = look::look(adapter, before.as_ref(), self.out)?;
        let changed = self.changed(before.as_ref(), &now)?;
        let mut all: BTreeSet<Happening> = told.iter().cloned().collect();
        for change in &changed {
            all.extend(self.happenings(change));
        }
        if when == When::Meanwhile {
            let dealt_with = before.iter().flat_map(|before| before.meanwhile.iter().cloned());
            now.meanwhile = dealt_with.chain(folders_of(&changed, &now)).collect();
        }
        let mut result = (Summary::default(), ExitCode::SUCCESS);
        if !all.is_empty() {
            let all: Vec<Happening> = all.into_iter().collect();
            let initramfs = match initramfs {
                // Each kernel that has come has its own kernel-install.
                Initramfs::OthersFor(targets) => {
                    let come = all.iter().filter_map(|happening| match happening {
                        Happening::KernelArrived(target) => Some(target.clone()),
                        _ => None,
                    });
                    Initramfs::OthersFor(targets.into_iter().chain(come).collect())
                }
                other => other,
            };
            let outcome = adapter.batch(&all, initramfs, self.out)?;
            if outcome.is_interrupted() {
                return Ok((Summary::of_interrupted(&outcome), self.failed()));
            }
            result = (Summary::of(&outcome), adapter.exit_of(&outcome));
        }
        self.clear_away(&changed);
        now.in_use = self.in_use()?;
        // Not before: what was not done is found again the next time.
        if before.as_ref() != Some(&now) {
            memory::keep_view(layout, &now)?;
        }
        Ok(result)
    }

    /// Folders of kernels that have gone, where scripts of modules' packages have left them empty.
    fn clear_away(&self, changed: &BTreeSet<Change>) {
        let gone = changed.iter().filter_map(|change| match change {
            Change::KernelWent(release) => KernelRelease::new(release.as_str()).ok(),
            _ => None,
        });
        for folder in gone.map(|release| self.layout().kernel_dir(&release)) {
            for inside in ["extra", "updates/dkms", "updates", ""] {
                // What isn't empty belongs to another program.
                drop(fs::remove_dir_if_empty(&folder.join(inside)));
            }
        }
    }

    fn changed(&self, before: Option<&View>, now: &View) -> Result<BTreeSet<Change>, LookError> {
        let newest = now.newest_transaction().unwrap_or_default();
        let before = before.map_or(Before::Nothing(newest), Before::Known);
        let snapshot = self.adapter.snapshot()?;
        let is_registered = |name: &str, version: &str| {
            ModuleId::parse(name, version).is_ok_and(|id| snapshot.get(&id).is_some())
        };
        Ok(changes(before, now, &is_registered))
    }

    /// What a change means; names that can't be ours mean nothing.
    fn happenings(&self, change: &Change) -> Vec<Happening> {
        let target = |release: &String| {
            let release = KernelRelease::new(release.as_str()).ok()?;
            self.adapter.target(&release).map_err(|error| self.out.say(&format!("warning: {error}"))).ok()
        };
        let module = |name: &String, version: &String| ModuleId::parse(name, version).ok();
        let told: Option<Vec<Happening>> = match change {
            Change::KernelCame(release) => {
                target(release).map(|target| vec![Happening::KernelArrived(target)])
            }
            Change::KernelReplaced(release) => target(release).map(|target| {
                vec![Happening::KernelLeaving(target.clone()), Happening::KernelArrived(target)]
            }),
            Change::KernelWent(release) => {
                target(release).map(|target| vec![Happening::KernelLeaving(target)])
            }
            Change::HeadersCame(release) => {
                target(release).map(|target| vec![Happening::HeadersArrived(target)])
            }
            Change::ModuleCame(name, version) => {
                module(name, version).map(|id| vec![Happening::ModuleArrived(id, Arrival::First)])
            }
            Change::ModuleCameAgain(name, version) => {
                module(name, version).map(|id| vec![Happening::ModuleArrived(id, Arrival::Upgrade)])
            }
            Change::ModuleReplaced(name, version) => module(name, version).map(|id| {
                vec![Happening::ModuleLeaving(id.clone()), Happening::ModuleArrived(id, Arrival::Upgrade)]
            }),
            Change::ModuleWent(name, version) => {
                module(name, version).map(|id| vec![Happening::ModuleLeaving(id)])
            }
            Change::WasInUse(name, kernel, arch) => {
                let target = Target::parse(kernel, arch).ok();
                let name = ModuleName::new(name.as_str()).ok();
                name.zip(target).map(|(name, target)| vec![Happening::ModuleWasInUse(name, target)])
            }
        };
        told.unwrap_or_default()
    }

    /// Sees to images that may hold modules which scripts of packages have taken out.
    #[must_use]
    pub fn settle_images(&self) -> Summary {
        match self.adapter.settle_images(self.out) {
            Ok(outcome) => outcome.as_ref().map(Summary::of).unwrap_or_default(),
            Err(error) => Summary::failure(error.to_string(), error.hints()),
        }
    }

    /// Does what follows from `told` alone.
    #[must_use]
    pub fn batch(&self, told: &[Happening]) -> Summary {
        match self.adapter.batch(told, Initramfs::Others, self.out) {
            Ok(outcome) => Summary::of(&outcome),
            Err(error) => Summary::failure(error.to_string(), error.hints()),
        }
    }

    /// What a failure is to the package manager.
    #[must_use]
    pub fn failed(&self) -> ExitCode {
        self.adapter.failed()
    }

    /// Prints a summary, and what was kept; or keeps it, where a later call follows.
    pub fn tell(&self, summary: Summary, front: Front) {
        match front {
            Front::Nobody => {
                say(self.out, &self.adapter.judged(unsaid::take(self.layout()).and(summary)));
            }
            Front::Plugin | Front::Triggers => {
                if unsaid::leave(self.layout(), &summary).is_err() {
                    say(self.out, &summary);
                }
            }
        }
    }
}

fn folders_of(changed: &BTreeSet<Change>, now: &View) -> Vec<String> {
    let is_changed = |name: &str, version: &str| {
        changed.iter().any(|change| match change {
            Change::ModuleCame(n, v) | Change::ModuleCameAgain(n, v) | Change::ModuleReplaced(n, v) => {
                n == name && v == version
            }
            _ => false,
        })
    };
    let of = now
        .modules
        .iter()
        .filter(|(_, seen)| seen.module.as_ref().is_some_and(|(name, version)| is_changed(name, version)));
    of.map(|(folder, _)| folder.clone()).collect()
}

fn say(out: &Output, summary: &Summary) {
    summary.lines().iter().for_each(|line| out.say(line));
}
