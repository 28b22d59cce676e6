//! One module for one kernel: prepare, patch, make, collect, publish; or taken from the cache, where
//! it was built before.
//!
//! Everything it needs is given as plain data; whether the module may be built for that kernel has been
//! decided before. A build that fails leaves the tree as it was but for `M/V/build`, which keeps what was
//! built and `make.log`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::host::fs::TreeLimit;
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, fs};
use crate::id::Target;
use crate::report::{Event, Reporter};
use crate::script::{Hook, Shell};
use dkms_base::diagnose::{Cause, Diagnosis, diagnose_output};

mod asked;
mod cache;
#[cfg(test)]
mod cache_tests;
mod collect;
mod command;
mod confine;
mod environment;
mod error;
pub mod inputs;
mod log;
mod place;
mod prepare;
mod publish;
mod refusals;
mod scripts;
mod spec;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trap;
mod workshop;

pub use command::jobs_of_its_own;
pub use environment::toolchain_variables;
pub use error::{Attempt, BuildError, Failure, PatchFault};
pub use place::keep_left;
pub use spec::{BuildSpec, Built, Jobs, Memory, Reuse};

use cache::{Cache, Entry, Staged};
use collect::Products;
use command::MakeCommand;
use confine::Confinement;
use inputs::InputsKey;
use log::{Log, LogError};
use place::Place;
use publish::Stage;
use scripts::Whose;
use workshop::Workshop;

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
    let result = running.run();
    if matches!(result, Err(Failure::CacheEntryGone)) {
        running.place.remove_all();
        drop(running);
        return build(&BuildSpec { reuse: Reuse::Never, ..*spec }, reporter);
    }
    result.map_err(|failure| {
        if matches!(failure, Failure::TooMuchLeft { .. }) {
            // The failure that is reported is the first one.
            drop(fs::empty_folder(running.place.folder()));
        }
        let text = if failure.is_told_by_log() { running.log.last() } else { String::new() };
        let confined = running.confinement.holds().then(|| spec.id.name.to_string());
        let mut diagnosis = diagnose_output(&text, confined).for_kernel(spec.target.kernel.as_str());
        if failure.is_told_by_log() && is_full(running.place.folder()) {
            // The log itself lost the line that says so.
            diagnosis.cause = Some(Cause::DiskFull);
        }
        if failure.is_told_by_log() {
            let unread = running.confinement.unread();
            refusals::refine(&mut diagnosis, spec, running.place.folder(), &running.environment, unread);
        }
        // A cause that names it says more.
        let warning = running.confinement.warning(spec);
        if let Some(warning) = warning.filter(|_| !matches!(diagnosis.cause, Some(Cause::HiddenFile { .. })))
        {
            reporter.report(warning);
        }
        let log = running.left();
        fail(failure, Some(log), diagnosis)
    })
}

/// Whether the build cache has what this build would make.
#[must_use]
pub fn is_cached(spec: &BuildSpec<'_>, reporter: &dyn Reporter) -> bool {
    let Ok(environment) = environment::of_build(spec, reporter) else { return false };
    let cached = cached_under(spec, &environment, reporter);
    cached.is_some_and(|(cache, key)| cache.find(&key, spec, reporter).is_some())
}

/// How long strip or a compressor may take, whatever the build may: it could loop over what make left.
const TOOL_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Whether not even a small object file would have room beside a build.
fn is_full(folder: &Path) -> bool {
    fs::free_bytes(folder).is_ok_and(|free| free < 64 << 10)
}

/// A build that has its folder and its log.
struct Running<'a> {
    spec: &'a BuildSpec<'a>,
    place: Place,
    environment: Environment,
    confinement: Confinement,
    log: Log,
    /// The build cache, with the key of this build.
    cache: Option<(&'a Cache, InputsKey)>,
    /// What the cache had.
    hit: Option<Entry>,
    began: Instant,
    reporter: &'a dyn Reporter,
}

