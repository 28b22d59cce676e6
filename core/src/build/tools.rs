//! The programs that finish a module: strip and the compressors.

use std::path::{Path, PathBuf};

use super::{BuildSpec, Failure};
use crate::host::Environment;
use crate::host::process::Process;
use crate::kernel::Compression;

/// Takes debugging symbols away; says what went wrong, where something did: a module with them works too.
pub(super) fn strip(
    module: &Path,
    clang: bool,
    environment: &Environment,
) -> Result<Option<String>, Failure> {
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
pub(super) fn compress(
    spec: &BuildSpec<'_>,
    module: &Path,
    environment: &Environment,
) -> Result<PathBuf, Failure> {
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
