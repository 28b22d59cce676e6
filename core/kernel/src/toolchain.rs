//! Which compiler and linker built a kernel, so that its modules are built with them too; and whether they
//! make code for its machine.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use elf::ElfStream;
use elf::endian::AnyEndian;

use dkms_base::host::fs;
use dkms_base::host::process::{Process, ProcessError};
use dkms_base::host::trusted;
use dkms_base::host::{Environment, programs};

use super::{KernelConfig, Machine, MissingCompiler, Reach, Toolchain};

/// What the headers say of the toolchain.
#[derive(Debug, Default, Clone, Copy)]
struct Hints<'a> {
    /// `CC` of `.kernelvariables`.
    variables_cc: Option<&'a str>,
    /// The kernel image of the headers was made by clang.
    image_is_clangs: bool,
}

/// What doesn't answer by then hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at headers: `.kernelvariables` first, then the configuration, then the compiler's mark in `vmlinux`.
/// Headers may be another user's: root runs nothing of theirs.
///
/// # Errors
/// [`ProcessError`] where we were interrupted while make was asked.
pub fn look(
    headers: &Path,
    config: &KernelConfig,
    environment: &Environment,
) -> Result<Toolchain, ProcessError> {
    let unasked = RefCell::new(Vec::new());
    let is_sound = |path: &Path| match trusted::fault_for_root(path) {
        Some(fault) => {
            let mut unasked = unasked.borrow_mut();
            if !unasked.contains(&fault) {
                unasked.push(fault);
            }
            false
        }
        None => true,
    };
    let variables = headers.join(".kernelvariables");
    let variables_cc = match fs::is_file(&variables) && is_sound(&variables) {
        true => variables_cc(&variables, headers, environment)?,
        false => None,
    };
    let hints = Hints {
        variables_cc: variables_cc.as_deref(),
        image_is_clangs: image_is_clangs(&headers.join("vmlinux")),
    };
    let exists = |program: &str| {
        let found = programs::find(program, environment);
        found.is_some_and(|path| !program.contains('/') || is_sound(&path))
    };
    let toolchain = decide(config, hints, &exists);
    let with_unasked = |toolchain| Toolchain { unasked: unasked.take(), ..toolchain };
    let target = |compiler: &str| target_of(compiler, environment);
    let has_own = environment.get_filled("CROSS_COMPILE").is_some();
    let userland = Machine::named(std::env::consts::ARCH);
    let (Some(machine), Some(userland), false) = (Machine::of_config(config), userland, has_own) else {
        return Ok(with_unasked(toolchain));
    };
    let programs = Programs { exists: &exists, target: &target };
    across(toolchain, machine, userland, headers, &programs).map(with_unasked)
}

/// What programs are asked.
struct Programs<'a> {
    exists: &'a dyn Fn(&str) -> bool,
    target: &'a dyn Fn(&str) -> Result<Option<String>, ProcessError>,
}

/// The toolchain for a kernel of a machine that the programs of this system, `userland`, may not be for.
/// Their compiler is asked only then: dkms itself is one of these programs.
fn across(
    mut toolchain: Toolchain,
    machine: Machine,
    userland: Machine,
    headers: &Path,
    programs: &Programs<'_>,
) -> Result<Toolchain, ProcessError> {
    if userland.compiles_for(machine) {
        return Ok(toolchain);
    }
    let prefix = format!("{}-", machine.triplet());
    let compiler = toolchain.cc.as_deref().unwrap_or("gcc");
    if toolchain.clang {
        toolchain.reach = Reach::Cross { prefix, arch: machine.kbuild() };
        return Ok(toolchain);
    }
    let plain = compiler.split_whitespace().last().unwrap_or("gcc");
    let plain = plain.strip_prefix(&prefix).unwrap_or(plain);
    let names = [format!("{prefix}{plain}"), format!("{prefix}gcc")];
    if let Some(cross) = names.into_iter().find(|name| (programs.exists)(name)) {
        toolchain.reach = Reach::Cross { prefix, arch: machine.kbuild() };
        toolchain.cc = Some(cross);
        return Ok(toolchain);
    }
    let target = (programs.target)(compiler)?;
    let made = target.as_deref().and_then(|target| Machine::named(target.split('-').next()?));
    if made.is_some_and(|made| made.compiles_for(machine)) {
        return Ok(toolchain);
    }
    let release = fs::read_lossy(&headers.join("include/config/kernel.release"));
    let kernel = release.map_or_else(|_| headers.display().to_string(), |text| text.trim().to_owned());
    let compiler = target.unwrap_or_else(|| userland.word().to_owned());
    toolchain.reach = Reach::Missing(MissingCompiler { kernel, machine, compiler });
    Ok(toolchain)
}

