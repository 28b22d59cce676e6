//! `dkms forecast`: whether the modules will build on a kernel that is not installed, by building them. The
//! headers are laid over the system for a second process of this command, which sees a dkms tree of its own;
//! what that finds is printed, and kept for preflight.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::process::Process;
use dkms_base::host::{Environment, clock, fs};
use dkms_base::id::{KernelRelease, ModuleId, ModuleName, Target};
use dkms_conf::Settings;
use dkms_conf::settings::TrySign;
use dkms_core::critical;
use dkms_core::engine::{CarryOutError, Context, Survey};
use dkms_core::forecast::{self, Forecast, Maker, Outlook, Prediction, layer, record};
use dkms_core::plan::Refusal;
use dkms_kernel::fetched::{FetchError, Headers, Layers, fetch, installed, layers, look_up, unpacked};
use dkms_kernel::manager::ManagerError;
use dkms_kernel::upcoming::{UpcomingError, upcoming, with_fresh_lists};
use dkms_kernel::{HeadersPackage, Owner};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::render::{say, warn};
use crate::session::{Session, unless_interrupted};

/// Finds the kernel, has the modules built, prints what becomes of them.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    if let Some(scratch) = &session.args().in_layer {
        return in_layer(session, scratch);
    }
    let scratch = session.staging("dkms-forecast.")?;
    // What a build runs as nobody must be able to go in.
    fs::set_mode(scratch.path(), 0o755)?;
    let environment = environment(session, scratch.path());
    let Some(kernel) = kernel(session, scratch.path(), &environment)? else {
        return tell_none(session);
    };
    let forecast = made(session, &kernel, scratch.path(), &environment)?;
    unless_interrupted()?;
    if let Some(forecast) = &forecast
        && is_kept(session)
        && let Err(error) = record::keep(forecast, &session.settings.layout)
    {
        warn(session.terminal, format!("the forecast is not kept: {error}"));
    }
    // What pacman brings is known for sure once it is unpacked.
    let kernel = forecast.as_ref().map_or(&kernel.kernel, |forecast| &forecast.target.kernel).clone();
    tell(session, &kernel, forecast.map(|forecast| forecast.modules).unwrap_or_default())
}

/// The kernel in question, and whether the packages that are installed have not its headers as they will be.
struct Asked {
    kernel: KernelRelease,
    target: Target,
    /// The package that brings it with the next upgrade: what is installed of it is older.
    coming: Option<Owner>,
}

/// The environment in which the package manager is asked.
fn environment(session: &Session<'_>, scratch: &Path) -> Environment {
    if !session.args().fetch {
        return session.environment.clone();
    }
    let lists = scratch.join("lists-of-packages");
    let fresh = fs::create_dir_all(&lists).map_err(UpcomingError::from);
    let fresh = fresh.and_then(|()| with_fresh_lists(session.distribution, &lists, session.environment));
    fresh.unwrap_or_else(|error| {
        let text = format!("the lists of the package manager are used as they are: {error}");
        warn(session.terminal, text);
        session.environment.clone()
    })
}

fn kernel(
    session: &Session<'_>,
    scratch: &Path,
    environment: &Environment,
) -> Result<Option<Asked>, Failure> {
    if !session.invocation.kernels.is_empty() {
        let target = session.with_arches(&session.invocation.kernels)?.remove(0);
        return Ok(Some(Asked { kernel: target.kernel.clone(), target, coming: None }));
    }
    let running = dkms_kernel::running_kernel().ok();
    let arch = match &session.invocation.arches[..] {
        [arch, ..] => arch.clone(),
        [] => dkms_base::id::Arch::new(rustix::system::uname().machine().to_string_lossy().into_owned())?,
    };
    let found = upcoming(session.distribution, &arch, running.as_ref(), scratch, environment)?;
    let Some(found) = found else { return Ok(None) };
    say(
        session.terminal,
        format!(
            "the next upgrade brings kernel {} (package {} {})",
            found.kernel, found.package, found.version
        ),
    );
    let target = session.with_arches(&[(found.kernel.clone(), None)])?.remove(0);
    let arch = target.arch.to_string();
    let coming = Owner { name: found.package, version: found.version, arch };
    Ok(Some(Asked { kernel: found.kernel, target, coming: Some(coming) }))
}

