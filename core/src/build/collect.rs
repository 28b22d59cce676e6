//! From what make built to what is kept: strip, sign, compress, each module copied to the stage.

use std::path::{Path, PathBuf};

use super::log::Log;
use super::{BuildSpec, Failure, tools};
use crate::conf::module::ModuleRecord;
use crate::host::{Environment, fs};
use crate::report::{Event, Reporter};

/// Where make leaves a module.
fn built_path(build_dir: &Path, record: &ModuleRecord) -> PathBuf {
    build_dir.join(format!("{}{}.ko", record.built_location, record.built_name))
}

/// Every module that the conf names for this kernel must be there.
pub(super) fn check_all_built(spec: &BuildSpec<'_>, build_dir: &Path) -> Result<(), Failure> {
    let paths = spec.conf.included().map(|record| built_path(build_dir, record));
    let missing: Vec<PathBuf> = paths.filter(|path| !fs::is_file(path)).collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::ModuleNotBuilt(missing)) }
}

/// Finishes each module in the build folder, where POST_BUILD will see it, and copies it into `stage`.
///
/// Returns the file names in `stage`.
pub(super) fn collect(
    spec: &BuildSpec<'_>,
    build_dir: &Path,
    stage: &Path,
    environment: &Environment,
    log: &mut Log,
    reporter: &dyn Reporter,
) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for record in spec.conf.included() {
        let module = built_path(build_dir, record);
        let mut warn = |text: String| -> Result<(), Failure> {
            log.note(&text)?;
            reporter.report(Event::warning(text, []));
            Ok(())
        };
        if record.strip
            && let Some(fault) = tools::strip(&module, spec.kernel.toolchain.clang, environment)?
        {
            warn(format!("`{}` of {} is not stripped: {fault}", record.built_name, spec.id))?;
        }
        if let Some(signer) = spec.signer {
            match signer.sign(&module) {
                Ok(()) => log.note(&format!("signed {}: {}", module.display(), signer.describe()))?,
                Err(error) => warn(format!("`{}` of {} is not signed: {error}", record.built_name, spec.id))?,
            }
        }
        let finished = tools::compress(spec, &module, environment)?;
        let name = format!("{}.ko{}", record.dest_name, spec.kernel.compression.suffix());
        fs::write_whole(&stage.join(&name), &fs::read(&finished)?, 0o644)?;
        names.push(name);
    }
    // Other modules are built against it.
    let symbols = build_dir.join("Module.symvers");
    if fs::is_file(&symbols) {
        fs::write_whole(&stage.join("Module.symvers"), &fs::read(&symbols)?, 0o644)?;
    }
    Ok(names)
}