/// What a compiler makes code for, as it says itself.
fn target_of(compiler: &str, environment: &Environment) -> Result<Option<String>, ProcessError> {
    let mut words = compiler.split_whitespace().map(str::to_owned);
    let Some(program) = words.next() else { return Ok(None) };
    let words: Vec<String> = words.chain(["-dumpmachine".to_owned()]).collect();
    match Process::new(program, words, environment).time_limit(PATIENCE).capture_stdout() {
        Ok(ended) if ended.status.success() => Ok(Some(ended.text().trim().to_owned())),
        Ok(_) | Err(ProcessError::Start { .. } | ProcessError::TimedOut { .. }) => Ok(None),
        Err(interrupted) => Err(interrupted),
    }
}

/// A program counts only where it exists; without any, make's own choice stands.
fn decide(config: &KernelConfig, hints: Hints<'_>, exists: &dyn Fn(&str) -> bool) -> Toolchain {
    let clang = config.get("CONFIG_CC_IS_CLANG") == Some("y") || hints.image_is_clangs;
    let first_word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let from_variables = hints.variables_cc.map(str::to_owned);
    let from_config = config.get("CONFIG_CC_VERSION_TEXT").map(first_word);
    let candidates = [from_variables, from_config, clang.then(|| "clang".to_owned())];
    let cc = candidates.into_iter().flatten().filter(|cc| cc.contains("clang") == clang).find(|cc| {
        // `ccache /opt/gcc/bin/gcc` is two programs.
        let mut further = cc.split_whitespace().skip(1).filter(|word| word.starts_with('/'));
        exists(&first_word(cc)) && further.all(exists)
    });
    let lld = config.get("CONFIG_LD_IS_LLD") == Some("y") && exists("ld.lld");
    Toolchain { cc, clang, lld, ..Toolchain::default() }
}