/// What becomes of the modules; `None`: there is none to build.
fn made(
    session: &Session<'_>,
    asked: &Asked,
    scratch: &Path,
    environment: &Environment,
) -> Result<Option<Forecast>, Failure> {
    let (layout, snapshot, survey) = (&session.settings.layout, session.snapshot()?, session.survey());
    let only = only(session, &survey)?;
    let mut ids = forecast::asked(&asked.target, only.as_deref(), &survey, &snapshot)?;
    if let (Some(name), Some(version)) = (&session.invocation.name, &session.invocation.version) {
        ids.retain(|id| id.name != *name);
        ids.push(ModuleId::new(name.clone(), version.clone()));
    }
    if let Some(id) = ids.iter().find(|id| snapshot.get(id).is_none()) {
        return Err(Refusal::NotInTree { id: id.clone() }.into());
    }
    if let Some(name) = &session.invocation.name
        && ids.is_empty()
    {
        return Err(Refusal::UnknownModule { name: name.clone() }.into());
    }
    if ids.is_empty() {
        return Ok(None);
    }
    let (target, headers, mut seen) = match headers(session, asked, scratch, environment) {
        Ok(found) => found,
        Err(error @ FetchError::Manager(ManagerError::Process(_))) => return Err(error.into()),
        Err(error) => {
            let reason = match &error {
                FetchError::Unknown { .. } => {
                    format!("{error}; `dkms kernels --available` lists those that it knows")
                }
                _ => error.to_string(),
            };
            let modules = ids.into_iter().map(|id| Prediction::unknown(id, reason.clone())).collect();
            let (headers, version) = (String::new(), String::new());
            let (target, when) = (asked.target.clone(), clock::unix_seconds());
            return Ok(Some(Forecast { target, when, headers, version, modules }));
        }
    };
    seen.shown.push((layer::make_tree(scratch, &ids, &target, &snapshot, layout)?, layout.dkms_tree.clone()));
    layer::ask(scratch, &ids)?;
    let ended = again(session, &target, scratch, &seen).interact()?;
    let modules = layer::answer_in(scratch).ok_or_else(|| {
        let text = format!(
            "the modules could not be built in a layer over the system (exit code {}): mount namespaces and overlays are needed \
             for that, and user namespaces by users other than root",
            ended.code()
        );
        Failure::new(ExitCode::UNKNOWN, text)
    })?;
    let Headers { package, version, .. } = headers;
    Ok(Some(Forecast { target, when: clock::unix_seconds(), headers: package, version, modules }))
}

/// The names of the modules that are asked for; `None`: all.
fn only(session: &Session<'_>, survey: &Survey<'_>) -> Result<Option<Vec<ModuleName>>, Failure> {
    if let Some(name) = &session.invocation.name {
        return Ok(Some(vec![name.clone()]));
    }
    if !session.args().only_critical {
        return Ok(None);
    }
    let critical = critical::look(survey, &session.snapshot()?, &session.installed_targets()?)?;
    Ok(Some(critical.names().cloned().collect()))
}

/// The headers, and how they are shown to the builds.
fn headers(
    session: &Session<'_>,
    asked: &Asked,
    scratch: &Path,
    environment: &Environment,
) -> Result<(Target, Headers, Layers), FetchError> {
    let layout = &session.settings.layout;
    let kernel = &asked.kernel;
    let given = &session.args().headers_packages;
    if dkms_kernel::has_headers(kernel, layout) && asked.coming.is_none() && given.is_empty() {
        let real = layout.kernel_dir(kernel);
        let folder = layer::make_module_folder(scratch, kernel, layout)?;
        // Headers that lie in the module folder itself stay where they are.
        let inside = ["build", "source"].map(|name| (real.join(name), folder.join(name)));
        let is_folder =
            |(_, path): &(PathBuf, PathBuf)| fs::lstat(path).ok().flatten().is_some_and(|meta| meta.is_dir());
        let mut shown: Vec<_> = inside.into_iter().filter(is_folder).collect();
        shown.push((folder, real));
        let headers = installed(kernel, session.distribution, session.environment);
        return Ok((asked.target.clone(), headers, Layers { shown, ..Layers::default() }));
    }
    let folder = scratch.join("headers");
    fs::create_dir_all(&folder)?;
    let headers = if given.is_empty() {
        let owner = match &asked.coming {
            // Headers may be all that comes.
            Some(coming) => Some(coming.clone()).filter(|owner| !owner.name.starts_with("linux-headers-")),
            None => Owner::of(kernel, session.distribution, layout, session.environment),
        };
        let package = HeadersPackage::of(kernel, session.distribution, layout, owner.as_ref());
        look_up(kernel, session.distribution, &package, environment)?;
        say(session.terminal, format!("downloading the headers of kernel {kernel}"));
        fetch(kernel, session.distribution, &package, &folder, environment)?
    } else {
        unpacked(kernel, given, &folder, environment)?
    };
    let target = Target::new(headers.kernel.clone(), asked.target.arch.clone());
    Ok((target, headers, layers(&folder)))
}

