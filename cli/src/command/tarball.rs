//! `mktarball` and `ldtarball`.

use dkms_archive::{self, About, Contents, Existing, TarballSpec};
use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_core::build::Memory;
use dkms_core::plan::{NewSource, Refusal, Work};
use dkms_core::tree::{attempts, loading, sweep};

use super::package::Subject;
use super::source::{self, Source, StagedArchive};
use crate::failure::Failure;
use crate::invocation::SourceWord;
use crate::render::say;
use crate::session::Session;

/// `dkms mktarball`
pub(super) fn write(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    let contents = match (args.binaries_only, args.source_only) {
        (true, true) => {
            return Err(Failure::new(
                ExitCode::INVALID_CONF,
                "`--binaries-only` and `--source-only` leave nothing to put into a tarball",
            ));
        }
        (true, false) => Contents::BinariesOnly,
        (false, true) => Contents::SourceOnly,
        (false, false) => Contents::SourceAndBinaries,
    };
    let subject = Subject::find(session, "tarball")?;
    let targets: Vec<Target> = match contents {
        Contents::SourceOnly => Vec::new(),
        _ if args.all => session.snapshot()?.targets(&subject.id),
        // Of a source folder nothing is built, unless built modules are asked for.
        _ if subject.is_outside() && session.invocation.kernels.is_empty() => Vec::new(),
        _ => subject.one_at_least(subject.default_targets(session)?)?,
    };
    let module = subject.module(session);
    let memory = Memory::default();
    let spec = TarballSpec {
        layout: &session.settings.layout,
        id: &subject.id,
        source: Some(&module.source),
        folder: Some(&module.folder),
        contents: match contents {
            Contents::SourceAndBinaries if targets.is_empty() => Contents::SourceOnly,
            contents => contents,
        },
        targets: &targets,
        file: module.file,
        about: targets
            .iter()
            .map(|target| (target.clone(), about(session, &subject.id, target, &memory)))
            .collect(),
        source_date: module.source_date,
    };
    if contents != Contents::BinariesOnly {
        subject.warn_of_left_out(session);
    }
    spec.check()?;
    if args.dry_run {
        session.terminal.only_step(&format!("write `{}`", spec.path().display()));
        return Ok(());
    }
    // Where the tree can't be written to, the tarball may still go elsewhere.
    sweep::sweep(&session.settings.layout, None, session.terminal);
    let path = dkms_archive::write(&spec)?;
    say(session.terminal, format!("Wrote `{}`", path.display()));
    Ok(())
}

/// What is known of a build.
fn about(session: &Session<'_>, id: &ModuleId, target: &Target, memory: &Memory) -> About {
    let built = attempts::list(&session.settings.layout, id, target).into_iter();
    let inputs = built.map(|attempt| attempt.record).find(|record| record.failure.is_none());
    let now = || {
        let snapshot = session.snapshot().ok()?;
        Some(session.survey().inputs(id, target, &snapshot, memory).ok()??.to_string())
    };
    let config = session.survey().kernel(target).ok();
    let hash = config.and_then(|kernel| kernel.config.get("CONFIG_MODULE_SIG_HASH").map(str::to_owned));
    About {
        inputs: inputs.and_then(|record| record.key).or_else(now),
        hash: hash.filter(|hash| !hash.is_empty()),
    }
}

/// `dkms ldtarball`
pub(super) fn load(session: &Session<'_>) -> Result<(), Failure> {
    match &session.invocation.source {
        Some(SourceWord::Archive(file)) => {
            publish(session, &source::stage(session, file)?, ExitCode::INVALID_CONF)
        }
        Some(SourceWord::Rpm(_)) => match source::of(session)? {
            Source::Rpm(package) => source::install_rpm(session, &package),
            _ => Ok(()),
        },
        Some(SourceWord::Folder(folder)) => {
            Err(Failure::new(ExitCode::BAD_OPTION, format!("`{}` is no archive", folder.display())))
        }
        None => {
            let invocation = session.invocation;
            let version = invocation.version.iter().map(|version| format!("/{version}"));
            let word = invocation.name.iter().map(|name| name.to_string()).chain(version).collect::<String>();
            let word = Some(word).filter(|word| !word.is_empty()).or(invocation.ignored.first().cloned());
            let text = match word {
                Some(word) => format!("the archive `{word}` does not exist"),
                None => "no archive is named".to_owned(),
            };
            Err(Failure::new(ExitCode::BAD_OPTION, text).hint("name its file: `dkms ldtarball FILE`"))
        }
    }
}

/// Registers what an archive holds: its source, then what was built from it. A source that is added
/// already fails with `code`.
pub(super) fn publish(session: &Session<'_>, archive: &StagedArchive, code: ExitCode) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    let id = &archive.id;
    let existing = if session.args().force { Existing::Replaced } else { Existing::Kept };
    let held = if session.args().dry_run { None } else { Some(session.lock(&id.name)?) };
    let is_added = session.snapshot()?.get(id).is_some_and(|found| !found.is_broken());
    // The same command was killed when it had registered the module: it goes on.
    let goes_on = is_added && existing == Existing::Kept && loading::is_unfinished(layout, id);
    if is_added && existing == Existing::Kept && archive.staged.source.is_some() && !goes_on {
        return Err(Failure { code, ..Refusal::AlreadyAdded { id: id.clone() }.into() });
    }
    if session.args().dry_run {
        session.terminal.only_step(&format!("load {id} from `{}`", archive.staged.archive.display()));
        return Ok(());
    }
    let add = |source: Option<NewSource>| {
        let work = Work::Add { id: id.clone(), source };
        session.carry_out_holding(&|_| work.clone(), held.as_ref())
    };
    if !archive.staged.builds.is_empty() {
        loading::begin(layout, id)?;
    }
    let registered = match archive.folder() {
        _ if goes_on => Ok(()),
        Some(_) if is_added => dkms_archive::publish_source(&archive.staged, layout, id, Existing::Replaced)
            .map_err(Failure::from),
        Some(folder) => add(Some(NewSource { folder })),
        None if is_added => Ok(()),
        None if fs::is_dir(&layout.source_dir(id)) => add(None),
        None => dkms_archive::publish_source(&archive.staged, layout, id, existing)
            .map_err(Failure::from)
            .and_then(|()| add(None)),
    };
    if registered.is_ok() {
        // Where this fails, or is killed, the note stays, and the same command goes on from there.
        let loaded = dkms_archive::publish_builds(&archive.staged, layout, id, existing, session.terminal)?;
        let survey = session.survey();
        for target in loaded {
            survey.warn_of_unfit(id, &target, session.terminal)?;
        }
    }
    loading::end(layout, id)?;
    registered
}
