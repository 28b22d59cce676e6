//! `dkms verify --vm`: what becomes of installed modules when their kernel loads them in a virtual machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dkms_base::exit::ExitCode;
use dkms_base::host::root;
use dkms_base::id::{ModuleId, Target};
use dkms_base::report::{Event, Reporter};
use dkms_conf::settings::SandboxMode;
use dkms_core::install;
use dkms_core::tree::Snapshot;
use dkms_core::verify::{Verdict, images_of};
use dkms_kernel::Machine;
use dkms_vm::{Guest, Outcome, Selection, VmError};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::render::say;
use crate::session::{Session, unless_interrupted};

/// What became of a module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trial {
    /// The module that it is of.
    id: ModuleId,
    /// The kernel.
    target: Target,
    /// The file.
    file: PathBuf,
    /// What became of it.
    outcome: Outcome,
    /// Another kernel, on which it loads in the same machine. Asked only where its init function failed.
    loads_on: Option<Target>,
}

impl Trial {
    /// What it says of the module. An init function may fail for want of hardware: that counts only where the
    /// same machine is enough for it on another kernel.
    pub(super) fn verdict(&self) -> Verdict {
        match &self.outcome {
            Outcome::Live | Outcome::NoDevice => Verdict::Proven,
            Outcome::Refused(_) | Outcome::Crashed(_) => Verdict::Refuted,
            Outcome::InitFailed(_) if self.loads_on.is_some() => Verdict::Refuted,
            Outcome::InitFailed(_) => Verdict::Proven,
            Outcome::NotTried(_) => Verdict::Unknown,
        }
    }

    /// A line of the output.
    fn line(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let kernel = &self.target.kernel;
        let what = match &self.outcome {
            Outcome::Live => "live".to_owned(),
            Outcome::NoDevice => "linked; its device is not in a virtual machine".to_owned(),
            Outcome::Refused(why) => format!("refused: {why}"),
            Outcome::Crashed(why) => format!("the kernel crashes or hangs: {why}"),
            Outcome::InitFailed(why) => match &self.loads_on {
                Some(other) => {
                    format!("its init function fails ({why}); on kernel {} it does not", other.kernel)
                }
                None => format!(
                    "linked; its init function fails ({why}), and there is no other kernel on which it loads in \
                     a virtual machine, so that may be for want of hardware"
                ),
            },
            Outcome::NotTried(why) => format!("not tried: {why}"),
        };
        format!("{}, {kernel}, {}: {name} in a virtual machine: {what}", self.id, self.target.arch)
    }
}

/// The lines of the output.
pub(super) fn lines(trials: &[Trial]) -> Vec<String> {
    let mut lines: Vec<String> = trials.iter().map(Trial::line).collect();
    if !trials.is_empty() {
        lines.push(
            "a virtual machine does not show whether a module works with this machine's devices".to_owned(),
        );
    }
    lines
}

/// As programs read it.
pub(super) fn document(trials: &[Trial]) -> Value {
    let one = |trial: &Trial| {
        json!({
            "module": trial.id.name,
            "version": trial.id.version,
            "kernel": trial.target.kernel,
            "arch": trial.target.arch,
            "file": trial.file,
            "class": trial.outcome.word(),
            "reason": trial.outcome.reason(),
            "loads_on": trial.loads_on.as_ref().map(|target| &target.kernel),
            "verdict": trial.verdict().word(),
        })
    };
    trials.iter().map(one).collect()
}

/// Loads the installed ones of these modules, those of one kernel in one boot.
///
/// # Errors
/// [`Failure`] where nothing is known of them.
pub(super) fn run(session: &Session<'_>, modules: &[(ModuleId, Target)]) -> Result<Vec<Trial>, Failure> {
    if root::is_entered() {
        return Err(Failure::new(ExitCode::BAD_OPTION, "`--vm` does not go with `--root`"));
    }
    let snapshot = session.snapshot()?;
    let mut trials = Vec::new();
    let targets: BTreeSet<&Target> = modules.iter().map(|(_, target)| target).collect();
    for target in targets {
        let ids = modules.iter().filter(|(id, on)| on == target && snapshot.is_installed(id, target));
        let ids: Vec<&ModuleId> = ids.map(|(id, _)| id).collect();
        if !ids.is_empty() {
            let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
            say(
                session.terminal,
                format!("loading {} in a virtual machine with kernel {}", names.join(", "), target.kernel),
            );
            trials.extend(on_kernel(session, &ids, target)?);
        }
    }
    for trial in &mut trials {
        if matches!(trial.outcome, Outcome::InitFailed(_)) {
            trial.loads_on = loads_elsewhere(session, &snapshot, trial)?;
        }
    }
    Ok(trials)
}

