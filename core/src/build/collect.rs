//! From what make built to what is kept: strip, sign, compress, each module copied to the stage.

use std::path::{Path, PathBuf};

use super::log::Log;
use super::{BuildSpec, Failure};
use crate::conf::module::ModuleRecord;
use crate::host::process::Process;
use crate::host::{Environment, fs};
use crate::kernel::Compression;
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
        if record.strip {
            if let Some(fault) = strip(&module, spec.kernel.toolchain.clang, environment)? {
                warn(format!("`{}` of {} is not stripped: {fault}", record.built_name, spec.id))?;
            }
        }
        if let Some(signer) = spec.signer {
            match signer.sign(&module) {
                Ok(()) => log.note(&format!("signed {}: {}", module.display(), signer.describe()))?,
                Err(error) => warn(format!("`{}` of {} is not signed: {error}", record.built_name, spec.id))?,
            }
        }
        let finished = compress(spec, &module, environment)?;
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

/// Takes debugging symbols away; says what went wrong, where something did: a module with them works too.
fn strip(module: &Path, clang: bool, environment: &Environment) -> Result<Option<String>, Failure> {
    let program = if clang { "llvm-strip" } else { "strip" };
    let process = Process::new(program, ["-g".as_ref(), module.as_os_str()], environment);
    match process.capture() {
        Ok(ended) if ended.code() == 0 => Ok(None),
        Ok(ended) => Ok(Some(ended.text().trim().to_owned())),
        Err(error) if error.is_not_found() => Ok(Some(format!("`{program}` is not installed"))),
        Err(error) => Err(error.into()),
    }
}

/// Compresses as the kernel's own modules are, in place; returns the file that results.
fn compress(spec: &BuildSpec<'_>, module: &Path, environment: &Environment) -> Result<PathBuf, Failure> {
    let settings = spec.settings;
    let (program, options) = match spec.kernel.compression {
        Compression::None => return Ok(module.to_owned()),
        Compression::Gzip => ("gzip", &settings.compress_gzip_opts),
        Compression::Xz => ("xz", &settings.compress_xz_opts),
        Compression::Zstd => ("zstd", &settings.compress_zstd_opts),
    };
    let refuse = |text: String| Failure::Compress { path: module.to_owned(), text };
    let words = options.split_whitespace().map(Into::into);
    let arguments = words.chain(["-f".into(), module.as_os_str().to_owned()]);
    let ended = Process::new(program, arguments, environment).capture()?;
    if ended.code() != 0 {
        return Err(refuse(ended.text().trim().to_owned()));
    }
    let mut finished = module.as_os_str().to_owned();
    finished.push(spec.kernel.compression.suffix());
    Ok(finished.into())
}
