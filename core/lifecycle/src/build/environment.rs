//! The environment of a build: the caller's, the kernel's compiler, and what the file
//! `build_environment` exports.

use std::path::{Path, PathBuf};

use super::{BuildSpec, Failure};
use crate::host::process::{Process, quote};
use crate::host::{Environment, fs};
use crate::id::KernelRelease;
use crate::kernel::{Reach, Toolchain};
use crate::report::{Event, Reporter};
use crate::script::Shell;

/// What would make a module be built otherwise than its kernel was, and what is left of a make around us.
pub(super) const DROPPED: [&str; 13] = [
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "ARCH",
    "O",
    "M",
    "KBUILD_OUTPUT",
    "KBUILD_EXTMOD",
    "KBUILD_SRC",
    "KERNELRELEASE",
    "SUBARCH",
];

/// What a shell sets for itself.
const OF_THE_SHELL: [&str; 8] =
    ["_", "SHLVL", "PWD", "OLDPWD", "kernelver", "arch", "module", "module_version"];

/// The environment of a build.
pub(super) fn of_build(spec: &BuildSpec<'_>, reporter: &dyn Reporter) -> Result<Environment, Failure> {
    let environment = with_toolchain(&spec.settings.for_packages(spec.environment), spec.toolchain);
    if let Some(warning) = other_compiler(&environment, spec.toolchain) {
        reporter.report(warning);
    }
    let environment = match spec.settings.build_environment.as_deref().filter(|file| !file.is_empty()) {
        Some(setting) => {
            let shell = super::shell(spec, &environment);
            add_exports_of(&file_for(setting, &spec.target.kernel), &shell, reporter)?
        }
        None => environment,
    };
    match &spec.toolchain.reach {
        // That file may name a compiler.
        Reach::Missing(missing) if environment.get_filled("CROSS_COMPILE").is_none() => {
            Err(Failure::NoCompiler(missing.clone()))
        }
        _ => Ok(environment),
    }
}

/// The caller's environment with the kernel's tools in it, in a locale whose messages we can read.
pub(super) fn with_toolchain(callers: &Environment, toolchain: &Toolchain) -> Environment {
    let mut environment = callers.clone();
    DROPPED.iter().for_each(|name| environment.unset(name));
    let of_the_locale = |name: &&str| *name == "LANGUAGE" || name.starts_with("LC_");
    callers.iter().map(|(name, _)| name).filter(of_the_locale).for_each(|name| environment.unset(name));
    // Both: the kernel's Makefile takes LC_ALL out of the environment, and compilers would speak
    // the caller's language.
    environment.set("LANG", "C.UTF-8");
    environment.set("LC_ALL", "C.UTF-8");
    for (name, value) in toolchain_variables(toolchain) {
        environment.set(name, value);
    }
    environment
}

/// A caller's `LLVM` reaches the kernel's Makefiles, as with the 3.x line: they use clang for a kernel that
/// gcc built.
fn other_compiler(environment: &Environment, toolchain: &Toolchain) -> Option<Event> {
    let value = environment.get_filled("LLVM").filter(|_| !toolchain.clang)?;
    let text =
        format!("`LLVM={value}` of the environment makes the build use clang, but gcc built the kernel");
    Some(Event::warning(text, ["unset LLVM, unless this is meant".to_owned()]))
}

/// What is exported because of the kernel's tools.
#[must_use]
pub fn toolchain_variables(toolchain: &Toolchain) -> Vec<(&'static str, &str)> {
    let mut variables = Vec::new();
    if let Some(cc) = &toolchain.cc {
        variables.extend([("CC", cc.as_str()), ("KERNEL_CC", cc.as_str())]);
    }
    if toolchain.lld {
        variables.extend([("LD", "ld.lld"), ("KERNEL_LD", "ld.lld")]);
    }
    if toolchain.clang {
        variables.push(("LLVM", "1"));
    }
    if let Reach::Cross { prefix, arch } = &toolchain.reach {
        variables.extend([("ARCH", *arch), ("CROSS_COMPILE", prefix.as_str())]);
    }
    variables
}

/// The file that the setting `build_environment` names for a kernel.
pub(super) fn file_for(setting: &str, kernel: &KernelRelease) -> PathBuf {
    setting.replace("${kernelver}", kernel.as_str()).replace("$kernelver", kernel.as_str()).into()
}

