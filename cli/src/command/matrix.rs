//! `dkms plan --matrix`: what has to be built, as jobs for an engine.
//! `dkms build --job N --matrix FILE`: one of them.

use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_core::build::Memory;
use dkms_core::matrix::{Headers, Job, Matrix};
use dkms_core::plan::{Refusal, Work};
use dkms_core::tree::Snapshot;
use dkms_kernel::available::in_apt;
use dkms_kernel::{Family, HeadersPackage, Owner};

use super::headers;
use crate::failure::Failure;
use crate::render::warn;
use crate::session::Session;

/// Larger than any matrix.
const LIMIT: u64 = 16 << 20;
/// How engines tell a task its number: Slurm's arrays, Kubernetes' indexed jobs.
const NUMBERS: [&str; 2] = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"];

/// Prints the jobs: the modules that are named, or all that are installed by themselves, on each kernel
/// where they aren't built.
pub(super) fn print(session: &Session<'_>) -> Result<(), Failure> {
    let snapshot = session.snapshot()?;
    let targets = session.targets()?;
    let (memory, mut matrix) = (Memory::default(), Matrix::default());
    for id in modules(session, &snapshot)? {
        let built = snapshot.targets(&id);
        for target in &targets {
            if (session.args().force || !built.contains(target))
                && is_wanted(session, &snapshot, &id, target)?
            {
                let inputs = session.survey().inputs(&id, target, &snapshot, &memory)?;
                matrix.add(&id, target, package(session, target), inputs.map(|key| key.to_string()));
            }
        }
    }
    // Texts, numbers and nulls always have a JSON form.
    session.terminal.print(&serde_json::to_string(&matrix).unwrap_or_default());
    Ok(())
}

fn modules(session: &Session<'_>, snapshot: &Snapshot) -> Result<Vec<ModuleId>, Failure> {
    let newest = || snapshot.newest().into_iter().cloned();
    match (&session.invocation.name, &session.invocation.version) {
        (None, _) => Ok(newest().collect()),
        (Some(_), Some(_)) => Ok(vec![session.invocation.module()?]),
        (Some(name), None) => match newest().find(|id| id.name == *name) {
            Some(id) => Ok(vec![id]),
            None => session.invocation.module().map(|id| vec![id]),
        },
    }
}

/// Whether a module is for a kernel, and, where nobody names it, is installed by itself.
fn is_wanted(
    session: &Session<'_>,
    snapshot: &Snapshot,
    id: &ModuleId,
    target: &Target,
) -> Result<bool, Failure> {
    let layout = &session.settings.layout;
    let folder = if snapshot.get(id).is_some() { layout.source_link(id) } else { layout.source_dir(id) };
    if !fs::is_dir(&folder) && snapshot.get(id).is_none() {
        return Err(Refusal::NotInTree { id: id.clone() }.into());
    }
    let conf = session.survey().conf_in(id, &folder.join("dkms.conf"), target)?;
    let conf = conf.map_err(|fault| Refusal::of_conf(id, &fault))?;
    let is_asked_for = session.invocation.name.is_some() || conf.autoinstall;
    Ok(is_asked_for && conf.excluded.is_none() && conf.included().next().is_some())
}

/// What the package manager says of the headers of a kernel.
fn package(session: &Session<'_>, target: &Target) -> Headers {
    let layout = &session.settings.layout;
    let owner = Owner::of(&target.kernel, session.distribution, layout, session.environment);
    let package = HeadersPackage::of(&target.kernel, session.distribution, layout, owner.as_ref());
    let Some(name) = package.name() else { return Headers::default() };
    let known = match session.distribution.family {
        Family::Debian | Family::Ubuntu => in_apt(name, session.environment),
        _ => None,
    };
    let (version, sha256) = known.map_or((None, None), |facts| (Some(facts.version), facts.sha256));
    Headers { package: Some(name.to_owned()), version, sha256 }
}

/// Builds one of the jobs of a matrix.
pub(super) fn build(session: &Session<'_>, file: &Path) -> Result<(), Failure> {
    let refused = |why: String| Failure::new(ExitCode::BAD_OPTION, why);
    let number = number(session)?;
    let bytes = fs::read_limited(file, LIMIT).map_err(|error| refused(error.to_string()))?;
    let matrix =
        Matrix::parse(&bytes).map_err(|why| refused(format!("`{}` is no matrix: {why}", file.display())))?;
    let job = matrix.job(number).ok_or_else(|| {
        let count = matrix.include.len();
        refused(format!("`{}` has no job {number}: it has {count}, from 0", file.display()))
    })?;
    let (id, target) = (job.id()?, job.target()?);
    let targets = vec![target.clone()];
    if session.args().fetch_headers && headers::build_in_layer(session, &targets)? {
        return Ok(());
    }
    warn_of_inputs(session, job, &id, &target)?;
    session.carry_out(&Work::Build { id, targets, source: None })
}

/// What is built here is another thing than what was planned.
fn warn_of_inputs(session: &Session<'_>, job: &Job, id: &ModuleId, target: &Target) -> Result<(), Failure> {
    let Some(planned) = &job.inputs else { return Ok(()) };
    let here = session.survey().inputs(id, target, &session.snapshot()?, &Memory::default())?;
    if here.is_some_and(|here| here.as_str() != planned) {
        let Target { kernel, .. } = target;
        warn(
            session.terminal,
            format!(
                "{id} for kernel {kernel} is built from other inputs here than where job {} was planned",
                job.job
            ),
        );
    }
    Ok(())
}

/// `--job`, or as an engine says it.
fn number(session: &Session<'_>) -> Result<usize, Failure> {
    if let Some(number) = session.args().job {
        return Ok(number);
    }
    let told = NUMBERS.iter().find_map(|name| Some((name, session.environment.get_filled(name)?)));
    let Some((name, text)) = told else {
        let failure = Failure::new(ExitCode::BAD_OPTION, "no job of the matrix is named");
        return Err(
            failure.hint(format!("name it with `--job N`, or by the variable {}", NUMBERS.join(" or ")))
        );
    };
    text.parse().map_err(|_| {
        Failure::new(ExitCode::BAD_OPTION, format!("{name} is `{text}`, which is no number of a job"))
    })
}
