//! The builds of a forecast, in the throw-away tree: each module after what it is built against, those that
//! do not depend on each other side by side as in a batch, then looked at as the kernel would. Nothing is put
//! into a kernel's folder, and no script of an installation runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Outlook, Prediction, identity};
use crate::build::{BuildError, Failure};
use crate::engine::{self, CarryOutError, Context, StepError, Survey, Task};
use crate::host::{fs, signals};
use crate::id::{ModuleId, ModuleName, Target};
use crate::kernel::toolchain;
use crate::plan::{Action, Options, Refusal, Work, order};
use crate::report::{Event, Reporter};
use crate::tree::{Registration, Snapshot};
use crate::verify::Examiner;
use dkms_base::diagnose::{Cause, Diagnosis};

/// What the builds need.
pub struct Maker<'a> {
    /// What they share.
    pub context: &'a Context<'a>,
    /// Makes what looks at confs and kernels.
    pub survey: &'a dyn Fn() -> Survey<'a>,
    /// Receives events.
    pub reporter: &'a dyn Reporter,
}

impl std::fmt::Debug for Maker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").field("context", self.context).finish_non_exhaustive()
    }
}

/// Builds these modules for a kernel; in the order of their names.
///
/// # Errors
/// [`CarryOutError`] where nothing could be begun, or we were asked to stop.
pub fn predict(
    ids: &[ModuleId],
    target: &Target,
    maker: &Maker<'_>,
) -> Result<Vec<Prediction>, CarryOutError> {
    let layout = &maker.context.settings.layout;
    let (survey, snapshot) = ((maker.survey)(), Snapshot::take(layout)?);
    let kernel = survey.kernel(target)?;
    let toolchain = toolchain::look(&kernel.headers, &kernel.config, maker.context.environment);
    let compiler = toolchain
        .map(|toolchain| identity::compiler_of(&toolchain, maker.context.environment))
        .unwrap_or_default();
    let mut depends = BTreeMap::new();
    for id in ids {
        let conf = survey.conf_in(id, &layout.source_link(id).join("dkms.conf"), target)?;
        depends.insert(id.name.clone(), conf.map(|conf| conf.build_depends).unwrap_or_default());
    }
    let order = order::sort(&depends);
    let mut results: BTreeMap<ModuleName, Verdict> = BTreeMap::new();
    for (name, path) in &order.cyclic {
        let of_name = ids.iter().find(|id| id.name == *name).cloned();
        let cycle = of_name.map(|id| Refusal::DependencyCycle { id, path: path.clone() }.to_string());
        results.insert(name.clone(), Verdict { outlook: Outlook::Fails, reason: cycle });
    }
    for row in order.rows(&depends) {
        let row: Vec<ModuleId> = ids.iter().filter(|id| row.contains(&id.name)).cloned().collect();
        let verdicts = of_row(&row, target, &snapshot, &results, maker)?;
        results.extend(verdicts.into_iter().map(|(id, verdict)| (id.name, verdict)));
    }
    let prediction = |id: &ModuleId| {
        let verdict = results.remove(&id.name)?;
        let source = identity::source_of(id, target, layout);
        let (outlook, reason, compiler) = (verdict.outlook, verdict.reason, compiler.clone());
        Some(Prediction { id: id.clone(), outlook, reason, source, compiler })
    };
    Ok(ids.iter().filter_map(prediction).collect())
}

/// What becomes of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outlook: Outlook,
    pub(super) reason: Option<String>,
}

impl Verdict {
    fn new(outlook: Outlook, reason: impl Into<String>) -> Self {
        Self { outlook, reason: Some(reason.into()) }
    }
}

