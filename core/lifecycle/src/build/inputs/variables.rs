//! Which variables of the environment can reach a build.
//!
//! A Makefile can use any. Those that kernel builds and compilers are known to look at count always; any
//! other where its name stands in the source: in a Makefile, a script, the conf, but not in C, which can't
//! read it. So the number of a CI job or of a terminal is no reason to build again, and a variable that only
//! this module knows is one.

use std::collections::BTreeSet;
use std::path::Path;

use super::InputsError;
use crate::conf::ModuleConf;
use crate::host::{Environment, fs};

/// Names, and beginnings of names, that always count.
const NAMES: [&str; 25] = [
    "ARCH",
    "SUBARCH",
    "CROSS_COMPILE",
    "LOCALVERSION",
    "KERNELRELEASE",
    "KERNELVERSION",
    "KDIR",
    "KSRC",
    "SYSSRC",
    "SYSOUT",
    "M",
    "O",
    "V",
    "W",
    "C",
    "MAKE",
    "MAKEFILES",
    "INSTALL_MOD_PATH",
    "INSTALL_MOD_STRIP",
    "SOURCE_DATE_EPOCH",
    "TZ",
    "BASH_ENV",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "LIBRARY_PATH",
];
const BEGINNINGS: [&str; 22] = [
    "AS",
    "AR",
    "CC",
    "CF",
    "CONFIG_",
    "CPATH",
    "CPP",
    "CXX",
    "C_INCLUDE",
    "DEB_BUILD_",
    "DEB_HOST_",
    "DEBIAN_KERNEL_",
    "DKMS_",
    "EXTRA_",
    "HOST",
    "KBUILD_",
    "KCFLAGS",
    "KCPPFLAGS",
    "KERNEL_",
    "LD",
    "LLVM",
    "RUST",
];

/// Names that never count, even where a Makefile has them: they say where and as whom we were called, and
/// confs may not depend on it.
const NEVER: [&str; 16] = [
    "_",
    "HOME",
    "HOSTNAME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "MAIL",
    "OLDPWD",
    "PATH",
    "PWD",
    "SHELL",
    "SHLVL",
    "TERM",
    "TMPDIR",
    "USER",
    "parallel_jobs",
];

/// A larger file is data.
const TEXT_LIMIT: u64 = 1 << 20;

/// The variables that count, with their values, ordered by name: of `environment`, in which what isn't the
/// `callers`' was set for builds on purpose.
pub(super) fn that_count<'a>(
    environment: &'a Environment,
    callers: &Environment,
    folders: &[&Path],
    conf: &ModuleConf,
) -> Result<Vec<(&'a str, String)>, InputsError> {
    let (always, maybe): (Vec<_>, Vec<_>) = environment
        .iter()
        .filter(|(name, _)| !NEVER.contains(name))
        .partition(|(name, value)| is_known(name) || callers.get(name) != Some(*value));
    let mut counting: Vec<(&str, String)> =
        always.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let asked: BTreeSet<&[u8]> = maybe.iter().map(|(name, _)| name.as_bytes()).collect();
    let mut found = BTreeSet::new();
    if !asked.is_empty() {
        look_for(conf.make.as_deref().unwrap_or_default().as_bytes(), &asked, &mut found);
        for folder in folders {
            look_below(folder, &asked, &mut found)?;
        }
    }
    let mentioned = maybe.into_iter().filter(|(name, _)| found.contains(name.as_bytes()));
    counting.extend(mentioned.map(|(name, value)| (name, value.to_owned())));
    // Without what says how many jobs run at once, and through which pipe they are counted.
    for flags in ["MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS"] {
        let words = environment.get(flags).unwrap_or_default().split_whitespace();
        let kept: Vec<&str> =
            words.filter(|word| !word.starts_with("-j") && !word.starts_with("--jobserver")).collect();
        counting.retain(|(name, _)| *name != flags);
        if !kept.is_empty() {
            counting.push((flags, kept.join(" ")));
        }
    }
    counting.sort_unstable();
    Ok(counting)
}

fn is_known(name: &str) -> bool {
    NAMES.contains(&name) || name.ends_with("FLAGS") || BEGINNINGS.iter().any(|head| name.starts_with(head))
}

/// Looks for names in the files of a folder, links not followed.
fn look_below<'a>(
    folder: &Path,
    asked: &BTreeSet<&'a [u8]>,
    found: &mut BTreeSet<&'a [u8]>,
) -> Result<(), InputsError> {
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() {
            look_below(&path, asked, found)?;
        } else if entry.kind.is_file() && !is_code(&path) {
            match fs::read_limited(&path, TEXT_LIMIT) {
                Ok(text) => look_for(&text, asked, found),
                Err(error) if error.source.kind() == std::io::ErrorKind::FileTooLarge => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn is_code(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["c", "h", "S", "s", "o", "a", "rs", "cpp", "cc", "md", "bin"].contains(&extension)
}

/// Looks for names as whole words.
fn look_for<'a>(text: &[u8], asked: &BTreeSet<&'a [u8]>, found: &mut BTreeSet<&'a [u8]>) {
    let words = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    found.extend(words.filter(|word| !word.is_empty()).filter_map(|word| asked.get(word).copied()));
}