/// `CC` of the headers' `.kernelvariables`, a make fragment that only make can read.
fn variables_cc(
    path: &Path,
    headers: &Path,
    environment: &Environment,
) -> Result<Option<String>, ProcessError> {
    const SHOW: &str =
        "dkms-show-cc:;@:$(info $(if $(filter-out default undefined,$(origin CC)),$(strip $(CC))))";
    // The caller's own choice doesn't count.
    let mut environment = environment.clone();
    ["CC", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES"].iter().for_each(|name| environment.unset(name));
    let path = path.to_string_lossy();
    let args = ["-s", "--no-print-directory", "-f", &path, "--eval", SHOW, "dkms-show-cc"];
    let process = Process::new("make", args, &environment).dir(headers).time_limit(PATIENCE);
    match process.capture_stdout() {
        Ok(ended) if ended.status.success() => {
            Ok(Some(ended.text().trim().to_owned()).filter(|value| !value.is_empty()))
        }
        // Without make, or with a broken fragment, the build itself will say so.
        Ok(_) | Err(ProcessError::Start { .. } | ProcessError::TimedOut { .. }) => Ok(None),
        Err(interrupted) => Err(interrupted),
    }
}

/// Whether the compilers' marks in a kernel image name clang. An image that can't be read says nothing.
fn image_is_clangs(vmlinux: &Path) -> bool {
    let Ok(file) = fs::open(vmlinux) else { return false };
    let Ok(mut image) = ElfStream::<AnyEndian, _>::open_stream(file) else { return false };
    let Ok(Some(section)) = image.section_header_by_name(".comment").map(Option::<&_>::copied) else {
        return false;
    };
    let comment = image.section_data(&section);
    comment.is_ok_and(|(bytes, _)| bytes.windows(5).any(|window| window == b"clang"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> KernelConfig {
        KernelConfig { path: None, options: KernelConfig::parse_options(text) }
    }

    fn decided(
        config_text: &str,
        variables_cc: Option<&str>,
        programs: &[&str],
    ) -> (Option<String>, bool, bool) {
        let hints = Hints { variables_cc, image_is_clangs: false };
        let toolchain = decide(&config(config_text), hints, &|program| programs.contains(&program));
        (toolchain.cc, toolchain.clang, toolchain.lld)
    }

    #[test]
    fn the_compiler_is_the_kernels_where_it_exists() {
        let gcc12 = "CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0) 12.2.0\"\n";
        let all = ["gcc-12", "gcc-14", "ccache", "clang", "ld.lld"];
        let plain = |cc: &str| (Some(cc.to_owned()), false, false);
        assert_eq!(decided("", None, &all), (None, false, false));
        assert_eq!(decided(gcc12, None, &all), plain("gcc-12"));
        assert_eq!(decided(gcc12, None, &["gcc"]), (None, false, false));
        assert_eq!(decided(gcc12, Some("gcc-14"), &all), plain("gcc-14"));
        assert_eq!(decided(gcc12, Some("ccache gcc-14"), &all), plain("ccache gcc-14"));
        assert_eq!(decided(gcc12, Some("nosuch"), &all), plain("gcc-12"));
    }

    #[test]
    fn clang_and_lld_are_told_by_the_configuration() {
        let clang =
            "CONFIG_CC_VERSION_TEXT=\"Debian clang version 14\"\nCONFIG_CC_IS_CLANG=y\nCONFIG_LD_IS_LLD=y\n";
        assert_eq!(decided(clang, None, &["clang", "ld.lld"]), (Some("clang".into()), true, true));
        assert_eq!(decided(clang, Some("gcc-12"), &["gcc-12", "clang"]), (Some("clang".into()), true, false));
        assert_eq!(
            decided(clang, Some("clang-14"), &["clang-14", "clang"]),
            (Some("clang-14".into()), true, false)
        );
        assert_eq!(decided(clang, None, &[]), (None, true, false));
    }

    /// The compiler, and how it reaches a kernel for 64-bit ARM from 32-bit programs.
    fn from_arm(cc: Option<&str>, clang: bool, programs: &[&str], target: &str) -> (String, Reach) {
        let toolchain = Toolchain { cc: cc.map(str::to_owned), clang, ..Toolchain::default() };
        let programs = Programs {
            exists: &|program| programs.contains(&program),
            target: &|_| Ok((!target.is_empty()).then(|| target.to_owned())),
        };
        let headers = Path::new("/usr/src/linux-headers-6.12.25+rpt-rpi-v8");
        let found = across(toolchain, Machine::Arm64, Machine::Arm, headers, &programs).unwrap();
        (found.cc.clone().unwrap_or_default() + " " + &found.strip(), found.reach)
    }

    #[test]
    fn a_64_bit_kernel_under_32_bit_programs_needs_its_own_compiler() {
        let cross = Reach::Cross { prefix: "aarch64-linux-gnu-".to_owned(), arch: "arm64" };
        let both = ["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc-12"];
        let strip = "aarch64-linux-gnu-strip";
        let found = from_arm(Some("gcc-12"), false, &both, "");
        assert_eq!(found, (format!("aarch64-linux-gnu-gcc-12 {strip}"), cross.clone()));
        // The kernel was itself built across.
        let found = from_arm(Some("aarch64-linux-gnu-gcc-12"), false, &both, "");
        assert_eq!(found, (format!("aarch64-linux-gnu-gcc-12 {strip}"), cross.clone()));
        let found = from_arm(None, false, &both, "");
        assert_eq!(found, (format!("aarch64-linux-gnu-gcc {strip}"), cross.clone()));
        assert_eq!(from_arm(Some("clang"), true, &[], ""), ("clang llvm-strip".to_owned(), cross));
        // The compiler may be for the kernel's machine already.
        assert_eq!(from_arm(Some("gcc-12"), false, &[], "aarch64-linux-gnu").1, Reach::Native);
        let (_, reach) = from_arm(Some("gcc-12"), false, &[], "arm-linux-gnueabihf");
        let Reach::Missing(missing) = reach else { panic!("{reach:?}") };
        let text = missing.to_string();
        for part in ["rpi-v8", "is for aarch64", "for arm-linux-gnueabihf", "`aarch64-linux-gnu-gcc`"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(missing.remedy().contains("`gcc-aarch64-linux-gnu`"));
    }

    #[test]
    fn one_compiler_serves_both_machines_of_x86() {
        let programs = Programs { exists: &|_| false, target: &|_| panic!("nothing is asked") };
        let of = |machine, userland| {
            across(Toolchain::default(), machine, userland, Path::new("/h"), &programs).unwrap().reach
        };
        assert_eq!(of(Machine::X86_64, Machine::X86), Reach::Native);
        assert_eq!(of(Machine::X86_64, Machine::X86_64), Reach::Native);
    }

    #[test]
    fn make_reads_the_fragment() {
        let dir = tempfile::tempdir().unwrap();
        let fragment = dir.path().join(".kernelvariables");
        let environment: Environment = [("PATH", "/usr/bin:/bin"), ("CC", "callers")].into_iter().collect();
        let cc = |text: &str| {
            fs::write_whole(&fragment, text.as_bytes(), 0o644).unwrap();
            variables_cc(&fragment, dir.path(), &environment).unwrap()
        };
        assert_eq!(cc("CC = $(shell echo gcc)-$(words a b)\n").as_deref(), Some("gcc-2"));
        assert_eq!(cc("LD = $(shell echo ld)\n"), None);
        assert_eq!(cc("CC ?= gcc\nendif\n"), None);
        assert_eq!(cc("CC = gcc-12 # ours\n").as_deref(), Some("gcc-12"));
    }

    #[test]
    fn root_runs_nothing_of_headers_that_another_user_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let (headers, mark) = (dir.path().join("linux"), dir.path().join("mark"));
        let compiler = headers.join("gcc");
        fs::create_dir_all(&headers).unwrap();
        fs::write_whole(&compiler, b"", 0o755).unwrap();
        let fragment = format!("CC = gcc-12\nX := $(shell touch {})\n", mark.display());
        fs::write_whole(&headers.join(".kernelvariables"), fragment.as_bytes(), 0o644).unwrap();
        let config = config(&format!("CONFIG_CC_VERSION_TEXT=\"{} 12\"\n", compiler.display()));
        let bin = dir.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write_whole(&bin.join("gcc-12"), b"", 0o755).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let environment: Environment = [("PATH", path)].into_iter().collect();
        let found = || look(&headers, &config, &environment).unwrap();
        fs::give_to(&headers, 12345, 12345);
        let bobs = found();
        assert!((bobs.cc.is_none(), fs::exists(&mark)) == (true, false), "{bobs:?}");
        let named: Vec<_> = bobs.unasked.iter().map(|fault| fault.path.clone()).collect();
        assert_eq!(named, [headers.join(".kernelvariables"), compiler]);
        fs::give_to(&headers, 0, 0);
        let ours = found();
        assert_eq!((ours.cc.as_deref(), ours.unasked.len(), fs::exists(&mark)), (Some("gcc-12"), 0, true));
    }

    #[test]
    fn a_mark_of_clang_in_the_image_counts() {
        let dir = tempfile::tempdir().unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let script = "echo 'int x;' > x.c && gcc -c x.c -o vmlinux && printf 'Debian clang version 14\\0' > mark && \
                      objcopy --remove-section .comment";
        let run = |line: &str| {
            let ended = Process::shell(line, &environment).dir(dir.path()).capture().unwrap();
            assert!(ended.status.success(), "{}", ended.text());
        };
        run(&format!("{script} vmlinux"));
        assert!(!look(dir.path(), &KernelConfig::default(), &environment).unwrap().clang);
        run(&format!("{script} --add-section .comment=mark vmlinux"));
        assert!(look(dir.path(), &KernelConfig::default(), &environment).unwrap().clang);
        fs::write_whole(&dir.path().join("vmlinux"), b"\x7fELF\x02\x01\x01broken", 0o644).unwrap();
        assert!(!image_is_clangs(&dir.path().join("vmlinux")));
    }
}
