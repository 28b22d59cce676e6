//! Finds a bundle in the places of the settings, examines it in a private folder, and takes what was built
//! for one kernel. The tree does not change before everything has been checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dkms_archive::{ArchiveError, Limits, SignedManifest, StagedBuild};
use tempfile::NamedTempFile;

use super::judge::{Held, Reason, Wanted, judge_contents, judge_statement, signer};
use super::listing::{Listing, unusable};
use super::name::Hint;
use super::note::Note;
use super::remote::{self, Means, Unfetched};
use crate::bake::manifest::digest_of;
use crate::conf::{ModuleConf, PrebuiltPlace, RemotePlace, Settings};
use crate::engine::refused::Judge;
use crate::host::fs::{self, FsError};
use crate::host::{Environment, trusted};
use crate::id::{ModuleId, Target};
use crate::kernel::KernelFacts;
use crate::modfile::ModuleFile;
use crate::report::{Event, Reporter};
use crate::sign::{self, TrustedKey};
use crate::verify::Examiner;

/// So many files of one place are unpacked for one module and kernel: who may write into the place can't keep
/// root busy.
const MOST_EXAMINED: usize = 32;
/// The same of a place on another machine, where each costs a download.
const MOST_FETCHED: usize = 8;

/// A module that is asked for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Which.
    pub id: &'a ModuleId,
    /// For which kernel.
    pub target: &'a Target,
    /// Its conf, for that kernel.
    pub conf: &'a ModuleConf,
    /// What is known of the kernel.
    pub kernel: &'a KernelFacts,
    /// What that kernel lets in.
    pub judge: &'a Judge<'a>,
    /// The environment of this command.
    pub environment: &'a Environment,
    /// Asked before the result becomes visible: whether it still is to.
    pub may_land: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("id", self.id).field("target", self.target).finish_non_exhaustive()
    }
}

/// What became of it.
#[derive(Debug)]
pub enum Taken {
    /// It is in the tree now, as if it had been built.
    Yes(Note),
    /// No place has it; why what they have is not taken.
    No(Vec<String>),
    /// It is not wanted any more.
    NotWanted,
}

/// Takes bundles; reads the trusted keys once.
#[derive(Debug, Default)]
pub struct Taker {
    keys: OnceLock<Vec<TrustedKey>>,
    /// The file that was fetched last: one for several kernels comes once.
    fetched: Mutex<Option<Fetched>>,
}

/// A file of another machine, here.
#[derive(Debug)]
struct Fetched {
    place: RemotePlace,
    name: String,
    file: Arc<NamedTempFile>,
}

/// A file that is examined.
struct Source {
    /// Where it can be read.
    path: PathBuf,
    /// Keeps it.
    _fetched: Option<Arc<NamedTempFile>>,
}

/// A bundle that may be taken.
struct Examined {
    build: StagedBuild,
    note: Note,
    /// Holds it.
    _folder: tempfile::TempDir,
}

impl Taker {
    /// Takes the newest bundle of the first place that has one which may be taken.
    ///
    /// # Errors
    /// [`ArchiveError`] if it can't be put into the tree; then that is as it was.
    pub fn take(
        &self,
        asked: &Asked<'_>,
        listings: &[Listing],
        settings: &Settings,
        reporter: &dyn Reporter,
    ) -> Result<Taken, ArchiveError> {
        let mut refused = Vec::new();
        for listing in listings {
            let mut best: Option<Examined> = None;
            let candidates = listing.candidates(asked.id, asked.target);
            let most = match &listing.place {
                PrebuiltPlace::Folder(_) => MOST_EXAMINED,
                PrebuiltPlace::Remote(_) => MOST_FETCHED,
            };
            if let Some(more) = candidates.len().checked_sub(most).filter(|more| *more > 0) {
                let text = format!(
                    "`{}` has {more} further files whose names may stand for this module on {}: not looked at",
                    listing.place, asked.target.kernel
                );
                reporter.report(Event::warning(format!("{}: {text}", asked.id), []));
                refused.push(text);
            }
            for (name, hint) in candidates.into_iter().take(most) {
                let source = match self.source(&listing.place, name, asked, settings) {
                    Ok(source) => Ok(source),
                    Err(Unfetched::File(why)) => Err(Reason::Broken(why)),
                    Err(Unfetched::Place(why)) => {
                        let text = unusable(&listing.place, &why);
                        reporter.report(Event::warning(text.clone(), []));
                        refused.push(text);
                        break;
                    }
                    Err(Unfetched::GivenUp(why)) => {
                        refused.push(unusable(&listing.place, &why));
                        break;
                    }
                };
                let place = &listing.place;
                let here = source.as_ref().ok().map(|source| source.path.display().to_string());
                let examined = source
                    .and_then(|source| self.examine((place, name), &source.path, asked, settings, reporter));
                match examined {
                    Ok(found) => {
                        if best.as_ref().is_none_or(|best| best.note.signed < found.note.signed) {
                            best = Some(found);
                        }
                    }
                    // Its name did not say that it is for this kernel.
                    Err(Reason::OtherModule(_) | Reason::OtherKernel { .. }) if hint == Hint::Maybe => {}
                    Err(reason) => {
                        let path = shown(place, name, settings);
                        let reason = reason.to_string();
                        // What was fetched is examined under another name.
                        let reason = match here.as_deref().filter(|here| *here != path) {
                            Some(here) => reason.replace(here, &path),
                            None => reason,
                        };
                        let text = format!("`{}` is not taken: {reason}", path.escape_debug());
                        reporter.report(Event::warning(format!("{}: {text}", asked.id), []));
                        refused.push(text);
                    }
                }
            }
            if let Some(found) = best {
                return publish(found, asked, settings, reporter);
            }
        }
        Ok(Taken::No(refused))
    }

