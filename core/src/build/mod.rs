//! One module for one kernel: prepare, patch, make, collect, publish.
//!
//! Everything it needs is given as plain data; whether the module may be built for that kernel has been decided before. A build
//! that fails leaves the tree as it was but for `M/V/build`, which keeps what was built and `make.log`.

use std::path::{Path, PathBuf};

use crate::conf::{ModuleConf, Settings};
use crate::diagnose::{Diagnosis, diagnose};
use crate::host::{Environment, fs};
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::kernel::{KernelFacts, Toolchain};
use crate::layout::Layout;
use crate::report::{Event, Reporter};
use crate::script::{self, Hook, Shell};
use crate::sign::Signer;

mod collect;
mod command;
mod environment;
mod error;
mod log;
mod prepare;
mod publish;
#[cfg(test)]
mod tests;

pub use command::jobs_of_its_own;
pub use error::{Attempt, BuildError, Failure, PatchFault};

use command::MakeCommand;
use log::Log;
use publish::Stage;

/// A build to be done.
#[derive(Clone, Copy)]
pub struct BuildSpec<'a> {
    /// The module.
    pub id: &'a ModuleId,
    /// The kernel.
    pub target: &'a Target,
    /// The module's conf, resolved for that kernel.
    pub conf: &'a ModuleConf,
    /// What is known of the kernel.
    pub kernel: &'a KernelFacts,
    /// What it was built with.
    pub toolchain: &'a Toolchain,
    /// Where everything is.
    pub layout: &'a Layout,
    /// framework.conf.
    pub settings: &'a Settings,
    /// The caller's environment.
    pub environment: &'a Environment,
    /// Where the build runs: `M/V/build`, or a folder of its own that is seen by it under that path.
    pub folder: &'a Path,
    /// How many jobs make may run.
    pub jobs: &'a Jobs,
    /// Asked before the result becomes visible, and may take its time: whether it still is to.
    pub may_land: &'a dyn Fn() -> bool,
    /// Signs the modules; `None`: they are not signed.
    pub signer: Option<&'a dyn Signer>,
    /// Written down with `BUILD_DEPENDS_REBUILD`.
    pub dependencies: &'a [(ModuleName, ModuleVersion)],
}

/// How many jobs a build's make may run at once.
#[derive(Debug, Clone)]
pub enum Jobs {
    /// `-jN`; 0: `-j`, no limit.
    Own(u32),
    /// As many as it gets from a server that other builds take theirs from too.
    Shared(jobserver::Client),
    /// What the conf's command says, or one.
    Unsaid,
}

impl std::fmt::Debug for BuildSpec<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildSpec").field("id", self.id).field("target", self.target).finish_non_exhaustive()
    }
}

/// What a build leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// `M/V/K/A`.
    pub dir: PathBuf,
    /// The modules, in the conf's order.
    pub modules: Vec<PathBuf>,
    /// The log.
    pub log: PathBuf,
}

/// Builds a module for a kernel, in place of an earlier result if there is one.
///
/// # Errors
/// [`BuildError`]; then the module is for that kernel what it was before.
pub fn build(spec: &BuildSpec<'_>, reporter: &dyn Reporter) -> Result<Built, BuildError> {
    let fail = |failure, log, diagnosis| BuildError {
        attempt: Box::new(Attempt { id: spec.id.clone(), target: spec.target.clone(), log, diagnosis }),
        failure,
    };
    let mut running =
        Running::begin(spec, reporter).map_err(|failure| fail(failure, None, Diagnosis::default()))?;
    running.run().map_err(|failure| {
        let log = running.log.path();
        let text =
            if failure.is_told_by_log() { running.log.text().unwrap_or_default() } else { String::new() };
        fail(failure, Some(log), diagnose(&text))
    })
}

/// A build that has its folder and its log.
struct Running<'a> {
    spec: &'a BuildSpec<'a>,
    /// The path under which the build sees its folder.
    seen: PathBuf,
    environment: Environment,
    log: Log,
    reporter: &'a dyn Reporter,
}

impl<'a> Running<'a> {
    fn begin(spec: &'a BuildSpec<'a>, reporter: &'a dyn Reporter) -> Result<Self, Failure> {
        let mut environment = environment::with_toolchain(spec.environment, spec.toolchain);
        if let Some(setting) = spec.settings.build_environment.as_deref().filter(|file| !file.is_empty()) {
            let file = environment::file_for(setting, &spec.target.kernel);
            environment = environment::add_exports_of(&file, &shell(spec, &environment), reporter)?;
        }
        let source = prepare::source(spec)?;
        let log = prepare::fill(spec, &source)
            .and_then(|()| Ok(Log::begin(spec.folder.join("make.log"), spec.id, spec.target)?))
            // Half a copy without a log is of no use to anyone, and on a full disk it is in the way.
            .inspect_err(|_| drop(fs::remove_any(spec.folder)))?;
        reporter.report(Event::Logging { log: spec.folder.join("make.log") });
        Ok(Self { spec, seen: spec.layout.build_dir(spec.id), environment, log, reporter })
    }

