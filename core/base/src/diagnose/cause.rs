//! From an error to what is behind it, and what helps. Text in, text out.

use super::error::{LogError, missing_program};
use super::loader::{Unrunnable, unrunnable};
use super::packages::{package_of, package_with};

/// What helps if a module is built for another kernel than the one that was asked for.
pub const PASS_THE_KERNEL: &str =
    "MAKE in dkms.conf must build in `$kernel_source_dir`, or pass `$kernelver` to the Makefile";

/// A cause that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The disk is full.
    DiskFull,
    /// A compiler was killed, probably because memory ran out.
    Killed,
    /// The compiler crashed.
    CompilerCrash,
    /// A program is not installed.
    MissingTool {
        /// Which.
        tool: String,
    },
    /// A program of the kernel's own headers is not there.
    MissingKernelTool {
        /// Which.
        tool: String,
    },
    /// A program is there, and a shared library that it needs is not.
    MissingSharedLibrary {
        /// Which program.
        program: String,
        /// Which library.
        library: String,
    },
    /// A program was built for a system whose libraries are newer than those that are there.
    OlderLibrary {
        /// Which program.
        program: String,
        /// The version that it needs, like `GLIBC_2.38`.
        version: String,
    },
    /// A program was built for another kind of machine.
    OtherMachine {
        /// Which.
        program: String,
    },
    /// A library that the kernel's build needs is not installed.
    MissingLibrary {
        /// Which.
        library: &'static str,
    },
    /// Another compiler than the one that the kernel was built with.
    WrongCompiler {
        /// What this one doesn't know.
        option: String,
    },
    /// The headers are not configured, or not all there.
    HeadersIncomplete,
    /// The kernel's interface is another than the one that the module was written for.
    KernelInterface,
    /// A header of another package or module is not there.
    MissingHeader {
        /// Which.
        header: String,
    },
    /// A symbol that only GPL modules may use.
    GplOnly {
        /// Which.
        symbol: String,
    },
    /// A symbol that neither the kernel nor a module that was named exports.
    UndefinedSymbol {
        /// Which.
        symbol: String,
    },
    /// Nothing says the module's license.
    NoLicense,
    /// The type information of the kernel could not be made or read.
    Btf,
    /// A warning that the module treats as an error.
    WarningAsError,
    /// A patch was made for another version of the source.
    PatchMismatch,
    /// A key or certificate could not be read.
    Certificate,
    /// A program of the module is not executable.
    NotExecutable,
    /// A script's first line names a program that is not there.
    NoInterpreter,
    /// Programs can't be run from the file system that the build folder is on.
    NoExec {
        /// The folder.
        folder: String,
    },
    /// A file may not be read or written.
    Unreadable,
    /// A program is there, and the build can't see it.
    HiddenTool {
        /// Where it is.
        path: String,
    },
    /// A file is there, and the build can't see it.
    HiddenFile {
        /// Where it is.
        path: String,
    },
    /// What is written to can only be read, outside the build's own folder.
    ReadOnly,
    /// There is no Makefile where make was sent.
    NoMakefile,
    /// The build looked for the headers of another kernel than the one that it is for.
    OtherKernel {
        /// That other one.
        release: String,
    },
}

