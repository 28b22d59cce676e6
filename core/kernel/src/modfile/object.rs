//! What the ELF object of a module shows besides `.modinfo`: its machine, the symbols that it needs and
//! exports. Bytes in, plain data out; whether a kernel takes it is for `verify` to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Cursor, Read, Seek};

use elf::file::Class;
use elf::symbol::SymbolTable;

use super::ModuleInfo;
use super::budget::{Budget, NAME_LIMIT, TooManyNames};
use super::sections::Sections;
use super::sums;

/// The section that the kernel looks for to find `struct module`.
const THIS_MODULE: &str = ".gnu.linkonce.this_module";
/// The names of the exported symbols, each ended by NUL.
const EXPORTED_NAMES: &str = "__ksymtab_strings";
/// A symbol that this object doesn't define (`SHN_UNDEF`).
const UNDEFINED: u16 = 0;
/// A table of symbols (`SHT_SYMTAB`).
pub(super) const SYMBOLS: u32 = 2;
/// A symbol that may be missing (`STB_WEAK`).
const WEAK: u8 = 2;

/// The machine that code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// `e_machine`
    pub number: u16,
    /// `ELFCLASS64`, not `ELFCLASS32`
    pub is_64_bit: bool,
}

/// Machines by the name that `uname -m` prints, with `e_machine` and whether they have 64 bits.
const MACHINES: [(&str, u16, bool); 14] = [
    ("x86_64", 62, true),
    ("i686", 3, false),
    ("aarch64", 183, true),
    ("arm", 40, false),
    ("riscv64", 243, true),
    ("riscv32", 243, false),
    ("ppc64", 21, true),
    ("ppc", 20, false),
    ("s390x", 22, true),
    ("loongarch64", 258, true),
    ("loongarch32", 258, false),
    ("mips64", 8, true),
    ("mips", 8, false),
    ("sparc64", 43, true),
];

impl Machine {
    /// The machine of that name, as `uname -m` prints it; `None` for a name that isn't known.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = match name {
            "i386" | "i486" | "i586" => "i686",
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            "ppc64le" => "ppc64",
            _ if name.starts_with("armv") => "arm",
            _ => name,
        };
        let (_, number, is_64_bit) = MACHINES.into_iter().find(|(known, ..)| *known == name)?;
        Some(Self { number, is_64_bit })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known =
            MACHINES.iter().find(|(_, number, wide)| (*number, *wide) == (self.number, self.is_64_bit));
        match known {
            Some((name, ..)) => f.write_str(name),
            None => write!(f, "machine {} ({} bit)", self.number, if self.is_64_bit { 64 } else { 32 }),
        }
    }
}

/// A module file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleObject {
    /// The machine that it is for.
    pub machine: Machine,
    /// What `.modinfo` says.
    pub info: ModuleInfo,
    /// Symbols that something else must export; those that may be missing (weak ones) left out.
    pub needs: BTreeSet<String>,
    /// Symbols that it exports.
    pub exports: BTreeSet<String>,
    /// The CRCs that it expects of symbols, where it was built with `CONFIG_MODVERSIONS`.
    pub sums: BTreeMap<String, u32>,
    /// Whether it has a table of such CRCs, be it an empty one.
    pub has_versions: bool,
}

/// Why a file is no whole module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAModule {
    /// It has no bytes.
    #[error("is empty")]
    Empty,
    /// Its compression is broken.
    #[error("cannot be unpacked: {0}")]
    Packed(String),
    /// It is compressed as make left it: then it can be neither stripped nor signed.
    #[error("is compressed, and make must leave the module itself")]
    Compressed,
    /// Text.
    #[error("is a text file, not a module")]
    Text,
    /// No ELF file.
    #[error("is not an ELF file")]
    NotElf,
    /// It ends too early.
    #[error("is cut: {0}")]
    Cut(String),
    /// An ELF file that is linked to its end.
    #[error("is {0}, not a module")]
    Linked(&'static str),
    /// An object file that modpost has not made a module of.
    #[error("is an object file without the section `{0}`, not a module")]
    Section(&'static str),
    /// An ELF file whose parts contradict each other.
    #[error("is not a valid ELF file: {0}")]
    Invalid(String),
}

impl ModuleObject {
    /// Reads the (unpacked) bytes of a module file.
    ///
    /// # Errors
    /// [`NotAModule`] where they are not those of a whole module.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAModule> {
        Self::read(Cursor::new(bytes))
    }

    /// Reads what is needed of a module's unpacked bytes: its tables and some sections, each limited.
    ///
    /// # Errors
    /// [`NotAModule`] where they are not those of a whole module, or can't be read.
    pub fn read(reader: impl Read + Seek) -> Result<Self, NotAModule> {
        let mut file = Sections::open(reader)?;
        let modinfo = file.named(".modinfo")?.ok_or(NotAModule::Section(".modinfo"))?;
        file.find(THIS_MODULE).ok_or(NotAModule::Section(THIS_MODULE))?;
        let mut budget = Budget::default();
        let info = ModuleInfo::parse(&modinfo, &mut budget).map_err(too_many)?;
        drop(modinfo);
        let needs = needed(&mut file, &mut budget)?;
        let mut exports = BTreeSet::new();
        for name in file.named(EXPORTED_NAMES)?.unwrap_or_default().split(|byte| *byte == 0) {
            if name.len() >= NAME_LIMIT {
                return Err(long_name());
            }
            if !name.is_empty() {
                budget.take(name).map_err(too_many)?;
                exports.insert(String::from_utf8_lossy(name).into_owned());
            }
        }
        let machine = Machine { number: file.header.e_machine, is_64_bit: file.header.class == Class::ELF64 };
        let sums = sums::read(&mut file, &mut budget)?;
        let has_versions = sums::TABLES.iter().any(|name| file.find(name).is_some());
        Ok(Self { machine, info, needs, exports, sums, has_versions })
    }
}