impl<'a> Running<'a> {
    fn begin(spec: &'a BuildSpec<'a>, reporter: &'a dyn Reporter) -> Result<Self, Failure> {
        let environment = environment::of_build(spec, reporter)?;
        let source = prepare::source(spec)?;
        let cache = cached_under(spec, &environment, reporter);
        let hit = match &cache {
            Some((cache, key)) if spec.reuse == Reuse::Allowed => cache.find(key, spec, reporter),
            _ => None,
        };
        let confinement =
            if hit.is_some() { Confinement::default() } else { Confinement::of(spec, &environment) };
        let place = Place::new(spec, confinement.account(), |folder, seen| {
            is_mountable(spec, &confinement, &environment, (folder, seen))
        })?;
        let log = match &hit {
            Some(entry) => Log::resume(place.log(), &entry.log()).map_err(Failure::from),
            None => prepare::fill(spec, &source, &place)
                .and_then(|()| Ok(Log::begin(place.log(), spec.id, spec.target)?)),
        };
        // Half a copy without a log is of no use to anyone, and on a full disk it is in the way.
        let log = log.inspect_err(|_| place.remove_all())?;
        reporter.report(Event::Logging { log: place.log() });
        Ok(Self { spec, place, environment, confinement, log, cache, hit, began: Instant::now(), reporter })
    }

    fn run(&mut self) -> Result<Built, Failure> {
        let spec = self.spec;
        let mut kept = None;
        let products = Products::new(&self.place)?;
        if let Some(entry) = &self.hit {
            let Target { kernel, arch } = spec.target;
            let text = format!("{} for kernel {kernel} ({arch}) is taken from the build cache", spec.id);
            self.reporter.report(Event::note(text));
            if !entry.restore(spec, &products)? {
                return Err(Failure::CacheEntryGone);
            }
            products.examine(spec, &self.place, self.reporter)?;
        } else {
            self.make_modules()?;
            self.place.take_back()?;
            products.take(spec, &self.place)?;
            for text in products.examine(spec, &self.place, self.reporter)? {
                self.log.note(&text)?;
            }
            let time_limit = self.tool_limit();
            let tools = Workshop { place: &self.place, confinement: &self.confinement, time_limit };
            let stripped = products.strip(spec, &self.environment, &tools, &mut self.log, self.reporter)?;
            kept = if stripped { self.keep(&products) } else { None };
        }
        let stage = Stage::new(&self.place)?;
        let time_limit = self.tool_limit();
        let tools = Workshop { place: &self.place, confinement: &self.confinement, time_limit };
        let (log, modules) = (&mut self.log, stage.modules());
        let finished = products.finish(spec, &modules, &self.environment, &tools, log, self.reporter)?;
        let (stage, names) = self.post_build(stage, &finished)?;
        self.warn_of_refusals()?;
        self.log.keep(&stage.log())?;
        stage.write_dependencies(spec)?;
        if !(spec.may_land)() {
            return Err(Failure::NotWanted);
        }
        let dir = spec.layout.target_dir(spec.id, spec.target);
        // Out of sight before the result is in sight: killed in between, nothing is left that looks
        // like a failed build.
        let hidden = self.place.hide()?;
        if let Err(failure) = stage.publish(&dir) {
            // The failure that is reported is the first one.
            hidden.map(|hidden| fs::rename(&hidden, self.place.seen()));
            return Err(failure);
        }
        if let Some(kept) = kept {
            kept.publish().unwrap_or_else(|error| self.warn_not_kept(&error));
        }
        self.clean(hidden.as_deref());
        let modules = spec.layout.built_dir(spec.id, spec.target);
        Ok(Built {
            modules: names.iter().map(|name| modules.join(name)).collect(),
            log: spec.layout.make_log(spec.id, spec.target),
            dir,
            key: self.cache.as_ref().map(|(_, key)| key.clone()),
            cached: self.hit.is_some(),
        })
    }

    /// The build has failed: what it leaves is put where people look. Returns where the log is.
    fn left(&mut self) -> PathBuf {
        let log = self.log.path();
        if let Err(error) = self.place.keep() {
            self.reporter.report(Event::warning(format!("{}: {error}", self.spec.id), []));
        }
        if self.spec.alone { self.place.seen().join("make.log") } else { log }
    }

    /// From source to modules in the build folder.
    fn make_modules(&mut self) -> Result<(), Failure> {
        self.note_environment()?;
        for patch in &self.spec.conf.patches {
            self.patch(patch)?;
        }
        self.pre_build()?;
        self.make()
    }