/// What becomes of modules that do not depend on each other: those that can be built are, side by side.
fn of_row(
    ids: &[ModuleId],
    target: &Target,
    snapshot: &Snapshot,
    known: &BTreeMap<ModuleName, Verdict>,
    maker: &Maker<'_>,
) -> Result<BTreeMap<ModuleId, Verdict>, CarryOutError> {
    let survey = (maker.survey)();
    let (mut verdicts, mut to_build) = (BTreeMap::new(), Vec::new());
    for id in ids {
        match without_building(id, target, snapshot.get(id), known, &survey)? {
            Some(verdict) => drop(verdicts.insert(id.clone(), verdict)),
            None => to_build.push(id.clone()),
        }
    }
    if to_build.is_empty() {
        return Ok(verdicts);
    }
    let named = to_build.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let text = format!("building {named} for kernel {}, in a layer that is thrown away", target.kernel);
    maker.reporter.report(Event::note(text));
    let work = |_: &Snapshot| Work::BuildEach { ids: to_build.clone(), target: target.clone() };
    let options = Options { no_depmod: true, continue_on_error: true, ..Options::default() };
    let task = Task { work: &work, options: &options, survey: &|| (maker.survey)(), held: None };
    let outcome = engine::carry_out(&task, maker.context, maker.reporter, |_, _| {})?;
    if signals::interrupted() {
        return Err(CarryOutError::Interrupted);
    }
    let kernel = survey.kernel(target)?;
    let examiner = Examiner::new(&maker.context.settings.layout, &kernel);
    for id in to_build {
        let is_it = |action: &Action| action.module() == Some(&id);
        let failed = outcome.failures.iter().find(|failed| is_it(&failed.action));
        let verdict = match failed {
            Some(failed) => of_failure(&failed.error),
            None if outcome.done.iter().any(is_it) => of_what_was_built(&id, target, &examiner, maker)?,
            None => Verdict::new(Outlook::Unknown, "its build was not tried"),
        };
        verdicts.insert(id, verdict);
    }
    Ok(verdicts)
}

/// What is known of a module before anything is built; `None`: a build will tell.
fn without_building(
    id: &ModuleId,
    target: &Target,
    found: Option<&Registration>,
    known: &BTreeMap<ModuleName, Verdict>,
    survey: &Survey<'_>,
) -> Result<Option<Verdict>, CarryOutError> {
    if let Some(found) = found.filter(|found| found.is_broken()) {
        return Ok(Some(Verdict::new(Outlook::Fails, Refusal::broken(id, found).to_string())));
    }
    let conf = match survey.conf_in(id, &survey.layout().source_link(id).join("dkms.conf"), target)? {
        Ok(conf) => conf,
        Err(fault) => {
            return Ok(Some(Verdict::new(Outlook::Fails, Refusal::of_conf(id, &fault).to_string())));
        }
    };
    if let Some(exclusion) = &conf.excluded {
        return Ok(Some(Verdict::new(Outlook::Excluded, exclusion.to_string())));
    }
    Ok(needs(&conf.build_depends, known).err())
}

/// Whether a kernel will load what was built, as far as that can be known.
fn of_what_was_built(
    id: &ModuleId,
    target: &Target,
    examiner: &Examiner<'_>,
    maker: &Maker<'_>,
) -> Result<Verdict, CarryOutError> {
    let layout = &maker.context.settings.layout;
    if let Some((file, fault)) = examiner.built(id).into_iter().next() {
        return Ok(Verdict::new(Outlook::Fails, format!("`{file}` {fault}; {}", fault.consequence())));
    }
    let files = modules_in(&layout.built_dir(id, target));
    let doubts = examiner.examinations(&files).into_iter().flat_map(|one| one.doubts);
    let doubt =
        doubts.into_iter().next().map(|doubt| format!("whether the kernel loads it is not known: {doubt}"));
    // What is built against it asks for what is installed.
    let link = layout.installed_link(&id.name, target);
    let built = Path::new(id.version.as_str()).join(&target.kernel).join(&target.arch);
    fs::symlink(&built, &link)?;
    Ok(Verdict { outlook: Outlook::Builds, reason: doubt })
}