impl Cause {
    /// Whether it lies in the system around the build, where it may change without a trace in what is built.
    #[must_use]
    pub fn is_of_the_system(&self) -> bool {
        match self {
            Self::DiskFull
            | Self::Killed
            | Self::CompilerCrash
            | Self::MissingTool { .. }
            | Self::MissingSharedLibrary { .. }
            | Self::OlderLibrary { .. }
            | Self::OtherMachine { .. }
            | Self::OtherKernel { .. }
            | Self::MissingLibrary { .. }
            | Self::MissingHeader { .. }
            | Self::NotExecutable
            | Self::NoInterpreter
            | Self::NoExec { .. }
            | Self::Unreadable
            | Self::HiddenTool { .. }
            | Self::HiddenFile { .. } => true,
            Self::MissingKernelTool { .. }
            | Self::WrongCompiler { .. }
            | Self::HeadersIncomplete
            | Self::KernelInterface
            | Self::GplOnly { .. }
            | Self::UndefinedSymbol { .. }
            | Self::NoLicense
            | Self::Btf
            | Self::WarningAsError
            | Self::PatchMismatch
            | Self::Certificate
            | Self::ReadOnly
            | Self::NoMakefile => false,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DiskFull => f.write_str("the disk is full"),
            Self::Killed => f.write_str("a process of the build was killed, probably because memory ran out"),
            Self::CompilerCrash => f.write_str("the compiler crashed"),
            Self::MissingTool { tool } => write!(f, "the program `{tool}` is not installed, or not in PATH"),
            Self::MissingKernelTool { tool } => {
                write!(f, "the kernel's headers lack their own program `{tool}`")
            }
            Self::MissingSharedLibrary { program, library } => {
                write!(f, "`{program}` needs the shared library `{library}`, which is not installed")
            }
            Self::OlderLibrary { program, version } => {
                write!(f, "`{program}` was built for a newer system: this one's libraries lack `{version}`")
            }
            Self::OtherMachine { program } => {
                write!(f, "`{program}` was built for another kind of machine")
            }
            Self::MissingLibrary { library } => {
                write!(f, "the development files of {library} are not installed")
            }
            Self::WrongCompiler { option } => {
                write!(f, "the kernel was built by another compiler: this one does not support {option}")
            }
            Self::HeadersIncomplete => f.write_str("the kernel's headers are incomplete or not configured"),
            Self::KernelInterface => f.write_str(
                "most likely this kernel's interface differs from the one that the module was written for",
            ),
            Self::MissingHeader { header } => {
                write!(f, "the header `{header}` of another package or module is missing")
            }
            Self::GplOnly { symbol } => {
                write!(f, "the kernel offers `{symbol}` to modules under the GPL only")
            }
            Self::UndefinedSymbol { symbol } => {
                write!(
                    f,
                    "nothing exports `{symbol}`: this kernel does not, nor does a module that was named"
                )
            }
            Self::NoLicense => f.write_str("the module has no MODULE_LICENSE"),
            Self::Btf => f.write_str("the kernel's type information (BTF) could not be made or read"),
            Self::WarningAsError => f.write_str("the compiler's warnings count as errors in this module"),
            Self::PatchMismatch => f.write_str("the patch was made for another version of the source"),
            Self::Certificate => f.write_str("a key or certificate could not be read"),
            Self::NotExecutable => f.write_str("a program of the module is not executable"),
            Self::NoInterpreter => {
                f.write_str("the first line of a script (`#!…`) names a program that is not there")
            }
            Self::NoExec { folder } => {
                write!(f, "no program can be run from `{folder}`: its file system is mounted noexec")
            }
            Self::Unreadable => f.write_str("the build user may not read or write a file"),
            Self::HiddenTool { path } => {
                write!(f, "the program `{path}` exists, but the build cannot see it")
            }
            Self::HiddenFile { path } => {
                write!(f, "`{path}` exists, but the sandbox hides it from the build")
            }
            Self::ReadOnly => f.write_str("the build writes outside its own folder, where it may only read"),
            Self::OtherKernel { release } => write!(
                f,
                "the build looks for kernel {release} and not for its own: most likely its Makefile asks for the kernel that runs (`uname -r`)"
            ),
            Self::NoMakefile => f.write_str("make found no Makefile, or no such target in it"),
        }
    }
}