    /// A file of a place, fetched if the place is on another machine.
    fn source(
        &self,
        place: &PrebuiltPlace,
        name: &str,
        asked: &Asked<'_>,
        settings: &Settings,
    ) -> Result<Source, Unfetched> {
        let remote = match place {
            PrebuiltPlace::Folder(folder) => {
                let path = settings.layout.at(&folder.join(name).to_string_lossy());
                return Ok(Source { path, _fetched: None });
            }
            PrebuiltPlace::Remote(remote) => remote,
        };
        // One after the other: a place is found out to be slow once.
        let mut last = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = remote::given_up(remote) {
            return Err(Unfetched::GivenUp(why));
        }
        let file = match last.take().filter(|last| last.place == *remote && last.name == name) {
            Some(Fetched { file, .. }) => file,
            None => {
                let means = Means { settings, environment: asked.environment };
                Arc::new(remote::get(remote, name, means)?)
            }
        };
        *last = Some(Fetched { place: remote.clone(), name: name.to_owned(), file: Arc::clone(&file) });
        Ok(Source { path: file.path().to_owned(), _fetched: Some(file) })
    }

    fn keys(&self, settings: &Settings, reporter: &dyn Reporter) -> &[TrustedKey] {
        self.keys.get_or_init(|| {
            let (keys, mut faults) = sign::trusted(&settings.prebuilt_keys)
                .unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
            // The user who may write a key file is trusted with all modules.
            let mut is_safe = |key: &TrustedKey| match trusted::fault(&key.path) {
                None => true,
                Some(fault) => {
                    let text = format!("the key `{}` is not trusted: {fault}", key.path.display());
                    faults.push(text);
                    false
                }
            };
            let keys = keys.into_iter().filter(|key| is_safe(key)).collect();
            faults.into_iter().for_each(|fault| reporter.report(Event::warning(fault, [])));
            keys
        })
    }

