//! From what make built to what is kept: each module is copied out of the build folder, and what is done to
//! it (strip, sign, compress) is done to that copy, which nobody but root can reach.

use std::path::{Path, PathBuf};

use super::log::Log;
use super::place::Place;
use super::{BuildSpec, Failure};
use crate::conf::module::ModuleRecord;
use crate::host::beneath::Extent;
use crate::host::{Environment, fs};
use crate::modfile::content::{SIZE_LIMIT, is_packed};
use crate::modfile::{NotAModule, StripError, ToolError, ToolRunner};
use crate::modfile::{compress, is_whole_file, strip};
use crate::report::{Event, Reporter};
use crate::script;
use crate::sign::{SignError, Signer};
use crate::verify::{Examiner, Fault, running_kernel};

/// `Module.symvers`: what a build's modules export.
pub(super) const SYMBOLS: &str = "Module.symvers";
/// The list of a whole kernel has a few megabytes.
const SYMBOLS_LIMIT: u64 = 64 << 20;
/// All modules of a build may have this many times the size of one.
const TOGETHER: u64 = 4;
/// A smaller file may have any holes: alignment leaves some.
const SPARSE_FROM: u64 = 1 << 20;

/// Where make leaves a module, from the build folder.
pub(super) fn built_path(record: &ModuleRecord) -> PathBuf {
    PathBuf::from(format!("{}{}.ko", record.built_location, record.built_name))
}

/// The modules of a build on their way, each with its own name in a folder of its own.
#[derive(Debug)]
pub(super) struct Products {
    dir: PathBuf,
}

impl Products {
    /// An empty folder for them.
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let dir = place.at("products");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Where a module is.
    pub(super) fn path(&self, record: &ModuleRecord) -> PathBuf {
        self.dir.join(record.index.to_string()).join(format!("{}.ko", record.built_name))
    }

    /// Where the list of symbols is.
    pub(super) fn symbols(&self) -> PathBuf {
        self.dir.join(SYMBOLS)
    }

    /// Takes every module that the conf names for this kernel out of the build folder. What isn't there as a
    /// file within that folder is named as the build saw it.
    pub(super) fn take(&self, spec: &BuildSpec<'_>, place: &Place) -> Result<(), Failure> {
        let beneath = place.beneath()?;
        let mut missing = Vec::new();
        let mut sizes = Sizes::of(spec.settings.module_size_max);
        for record in spec.conf.included() {
            let (built, taken) = (built_path(record), self.path(record));
            let Some(extent) = beneath.extent(&built)? else {
                missing.push(place.seen().join(built));
                continue;
            };
            // Before anything of it is read.
            sizes.add(&place.seen().join(&built), extent)?;
            fs::create_dir_all(taken.parent().unwrap_or(&self.dir))?;
            if !beneath.copy_to(&built, &taken, SIZE_LIMIT)? {
                missing.push(place.seen().join(built));
            }
        }
        if !missing.is_empty() {
            return Err(Failure::ModuleNotBuilt(missing));
        }
        // Other modules are built against it.
        beneath.copy_to(Path::new(SYMBOLS), &self.symbols(), SYMBOLS_LIMIT)?;
        Ok(())
    }

    /// Examines what was taken: a file that is no module of this machine has failed to be built; one that
    /// the kernel may refuse gets a warning. Returns the warnings' texts.
    pub(super) fn examine(
        &self,
        spec: &BuildSpec<'_>,
        place: &Place,
        reporter: &dyn Reporter,
    ) -> Result<Vec<String>, Failure> {
        let files: Vec<PathBuf> = spec.conf.included().map(|record| self.path(record)).collect();
        let packed = |file: &PathBuf| match is_packed(file) {
            Ok(true) => vec![Fault::NotAModule(NotAModule::Compressed)],
            _ => Vec::new(),
        };
        // Before anything is unpacked: it could be any number of bytes.
        let mut faults: Vec<Vec<Fault>> = files.iter().map(packed).collect();
        if faults.iter().all(Vec::is_empty) {
            let examiner = Examiner::new(spec.layout, spec.kernel).limited_to(spec.settings.module_size_max);
            faults = examiner.examine(&files);
        }
        let (mut fatal, mut texts) = (Vec::new(), Vec::new());
        for (record, fault) in spec
            .conf
            .included()
            .zip(faults)
            .flat_map(|(record, faults)| faults.into_iter().map(move |fault| (record, fault)))
        {
            let built = built_path(record);
            if fault.is_fatal() || spec.settings.unfit_fails {
                fatal.push((place.seen().join(built), fault));
            } else {
                let text = format!("`{}` of {} {fault}; {}", built.display(), spec.id, fault.consequence());
                let asks = fault
                    .is_for_another_release()
                    .then(|| running_kernel(&spec.layout.source_link(spec.id)))
                    .flatten();
                let asks = asks.map(|place| format!("{place} asks for the kernel that runs"));
                let hints: Vec<String> = fault.hints().into_iter().chain(asks).collect();
                reporter.report(Event::warning(text.clone(), hints));
                texts.push(text);
            }
        }
        if matches!(is_packed(&self.symbols()), Ok(true)) {
            fs::remove_file(&self.symbols())?;
            let text = format!("`{SYMBOLS}` of {} is not kept: it is compressed", spec.id);
            reporter.report(Event::warning(text.clone(), []));
            texts.push(text);
        }
        if fatal.is_empty() { Ok(texts) } else { Err(Failure::NoModule(fatal)) }
    }

