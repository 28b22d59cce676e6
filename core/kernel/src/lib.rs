//! Facts of a kernel and of the distribution it runs on: looked at once, plain data afterwards.
//!
//! - `facts`: one look at a kernel ([`KernelFacts::look`]); its parts: `config`, [`module_tree`]
//! - `brought`: what the files of a package bring; `owner`: which package a kernel belongs to;
//!   [`prebuilt`]: modules that packages bring prebuilt
//! - [`available`]: which kernels the package manager has headers of; [`fetched`]: those in a folder
//! - [`upcoming`]: the kernel that the next upgrade brings
//! - [`published`]: in which version a distribution publishes it
//! - `machine`: what it is for; [`toolchain`]: what it was built with; asked for when
//!   something is to be built
//! - `kmod_conf`: the files of depmod.d and modprobe.d
//! - `distribution`: which system this is; what follows from it: `destination`,
//!   `architecture`, `headers_package`
//! - [`modfile`]: what a module file says of itself; [`initramfs`]: what an image holds of modules;
//!   [`newc`]: writes archives such as it is made of
//! - [`exports`]: the symbols that a kernel exports, from lists or from its image

use std::collections::BTreeMap;
use std::path::PathBuf;

use dkms_base::host::trusted::Fault;
use dkms_base::id::Target;

mod architecture;
pub mod available;
mod brought;
mod config;
mod destination;
mod distribution;
pub mod exports;
mod facts;
pub mod fetched;
mod headers_package;
pub mod initramfs;
mod kmod_conf;
mod machine;
pub mod manager;
pub mod modfile;
pub mod module_tree;
pub mod newc;
mod owner;
mod packed;
pub mod prebuilt;
pub mod published;
pub mod toolchain;
pub mod upcoming;
pub mod vermagic;

pub use architecture::{default_arch, running_kernel};
pub use brought::Brought;
pub use destination::{module_folder, without_steps_up};
pub use distribution::{Distribution, DistributionError, Family, Release};
pub use facts::{
    Overrides, default_kernels, has_headers, installed_kernels, is_left_over, is_of_this_system,
    running_kernel_here,
};
pub use headers_package::HeadersPackage;
pub use kmod_conf::kmod_conf;
pub use machine::Machine;
pub use module_tree::ModuleTree;
pub use owner::Owner;
pub use prebuilt::{Prebuilt, PrebuiltComing};

/// How the modules of a kernel are compressed, as the files below its folder are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// `.ko`
    None,
    /// `.ko.gz`
    Gzip,
    /// `.ko.xz`
    Xz,
    /// `.ko.zst`
    Zstd,
}

impl Compression {
    /// What follows `.ko`: empty, `.gz`, `.xz` or `.zst`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }
}

/// What a kernel was built with, so that its modules are too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler to export as `CC` and `KERNEL_CC`; `None`: make's own choice.
    pub cc: Option<String>,
    /// Built by clang: `LLVM=1` for make, `llvm-strip` for strip.
    pub clang: bool,
    /// Linked by `ld.lld`: exported as `LD` and `KERNEL_LD`.
    pub lld: bool,
    /// Whether this system's compiler makes code for the kernel's machine.
    pub reach: Reach,
    /// What the headers have or name and was not run to find this out, since another user may write it.
    pub unasked: Vec<Fault>,
}

impl Toolchain {
    /// The program that strips its modules.
    #[must_use]
    pub fn strip(&self) -> String {
        match &self.reach {
            _ if self.clang => "llvm-strip".to_owned(),
            Reach::Cross { prefix, .. } => format!("{prefix}strip"),
            Reach::Native | Reach::Missing(_) => "strip".to_owned(),
        }
    }
}

/// Whether the compiler of a system makes code for a kernel's machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// It does, or nothing is known of it.
    #[default]
    Native,
    /// It doesn't, and a compiler for that machine is there.
    Cross {
        /// What its programs' names begin with: `CROSS_COMPILE` of the kernel's make.
        prefix: String,
        /// `ARCH` of the kernel's make.
        arch: &'static str,
    },
    /// It doesn't, and no compiler for that machine is there.
    Missing(MissingCompiler),
}

/// A compiler that a kernel's machine needs, and that isn't there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "kernel {kernel} is for {}, and this system's compiler makes code for {compiler}: `{}gcc` is not installed",
    machine.word(),
    self.prefix()
)]
pub struct MissingCompiler {
    /// The kernel's release, as its headers say; else the folder of its headers.
    pub kernel: String,
    /// What the kernel is for.
    pub machine: Machine,
    /// What the compiler here is for, as it says.
    pub compiler: String,
}

impl MissingCompiler {
    /// What the names of the compiler's programs begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}-", self.machine.triplet())
    }

    /// Which package has it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let triplet = self.machine.triplet();
        format!(
            "install the compiler for it: the package `gcc-{triplet}` of Debian, Raspberry Pi OS, Ubuntu and Fedora, \
             `{triplet}-gcc` of Arch"
        )
    }
}

/// A kernel's configuration: `include/config/auto.conf` or `.config`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelConfig {
    /// The file; `None` where there is none.
    pub path: Option<PathBuf>,
    /// Values by option name (`CONFIG_MODULES` → `y`), quotes taken away.
    pub options: BTreeMap<String, String>,
}

impl KernelConfig {
    /// An option's value.
    #[must_use]
    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// Whether anything is known of it. What isn't known is not "no".
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.path.is_some()
    }

    /// Whether an option is `y` or `m`.
    #[must_use]
    pub fn is_enabled(&self, option: &str) -> bool {
        matches!(self.get(option), Some("y" | "m"))
    }
}

/// All that building and installing needs to know of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFacts {
    /// Which kernel.
    pub target: Target,
    /// Its folder, `/lib/modules/K`.
    pub module_dir: PathBuf,
    /// Whether that folder is there.
    pub module_dir_exists: bool,
    /// Where its headers are, or would be.
    pub headers: PathBuf,
    /// Whether `include/` is there below them.
    pub headers_usable: bool,
    /// Its configuration.
    pub config: KernelConfig,
    /// How its modules are compressed.
    pub compression: Compression,
    /// Whether it runs now.
    pub running: bool,
}
