//! `dkms status`: reads, waits for nobody, changes nothing.

mod compared;

use std::collections::{BTreeMap, BTreeSet};

use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};
use dkms_core::bake::Manifest;
use dkms_core::boot;
use dkms_core::bundles::Note;
use dkms_core::engine::Survey;
use dkms_core::install::{self, InstalledState, OutOfDate};
use dkms_core::plan::Refusal;
use dkms_core::status::{self, Filter, Remark, State, Status};
use dkms_core::tree::{self, Registration, Snapshot};
use dkms_core::verify::{Verdict, Verifier};
use serde_json::{Value, json};

use self::compared::Compared;
use crate::failure::Failure;
use crate::grid::{self, Cell};
use crate::render::{JSON_VERSION, warn};
use crate::session::{Session, unless_interrupted};

/// Prints the states.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let invocation = session.invocation;
    let filter = Filter {
        name: invocation.name.clone(),
        version: invocation.version.clone(),
        kernels: invocation.kernels.clone(),
        arches: invocation.arches.clone(),
    };
    let survey = session.survey().reading_once();
    let layout = &session.settings.layout;
    let compared = Compared::new(&survey, layout, session.module_folder.as_deref(), &filter);
    // Verdicts ask what it was built against.
    let needs_all = session.args().json || session.args().grid;
    let snapshot = match needs_all {
        true => session.snapshot()?,
        false => session.states(&|id, target| compared.is_built(id, target))?,
    };
    let weak = survey.weak(&snapshot)?;
    let remarks = |id: &ModuleId, target: &Target, installed: bool| {
        let mut remarks = Vec::new();
        if snapshot.archived.contains(&id.name) && install::originals_exist(layout, &id.name, target) {
            remarks.push(Remark::OriginalsExist);
        }
        let state = if installed { compared.of_installed(id, target) } else { compared.of_built(id, target) };
        remarks.extend(match state {
            Some(InstalledState::Missing) => Some(Remark::BuiltMissing),
            Some(InstalledState::Different) => Some(Remark::Differ),
            Some(InstalledState::Same) | None => None,
        });
        remarks
    };
    let lines = status::states(&snapshot, &filter, &weak, remarks);
    let baked = match Manifest::read(layout) {
        Ok(baked) => baked,
        Err(error) => {
            warn(session.terminal, error.to_string());
            Manifest::default()
        }
    };
    let lines = match baked.modules.is_empty() {
        true => lines,
        false => status::with_baked(lines, &filter, &baked, |module| module.state(layout)),
    };
    unless_interrupted()?;
    if session.args().json {
        let of_kernels = OfKernels::look(session, &survey, &snapshot, &filter)?;
        let verdicts = verdicts(session, &survey, &snapshot, &lines);
        let held: Vec<Value> = boot::journal::all(layout)
            .into_iter()
            .map(|(kernel, hold)| json!({ "kernel": kernel, "why": hold.why, "when": hold.when, "by_hand": hold.by_hand }))
            .collect();
        session.terminal.print(&document(layout, &lines, &verdicts, &baked, of_kernels, held));
        return Ok(());
    }
    if session.args().grid {
        return show_grid(session, &survey, &snapshot, &lines);
    }
    if !lines.is_empty() {
        let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
        session.terminal.print(&text.join("\n"));
    }
    let broken_ones = lines.iter().filter(|line| line.state == State::Broken);
    let found = broken_ones.filter_map(|line| Some((&line.id, snapshot.get(&line.id)?)));
    found.for_each(|(id, found)| session.terminal.report(broken(id, found)));
    Ok(())
}

fn show_grid(
    session: &Session<'_>,
    survey: &Survey<'_>,
    snapshot: &Snapshot,
    lines: &[Status],
) -> Result<(), Failure> {
    let verdicts = verdicts(session, survey, snapshot, lines);
    unless_interrupted()?;
    let cell = |Status { id, state }: &Status| {
        let key = (id.clone(), state.target()?.clone());
        let verdict = verdicts.get(&key).copied();
        let word = if matches!(state, State::InstalledWeak { .. }) { "weak" } else { state.word() };
        Some((key, Cell { state: word, verdict }))
    };
    let cells: BTreeMap<_, _> = lines.iter().filter_map(cell).collect();
    let targets: BTreeSet<&Target> = cells.keys().map(|(_, target)| target).collect();
    let columns = session.columns(targets)?;
    grid::lines(&columns, &cells).iter().for_each(|line| session.terminal.print_painted(line));
    // What is built for no kernel has no cell.
    let others = lines.iter().filter(|line| line.state.target().is_none());
    others.for_each(|line| session.terminal.print(&line.to_string()));
    Ok(())
}

/// Whether the kernels will load what is built for them. Of a kernel that can't be looked at it is not told.
fn verdicts(
    session: &Session<'_>,
    survey: &Survey<'_>,
    snapshot: &Snapshot,
    lines: &[Status],
) -> BTreeMap<(ModuleId, Target), Verdict> {
    let mut asked: BTreeMap<&Target, Vec<ModuleId>> = BTreeMap::new();
    for Status { id, state } in lines {
        // Of what only the image has, nothing is registered that could be verified.
        if let Some(target) = state.target().filter(|_| snapshot.get(id).is_some()) {
            asked.entry(target).or_default().push(id.clone());
        }
    }
    let Ok(verifier) = Verifier::new(&session.settings.layout, survey, snapshot) else {
        return BTreeMap::new();
    };
    let proofs =
        asked.into_iter().flat_map(|(target, ids)| verifier.proofs(&ids, target).unwrap_or_default());
    proofs.map(|proof| ((proof.id.clone(), proof.target.clone()), proof.verdict())).collect()
}

