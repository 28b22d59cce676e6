//! Between a run and what is remembered of builds: notes each that was tried, and looks for what
//! failed before with the same inputs. That something cannot be recorded is no failure: it is written to
//! a user who looks closely.

use crate::build::inputs::InputsKey;
use crate::build::{BuildError, BuildSpec, Built, Failure, Jobs, Memory, Reuse, inputs};
use crate::conf::{ModuleConf, Settings};
use crate::host::{Environment, clock};
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::kernel::{KernelFacts, toolchain};
use crate::plan::RememberedFailure;
use crate::report::{Event, Reporter};
use crate::tree::attempts::{self, Attempt, Record};

/// Notes a build that has ended, with how long it took and its memory at the peak, in bytes.
pub(super) fn note_attempt(
    spec: &BuildSpec<'_>,
    result: &Result<Built, BuildError>,
    seconds: f64,
    memory: Option<u64>,
    reporter: &dyn Reporter,
) {
    let mut record = Record::new(clock::unix_seconds(), seconds, memory);
    let mut log = None;
    match result {
        Ok(built) => {
            record.key = built.key.as_ref().map(ToString::to_string);
            record.cached = built.cached;
        }
        Err(error) if error.is_interruption() || error.is_unwanted() => return,
        Err(error) => {
            if follows_from_inputs(error) {
                match inputs::key(spec, &spec.memory.digests, &Quiet) {
                    Ok(key) => record.key = Some(key.to_string()),
                    Err(fault) => say(spec.id, &fault.to_string(), reporter),
                }
            }
            let (error_text, diagnosis) = (error.failure.to_string(), error.attempt.diagnosis.lines());
            record.failure = Some(attempts::Failure { error: error_text, diagnosis });
            log = error.attempt.log.as_deref();
        }
    }
    if let Err(fault) = attempts::record(spec.layout, spec.id, spec.target, &record, log) {
        say(spec.id, &fault.to_string(), reporter);
    }
}

fn say(id: &ModuleId, fault: &str, reporter: &dyn Reporter) {
    reporter.report(Event::Output { text: format!("the build of {id} cannot be recorded: {fault}") });
}

/// Whether the same inputs would fail again. Not where the system was at fault: memory, disk, a program
/// that isn't installed.
fn follows_from_inputs(error: &BuildError) -> bool {
    let is_of_the_build = match &error.failure {
        Failure::NoSource(_)
        | Failure::PatchMissing { .. }
        | Failure::PatchFailed { .. }
        | Failure::ScriptFailed { .. }
        | Failure::MakeFailed { .. }
        | Failure::ModuleNotBuilt(_)
        | Failure::ModuleTooLarge { .. }
        | Failure::ModuleSparse { .. }
        | Failure::CacheEntryGone
        | Failure::NoModule(_)
        | Failure::TooMuchLeft { .. }
        | Failure::BuildEnvironment { .. } => true,
        Failure::TimedOut { .. }
        | Failure::NoCompiler(_)
        | Failure::Compress(_)
        | Failure::Fs(_)
        | Failure::Process(_)
        | Failure::NotWanted => false,
    };
    is_of_the_build && !error.attempt.diagnosis.is_of_the_system()
}

/// Warnings about the environment were printed when it was built.
pub(super) struct Quiet;

impl Reporter for Quiet {
    fn report(&self, _: Event) {}
}

/// Everything that a look at one module's past needs.
pub(super) struct Look<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    pub(super) id: &'a ModuleId,
    pub(super) conf: &'a ModuleConf,
    pub(super) kernel: &'a KernelFacts,
    pub(super) dependencies: &'a [(ModuleName, ModuleVersion)],
}

/// The newest build of a module for a kernel, where it failed and nothing has changed since.
pub(super) fn failed_before(look: &Look<'_>, memory: &Memory) -> Option<RememberedFailure> {
    let (layout, target): (_, &Target) = (&look.settings.layout, &look.kernel.target);
    // Most have nothing to be compared with.
    attempts::last(layout, look.id, target)?.record.failure?;
    let key = key(look, memory)?;
    let Attempt { record, log, .. } = attempts::remembered_failure(layout, look.id, target, key.as_str())?;
    let what = record.failure?.first().to_owned();
    Some(RememberedFailure { when: clock::rfc2822(record.when), what, log })
}