/// This command, in the layer.
fn again(session: &Session<'_>, target: &Target, scratch: &Path, seen: &Layers) -> Process {
    let args = session.args();
    let kernel = format!("{}/{}", target.kernel, target.arch);
    let mut words: Vec<OsString> = ["forecast", "-k", &kernel, "--in-layer"].map(OsString::from).into();
    words.push(scratch.into());
    for (option, value) in [
        ("--dkmstree", &args.dkmstree),
        ("--sourcetree", &args.sourcetree),
        ("--installtree", &args.installtree),
    ] {
        words.extend(
            value.iter().flat_map(|dir| [option.into(), crate::session::absolute(dir).into_os_string()]),
        );
    }
    words.extend(args.jobs.iter().flat_map(|jobs| ["-j".to_owned(), jobs.to_string()]).map(OsString::from));
    // With `--json` all of standard output is one document.
    for (option, is_given) in
        [("--quiet", args.quiet || args.json), ("--verbose", args.verbose), ("--debug", args.debug)]
    {
        words.extend(is_given.then(|| option.into()));
    }
    // Its file may have no path here: below a root, and where it was replaced by an upgrade.
    let process = Process::new("/proc/self/exe", words, &session.environment.whole());
    seen.seen_by(process.called("dkms forecast"))
}

/// Builds the requested modules, in the layer.
fn in_layer(session: &Session<'_>, scratch: &Path) -> Result<(), Failure> {
    let refused = |text: &str| Failure::new(ExitCode::BAD_OPTION, text.to_owned());
    if !layer::is_in_layer(&session.settings.layout) {
        return Err(refused("`--in-layer` is for `dkms forecast` itself: this is no layer"));
    }
    let ids = layer::asked_for(scratch).ok_or_else(|| refused("nothing is asked of the layer"))?;
    let settings = settings(&session.settings);
    let survey = || {
        let mut survey = Survey::new(&settings, session.distribution, session.environment);
        survey.jobs = session.jobs();
        survey.advises_authors = false;
        survey.module_folder.clone_from(&session.module_folder);
        survey
    };
    let context = Context {
        settings: &settings,
        environment: session.environment,
        distribution: session.distribution,
        module_folder: session.module_folder.clone(),
        force: false,
        force_version_override: false,
        no_depmod: true,
        jobs: session.jobs(),
        given_key: None,
        keeps_images: false,
        ahead: Default::default(),
    };
    let target = session.with_arches(&session.invocation.kernels)?.remove(0);
    let maker = Maker { context: &context, survey: &survey, reporter: session.terminal };
    let caller = rustix::process::getppid();
    let predictions = forecast::predict(&ids, &target, &maker);
    if rustix::process::getppid() != caller {
        // It was killed: nobody else removes this, or wants an answer.
        drop(fs::remove_tree(scratch));
        return Err(CarryOutError::Interrupted.into());
    }
    Ok(layer::answer(scratch, &predictions?)?)
}

/// The settings of builds that nobody installs. A build cache of another user is left alone.
fn settings(settings: &Settings) -> Settings {
    use std::os::unix::fs::MetadataExt;
    let mut settings = settings.clone();
    settings.try_sign_modules = TrySign::Never;
    settings.post_transaction = None;
    settings.unfit_fails = false;
    let us = rustix::process::geteuid();
    let is_ours = |folder: &PathBuf| match fs::stat(folder) {
        Ok(Some(meta)) => meta.uid() == us.as_raw(),
        _ => us.is_root(),
    };
    settings.build_cache = settings.build_cache.filter(is_ours);
    settings
}

/// Whether what is found is kept for preflight.
fn is_kept(session: &Session<'_>) -> bool {
    fs::is_dir(&session.settings.layout.dkms_tree) && fs::may_write(&session.settings.layout.dkms_tree)
}