    /// Begins to put the modules into the cache, if there is one. Not if anything has changed while they were
    /// built: nobody knows which of it they were made of.
    fn keep(&mut self, products: &Products) -> Option<Staged<'a>> {
        let (cache, key) = self.cache.as_ref()?;
        let now = inputs::key_in(self.spec, &self.environment, &self.spec.memory.digests);
        if !now.is_ok_and(|now| now == *key) || self.refused().is_some() {
            return None;
        }
        let staged = cache.stage(key, self.spec, products, &self.log.text());
        staged.inspect_err(|error| self.warn_not_kept(error)).ok()
    }

    /// The warning for what the sandbox has refused until now to a build that goes well anyway.
    fn refused(&self) -> Option<Event> {
        if !self.confinement.holds() {
            return None;
        }
        refusals::after_success(self.spec, &self.log.text())
    }

    /// Reports what the sandbox refused, and what could not be read.
    fn warn_of_refusals(&mut self) -> Result<(), Failure> {
        if let Some(warning) = self.confinement.warning(self.spec) {
            self.reporter.report(warning);
        }
        if self.hit.is_none()
            && let Some(warning) = self.refused()
        {
            self.warn_and_note(warning)?;
        }
        Ok(())
    }

    /// A warning that stands in the log too.
    fn warn_and_note(&mut self, warning: Event) -> Result<(), Failure> {
        if let Event::Warning { text, .. } = &warning {
            self.log.note(text)?;
        }
        self.reporter.report(warning);
        Ok(())
    }

    fn warn_not_kept(&self, error: &fs::FsError) {
        let text = format!("{} is not kept in the build cache: {error}", self.spec.id);
        self.reporter.report(Event::warning(text, []));
    }

    fn note_environment(&mut self) -> Result<(), Failure> {
        let variables = environment::toolchain_variables(self.spec.toolchain);
        let text: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !text.is_empty() {
            self.log.note(&format!("exported: {}", text.join(" ")))?;
        }
        if let Some(warning) = asked::variables(self.spec, &self.environment) {
            self.warn_and_note(warning)?;
        }
        Ok(())
    }

    fn patch(&mut self, patch: &str) -> Result<(), Failure> {
        let path = prepare::patch_path(self.place.folder(), patch)?;
        let line = format!("patch -p1 -i {}", crate::host::process::quote(&path));
        let seen = self.place.seen().to_owned();
        let code =
            self.command(&format!("Applying the patch {patch}"), &line, &seen, Whose::Modules, None)?;
        if code == 0 { Ok(()) } else { Err(Failure::PatchFailed { patch: patch.to_owned(), code }) }
    }

    fn make(&mut self) -> Result<(), Failure> {
        let spec = self.spec;
        let line = MakeCommand {
            make: spec.conf.make.as_deref(),
            kernel: &spec.target.kernel,
            headers: &spec.kernel.headers,
            build_dir: self.place.seen(),
            jobs: match spec.jobs {
                Jobs::Own(jobs) => Some(*jobs),
                Jobs::Shared(_) | Jobs::Unsaid => None,
            },
            clang: spec.toolchain.clang,
        }
        .line();
        let seen = self.place.seen().to_owned();
        let code = self.command("Building the modules", &line, &seen, Whose::Modules, None)?;
        if code == 0 { Ok(()) } else { Err(Failure::MakeFailed { line, code }) }
    }

    /// Runs a shell line, logged; returns its exit code. `further`: a folder that it may write besides, and
    /// the path that it sees it under.
    fn command(
        &mut self,
        what: &str,
        line: &str,
        dir: &Path,
        whose: Whose,
        further: Option<(PathBuf, PathBuf)>,
    ) -> Result<i32, Failure> {
        self.reporter.report(Event::Command { line: line.to_owned() });
        let mut folders = self.place.folders();
        let mut process = shell(self.spec, &self.environment).process(line, dir);
        let sandbox = match whose {
            Whose::Modules => self.confinement.sandbox(&folders, further.as_ref())?,
            Whose::Admins => None,
        };
        if let Some(sandbox) = sandbox {
            self.place.give()?;
            process = process.in_sandbox(&sandbox);
            if !self.place.is_mounted() && self.confinement.account().is_some() {
                process = process.env("TMPDIR", &self.place.tmp().to_string_lossy());
            }
        } else {
            self.place.take_back()?;
            folders.extend(further);
            process = self.place.shown_to(process, &folders);
        }
        if let Jobs::Shared(server) = self.spec.jobs {
            process = process.jobs_from(server);
        }
        if let Some(limit) = self.spec.settings.build_timeout {
            process = process.time_limit(limit.saturating_sub(self.began.elapsed()));
        }
        let ended = self.log.run(what, line, &process).map_err(|error| self.timed_out(error));
        // Before root works in it, however the command has ended.
        let excess = fs::excess(self.place.folder(), TreeLimit::SOURCE);
        if ended.is_err() && !matches!(excess, Ok(None)) {
            // The failure that is reported is the first one.
            drop(fs::empty_folder(self.place.folder()));
        }
        let ended = ended?;
        if let Some(note) = self.confinement.note(&ended.missing) {
            self.log.note(&note)?;
        }
        if let Some(note) = self.confinement.look_for_unread(self.spec, &ended.missing) {
            self.log.note(&note)?;
        }
        if let Some(what) = excess? {
            return Err(Failure::TooMuchLeft { what });
        }
        if !ended.output.is_empty() {
            self.reporter.report(Event::Output { text: ended.text().trim_end().to_owned() });
        }
        Ok(ended.code())
    }

    /// How long a program may work on what make built: as long as the build has left.
    fn tool_limit(&self) -> Duration {
        let left = self.spec.settings.build_timeout.map(|limit| limit.saturating_sub(self.began.elapsed()));
        left.map_or(TOOL_LIMIT, |left| left.min(TOOL_LIMIT))
    }

    /// The error of a command that was ended names the limit of the whole build.
    fn timed_out(&self, error: LogError) -> Failure {
        match (error, self.spec.settings.build_timeout) {
            (LogError::Process(ProcessError::TimedOut { line, .. }), Some(limit)) => {
                Failure::TimedOut { line, seconds: limit.as_secs() }
            }
            (error, _) => error.into(),
        }
    }

    /// The build folder goes. That it stays where it can't be removed is reported, and no failure:
    /// the modules are there.
    fn clean(&self, hidden: Option<&Path>) {
        if let Err(error) = self.place.clean(hidden) {
            self.reporter.report(Event::warning(format!("{}: {error}", self.spec.id), []));
        }
    }
}