pub(super) fn too_many(error: TooManyNames) -> NotAModule {
    NotAModule::Invalid(error.to_string())
}

/// The undefined symbols, without those that may be missing.
fn needed(
    file: &mut Sections<impl Read + Seek>,
    budget: &mut Budget,
) -> Result<BTreeSet<String>, NotAModule> {
    let mut needs = BTreeSet::new();
    let Some(table) = file.sections.iter().find(|section| section.sh_type == SYMBOLS).copied() else {
        return Ok(needs);
    };
    let linked = file.sections.get(table.sh_link as usize).copied();
    let linked = linked.ok_or_else(|| NotAModule::Invalid("its symbols have no names".to_owned()))?;
    let names = file.data(&linked, "symbol names")?;
    let symbols = file.data(&table, "symbols")?;
    let symbols = SymbolTable::new(file.header.endianness, file.header.class, &symbols);
    let undefined = symbols.iter().filter(|symbol| symbol.st_shndx == UNDEFINED && symbol.st_name != 0);
    for symbol in undefined.filter(|symbol| symbol.st_bind() != WEAK) {
        let name = name_at(&names, symbol.st_name as usize)?;
        if !is_of_the_linker(name) && !needs.contains(name) {
            budget.take(name.as_bytes()).map_err(too_many)?;
            needs.insert(name.to_owned());
        }
    }
    Ok(needs)
}

/// The name that begins at a place of a table. Its end isn't looked for beyond what a name may have: names
/// can overlap, and all of them could go to the table's end.
pub(super) fn name_at(names: &[u8], at: usize) -> Result<&str, NotAModule> {
    let bad = || NotAModule::Invalid("the name of a symbol is broken".to_owned());
    let rest = names.get(at..).ok_or_else(bad)?;
    let near = &rest[..rest.len().min(NAME_LIMIT)];
    let Some(end) = near.iter().position(|byte| *byte == 0) else { return Err(long_name()) };
    std::str::from_utf8(&near[..end]).map_err(|_| bad())
}

fn long_name() -> NotAModule {
    NotAModule::Invalid(format!("a symbol's name has {NAME_LIMIT} bytes or more"))
}