fn modules_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::list(folder).unwrap_or_default().into_iter();
    let is_module = |name: &str| crate::modfile::ModuleFile::from_name(name).is_some();
    entries
        .filter(|entry| entry.name.to_str().is_some_and(is_module))
        .map(|entry| folder.join(entry.name))
        .collect()
}

/// Why a module can't be built, as far as that is known of what it is built against. What a rule excludes is
/// left out, as in a batch.
pub(super) fn needs(depends: &[ModuleName], known: &BTreeMap<ModuleName, Verdict>) -> Result<(), Verdict> {
    for name in depends {
        let because =
            |outlook, why: &str| Err(Verdict::new(outlook, format!("it needs `{name}`, which {why}")));
        match known.get(name).map(|verdict| verdict.outlook) {
            Some(Outlook::Builds | Outlook::Excluded) => {}
            Some(Outlook::Fails) => return because(Outlook::Fails, "fails"),
            Some(Outlook::Compiler) => return because(Outlook::Compiler, "needs another compiler"),
            Some(Outlook::Unknown) => return because(Outlook::Unknown, "is unknown"),
            None => return because(Outlook::Fails, "dkms does not know"),
        }
    }
    Ok(())
}

/// What a failure means: if the system is to blame, it does not decide about the kernel.
pub(super) fn of_failure(error: &StepError) -> Verdict {
    match error {
        StepError::Refused(Refusal::Excluded { exclusion, .. }) => {
            Verdict::new(Outlook::Excluded, exclusion.to_string())
        }
        StepError::Refused(Refusal::HeadersMissing { .. }) => {
            Verdict::new(Outlook::Unknown, error.to_string())
        }
        StepError::Refused(refusal) => Verdict::new(Outlook::Fails, refusal.to_string()),
        StepError::Build(error) => of_build(error),
        StepError::Install(_)
        | StepError::Bundle(_)
        | StepError::Script { .. }
        | StepError::Bug { .. }
        | StepError::Fs(_)
        | StepError::Process(_) => Verdict::new(Outlook::Unknown, error.to_string()),
    }
}

fn of_build(error: &BuildError) -> Verdict {
    let diagnosis = &error.attempt.diagnosis;
    let outlook = match &error.failure {
        Failure::NoCompiler(_) => Outlook::Compiler,
        Failure::TimedOut { .. }
        | Failure::NotWanted
        | Failure::Compress(_)
        | Failure::Fs(_)
        | Failure::Process(_) => Outlook::Unknown,
        _ => of_diagnosis(diagnosis),
    };
    let lines = diagnosis.lines();
    let reason =
        if lines.is_empty() { error.failure.to_string() } else { lines[..lines.len().min(2)].join("; ") };
    Verdict::new(outlook, reason)
}

/// A compiler that is not there, or another one; something of this system; or the module itself.
fn of_diagnosis(diagnosis: &Diagnosis) -> Outlook {
    let is_compiler = |tool: &str| {
        let name = tool.rsplit('/').next().unwrap_or(tool);
        ["gcc", "clang", "cc"]
            .iter()
            .any(|word| name == *word || name.contains("gcc-") || name.starts_with("clang"))
            || name.ends_with("-gcc")
    };
    match &diagnosis.cause {
        Some(Cause::WrongCompiler { .. }) => Outlook::Compiler,
        Some(Cause::MissingTool { tool }) if is_compiler(tool) => Outlook::Compiler,
        // It will be so during the upgrade, too.
        Some(Cause::MissingTool { .. } | Cause::MissingHeader { .. } | Cause::MissingLibrary { .. }) => {
            Outlook::Fails
        }
        // In the layer more is read-only than on the system.
        Some(Cause::ReadOnly) => Outlook::Unknown,
        _ if diagnosis.is_of_the_system() => Outlook::Unknown,
        _ => Outlook::Fails,
    }
}
