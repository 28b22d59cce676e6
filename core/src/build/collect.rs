//! From what make built to what is kept: strip, then sign and compress, each module copied to the stage.

use std::path::{Path, PathBuf};

use super::log::Log;
use super::{BuildSpec, Failure, trap};
use crate::conf::module::ModuleRecord;
use crate::host::process::ProcessError;
use crate::host::{Environment, fs};
use crate::modfile::{CompressOptions, StripError, compress, strip};
use crate::report::{Event, Reporter};
use crate::script;
use crate::sign::SignError;

/// Where make leaves a module.
pub(super) fn built_path(build_dir: &Path, record: &ModuleRecord) -> PathBuf {
    build_dir.join(format!("{}{}.ko", record.built_location, record.built_name))
}

/// Every module that the conf names for this kernel must be there, in the build folder; what isn't is named as the build saw it.
pub(super) fn check_all_built(spec: &BuildSpec<'_>, seen: &Path) -> Result<(), Failure> {
    let is_there = |record: &&ModuleRecord| trap::is_own_file(spec.folder, &built_path(spec.folder, record));
    let missing = spec.conf.included().filter(|record| !is_there(record));
    let missing: Vec<PathBuf> = missing.map(|record| built_path(seen, record)).collect();
    if !missing.is_empty() {
        return Err(Failure::ModuleNotBuilt(missing));
    }
    for record in spec.conf.included() {
        if let Some(module) = trap::real_within(spec.folder, &built_path(spec.folder, record)) {
            trap::clear_beside(&module)?;
        }
        trap::clear_beside(&built_path(spec.folder, record))?;
    }
    Ok(())
}

/// Strips the modules that the conf wants stripped. Says whether that worked for all.
pub(super) fn strip_all(
    spec: &BuildSpec<'_>,
    environment: &Environment,
    log: &mut Log,
    reporter: &dyn Reporter,
) -> Result<bool, Failure> {
    let mut all = true;
    for record in spec.conf.included().filter(|record| record.strip) {
        if let Some(fault) = strip_or_keep(&built_path(spec.folder, record), spec, environment)? {
            all = false;
            let text = format!("`{}` of {} is not stripped: {fault}", record.built_name, spec.id);
            log.note(&text)?;
            reporter.report(Event::warning(text, []));
        }
    }
    Ok(all)
}

/// Signs and compresses each module in the build folder, where POST_BUILD will see it, and copies it into `stage`.
///
/// Returns the file names in `stage`.
pub(super) fn collect(
    spec: &BuildSpec<'_>,
    stage: &Path,
    environment: &Environment,
    log: &mut Log,
    reporter: &dyn Reporter,
) -> Result<Vec<String>, Failure> {
    let options = CompressOptions::of(spec.settings);
    let mut names = Vec::new();
    let mut variables = super::environment::toolchain_variables(spec.toolchain);
    variables.extend(script::variables(spec.id, spec.target));
    for record in spec.conf.included() {
        let module = built_path(spec.folder, record);
        if let Some(signer) = spec.signer {
            match signer.sign(&module, &variables) {
                Ok(()) => log.note(&format!("signed {}: {}", record.built_name, signer.describe()))?,
                Err(SignError::Process(error @ ProcessError::Interrupted { .. })) => return Err(error.into()),
                Err(error) => {
                    let text = format!("`{}` of {} is not signed: {error}", record.built_name, spec.id);
                    log.note(&text)?;
                    reporter.report(Event::warning(text, []));
                }
            }
        }
        let finished = compress(&module, spec.kernel.compression, &options, environment)?;
        let name = format!("{}.ko{}", record.dest_name, spec.kernel.compression.suffix());
        fs::write_whole(&stage.join(&name), &fs::read(&finished)?, 0o644)?;
        names.push(name);
    }
    // Other modules are built against it.
    let symbols = spec.folder.join("Module.symvers");
    if trap::is_own_file(spec.folder, &symbols) {
        fs::write_whole(&stage.join("Module.symvers"), &fs::read(&symbols)?, 0o644)?;
    }
    Ok(names)
}

/// Strips a module; says why where that did not work. A module with its debugging symbols works too, so then it stays as it
/// was, for which strip itself does not stand: on a full disk it may leave a cut one.
fn strip_or_keep(
    module: &Path,
    spec: &BuildSpec<'_>,
    environment: &Environment,
) -> Result<Option<StripError>, Failure> {
    let before = fs::read(module)?;
    match strip(module, spec.toolchain.clang, environment) {
        Ok(()) => Ok(None),
        Err(StripError::Process(error @ ProcessError::Interrupted { .. })) => Err(error.into()),
        Err(error) => {
            if fs::read(module)? != before {
                fs::write_whole(module, &before, 0o644)?;
            }
            Ok(Some(error))
        }
    }
}