fn on_kernel(session: &Session<'_>, ids: &[&ModuleId], target: &Target) -> Result<Vec<Trial>, Failure> {
    unless_interrupted()?;
    let layout = &session.settings.layout;
    let (survey, folder) = (session.survey(), layout.kernel_dir(&target.kernel));
    let mut owners: BTreeMap<PathBuf, ModuleId> = BTreeMap::new();
    for id in ids {
        let conf = survey.lenient_conf(id, target)?;
        let files = install::installed_files(&folder, &conf, session.module_folder.as_deref());
        owners.extend(files.into_iter().map(|file| (file, (*id).clone())));
    }
    let files: Vec<PathBuf> = owners.keys().cloned().collect();
    let selection = Selection::of(&folder, &files, layout)
        .map_err(|error| Failure::new(ExitCode::USAGE_OR_RIGHTS, error.to_string()))?;
    let scratch = session.staging("dkms-vm.")?;
    let guest = Guest {
        images: &images_of(layout, &target.kernel),
        machine: Machine::of_kernel(&target.kernel, layout).or(Machine::named(target.arch.as_str())),
        folder: scratch.path(),
        strict: session.settings.sandbox == SandboxMode::Strict,
        user: &session.settings.build_user,
        environment: session.environment,
    };
    let loaded = guest.load(&selection).map_err(|error| failure(&error, target))?;
    if !loaded.missing.is_empty() {
        let text = format!("QEMU runs in a degraded sandbox, this system gives it {}", loaded.missing);
        session.terminal.report(Event::warning(text, ["`dkms doctor` lists the reasons".to_owned()]));
    }
    let trial = |(file, outcome): (PathBuf, Outcome)| {
        let id = owners.get(&file)?.clone();
        Some(Trial { id, target: target.clone(), file, outcome, loads_on: None })
    };
    Ok(loaded.outcomes.into_iter().filter_map(trial).collect())
}

/// Another kernel on which the module is installed, and where the same file is live: the running one first.
fn loads_elsewhere(
    session: &Session<'_>,
    snapshot: &Snapshot,
    trial: &Trial,
) -> Result<Option<Target>, Failure> {
    let running = dkms_kernel::running_kernel().ok();
    let mut others = session.installed_targets()?;
    others.retain(|other| *other != trial.target && snapshot.is_installed(&trial.id, other));
    others.sort_by_key(|other| Some(&other.kernel) != running.as_ref());
    let stem = |file: &PathBuf| {
        file.file_name().map(|name| name.to_string_lossy().split('.').next().map(str::to_owned))
    };
    for other in others {
        let there = on_kernel(session, &[&trial.id], &other)?;
        if there.iter().any(|one| one.outcome == Outcome::Live && stem(&one.file) == stem(&trial.file)) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

fn failure(error: &VmError, target: &Target) -> Failure {
    let code = match error {
        VmError::NotBooted(_) => ExitCode::UNKNOWN,
        _ => ExitCode::USAGE_OR_RIGHTS,
    };
    let text = format!("no module of kernel {} is loaded in a virtual machine: {error}", target.kernel);
    match error.hint() {
        Some(hint) => Failure::new(code, text).hint(hint),
        None => Failure::new(code, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(outcome: Outcome, loads_on: Option<&str>) -> Trial {
        let target = |kernel| Target::parse(kernel, "x86_64").unwrap();
        Trial {
            id: ModuleId::parse("foo", "1.0").unwrap(),
            target: target("6.1"),
            file: "/lib/modules/6.1/updates/dkms/foo.ko.xz".into(),
            outcome,
            loads_on: loads_on.map(target),
        }
    }

    #[test]
    fn an_init_function_that_fails_counts_only_where_it_can_do_better() {
        let fails = || Outcome::InitFailed("no memory".to_owned());
        for (trial, verdict, part) in [
            (trial(Outcome::Live, None), Verdict::Proven, "virtual machine: live"),
            (trial(Outcome::NoDevice, None), Verdict::Proven, "its device is not in a virtual machine"),
            (trial(Outcome::Refused("x".to_owned()), None), Verdict::Refuted, "refused: x"),
            (trial(Outcome::Crashed("y".to_owned()), None), Verdict::Refuted, "crashes or hangs: y"),
            (trial(fails(), None), Verdict::Proven, "for want of hardware"),
            (trial(fails(), Some("6.0")), Verdict::Refuted, "on kernel 6.0 it does not"),
            (trial(Outcome::NotTried("z".to_owned()), None), Verdict::Unknown, "not tried: z"),
        ] {
            assert_eq!(trial.verdict(), verdict, "{trial:?}");
            assert!(trial.line().starts_with("foo/1.0, 6.1, x86_64: foo.ko.xz in a"), "{}", trial.line());
            assert!(trial.line().contains(part), "{}", trial.line());
        }
        assert_eq!(document(&[trial(fails(), Some("6.0"))])[0]["loads_on"], "6.0");
    }
}