impl Cause {
    /// What helps.
    #[must_use]
    pub fn remedy(&self) -> String {
        const NEWER: &str = "install a version of the module that supports this kernel";
        match self {
            Self::DiskFull => "free space on the disk, then build again".to_owned(),
            Self::Killed => "add memory or swap, or build with fewer jobs: `-j1`".to_owned(),
            Self::CompilerCrash => "build again; if it crashes at the same place, install another version of the compiler, otherwise test the memory".to_owned(),
            Self::MissingTool { tool } => format!("install the package {}", package_of(tool)),
            Self::MissingKernelTool { .. } | Self::HeadersIncomplete => {
                "reinstall this kernel's headers package".to_owned()
            }
            Self::MissingSharedLibrary { library, .. } => {
                format!("install the package {}", package_with(library))
            }
            Self::OlderLibrary { .. } => {
                "install the headers package that was built for this release of the system".to_owned()
            }
            Self::OtherMachine { .. } => {
                "install the headers package for the machine that builds, which has programs for it".to_owned()
            }
            Self::MissingLibrary { library } => match *library {
                "libelf" => "install the package `libelf-dev` (`elfutils-libelf-devel`, `libelf`)".to_owned(),
                _ => "install the package `libssl-dev` (`openssl-devel`, `openssl`)".to_owned(),
            },
            Self::WrongCompiler { .. } => {
                "install the compiler that /proc/version or CONFIG_CC_VERSION_TEXT names".to_owned()
            }
            Self::KernelInterface | Self::NoLicense => NEWER.to_owned(),
            Self::MissingHeader { .. } => {
                "install what provides it; BUILD_DEPENDS names other modules".to_owned()
            }
            Self::GplOnly { .. } => "ask the author of the module; no setting changes this".to_owned(),
            Self::UndefinedSymbol { .. } => {
                format!("if another module exports it, build that one first; otherwise {NEWER}")
            }
            Self::Btf => {
                "install `pahole` (package `dwarves`) in the version of the kernel's makers".to_owned()
            }
            Self::WarningAsError => format!("{NEWER}, or take `-Werror` out of its Makefile"),
            Self::PatchMismatch => "correct the patch, or PATCH and PATCH_MATCH in dkms.conf".to_owned(),
            Self::Certificate => {
                "compare `mok_signing_key` and `mok_certificate` in framework.conf".to_owned()
            }
            Self::NotExecutable => {
                "make it executable in the module's source (`chmod +x`), and add the module again".to_owned()
            }
            Self::NoInterpreter => {
                "install that program; if the script has Windows line ends, `sed -i 's/\\r$//' SCRIPT` takes them away"
                    .to_owned()
            }
            Self::NoExec { .. } => {
                "mount it with `exec`, or move the tree: `dkms_tree` in framework.conf".to_owned()
            }
            Self::Unreadable => {
                "compare the owner and mode of the file, and of the folders above it, with the build user".to_owned()
            }
            Self::HiddenTool { .. } => {
                "install it where all users can run it, or name the module in `sandbox_exempt` in framework.conf"
                    .to_owned()
            }
            Self::HiddenFile { .. } => {
                "copy it into the source, or name the module in `sandbox_exempt` in framework.conf".to_owned()
            }
            Self::ReadOnly => {
                "have it write to its own folder; or name the module in `sandbox_exempt` in framework.conf"
                    .to_owned()
            }
            Self::OtherKernel { .. } => PASS_THE_KERNEL.to_owned(),
            Self::NoMakefile => "compare MAKE in dkms.conf with the module's source".to_owned(),
        }
    }
}

/// What is behind the first error, or behind what the lines say besides.
pub(super) fn of(first: Option<&LogError>, lines: &[&str]) -> Option<Cause> {
    let any = |part: &str| lines.iter().any(|line| line.contains(part));
    // These have all kinds of first errors.
    if any("No space left on device") || any("Disk quota exceeded") {
        return Some(Cause::DiskFull);
    }
    if lines.iter().any(|line| {
        line.contains("Killed signal terminated program") || *line == "Killed" || line.ends_with("] Killed")
    }) {
        return Some(Cause::Killed);
    }
    if any("internal compiler error: ") || any("clang frontend command failed") {
        return Some(Cause::CompilerCrash);
    }
    if any("libelf-dev") || any("gelf.h: No such file") || any("libelf.h: No such file") {
        return Some(Cause::MissingLibrary { library: "libelf" });
    }
    if any("openssl/opensslv.h: No such file") || any("openssl/bio.h: No such file") {
        return Some(Cause::MissingLibrary { library: "OpenSSL" });
    }
    if any("Kernel configuration is invalid") {
        return Some(Cause::HeadersIncomplete);
    }
    let named =
        first.and_then(|error| tool(&error.text).or_else(|| source(error)).or_else(|| link(&error.text)));
    // What could not be written is missed later, by a message that does not name the reason.
    let read_only = || any(": Read-only file system").then_some(Cause::ReadOnly);
    named.or_else(read_only).or_else(|| rest(&first?.text))
}

fn tool(text: &str) -> Option<Cause> {
    if let Some(option) = unknown_option(text) {
        return Some(Cause::WrongCompiler { option });
    }
    if let Some(unrunnable) = unrunnable(text) {
        return Some(match unrunnable {
            Unrunnable::Lacks { program, library } => {
                Cause::MissingSharedLibrary { program: program.to_owned(), library: library.to_owned() }
            }
            Unrunnable::IsNewer { program, version } => {
                Cause::OlderLibrary { program: program.to_owned(), version: version.to_owned() }
            }
            Unrunnable::IsOther { program } => Cause::OtherMachine { program: program.to_owned() },
        });
    }
    let tool = missing_program(text)?.to_owned();
    let of_the_kernel =
        ["objtool", "modpost", "fixdep", "genksyms", "resolve_btfids", "recordmcount", "sign-file"];
    let name = tool.rsplit('/').next().unwrap_or(&tool);
    Some(if of_the_kernel.contains(&name) || tool.contains("/scripts/") {
        Cause::MissingKernelTool { tool }
    } else {
        Cause::MissingTool { tool }
    })
}