fn tell_none(session: &Session<'_>) -> Result<(), Failure> {
    if session.args().json {
        let none = json!({"kernel": null, "modules": []});
        session.terminal.print(&none.to_string());
    } else {
        session.terminal.print("the next upgrade brings no kernel");
    }
    Ok(())
}

fn tell(session: &Session<'_>, kernel: &KernelRelease, modules: Vec<Prediction>) -> Result<(), Failure> {
    if session.args().json {
        session.terminal.print(&document(kernel, &modules).to_string());
    } else if modules.is_empty() {
        session.terminal.print("no module is in use");
    } else {
        modules.iter().for_each(|one| session.terminal.print(&line(kernel, one)));
    }
    outcome(kernel, &modules)
}

fn line(kernel: &KernelRelease, Prediction { id, outlook, reason, .. }: &Prediction) -> String {
    let words = match outlook {
        Outlook::Compiler => "needs another compiler",
        outlook => outlook.word(),
    };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{id}, {kernel}: {words}{reason}")
}

fn document(kernel: &KernelRelease, modules: &[Prediction]) -> Value {
    let modules: Vec<_> = modules
        .iter()
        .map(|Prediction { id, outlook, reason, .. }| {
            json!({"module": id.name, "version": id.version, "result": outlook.word(), "reason": reason})
        })
        .collect();
    json!({"kernel": kernel, "modules": modules})
}

fn outcome(kernel: &KernelRelease, modules: &[Prediction]) -> Result<(), Failure> {
    let named = |wanted: &[Outlook]| {
        let found = modules.iter().filter(|one| wanted.contains(&one.outlook));
        found.map(|one| one.id.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (fails, unknown) = (named(&[Outlook::Fails]), named(&[Outlook::Compiler, Outlook::Unknown]));
    if !fails.is_empty() {
        return Err(Failure::new(ExitCode::REFUTED, format!("{fails} will not build on kernel {kernel}")));
    }
    if !unknown.is_empty() {
        let text = format!("whether {unknown} will build on kernel {kernel} is not known");
        return Err(Failure::new(ExitCode::UNKNOWN, text));
    }
    Ok(())
}

impl From<UpcomingError> for Failure {
    fn from(error: UpcomingError) -> Self {
        match error {
            UpcomingError::Manager(ManagerError::Process(error)) => error.into(),
            UpcomingError::Fs(error) => error.into(),
            UpcomingError::UnknownManager { .. } | UpcomingError::Manager(ManagerError::Failed { .. }) => {
                Self::new(ExitCode::UNKNOWN, error.to_string()).hint("name the kernel with `-k`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(name: &str, outlook: Outlook, reason: Option<&str>) -> Prediction {
        let id = ModuleId::parse(name, "1").unwrap();
        Prediction { outlook, reason: reason.map(str::to_owned), ..Prediction::unknown(id, "") }
    }

    #[test]
    fn the_worst_result_decides_the_exit_code() {
        let kernel = KernelRelease::new("6.1").unwrap();
        let code = |outlooks: &[Outlook]| {
            let modules: Vec<_> = outlooks.iter().map(|outlook| prediction("m", *outlook, None)).collect();
            outcome(&kernel, &modules).err().map_or(0, |failure| failure.code.0)
        };
        use Outlook::{Builds, Compiler, Excluded, Fails, Unknown};
        assert_eq!([code(&[]), code(&[Builds, Excluded]), code(&[Builds, Unknown])], [0, 0, 31]);
        assert_eq!([code(&[Compiler]), code(&[Unknown, Fails]), code(&[Fails, Builds])], [31, 30, 30]);
    }

    #[test]
    fn programs_read_kernel_module_result_and_reason() {
        let kernel = KernelRelease::new("6.1").unwrap();
        let modules = [
            prediction("good", Outlook::Builds, None),
            prediction("bad", Outlook::Fails, Some("first error: x.c:1: no")),
        ];
        assert_eq!(
            document(&kernel, &modules),
            json!({"kernel": "6.1", "modules": [
                {"module": "good", "version": "1", "result": "builds", "reason": null},
                {"module": "bad", "version": "1", "result": "fails", "reason": "first error: x.c:1: no"},
            ]})
        );
        assert_eq!(line(&kernel, &modules[1]), "bad/1, 6.1: fails: first error: x.c:1: no");
    }
}