    /// Strips the modules that the conf wants stripped. Says whether that worked for all. A module with its
    /// debugging symbols works too, so one that can't be stripped stays as it was.
    pub(super) fn strip(
        &self,
        spec: &BuildSpec<'_>,
        environment: &Environment,
        tools: &dyn ToolRunner,
        log: &mut Log,
        reporter: &dyn Reporter,
    ) -> Result<bool, Failure> {
        let mut all = true;
        for record in spec.conf.included().filter(|record| record.strip) {
            match strip(&self.path(record), &spec.toolchain.strip(), environment, tools) {
                Ok(()) => {}
                // That the disk is full is no reason for another module than with room on it.
                Err(StripError::Tool(ToolError::Process(error))) if error.is_of_the_moment() => {
                    return Err(error.into());
                }
                Err(StripError::Fs(error) | StripError::Tool(ToolError::Fs(error))) => {
                    return Err(error.into());
                }
                Err(error) => {
                    all = false;
                    warn_of(record, "stripped", &error, spec, log, reporter)?;
                }
            }
        }
        Ok(all)
    }

    /// Signs and compresses each module, and puts it into `stage` under the name that it will have.
    pub(super) fn finish(
        &self,
        spec: &BuildSpec<'_>,
        stage: &Path,
        environment: &Environment,
        tools: &dyn ToolRunner,
        log: &mut Log,
        reporter: &dyn Reporter,
    ) -> Result<Vec<Finished>, Failure> {
        let options = spec.settings.compress_options();
        let mut variables = super::environment::toolchain_variables(spec.toolchain);
        variables.extend(script::variables(spec.id, spec.target));
        let mut finished = Vec::new();
        for record in spec.conf.included() {
            let module = self.path(record);
            if let Some(signer) = spec.signer {
                match signed(&module, signer, &variables) {
                    Ok(()) => log.note(&format!("signed {}: {}", record.built_name, signer.describe()))?,
                    Err(SignError::Process(error)) if error.is_of_the_moment() => return Err(error.into()),
                    Err(SignError::Fs(error)) if error.is_shortage() => return Err(error.into()),
                    Err(error) => warn_of(record, "signed", &error, spec, log, reporter)?,
                }
            }
            let path = compress(&module, spec.kernel.compression, &options, environment, tools)?;
            let suffix = spec.kernel.compression.suffix();
            let name = format!("{}.ko{suffix}", record.dest_name);
            fs::copy_content(&path, &stage.join(&name), 0o644)?;
            finished.push(Finished {
                path,
                built: built_path(record),
                suffix,
                dest: record.dest_name.clone(),
                name,
            });
        }
        if fs::exists(&self.symbols()) {
            fs::copy_content(&self.symbols(), &stage.join(SYMBOLS), 0o644)?;
        }
        Ok(finished)
    }
}

/// The sizes of a build's modules, added up.
#[derive(Debug)]
pub(super) struct Sizes {
    limit: u64,
    together: u64,
}

impl Sizes {
    /// With `module_size_max`.
    pub(super) fn of(limit: u64) -> Self {
        Self { limit, together: 0 }
    }

    /// Refuses a module that is too large, alone or with those before it, or that is mostly holes.
    pub(super) fn add(&mut self, module: &Path, extent: Extent) -> Result<(), Failure> {
        let Extent { size, written } = extent;
        let too_large = |size, limit| Failure::ModuleTooLarge { module: module.to_owned(), size, limit };
        if size > self.limit {
            return Err(too_large(size, self.limit));
        }
        if size > SPARSE_FROM && written < size / 2 {
            return Err(Failure::ModuleSparse { module: module.to_owned(), size, written });
        }
        self.together = self.together.saturating_add(size);
        let limit = self.limit.saturating_mul(TOGETHER);
        if self.together > limit {
            return Err(too_large(self.together, limit));
        }
        Ok(())
    }
}

/// A module as it will be installed.
#[derive(Debug)]
pub(super) struct Finished {
    /// The file.
    pub(super) path: PathBuf,
    /// Where make left it, from the build folder.
    pub(super) built: PathBuf,
    /// What compression appends to its name.
    pub(super) suffix: &'static str,
    /// `DEST_MODULE_NAME`.
    pub(super) dest: String,
    /// Its name in the result.
    pub(super) name: String,
}

/// Signs a module. What isn't one from beginning to end gets no signature of ours.
fn signed(module: &Path, signer: &dyn Signer, variables: &[(&str, &str)]) -> Result<(), SignError> {
    if !is_whole_file(module)? {
        let why = "it is not a whole ELF object".to_owned();
        return Err(SignError::Failed { module: module.to_owned(), why });
    }
    signer.sign(module, variables)
}

fn warn_of(
    record: &ModuleRecord,
    what: &str,
    error: &dyn std::error::Error,
    spec: &BuildSpec<'_>,
    log: &mut Log,
    reporter: &dyn Reporter,
) -> Result<(), Failure> {
    let text = format!("`{}.ko` of {} is not {what}: {error}", record.built_name, spec.id);
    log.note(&text)?;
    let again = format!("when that is fixed: `dkms install --force {} -k {}`", spec.id, spec.target.kernel);
    reporter.report(Event::warning(text, (what == "signed").then_some(again)));
    Ok(())
}
