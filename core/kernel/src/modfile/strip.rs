//! Taking debug information out of a module.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::tool::{ToolError, ToolRunner};
use super::whole::is_whole_file;
use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::Process;

/// A module that could not be stripped; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum StripError {
    /// It could not be copied, or the program not be run.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
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

/// The command that strips a module: `strip -g`, or that of the kernel's toolchain.
#[must_use]
pub fn command(path: &Path, program: &str, environment: &Environment) -> Process {
    Process::new(program, [OsString::from("-g"), path.into()], environment)
}

/// Strips a module, which a program of the system does on a copy.
///
/// # Errors
/// [`StripError`]; then the module is as it was.
pub fn strip(
    path: &Path,
    program: &str,
    environment: &Environment,
    tools: &dyn ToolRunner,
) -> Result<(), StripError> {
    let stripped = fs::temporary_beside(path);
    let result = strip_to(path, &stripped, program, environment, tools);
    result.inspect_err(|_| drop(fs::remove_file(&stripped)))
}

fn strip_to(
    path: &Path,
    stripped: &Path,
    program: &str,
    environment: &Environment,
    tools: &dyn ToolRunner,
) -> Result<(), StripError> {
    let line = command(path, program, environment).line();
    let failed =
        |code, output| StripError::Failed { path: path.to_owned(), line: line.clone(), code, output };
    let ended = tools.run(path, &|copy| command(copy, program, environment), "", stripped)?;
    if !ended.status.success() {
        return Err(failed(ended.code(), ended.text().trim_end().to_owned()));
    }
    if !fs::is_file(stripped) || is_whole_file(path)? && !is_whole_file(stripped)? {
        return Err(failed(0, "it left no whole module".to_owned()));
    }
    Ok(fs::rename(stripped, path)?)
}

#[cfg(test)]
mod tests {
    use super::super::tool::Beside;
    use super::*;

    #[test]
    fn debug_information_goes_and_garbage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let object = dir.path().join("x.o");
        let line = "echo 'int x(void){return 1;}' | gcc -g -x c -c - -o x.o";
        assert_eq!(Process::shell(line, &environment).dir(dir.path()).capture().unwrap().code(), 0);
        let before = fs::read(&object).unwrap().len();
        strip(&object, "strip", &environment, &Beside).unwrap();
        assert!(fs::read(&object).unwrap().len() < before);
        fs::write_whole(&object, b"garbage", 0o644).unwrap();
        let error = strip(&object, "strip", &environment, &Beside).unwrap_err().to_string();
        assert!(error.contains("strip -g") && error.contains("x.o"), "{error}");
        assert_eq!(fs::read(&object).unwrap(), b"garbage");
    }
}