fn broken(id: &ModuleId, found: &Registration) -> Event {
    let refusal = Refusal::broken(id, found);
    Event::Failed {
        module: Some(id.clone()),
        target: None,
        text: refusal.to_string(),
        hints: refusal.hints(),
    }
}

/// What only `--json` has: of each installed kernel that the filter takes.
struct OfKernels {
    /// Modules in the tree that a package brings prebuilt.
    prebuilt: Vec<Value>,
    /// Images that hold another build of a module than is installed, or that were made before one.
    images: Vec<Value>,
}

impl OfKernels {
    fn look(
        session: &Session<'_>,
        survey: &Survey<'_>,
        snapshot: &Snapshot,
        filter: &Filter,
    ) -> Result<Self, Failure> {
        let layout = &session.settings.layout;
        let (mut prebuilt, mut images) = (Vec::new(), Vec::new());
        let newest = snapshot.newest();
        for target in session.installed_targets()?.iter().filter(|target| filter.takes_target(target)) {
            let tree = survey.module_tree(target)?;
            for id in newest.iter().filter(|id| filter.takes(id)) {
                let Ok(conf) = survey.lenient_conf(id, target) else { continue };
                if let Some(found) = survey.prebuilt(&conf, target, &tree) {
                    prebuilt.push(json!({
                        "module": id.name,
                        "version": id.version,
                        "kernel": target.kernel,
                        "arch": target.arch,
                        "package": found.package,
                        "package_module_version": found.version,
                        "built_twice": snapshot.is_installed(id, target),
                    }));
                }
            }
            let mut files = Vec::new();
            for id in snapshot.installed_on(target).filter(|id| filter.takes(id)) {
                let Ok(conf) = survey.lenient_conf(&id, target) else { continue };
                let kernel_dir = layout.kernel_dir(&target.kernel);
                files.extend(install::installed_files(&kernel_dir, &conf, session.module_folder.as_deref()));
            }
            let environment = session.environment;
            let other = install::out_of_date(&target.kernel, &files, layout, environment);
            let before = if tree::images::is_noted(layout, &target.kernel) {
                install::made_before(&target.kernel, &files, layout, environment)
            } else {
                Vec::new()
            };
            let note = tree::images::read(layout, &target.kernel).unwrap_or_default();
            let holding = |modules: &tree::images::Removed| {
                let names = modules.keys().cloned().collect();
                install::holds_removed(&target.kernel, &names, layout, environment)
            };
            let (removed, kept) = (holding(&note.removed), holding(&note.held));
            // Made again, it is without the module.
            let kept = kept.into_iter().map(|image| ("kept", OutOfDate { command: None, ..image }));
            let other = other.into_iter().map(|image| ("other-build", image));
            let other = other.chain(removed.into_iter().map(|image| ("removed", image))).chain(kept);
            for (reason, image) in other.chain(before.into_iter().map(|image| ("made-before", image))) {
                images.push(json!({
                    "kernel": target.kernel,
                    "arch": target.arch,
                    "image": image.image,
                    "reason": reason,
                    "modules": image.modules,
                    "command": image.command,
                }));
            }
        }
        Ok(Self { prebuilt, images })
    }
}

fn document(
    layout: &Layout,
    lines: &[Status],
    verdicts: &BTreeMap<(ModuleId, Target), Verdict>,
    baked: &Manifest,
    OfKernels { prebuilt, images }: OfKernels,
    held: Vec<Value>,
) -> String {
    let modules: Vec<_> = lines
        .iter()
        .map(|Status { id, state }| {
            let target = state.target();
            let is_baked =
                target.is_some_and(|target| baked.modules.contains_key(&(id.clone(), target.clone())));
            json!({
                "module": id.name,
                "version": id.version,
                "state": state.word(),
                "kernel": target.map(|target| &target.kernel),
                "arch": target.map(|target| &target.arch),
                "verdict": target
                    .and_then(|target| verdicts.get(&(id.clone(), target.clone())))
                    .map(|verdict| verdict.word()),
                "built_for": match state {
                    State::InstalledWeak { from, .. } => Some(from),
                    _ => target.map(|target| &target.kernel),
                },
                "baked": is_baked,
                "taken_from": target.and_then(|target| Note::of_built(layout, id, target)).map(|note| {
                    json!({ "place": note.place, "bundle": note.bundle, "key": note.key })
                }),
                "original_modules_exist": state.remarks().contains(&Remark::OriginalsExist),
                "built_modules_missing": state.remarks().contains(&Remark::BuiltMissing),
                "built_and_installed_differ": state.remarks().contains(&Remark::Differ),
            })
        })
        .collect();
    json!({
        "version": JSON_VERSION,
        "modules": modules,
        "prebuilt": prebuilt,
        "images_out_of_date": images,
        "held": held,
    })
    .to_string()
}