    fn run(&mut self) -> Result<Built, Failure> {
        let spec = self.spec;
        self.note_environment()?;
        for patch in &spec.conf.patches {
            self.patch(patch)?;
        }
        self.script(Hook::PreBuild)?;
        self.make()?;
        collect::check_all_built(spec, &self.seen)?;
        let stage = Stage::new(spec)?;
        let names =
            collect::collect(spec, &stage.modules(), &self.environment, &mut self.log, self.reporter)?;
        self.script(Hook::PostBuild)?;
        self.log.keep(&stage.log())?;
        stage.write_dependencies(spec)?;
        if !(spec.may_land)() {
            return Err(Failure::NotWanted);
        }
        let dir = spec.layout.target_dir(spec.id, spec.target);
        stage.publish(&dir)?;
        self.clean();
        let modules = spec.layout.built_dir(spec.id, spec.target);
        Ok(Built {
            modules: names.iter().map(|name| modules.join(name)).collect(),
            log: spec.layout.make_log(spec.id, spec.target),
            dir,
        })
    }

    fn note_environment(&mut self) -> Result<(), Failure> {
        let variables = environment::toolchain_variables(self.spec.toolchain);
        let text: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !text.is_empty() {
            self.log.note(&format!("exported: {}", text.join(" ")))?;
        }
        Ok(())
    }

    fn patch(&mut self, patch: &str) -> Result<(), Failure> {
        let path = prepare::patch_path(self.spec.folder, patch)?;
        let line = format!("patch -p1 -i {}", crate::host::process::quote(&path));
        let code = self.command(&format!("Applying the patch {patch}"), &line, &self.seen.clone())?;
        if code == 0 { Ok(()) } else { Err(Failure::PatchFailed { patch: patch.to_owned(), code }) }
    }

    fn script(&mut self, hook: Hook) -> Result<(), Failure> {
        let Some(value) = hook.value(self.spec.conf) else { return Ok(()) };
        let found =
            script::find_seen(self.spec.layout, &self.spec.id.name, value, self.spec.folder, &self.seen);
        if !found.runnable {
            let warning = found.warning(hook, self.spec.id);
            if let Event::Warning { text, .. } = &warning {
                self.log.note(text)?;
            }
            self.reporter.report(warning);
            return Ok(());
        }
        let code =
            self.command(&format!("Running the {} script", hook.directive()), &found.line, &found.dir)?;
        if code == 0 { Ok(()) } else { Err(Failure::ScriptFailed { hook, line: found.line, code }) }
    }

    fn make(&mut self) -> Result<(), Failure> {
        let spec = self.spec;
        let line = MakeCommand {
            make: spec.conf.make.as_deref(),
            kernel: &spec.target.kernel,
            headers: &spec.kernel.headers,
            build_dir: &self.seen,
            jobs: match spec.jobs {
                Jobs::Own(jobs) => Some(*jobs),
                Jobs::Shared(_) | Jobs::Unsaid => None,
            },
            clang: spec.toolchain.clang,
        }
        .line();
        let code = self.command("Building the modules", &line, &self.seen.clone())?;
        if code == 0 { Ok(()) } else { Err(Failure::MakeFailed { line, code }) }
    }

    /// Runs a shell line, logged; returns its exit code.
    fn command(&mut self, what: &str, line: &str, dir: &std::path::Path) -> Result<i32, Failure> {
        self.reporter.report(Event::Command { line: line.to_owned() });
        let mut process = shell(self.spec, &self.environment).process(line, dir);
        if self.spec.folder != self.seen {
            process = process.seeing(self.spec.folder, &self.seen);
        }
        if let Jobs::Shared(server) = self.spec.jobs {
            process = process.jobs_from(server);
        }
        let ended = self.log.run(what, line, &process)?;
        if !ended.output.is_empty() {
            self.reporter.report(Event::Output { text: ended.text().trim_end().to_owned() });
        }
        Ok(ended.code())
    }

    /// The build folder goes. That it stays where it can't be removed is told, and no failure: the modules are there.
    fn clean(&self) {
        if let Err(error) = fs::remove_any(self.spec.folder) {
            self.reporter.report(Event::warning(format!("{}: {error}", self.spec.id), []));
        }
    }
}

/// The shell that a build's commands run in.
fn shell<'a>(spec: &BuildSpec<'a>, environment: &'a Environment) -> Shell<'a> {
    Shell {
        layout: spec.layout,
        id: spec.id,
        target: Some(spec.target),
        headers: Some(&spec.kernel.headers),
        environment,
    }
}