/// Adds what a shell file exports. Its output is discarded; it sees the environment so far, and
/// `kernelver` and the like.
pub(super) fn add_exports_of(
    file: &Path,
    shell: &Shell<'_>,
    reporter: &dyn Reporter,
) -> Result<Environment, Failure> {
    let mut environment = shell.environment.clone();
    if !fs::exists(file) {
        let text = format!("`{}`, the file that `build_environment` names, does not exist", file.display());
        reporter.report(Event::warning(text, ["correct it in /etc/dkms/framework.conf".to_owned()]));
        return Ok(environment);
    }
    let name = quote(&file.to_string_lossy());
    // Read once without running it: what bash can't parse would else count up to there, in silence.
    let line =
        format!("/bin/bash -n {name} || exit; exec 3>&1 >/dev/null; . {name}; exec /usr/bin/env -0 >&3");
    let process: Process = shell.process(&line, Path::new("/"));
    let ended = process.capture_stdout()?;
    let exports = exports(&ended.output);
    if ended.code() != 0 || exports.is_empty() {
        return Err(Failure::BuildEnvironment { file: file.to_owned(), code: ended.code() });
    }
    for (name, value) in exports {
        if !OF_THE_SHELL.contains(&name.as_str()) {
            environment.set(name, value);
        }
    }
    Ok(environment)
}

/// Reads the output of `env -0`; what is no UTF-8 or has no name is left out.
fn exports(output: &[u8]) -> Vec<(String, String)> {
    let records = output.split(|byte| *byte == 0).filter_map(|record| std::str::from_utf8(record).ok());
    records
        .filter_map(|record| record.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ModuleId, Target};
    use crate::layout::Layout;
    use crate::report::Recorder;

    #[test]
    fn the_kernels_tools_replace_the_callers() {
        let callers =
            [("CC", "tcc"), ("CFLAGS", "-O9"), ("LDFLAGS", "x"), ("FOO", "bar"), ("LC_MESSAGES", "de_DE")]
                .into_iter()
                .collect();
        let gcc = Toolchain { cc: Some("gcc-12".to_owned()), ..Toolchain::default() };
        let environment = with_toolchain(&callers, &gcc);
        let listed: Vec<_> = environment.iter().collect();
        let expected = [
            ("CC", "gcc-12"),
            ("FOO", "bar"),
            ("KERNEL_CC", "gcc-12"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
        ];
        assert_eq!(listed, expected);
        let clang =
            Toolchain { cc: Some("clang".to_owned()), clang: true, lld: true, ..Toolchain::default() };
        assert_eq!(with_toolchain(&callers, &clang).get("KERNEL_LD"), Some("ld.lld"));
        assert_eq!(with_toolchain(&callers, &clang).get("LLVM"), Some("1"));
        assert_eq!(with_toolchain(&callers, &Toolchain::default()).get("CC"), None);
        let llvm: Environment = [("LLVM", "-14")].into_iter().collect();
        let warning = format!("{:?}", other_compiler(&with_toolchain(&llvm, &gcc), &gcc));
        assert!(warning.contains("`LLVM=-14` of the environment"), "{warning}");
        assert!(other_compiler(&with_toolchain(&llvm, &clang), &clang).is_none());
        assert!(other_compiler(&with_toolchain(&callers, &gcc), &gcc).is_none());
    }

    fn read(text: &str) -> (Result<Environment, Failure>, Recorder) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("an env");
        if !text.is_empty() {
            fs::write_whole(&file, text.as_bytes(), 0o644).unwrap();
        }
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let target = Target::parse("6.1.0-1-amd64", "x86_64").unwrap();
        let environment = [("PATH", "/usr/bin:/bin"), ("KEPT", "k")].into_iter().collect();
        let shell = Shell {
            layout: &layout,
            id: &id,
            target: Some(&target),
            headers: None,
            environment: &environment,
        };
        let recorder = Recorder::default();
        (add_exports_of(&file, &shell, &recorder), recorder)
    }

    #[test]
    fn only_exported_variables_are_taken() {
        let text =
            "export A=\"1\n$kernelver\"\nB=2\nexport PATH=$PATH:/opt\necho noise; echo noise >&2\nfalse\n";
        let environment = read(text).0.unwrap();
        assert_eq!(environment.get("A"), Some("1\n6.1.0-1-amd64"));
        assert_eq!(environment.get("B"), None);
        assert_eq!(environment.get("PATH"), Some("/usr/bin:/bin:/opt"));
        assert_eq!(environment.get("KEPT"), Some("k"));
        assert_eq!(environment.get("kernelver"), None);
    }

    #[test]
    fn a_file_that_ends_the_shell_is_an_error_and_a_missing_one_a_warning() {
        assert!(matches!(read("exit 0\n").0, Err(Failure::BuildEnvironment { code: 0, .. })));
        assert!(matches!(read("export A=1\nif\n").0, Err(Failure::BuildEnvironment { code: 2, .. })));
        let (environment, recorder) = read("");
        assert_eq!(environment.unwrap().get("KEPT"), Some("k"));
        assert_eq!(recorder.events().len(), 1);
    }

    #[test]
    fn the_file_may_depend_on_the_kernel() {
        let kernel = KernelRelease::new("6.1").unwrap();
        assert_eq!(file_for("/etc/env-$kernelver-${kernelver}", &kernel), Path::new("/etc/env-6.1-6.1"));
    }
}