/// Symbols that no kernel exports, and that its module loader or linker provides.
fn is_of_the_linker(name: &str) -> bool {
    const NAMES: [&str; 3] = ["_GLOBAL_OFFSET_TABLE_", "__this_module", ".TOC."];
    // Register saving routines of powerpc, expolines of s390, which come with each module or from the linker.
    const PREFIXES: [&str; 10] = [
        "_restgpr_",
        "_savegpr_",
        "_restgpr0_",
        "_savegpr0_",
        "_restgpr1_",
        "_savegpr1_",
        "_restvr_",
        "_savevr_",
        "_rest32gpr_",
        "__s390_indirect_jump_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fabricated;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_module_needs_and_exports_is_read() {
        let made = Fabricated::new("vermagic=6.1.0-t SMP \0name=x\0")
            .needs(&["printk", "_GLOBAL_OFFSET_TABLE_"])
            .weak(&["may_be_missing"])
            .exports(&["x_one", "x_two"]);
        let object = ModuleObject::parse(&made.bytes()).unwrap();
        assert_eq!(object.machine, Machine::named("x86_64").unwrap());
        assert_eq!(object.info.kernel_release(), Some("6.1.0-t"));
        assert_eq!(object.needs, ["printk".to_owned()].into());
        assert_eq!(object.exports, ["x_one".to_owned(), "x_two".to_owned()].into());
        let other = ModuleObject::parse(&made.machine("aarch64").bytes()).unwrap();
        assert_eq!(other.machine.to_string(), "aarch64");
    }

    #[test]
    fn what_is_no_module_is_named() {
        let whole = Fabricated::new("name=x\0").bytes();
        let mut program = whole.clone();
        program[16] = 2;
        let cases: [(&[u8], &str); 7] = [
            (b"", "is empty"),
            (b"garbage", "is a text file, not a module"),
            (b"garbage\0\xff", "is not an ELF file"),
            (&whole[..whole.len() - 1], "is cut: the section table lies beyond its end"),
            (&whole[..70], "is cut: the section table lies beyond its end"),
            (&program, "is a program or a library, not a module"),
            (
                &Fabricated::new("name=x\0").without_this_module().bytes(),
                "is an object file without the section `.gnu.linkonce.this_module`, not a module",
            ),
        ];
        for (bytes, said) in cases {
            assert_eq!(ModuleObject::parse(bytes).unwrap_err().to_string(), said);
        }
        assert!(ModuleObject::parse(&[&whole[..], b"signature"].concat()).is_ok());
    }

    #[test]
    fn a_small_file_takes_little_memory_however_much_it_names() {
        let refused = |made: &Fabricated| ModuleObject::parse(&made.bytes()).unwrap_err().to_string();
        let plain = || Fabricated::new("name=x\0");
        let (longest, longer) = ("a".repeat(NAME_LIMIT - 1), "a".repeat(NAME_LIMIT));
        assert!(ModuleObject::parse(&plain().needs(&[&longest]).exports(&[&longest]).bytes()).is_ok());
        for made in [plain().needs(&[&longer]), plain().exports(&[&longer])] {
            assert_eq!(refused(&made), "is not a valid ELF file: a symbol's name has 512 bytes or more");
        }
        // Each alone would do.
        let half = format!("depends={}\0", "a,".repeat(300_000));
        assert!(ModuleObject::parse(&Fabricated::new(&half).bytes()).is_ok());
        for more in [half.clone(), "alias=a\0".repeat(300_000)] {
            assert!(refused(&Fabricated::new(half.clone() + &more)).contains("more names"));
        }
        let large = Fabricated::new(format!("vermagic={}\0", "a".repeat(17 << 20)));
        assert!(refused(&large).contains("its section `.modinfo` is larger"));
    }

    #[test]
    fn a_sparse_file_takes_no_memory_for_its_holes() {
        /// A reader that counts what is read from it.
        struct Counted<'a>(Cursor<&'a [u8]>, &'a std::cell::Cell<usize>, u64);
        impl Read for Counted<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let count = self.0.read(buffer)?;
                self.1.set(self.1.get() + count);
                Ok(count)
            }
        }
        impl Seek for Counted<'_> {
            fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
                match to {
                    std::io::SeekFrom::End(0) => Ok(self.2),
                    to => self.0.seek(to),
                }
            }
        }
        let bytes = Fabricated::new("name=x\0").needs(&["a"]).exports(&["b"]).bytes();
        let read = std::cell::Cell::new(0);
        let object = ModuleObject::read(Counted(Cursor::new(&bytes), &read, 512 << 20)).unwrap();
        assert_eq!(object, ModuleObject::parse(&bytes).unwrap());
        assert!(read.get() < 16 * bytes.len(), "{}", read.get());
    }

    #[test]
    fn machines_have_the_names_that_people_use() {
        for (name, shown) in
            [("armv7l", "arm"), ("ppc64le", "ppc64"), ("i586", "i686"), ("riscv64", "riscv64")]
        {
            assert_eq!(Machine::named(name).unwrap().to_string(), shown);
        }
        assert_eq!(Machine::named("pdp11"), None);
        assert_eq!(Machine { number: 4711, is_64_bit: true }.to_string(), "machine 4711 (64 bit)");
    }

    proptest! {
        #[test]
        fn hostile_objects_never_panic(
            cut in 0_usize..2000,
            changes in proptest::collection::vec((0_usize..2000, any::<u8>()), 0..8),
        ) {
            let mut bytes = Fabricated::new("name=x\0").needs(&["a"]).exports(&["b"]).bytes();
            let length = bytes.len();
            for (at, byte) in changes {
                bytes[at % length] = byte;
            }
            bytes.truncate(cut);
            if let Ok(object) = ModuleObject::parse(&bytes) {
                prop_assert!(object.needs.len() + object.exports.len() <= length);
            }
        }
    }
}
