//! The programs that a kernel build calls, each found in the `PATH` of the build: which are there, their
//! content, and of compilers what they say of themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Digests, Hasher, InputsError};
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, fs, programs};
use crate::kernel::Toolchain;

/// What Kbuild calls besides the compiler, with the names that it prefixes with `CROSS_COMPILE` last.
const PLAIN: [&str; 10] = ["make", "bash", "sh", "patch", "awk", "sed", "grep", "perl", "python3", "pahole"];
const CROSS: [&str; 7] = ["as", "ld", "ar", "nm", "objcopy", "objdump", "strip"];
const OF_LLVM: [&str; 5] = ["ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-strip"];

/// Variables whose value is a program.
const NAMED: [&str; 10] =
    ["CC", "KERNEL_CC", "HOSTCC", "CXX", "HOSTCXX", "LD", "KERNEL_LD", "AS", "AR", "MAKE"];

/// A compiler that doesn't answer a question by then hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn add(
    hasher: &mut Hasher,
    toolchain: &Toolchain,
    environment: &Environment,
    digests: &Digests,
) -> Result<(), InputsError> {
    let cross = environment.get("CROSS_COMPILE").unwrap_or_default();
    let named = NAMED.iter().filter_map(|name| environment.get_filled(name)).map(str::to_owned);
    let mut lines: BTreeSet<String> = named.chain(toolchain.cc.clone()).collect();
    let mut compilers: Vec<String> = toolchain.cc.iter().cloned().collect();
    compilers.extend(
        ["CC", "KERNEL_CC", "HOSTCC"]
            .iter()
            .filter_map(|name| environment.get_filled(name))
            .map(str::to_owned),
    );
    compilers.extend([format!("{cross}gcc"), "gcc".to_owned(), "cc".to_owned()]);
    if toolchain.clang || toolchain.lld {
        compilers.push("clang".to_owned());
        lines.extend(OF_LLVM.iter().map(|name| (*name).to_owned()));
    }
    lines.extend(PLAIN.iter().map(|name| (*name).to_owned()));
    lines.extend(CROSS.iter().flat_map(|name| [(*name).to_owned(), format!("{cross}{name}")]));
    lines.extend(compilers.iter().cloned());
    for line in &lines {
        // `ccache gcc-12` is two programs; options and assignments are none.
        for word in line.split_whitespace() {
            let found = real(word, environment);
            hasher.field("program", word);
            if let Some(path) = found {
                hasher.path("at", &path);
                hasher.field("is", digests.program(&path)?);
            }
        }
    }
    if digests.are_by_stat() {
        return Ok(());
    }
    let mut asked = BTreeSet::new();
    for line in compilers {
        let mut words = line.split_whitespace();
        let Some(path) = words.next().and_then(|word| real(word, environment)) else { continue };
        let rest: Vec<&str> = words.collect();
        if asked.insert((path.clone(), rest.join(" "))) {
            ask(hasher, &path, &rest, environment, digests)?;
        }
    }
    Ok(())
}

/// A program by the file that its links lead to.
fn real(name: &str, environment: &Environment) -> Option<PathBuf> {
    fs::canonical(&programs::find(name, environment)?).ok()
}

/// What a compiler says of itself, and the compiler proper and the assembler behind it.
fn ask(
    hasher: &mut Hasher,
    path: &Path,
    words: &[&str],
    environment: &Environment,
    digests: &Digests,
) -> Result<(), InputsError> {
    for question in ["--version", "-print-prog-name=cc1", "-print-prog-name=as", "-print-prog-name=ld"] {
        let arguments = words.iter().copied().chain([question]);
        let answer = match Process::new(path, arguments, environment).time_limit(PATIENCE).capture_stdout() {
            Ok(ended) => ended.text(),
            // What is no compiler will fail the build, or isn't called at all.
            Err(
                ProcessError::Start { .. }
                | ProcessError::TimedOut { .. }
                | ProcessError::TooMuchOutput { .. },
            ) => continue,
            Err(error @ (ProcessError::Interrupted { .. } | ProcessError::Refused { .. })) => {
                return Err(error.into());
            }
        };
        hasher.field(question, &answer);
        if question.starts_with("-print")
            && let Some(program) = real(answer.trim(), environment)
        {
            hasher.field("is", digests.program(&program)?);
        }
    }
    Ok(())
}
