//! `dkms bake`: modules become part of an image, all of them on every kernel of it, or the command fails.
//!
//! - `ask`: which modules and kernels are meant
//! - here: build, install, prove, keep the manifest
//! - [`undo`]: what a failed bake takes back; [`clean`]: what does not stay in the image

mod ask;
mod clean;
mod undo;

use std::collections::BTreeMap;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::report::{Event, Reporter};
use dkms_core::bake::required::{code_of, without_headers};
use dkms_core::bake::{Manifest, Missing, Recorder, Required, required};
use dkms_core::engine::{self, Failed, Outcome, Survey, Task};
use dkms_core::install::{self, Remade};
use dkms_core::plan::{ImageWork, Options, Work, World};
use dkms_core::tree::{Registration, Snapshot, images};
use dkms_core::verify::Examiner;
use dkms_signing::{KeyPlaces, Signing};

use crate::action::{Action, Rights};
use crate::failure::Failure;
use crate::render::say;
use crate::rights;
use crate::session::{Session, interrupted};
use ask::Asked;

/// Bakes.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    let tree = &layout.dkms_tree;
    let is_new = !fs::is_dir(tree);
    if !session.args().dry_run {
        if is_new && rustix::process::geteuid().is_root() {
            fs::create_dir_all(tree)?;
        }
        rights::check_for(Rights::Root, Action::Bake, &session.settings)?;
    }
    let baked = bake(session, is_new);
    if is_new && !session.args().keep_tree {
        // What it was made for has failed, or is over.
        drop(fs::remove_dir_if_empty(tree));
    }
    baked
}

fn bake(session: &Session<'_>, is_new: bool) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    let asked = Asked::by(session)?;
    let work = Work::Bake { named: asked.named.clone(), all: asked.all, targets: asked.targets.clone() };
    let options =
        Options { initramfs: None, initramfs_of_removed: None, held_initramfs: false, ..session.options() };
    let task = Task { work: &|_| work.clone(), options: &options, survey: &|| session.survey(), held: None };
    let world = engine::look(&task, layout)?.world;
    let required = required(&world, &asked.named, asked.all, &asked.targets, &asked.allowed);
    if required.is_empty() && asked.before.modules.is_empty() && asked.allowed.is_empty() {
        return Err(Failure::new(
            ExitCode::AUTOINSTALL_FAILED,
            "there is no module to bake: none with AUTOINSTALL is in the dkms tree",
        )
        .hint("install its package or `dkms add` its source first, or name it: dkms bake MODULE/VERSION"));
    }
    let is_there = |id: &ModuleId, target: &Target| {
        let key = (id.clone(), target.clone());
        world.snapshot.is_installed(id, target)
            || world.prebuilt.contains_key(&key)
            || world.baked.contains_key(&key)
    };
    let lacking = without_headers(&world, &required, is_there);
    if !lacking.is_empty() {
        return Err(failed_for(&lacking));
    }
    if session.args().dry_run {
        return session.carry_out(&work);
    }
    check_key(session, &world)?;
    undo::drop_unsigned(session, &world, &asked.targets)?;
    let before = session.snapshot()?;
    let mut outcome = session.outcome(&task)?;
    let failures = std::mem::take(&mut outcome.failures);
    let bake = Bake { session, survey: session.survey(), world: &world, required: &required };
    let done = bake.finish(failures, &outcome, &asked, is_new);
    if done.is_err() {
        undo::take_back(session, &outcome, &before);
    }
    done
}

/// A bake whose modules were installed, as far as they could be.
struct Bake<'a> {
    session: &'a Session<'a>,
    survey: Survey<'a>,
    world: &'a World,
    required: &'a [Required],
}