/// The inputs key of a build as it would be now; `None`: something of it can't be looked at.
pub(super) fn key(look: &Look<'_>, memory: &Memory) -> Option<InputsKey> {
    with_spec(look, memory, |spec| inputs::key(spec, &memory.digests, &Quiet).ok()).flatten()
}

/// What a build as it would be now says; `None`: the kernel can't be looked at.
pub(super) fn with_spec<T>(
    look: &Look<'_>,
    memory: &Memory,
    ask: impl FnOnce(&BuildSpec<'_>) -> T,
) -> Option<T> {
    let (layout, target): (_, &Target) = (&look.settings.layout, &look.kernel.target);
    let toolchain = toolchain::look(&look.kernel.headers, &look.kernel.config, look.environment).ok()?;
    let spec = BuildSpec {
        id: look.id,
        target,
        conf: look.conf,
        kernel: look.kernel,
        toolchain: &toolchain,
        layout,
        settings: look.settings,
        environment: look.environment,
        private: &layout.build_dir(look.id),
        alone: true,
        jobs: &Jobs::Unsaid,
        may_land: &|| false,
        signer: None,
        dependencies: look.dependencies,
        directives: &[],
        memory,
        reuse: Reuse::Never,
    };
    Some(ask(&spec))
}

/// The versions of what a module is built against, as far as they are installed.
pub(super) fn dependencies<'a>(
    conf: &'a ModuleConf,
    version: impl Fn(&'a ModuleName) -> Option<ModuleVersion>,
) -> Vec<(ModuleName, ModuleVersion)> {
    conf.build_depends.iter().filter_map(|name| Some((name.clone(), version(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::build;
    use crate::build::testing::{World, world};

    fn remembered(world: &World) -> Option<RememberedFailure> {
        let look = Look {
            settings: &world.settings,
            environment: &world.environment,
            id: &world.id,
            conf: &world.conf,
            kernel: &world.kernel,
            dependencies: &[],
        };
        failed_before(&look, &Memory::default())
    }

    /// A build whose command is `make`; whether it went well.
    fn tried(world: &mut World, make: &str) -> bool {
        world.conf.make = Some(make.to_owned());
        let spec = world.spec(None);
        let result = build(&spec, &world.recorder);
        note_attempt(&spec, &result, 1.0, Some(7), &world.recorder);
        result.is_ok()
    }

    fn failing() -> World {
        let mut world = world();
        world.write("lib/modules/6.1.0-1-amd64/build/include/a.h", "1\n", 0o644);
        assert!(!tried(&mut world, "echo 'foo.c:3:1: error: no such thing'; exit 2"));
        world
    }

    #[test]
    fn a_failure_is_remembered_until_something_changes() {
        let changes: [fn(&mut World); 4] = [
            |world| world.write("usr/src/foo-1.0/foo.c", "other", 0o644),
            |world| world.write("lib/modules/6.1.0-1-amd64/build/include/a.h", "2\n", 0o644),
            |world| world.environment.set("KCFLAGS", "-O3"),
            |world| assert!(tried(world, "cp whole.bin foo.ko")),
        ];
        for change in changes {
            let mut world = failing();
            let failure = remembered(&world).unwrap();
            assert_eq!(failure.what, "first error: foo.c:3: no such thing");
            assert!(crate::host::fs::read_lossy(&failure.log.unwrap()).unwrap().contains("no such thing"));
            change(&mut world);
            assert_eq!(remembered(&world), None);
        }
    }

    #[test]
    fn what_the_system_is_to_blame_for_is_tried_again() {
        for make in ["echo 'sh: 1: flex: not found'; exit 127", "echo 'No space left on device'; exit 1"] {
            let mut world = failing();
            assert!(!tried(&mut world, make));
            assert_eq!(remembered(&world), None, "{make}");
            let last = attempts::last(&world.settings.layout, &world.id, &world.target).unwrap();
            assert!(last.record.failure.is_some() && last.record.key.is_none(), "{make}");
        }
    }

    #[test]
    fn where_nothing_can_be_written_the_build_counts_all_the_same() {
        let mut world = failing();
        crate::host::fs::remove_any(&world.path("var/lib/dkms/.state")).unwrap();
        world.write("var/lib/dkms/.state", "a file", 0o644);
        assert!(tried(&mut world, "cp whole.bin foo.ko"));
        let said = world
            .recorder
            .events()
            .into_iter()
            .any(|event| matches!(event, Event::Output { text } if text.contains("cannot be recorded")));
        assert!(said);
    }
}