/// An option or plugin that only the kernel's own compiler takes.
fn unknown_option(text: &str) -> Option<String> {
    let compiler_does_not = [
        "unrecognized command-line option",
        "unrecognized command line option",
        "unrecognized argument in option",
        "unknown argument",
        "unsupported option",
        "unsupported argument",
    ];
    if compiler_does_not.iter().any(|part| text.contains(part)) {
        return Some(quoted(text).map_or_else(|| "an option".to_owned(), |option| format!("`{option}`")));
    }
    let plugin = text.contains("cannot load plugin") || text.contains("incompatible gcc/plugin versions");
    plugin.then(|| "its plugins".to_owned())
}

/// The first word that a compiler has put in quotes.
fn quoted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(['‘', '\'', '"', '`'])?;
    rest.split(['’', '\'', '"']).next().filter(|word| !word.is_empty())
}

/// What the compiler says of the source.
fn source(error: &LogError) -> Option<Cause> {
    let text = error.text.as_str();
    if let Some(header) =
        text.strip_suffix(": No such file or directory").or_else(|| text.strip_suffix(" file not found"))
    {
        let header = quoted(header).unwrap_or(header);
        let kernels = [
            "linux/",
            "asm/",
            "asm-generic/",
            "drm/",
            "net/",
            "media/",
            "sound/",
            "scsi/",
            "uapi/",
            "crypto/",
        ];
        return error.line.is_some().then(|| {
            if kernels.iter().any(|folder| header.starts_with(folder)) {
                Cause::KernelInterface
            } else {
                Cause::MissingHeader { header: header.to_owned() }
            }
        });
    }
    let interface = [
        "implicit declaration of function",
        "call to undeclared function",
        "has no member named",
        "no member named",
        "too few arguments",
        "too many arguments",
        "incompatible pointer type",
        "incompatible function pointer type",
        "incompatible type",
        "unknown type name",
        "undeclared (first use",
        "use of undeclared identifier",
        "undeclared here",
        "invalid use of undefined type",
        "incomplete type",
        "storage size of",
        "conflicting types for",
        "passing argument",
        "void value not ignored",
        "declared ‘static’ but never defined",
        "static declaration of",
        "redefinition of",
        "redeclared as",
    ];
    let macro_arguments = text.starts_with("macro ") && text.contains(" arguments, but takes ");
    if macro_arguments || interface.iter().any(|part| text.contains(part)) {
        return Some(Cause::KernelInterface);
    }
    text.contains("[-Werror").then_some(Cause::WarningAsError)
}

/// What modpost and the linker say.
fn link(text: &str) -> Option<Cause> {
    let symbol = || quoted(text).unwrap_or("a symbol").to_owned();
    if text.contains("GPL-only symbol") {
        // The symbol is the last word in quotes.
        let symbol = text.trim_end_matches('\'').rsplit('\'').next().unwrap_or("a symbol").to_owned();
        return Some(Cause::GplOnly { symbol });
    }
    if text.ends_with(" undefined!") || text.contains("undefined reference to") {
        return Some(Cause::UndefinedSymbol { symbol: symbol() });
    }
    if text.contains("missing MODULE_LICENSE()") {
        return Some(Cause::NoLicense);
    }
    text.contains("but does not import it").then_some(Cause::KernelInterface)
}

/// The kernel whose folder an error names, if it is not this one.
pub(super) fn other_kernel(error: &LogError, kernel: &str) -> Option<Cause> {
    let place = error.file.iter().map(String::as_str).chain([error.text.as_str()]);
    let named = place.flat_map(|text| text.split("/lib/modules/").skip(1));
    let release = named.filter_map(|rest| rest.split_once('/')).map(|(release, _)| release);
    let is_release = |release: &&str| release.starts_with(|c: char| c.is_ascii_digit());
    let other = release.filter(is_release).find(|release| *release != kernel)?;
    Some(Cause::OtherKernel { release: other.to_owned() })
}

fn rest(text: &str) -> Option<Cause> {
    if text.contains("BTF") || text.contains("pahole") {
        return Some(Cause::Btf);
    }
    if text.starts_with("Hunk #")
        || text.contains("can't find file to patch")
        || text.starts_with("patch: ****")
    {
        return Some(Cause::PatchMismatch);
    }
    if text.contains("SSL error:") {
        return Some(Cause::Certificate);
    }
    if super::error::names_no_interpreter(text) {
        return Some(Cause::NoInterpreter);
    }
    if super::error::is_not_executable(text) {
        return Some(Cause::NotExecutable);
    }
    if text.ends_with(": Permission denied") {
        return Some(Cause::Unreadable);
    }
    if text.contains("include/config/auto.conf") {
        return Some(Cause::HeadersIncomplete);
    }
    if text.starts_with("No rule to make target") || text.starts_with("No targets specified") {
        return Some(Cause::NoMakefile);
    }
    None
}