impl Bake<'_> {
    /// Everything after the build; an error means that nothing of it is to stay.
    fn finish(
        &self,
        failures: Vec<Failed>,
        outcome: &Outcome,
        asked: &Asked,
        is_new: bool,
    ) -> Result<(), Failure> {
        let session = self.session;
        let layout = &session.settings.layout;
        if outcome.is_interrupted() {
            return Err(interrupted());
        }
        let snapshot = session.snapshot()?;
        let missing = self.missing(failures, &snapshot, asked);
        if !missing.is_empty() {
            return Err(failed_for(&missing));
        }
        let mut recorder = Recorder::new(layout, &self.survey, self.certificates()?);
        self.prove(&recorder, &snapshot)?;
        self.make_images(outcome)?;
        let mut manifest = Manifest::default();
        for ((name, target), version) in &snapshot.installed {
            let id = ModuleId::new(name.clone(), version.clone());
            if fs::is_dir(&layout.kernel_dir(&target.kernel)) {
                let recorded = recorder.record(&id, target);
                let recorded =
                    recorded.map_err(|error| Failure::new(ExitCode::USAGE_OR_RIGHTS, error.to_string()))?;
                manifest.modules.insert((id, target.clone()), recorded);
            }
        }
        let is_there = |target: &Target| fs::is_dir(&layout.kernel_dir(&target.kernel));
        let manifest = asked.before.clone().merged_with(manifest, is_there);
        manifest.write(layout)?;
        clean::set_times(session, &manifest)?;
        clean::clean(session, is_new)?;
        for target in &asked.targets {
            let names = manifest.modules.keys().filter(|(_, on)| on == target).map(|(id, _)| id.to_string());
            let names: Vec<_> = names.collect();
            say(session.terminal, format!("Baked for kernel {}: {}", target.kernel, names.join(", ")));
        }
        Ok(())
    }

    /// What is not there after the run. Failures were not told yet: only those that count are.
    fn missing(&self, failures: Vec<Failed>, snapshot: &Snapshot, asked: &Asked) -> Vec<Missing> {
        let mut codes: BTreeMap<(ModuleId, Target), ExitCode> = BTreeMap::new();
        for Failed { action, error } in failures {
            let module = action.module();
            if module.is_some_and(|id| asked.allowed.contains(&id.name)) {
                let text = format!("{error} (it may be missing)");
                self.session.terminal.report(Event::warning(text, []));
                continue;
            }
            let failure = Failure::from(error);
            if let (Some(id), Some(target)) = (module, action.target()) {
                codes.insert((id.clone(), target.clone()), failure.code);
            }
            self.session.terminal.failure(&failure);
        }
        let is_there = |(id, target): &Required| {
            let key = (id.clone(), target.clone());
            snapshot.is_installed(id, target)
                || self.world.prebuilt.contains_key(&key)
                || self.world.baked.contains_key(&key)
        };
        let missing = |key: &Required| Missing {
            id: key.0.clone(),
            target: key.1.clone(),
            why: if codes.contains_key(key) { None } else { self.why(key) },
            code: codes.get(key).copied().unwrap_or(ExitCode::AUTOINSTALL_FAILED),
        };
        self.required.iter().filter(|key| !is_there(key)).map(missing).collect()
    }

    /// Why a module is not there of which no step has failed.
    fn why(&self, key: &Required) -> Option<String> {
        let found = self.world.snapshot.get(&key.0);
        match self.world.confs.get(key) {
            _ if found.is_some_and(Registration::is_broken) => Some("its source is missing".to_owned()),
            Some(Ok(conf)) => conf.excluded.as_ref().map(ToString::to_string),
            Some(Err(_)) | None => None,
        }
    }

    /// The certificates of the keys that sign for the kernels.
    fn certificates(&self) -> Result<BTreeMap<Target, Vec<u8>>, Failure> {
        let session = self.session;
        let mut certificates = BTreeMap::new();
        for (target, kernel) in &self.world.kernels {
            let bytes = match &session.given_key {
                Some(given) => Some(given.certificate().to_owned()),
                None => {
                    let Session { settings, distribution, environment, .. } = session;
                    let places = KeyPlaces::of(settings, kernel, distribution, environment);
                    fs::read_limited(&places.certificate, 1 << 20).ok()
                }
            };
            certificates.extend(bytes.map(|bytes| (target.clone(), bytes)));
        }
        Ok(certificates)
    }

    /// Examines every module file, and its signature if it is to have one.
    fn prove(&self, recorder: &Recorder<'_>, snapshot: &Snapshot) -> Result<(), Failure> {
        let session = self.session;
        let mut refuted = Vec::new();
        for (id, target) in self.required.iter().filter(|(id, target)| snapshot.is_installed(id, target)) {
            let Some(kernel) = self.world.kernels.get(target) else { continue };
            let files = recorder.files(id, target)?;
            let faults = Examiner::new(&session.settings.layout, kernel).examine(&files);
            for (file, faults) in files.iter().zip(faults) {
                for fault in &faults {
                    let failure = Failure::new(ExitCode::REFUTED, format!("`{}` {fault}", file.display()));
                    let failure = fault.hints().into_iter().fold(failure, Failure::hint);
                    session.terminal.failure(&failure);
                    refuted.push(format!("{id} on kernel {}", target.kernel));
                }
                if is_signed_by_us(session, self.world, target) && recorder.key_of(file, target).is_none() {
                    let text = format!("`{}` is not signed by the key that was given", file.display());
                    session.terminal.failure(&Failure::new(ExitCode::REFUTED, text));
                    refuted.push(format!("{id} on kernel {}", target.kernel));
                }
            }
        }
        refuted.dedup();
        if refuted.is_empty() {
            return Ok(());
        }
        let text = format!("nothing is baked: proven not to work: {}", refuted.join(", "));
        Err(Failure::new(ExitCode::REFUTED, text))
    }

    /// The initramfs of each kernel that has one and got a module.
    fn make_images(&self, outcome: &Outcome) -> Result<(), Failure> {
        let session = self.session;
        let layout = &session.settings.layout;
        if session.options().initramfs != Some(ImageWork::Remake) {
            return Ok(());
        }
        let got_one = |target: &Target| {
            outcome.done.iter().any(|action| {
                matches!(action, dkms_core::plan::Action::Install { target: on, .. } if on == target)
            })
        };
        for target in self.world.kernels.keys() {
            let is_due = got_one(target) || images::is_noted(layout, &target.kernel);
            if !is_due || !install::has_image(&target.kernel, layout) {
                continue;
            }
            let remade =
                install::remake_initramfs(&target.kernel, layout, session.environment, session.terminal)?;
            match remade {
                Remade::Made => images::settle(layout, &target.kernel),
                Remade::Left | Remade::Kept(_) | Remade::NoImage => {}
                Remade::Not(why) => {
                    let text = format!(
                        "nothing is baked: the initramfs of kernel {} is out of date: {why}",
                        target.kernel
                    );
                    let failure = Failure::new(ExitCode::AUTOINSTALL_FAILED, text);
                    return Err(failure.hint("`remake_initrd=no` in framework.conf leaves it as it is"));
                }
            }
        }
        Ok(())
    }
}

