//! The machine that a kernel is for, as the kernel itself says: its configuration, or its modules. The
//! programs around it may be for another one: Raspberry Pi OS runs a 64-bit kernel under 32-bit programs.

use std::path::Path;

use crate::modfile::{self, ModuleFile};
use dkms_base::host::fs;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;

use super::{KernelConfig, facts};

/// A kind of machine that kernels are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as the kernel names it")]
pub enum Machine {
    X86_64,
    X86,
    Arm64,
    Arm,
    Ppc64Le,
    Ppc64,
    Ppc,
    RiscV64,
    RiscV32,
    S390X,
    LoongArch64,
}

/// What is known of each: the word of `uname -m`, kbuild's word, the compiler's, `e_machine` of ELF, whether
/// its ELF files are those of 64 bits, and whether they begin with the lowest byte.
const TABLE: [(Machine, &str, &str, &str, u16, bool, bool); 11] = [
    (Machine::X86_64, "x86_64", "x86", "x86_64-linux-gnu", 62, true, true),
    (Machine::X86, "i686", "x86", "i686-linux-gnu", 3, false, true),
    (Machine::Arm64, "aarch64", "arm64", "aarch64-linux-gnu", 183, true, true),
    (Machine::Arm, "armv7l", "arm", "arm-linux-gnueabihf", 40, false, true),
    (Machine::Ppc64Le, "ppc64le", "powerpc", "powerpc64le-linux-gnu", 21, true, true),
    (Machine::Ppc64, "ppc64", "powerpc", "powerpc64-linux-gnu", 21, true, false),
    (Machine::Ppc, "ppc", "powerpc", "powerpc-linux-gnu", 20, false, false),
    (Machine::RiscV64, "riscv64", "riscv", "riscv64-linux-gnu", 243, true, true),
    (Machine::RiscV32, "riscv32", "riscv", "riscv32-linux-gnu", 243, false, true),
    (Machine::S390X, "s390x", "s390", "s390x-linux-gnu", 22, true, false),
    (Machine::LoongArch64, "loongarch64", "loongarch", "loongarch64-linux-gnu", 258, true, true),
];

impl Machine {
    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str, u16, bool, bool) {
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }

    /// As `uname -m` prints it; where it prints several words for one machine, the usual one.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// `ARCH` of the kernel's make.
    #[must_use]
    pub fn kbuild(self) -> &'static str {
        self.row().2
    }

    /// What the programs of the GNU compiler for it are named after.
    #[must_use]
    pub fn triplet(self) -> &'static str {
        self.row().3
    }

    /// The machine that this runs on, as the running kernel says.
    #[must_use]
    pub fn running() -> Option<Self> {
        Self::named(&rustix::system::uname().machine().to_string_lossy())
    }

    /// By a word of `uname -m`, or the first part of a compiler's name for its target.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "x86_64" | "amd64" => Self::X86_64,
            "i386" | "i486" | "i586" | "i686" | "x86" => Self::X86,
            "aarch64" | "arm64" => Self::Arm64,
            "ppc64le" | "powerpc64le" => Self::Ppc64Le,
            "ppc64" | "powerpc64" => Self::Ppc64,
            "ppc" | "powerpc" => Self::Ppc,
            "riscv64" => Self::RiscV64,
            "riscv32" => Self::RiscV32,
            "s390x" => Self::S390X,
            "loongarch64" => Self::LoongArch64,
            // `armv7l`, `armv6l`; a 64-bit kernel reports `armv8l` to a 32-bit program.
            _ if word.starts_with("arm") => Self::Arm,
            _ => return None,
        })
    }

    /// As a kernel's configuration says.
    #[must_use]
    pub fn of_config(config: &KernelConfig) -> Option<Self> {
        let is = |option: &str| config.get(option) == Some("y");
        let either = |condition: &str, yes: Self, no: Self| if is(condition) { yes } else { no };
        Some(match () {
            () if is("CONFIG_X86") => either("CONFIG_X86_64", Self::X86_64, Self::X86),
            () if is("CONFIG_ARM64") => Self::Arm64,
            () if is("CONFIG_ARM") => Self::Arm,
            () if is("CONFIG_PPC64") => either("CONFIG_CPU_LITTLE_ENDIAN", Self::Ppc64Le, Self::Ppc64),
            () if is("CONFIG_PPC32") => Self::Ppc,
            () if is("CONFIG_RISCV") => either("CONFIG_64BIT", Self::RiscV64, Self::RiscV32),
            () if is("CONFIG_S390") => Self::S390X,
            () if is("CONFIG_LOONGARCH") => Self::LoongArch64,
            () => return None,
        })
    }

    /// As the first bytes of an ELF file say.
    #[must_use]
    pub fn of_elf(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..20).filter(|head| head.starts_with(b"\x7fELF"))?;
        let (is_64, is_little) = (head[4] == 2, head[5] == 1);
        let machine = [head[18], head[19]];
        let machine = if is_little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
        let is =
            |row: &&(Self, _, _, _, u16, bool, bool)| (row.4, row.5, row.6) == (machine, is_64, is_little);
        TABLE.iter().find(is).map(|row| row.0)
    }

    /// As the kernel's own modules say, of which one is looked at.
    #[must_use]
    pub fn of_modules(kernel_dir: &Path) -> Option<Self> {
        let path = first_module(&kernel_dir.join("kernel"), 8)?;
        Self::of_elf(&modfile::content::begin(&path, 64).ok()?)
    }

    /// As whatever is there of a kernel says.
    #[must_use]
    pub fn of_kernel(kernel: &KernelRelease, layout: &Layout) -> Option<Self> {
        let config = facts::config_of(kernel, layout);
        Self::of_config(&config).or_else(|| Self::of_modules(&layout.kernel_dir(kernel)))
    }

    /// Whether a compiler for `self` makes code for `other` too, with an option that the kernel's make gives.
    #[must_use]
    pub fn compiles_for(self, other: Self) -> bool {
        self.kbuild() == other.kbuild()
    }
}

