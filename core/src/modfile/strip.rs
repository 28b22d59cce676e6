//! Taking debug information out of a module.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::host::Environment;
use crate::host::process::{Process, ProcessError};

/// A module that could not be stripped; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum StripError {
    /// The program could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The program failed.
    #[error("cannot strip `{}`: `{line}` failed with exit code {code}: {output}", path.display())]
    Failed {
        /// The module.
        path: PathBuf,
        /// The command line.
        line: String,
        /// Its exit code.
        code: i32,
        /// What it wrote.
        output: String,
    },
}

/// The command that strips a module: `strip -g`, or `llvm-strip -g` where clang built the kernel.
#[must_use]
pub fn command(path: &Path, clang: bool, environment: &Environment) -> Process {
    let program = if clang { "llvm-strip" } else { "strip" };
    Process::new(program, [OsString::from("-g"), path.into()], environment)
}

/// Strips a module in place.
///
/// # Errors
/// [`StripError`].
pub fn strip(path: &Path, clang: bool, environment: &Environment) -> Result<(), StripError> {
    let process = command(path, clang, environment);
    let ended = process.capture()?;
    if ended.status.success() {
        return Ok(());
    }
    let (line, output) = (process.line(), ended.text().trim_end().to_owned());
    Err(StripError::Failed { path: path.to_owned(), line, code: ended.code(), output })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs;

    #[test]
    fn debug_information_goes_and_garbage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let object = dir.path().join("x.o");
        let line = "echo 'int x(void){return 1;}' | gcc -g -x c -c - -o x.o";
        assert_eq!(Process::shell(line, &environment).dir(dir.path()).capture().unwrap().code(), 0);
        let before = fs::read(&object).unwrap().len();
        strip(&object, false, &environment).unwrap();
        assert!(fs::read(&object).unwrap().len() < before);
        fs::write_whole(&object, b"garbage", 0o644).unwrap();
        let error = strip(&object, false, &environment).unwrap_err().to_string();
        assert!(error.contains("strip -g") && error.contains("x.o"), "{error}");
        assert_eq!(fs::read(&object).unwrap(), b"garbage");
    }

    #[test]
    fn clang_has_its_own_strip() {
        let line = command(Path::new("/b/x.ko"), true, &Environment::default()).line();
        assert_eq!(line, "llvm-strip -g /b/x.ko");
    }
}