/// Whether modules of a kernel have to be signed by the key that the caller opened.
fn is_signed_by_us(session: &Session<'_>, world: &World, target: &Target) -> bool {
    let (Some(given), Some(kernel)) = (&session.given_key, world.kernels.get(target)) else { return false };
    !matches!(
        given.signing(&session.settings, kernel, session.environment),
        Signing::Unsigned(why) if !why.is_warning()
    )
}

/// A key that was given and can't sign fails before anything is built.
fn check_key(session: &Session<'_>, world: &World) -> Result<(), Failure> {
    let Some(given) = &session.given_key else { return Ok(()) };
    for kernel in world.kernels.values() {
        if let Signing::Unsigned(why) = given.signing(&session.settings, kernel, session.environment)
            && why.is_warning()
        {
            let text = format!("modules for kernel {} can't be signed: {why}", kernel.target.kernel);
            let failure = Failure::new(ExitCode::USAGE_OR_RIGHTS, text);
            return Err(why.hint().into_iter().fold(failure, Failure::hint));
        }
    }
    Ok(())
}

fn failed_for(missing: &[Missing]) -> Failure {
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    let code = code_of(missing);
    let failure = Failure::new(code, format!("nothing is baked: missing would be {}", names.join("; ")));
    match code {
        ExitCode::NO_HEADERS => {
            failure.hint("install the headers, or name the kernels that are meant with `-k`")
        }
        _ => failure.hint("`--allow-missing MODULE` bakes the others without it"),
    }
}