/// Whether processes of a build can be shown a folder in another's place. In a strict sandbox nothing runs
/// where that can't be, so there the log says that it is possible.
fn is_mountable(
    spec: &BuildSpec<'_>,
    confinement: &Confinement,
    environment: &Environment,
    (folder, seen): (&Path, &Path),
) -> bool {
    let known = spec.memory.is_mountable[usize::from(confinement.is_confining())].get_or_init(|| {
        let nothing = Process::new("/bin/sh", ["-c", ":"], environment).dir(seen);
        let folders = [(folder.to_owned(), seen.to_owned())];
        match confinement.of_tool(&folders) {
            Ok(Some(sandbox)) => confinement.is_strict() || nothing.in_sandbox(&sandbox).capture().is_ok(),
            Ok(None) => nothing.seeing(&[(folder, seen)]).capture().is_ok_and(|ended| ended.code() == 0),
            Err(_) => false,
        }
    });
    *known
}

/// The build cache and the key of a build in it. That there is no key is worth knowing for
/// a user who looks closely only.
fn cached_under<'a>(
    spec: &BuildSpec<'a>,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Option<(&'a Cache, InputsKey)> {
    // What a script adds to the result is not kept in it.
    if Hook::PostBuild.value(spec.conf).is_some() {
        return None;
    }
    let cache = spec.memory.cache(spec.settings, reporter)?;
    match inputs::key_in(spec, environment, &spec.memory.digests) {
        Ok(key) => Some((cache, key)),
        Err(error) => {
            let text = format!("{} is built without the build cache: {error}", spec.id);
            reporter.report(Event::Output { text });
            None
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