    /// Unpacks a bundle into a private folder, and checks all that can be.
    fn examine(
        &self,
        (place, name): (&PrebuiltPlace, &str),
        path: &Path,
        asked: &Asked<'_>,
        settings: &Settings,
        reporter: &dyn Reporter,
    ) -> Result<Examined, Reason> {
        let broken = |error: &dyn std::fmt::Display| Reason::Broken(error.to_string());
        let limits = Limits::default();
        // Nothing is unpacked that nobody of trust has signed.
        let signed = SignedManifest::read(path, &limits).map_err(|error| broken(&error))?;
        let signed = signed.ok_or(Reason::Unsigned)?;
        let statement = signed.statement().ok_or(Reason::Unsigned)?;
        let keys = self.keys(settings, reporter);
        let key = signer(&signed, &statement, keys, &settings.prebuilt_keys)?;
        let wanted = Wanted {
            id: asked.id,
            target: asked.target,
            source: registered(asked.id, settings).map_err(|error| broken(&error))?,
            modules: asked.conf.included().map(|record| record.dest_name.clone()).collect(),
            taken: Note::read(&settings.layout, asked.id, asked.target)
                .map_err(|error| broken(&error))?
                .map(|note| note.signed),
        };
        judge_statement(&wanted, &statement)?;
        let folder = settings.staging("dkms.");
        let folder = folder.map_err(|error| broken(&error))?;
        let staged = dkms_archive::stage(path, folder.path(), &limits).map_err(|error| broken(&error))?;
        if !signed.is_of(&staged).map_err(|error| broken(&error))? {
            return Err(Reason::Broken("it was exchanged while it was read".to_owned()));
        }
        let build = staged.builds.iter().find(|build| build.target == *asked.target).cloned();
        let names = build.as_ref().map_or(Ok(Vec::new()), |build| modules(&build.dir));
        let names = names.map_err(|error| broken(&error))?;
        let source = |folder: &Path| dkms_archive::source_digest(folder).map_err(|error| broken(&error));
        let stem = |name: &String| ModuleFile::from_name(name).map(|file| file.stem);
        let held = Held {
            source: staged.source.as_deref().map(source).transpose()?,
            modules: names.iter().filter_map(stem).collect(),
        };
        judge_contents(&wanted, &statement, &held)?;
        let build = build.ok_or_else(|| Reason::Broken("its modules are missing".to_owned()))?;
        let files: Vec<PathBuf> = names.iter().map(|name| build.dir.join("module").join(name)).collect();
        verify(asked, settings, &files)?;
        let digest = |(name, path): (String, &PathBuf)| Ok((name, digest_of(path)?));
        let digests: Result<BTreeMap<_, _>, FsError> = names.into_iter().zip(&files).map(digest).collect();
        let signed = statement.signed.as_ref().map_or(0, |signed| signed.when);
        let digests = digests.map_err(|error| broken(&error))?;
        let note = Note::new(place.to_string(), name.to_owned(), key.id.clone(), signed, digests);
        Ok(Examined { build, note, _folder: folder })
    }
}

/// Where a file is, for people.
fn shown(place: &PrebuiltPlace, name: &str, settings: &Settings) -> String {
    let path = match place {
        PrebuiltPlace::Folder(folder) => settings.layout.at(&folder.join(name).to_string_lossy()),
        PrebuiltPlace::Remote(remote) => remote::shown(remote, name),
    };
    path.display().to_string()
}

/// The module files of a build.
fn modules(build: &Path) -> Result<Vec<String>, FsError> {
    let name = |entry: fs::Entry| {
        let name = entry.name.into_string().ok()?;
        ModuleFile::from_name(&name).map(|_| name)
    };
    let mut names: Vec<String> = fs::list(&build.join("module"))?.into_iter().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// The digest of the source that is registered; one that is only a dkms.conf (of built modules that were
/// loaded) is none.
fn registered(id: &ModuleId, settings: &Settings) -> Result<Option<String>, FsError> {
    let folder = fs::canonical(&settings.layout.source_link(id))?;
    let is_only_conf = fs::list(&folder)?.iter().all(|entry| entry.name == "dkms.conf");
    if is_only_conf { Ok(None) } else { dkms_archive::source_digest(&folder).map(Some) }
}

/// Whether anything refutes that the kernel will load the files.
fn verify(asked: &Asked<'_>, settings: &Settings, files: &[PathBuf]) -> Result<(), Reason> {
    let examiner = Examiner::new(&settings.layout, asked.kernel).limited_to(settings.module_size_max);
    for (file, faults) in files.iter().zip(examiner.examine(files)) {
        if let Some(fault) = faults.first() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            return Err(Reason::Unfit(format!("`{name}` {fault}")));
        }
    }
    asked.judge.refuses(asked.kernel, files).map_or(Ok(()), |rejection| {
        let (kernel, demand) = (&asked.target.kernel, rejection.demand);
        Err(Reason::Unfit(format!("kernel {kernel} will not load it, since {demand}: {rejection}")))
    })
}

fn publish(
    found: Examined,
    asked: &Asked<'_>,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<Taken, ArchiveError> {
    let Examined { build, note, .. } = &found;
    let log = build.dir.join("log/make.log");
    let text = fs::optional(fs::read_lossy(&log))?.unwrap_or_default();
    let head = format!(
        "# taken from {}, `{}`, signed by the key {}\n",
        note.place,
        note.bundle.escape_debug(),
        note.key
    );
    fs::create_dir_all(&build.dir.join("log"))?;
    fs::write_whole(&log, (head + &text).as_bytes(), 0o644)?;
    if !(asked.may_land)() {
        return Ok(Taken::NotWanted);
    }
    // First the note: without it, an older one could be put in its place.
    note.write(&settings.layout, asked.id, asked.target)?;
    dkms_archive::publish_build(build, &settings.layout, asked.id)?;
    let Target { kernel, arch } = asked.target;
    let text = format!("{} for kernel {kernel} ({arch}) is taken from {}", asked.id, note.origin());
    reporter.report(Event::note(text));
    Ok(Taken::Yes(found.note))
}