/// The first module below a folder; files come before folders.
pub(super) fn first_module(dir: &Path, depth: u8) -> Option<std::path::PathBuf> {
    let entries = fs::list(dir).ok()?;
    let is_module = |entry: &&fs::Entry| {
        entry.kind.is_file() && entry.name.to_str().is_some_and(|name| ModuleFile::from_name(name).is_some())
    };
    if let Some(module) = entries.iter().find(is_module) {
        return Some(dir.join(&module.name));
    }
    let folders = entries.iter().filter(|entry| entry.kind.is_dir() && depth > 0);
    folders.into_iter().find_map(|folder| first_module(&dir.join(&folder.name), depth - 1))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The first bytes of a module for a machine.
    pub(crate) fn elf(machine: Machine) -> Vec<u8> {
        let (.., number, is_64, is_little) = machine.row();
        let number = if *is_little { number.to_le_bytes() } else { number.to_be_bytes() };
        let mut bytes = b"\x7fELF".to_vec();
        bytes.extend([1 + u8::from(*is_64), 2 - u8::from(*is_little), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        bytes.extend(number);
        bytes
    }

    fn of_config(text: &str) -> Option<Machine> {
        Machine::of_config(&KernelConfig { path: None, options: KernelConfig::parse_options(text) })
    }

    #[test]
    fn configurations_tell_machines() {
        for (text, expected) in [
            ("CONFIG_64BIT=y\nCONFIG_X86_64=y\nCONFIG_X86=y\n", Some(Machine::X86_64)),
            ("CONFIG_X86_32=y\nCONFIG_X86=y\n", Some(Machine::X86)),
            ("CONFIG_ARM64=y\nCONFIG_64BIT=y\n", Some(Machine::Arm64)),
            ("CONFIG_ARM=y\n", Some(Machine::Arm)),
            ("CONFIG_PPC64=y\nCONFIG_CPU_LITTLE_ENDIAN=y\n", Some(Machine::Ppc64Le)),
            ("CONFIG_PPC64=y\n", Some(Machine::Ppc64)),
            ("CONFIG_RISCV=y\nCONFIG_64BIT=y\n", Some(Machine::RiscV64)),
            ("CONFIG_S390=y\nCONFIG_64BIT=y\n", Some(Machine::S390X)),
            ("CONFIG_SPARC64=y\nCONFIG_64BIT=y\n", None),
            ("", None),
        ] {
            assert_eq!(of_config(text), expected, "{text}");
        }
    }

    #[test]
    fn words_and_modules_tell_machines() {
        for (machine, word, .., triplet, _, _, _) in TABLE {
            assert_eq!(Machine::named(word), Some(machine));
            assert_eq!(Machine::named(triplet.split('-').next().unwrap()), Some(machine));
            assert_eq!(Machine::of_elf(&elf(machine)), Some(machine));
        }
        assert_eq!(Machine::named("armv8l"), Some(Machine::Arm));
        assert_eq!(Machine::of_elf(b"\x7fELF"), None);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Machine::of_modules(dir.path()), None);
        let folder = dir.path().join("kernel/drivers/net");
        fs::create_dir_all(&folder).unwrap();
        let packed = zstd::encode_all(elf(Machine::Arm64).as_slice(), 3).unwrap();
        fs::write_whole(&folder.join("a.ko.zst"), &packed, 0o644).unwrap();
        assert_eq!(Machine::of_modules(dir.path()), Some(Machine::Arm64));
    }
}
