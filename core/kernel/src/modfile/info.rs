//! What a module says of itself: the section `.modinfo` of its ELF file.

use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use elf::ElfStream;
use elf::endian::AnyEndian;

use crate::Compression;
use dkms_base::host::fs;

use super::ModfileError;
use super::budget::{Budget, SECTION_LIMIT, TooManyNames};
use super::canonical_name;
use super::content::{self, Anew, packing};
use super::whole::{has_small_tables, is_named};

/// The fields of `.modinfo` that we use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// `name`: the module's name as the kernel knows it.
    pub name: Option<String>,
    /// `version`
    pub version: Option<String>,
    /// `srcversion`: a sum over its source.
    pub srcversion: Option<String>,
    /// `vermagic`: the kernel that it was built for, and how.
    pub vermagic: Option<String>,
    /// `license`
    pub license: Option<String>,
    /// `description`
    pub description: Option<String>,
    /// `depends`: modules that it needs.
    pub depends: Vec<String>,
    /// `alias`: devices and names that it serves.
    pub aliases: Vec<String>,
    /// `import_ns`: namespaces of symbols that it may use.
    pub imports: Vec<String>,
}

impl ModuleInfo {
    /// Reads the section's bytes: `key=value`, each ended by NUL. Of a single-valued field the first
    /// counts, as with modinfo(8).
    ///
    /// # Errors
    /// [`TooManyNames`] if the dependencies and aliases go beyond the budget.
    pub fn parse(section: &[u8], budget: &mut Budget) -> Result<Self, TooManyNames> {
        let mut info = Self::default();
        for field in section.split(|byte| *byte == 0) {
            let field = String::from_utf8_lossy(field);
            let Some((key, value)) = field.split_once('=') else { continue };
            let single = match key {
                "name" => &mut info.name,
                "version" => &mut info.version,
                "srcversion" => &mut info.srcversion,
                "vermagic" => &mut info.vermagic,
                "license" => &mut info.license,
                "description" => &mut info.description,
                "depends" => {
                    for name in value.split(',').filter(|name| !name.is_empty()) {
                        budget.take(name.as_bytes())?;
                        info.depends.push(name.to_owned());
                    }
                    continue;
                }
                "alias" => {
                    budget.take(value.as_bytes())?;
                    info.aliases.push(value.to_owned());
                    continue;
                }
                "import_ns" => {
                    budget.take(value.as_bytes())?;
                    info.imports.push(value.to_owned());
                    continue;
                }
                _ => continue,
            };
            single.get_or_insert_with(|| value.to_owned());
        }
        Ok(info)
    }

    /// The kernel release that it was built for: the first word of `vermagic`.
    #[must_use]
    pub fn kernel_release(&self) -> Option<&str> {
        self.vermagic.as_deref()?.split(' ').next()
    }

    /// What `vermagic` says besides the release, its words separated by single blanks: SMP, preemption,
    /// `modversions` and the like.
    #[must_use]
    pub fn kernel_words(&self) -> Option<String> {
        let words: Vec<_> =
            self.vermagic.as_deref()?.split(' ').skip(1).filter(|word| !word.is_empty()).collect();
        Some(words.join(" "))
    }

    /// Whether its licence is one that the kernel gives GPL-only symbols to (`license_is_gpl_compatible` in
    /// include/linux/license.h of the kernel).
    #[must_use]
    pub fn is_gpl_compatible(&self) -> bool {
        const LICENCES: [&str; 6] =
            ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
        self.license.as_deref().is_some_and(|license| LICENCES.contains(&license))
    }

    /// Whether it may use the symbols of a namespace. One that begins with `module:` names
    /// the modules that may.
    #[must_use]
    pub fn may_use(&self, namespace: &str) -> bool {
        let own = self.name.as_deref().unwrap_or_default();
        match namespace.strip_prefix("module:") {
            Some(modules) => modules.split(',').any(|module| match module.trim().strip_suffix('*') {
                Some(beginning) => own.starts_with(&canonical_name(beginning)),
                None => own == canonical_name(module.trim()),
            }),
            None => self.imports.iter().any(|import| import == namespace),
        }
    }
}

/// Reads a module file's `.modinfo`; of one that isn't compressed only what is needed.
///
/// # Errors
/// [`ModfileError`] where it can't be read or is no module.
pub fn read_info(path: &Path) -> Result<ModuleInfo, ModfileError> {
    let mut file = fs::open(path)?;
    let mut head = [0; 6];
    let plain = file.read_exact(&mut head).is_err() || packing(&head) == Compression::None;
    let unpack = |source| ModfileError::Unpack { path: path.to_owned(), source };
    let packed = || content::unpacking(BufReader::new(fs::open(path).map_err(io::Error::other)?));
    let section = if plain {
        modinfo(file)
    } else {
        match packed().and_then(|reader| content::limited(reader, content::IN_MEMORY)) {
            Ok(bytes) => modinfo(Cursor::new(bytes)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                modinfo(Anew::open(path).map_err(unpack)?)
            }
            Err(error) => return Err(unpack(error)),
        }
    };
    let info = section.and_then(|section| {
        ModuleInfo::parse(&section, &mut Budget::default()).map_err(|error| error.to_string())
    });
    info.map_err(|why| ModfileError::NoModule { path: path.to_owned(), why })
}

/// Finds `.modinfo` in an ELF file.
pub(crate) fn modinfo(mut reader: impl Read + Seek) -> Result<Vec<u8>, String> {
    let text = |error: elf::ParseError| match error {
        elf::ParseError::BadMagic(_) => "it is no ELF file".to_owned(),
        elf::ParseError::IOError(_) | elf::ParseError::SliceReadError(_) | elf::ParseError::BadOffset(_) => {
            "it is cut short".to_owned()
        }
        other => other.to_string(),
    };
    if !has_small_tables(&mut reader).map_err(|error| error.to_string())? {
        return Err("it has no sections, or more than any module".to_owned());
    }
    let mut file = ElfStream::<AnyEndian, _>::open_stream(reader).map_err(text)?;
    let too_large = || "its sections are larger than those of any module".to_owned();
    let names = file.section_headers().get(usize::from(file.ehdr.e_shstrndx)).copied();
    let names = match names {
        Some(names) if names.sh_size > SECTION_LIMIT => return Err(too_large()),
        Some(names) => file.section_data(&names).map_err(text)?.0.to_vec(),
        None => Vec::new(),
    };
    let section =
        file.section_headers().iter().find(|section| is_named(section, &names, ".modinfo")).copied();
    let section = section.ok_or_else(|| "it has no section `.modinfo`".to_owned())?;
    if section.sh_size > SECTION_LIMIT {
        return Err(too_large());
    }
    let (bytes, _) = file.section_data(&section).map_err(text)?;
    Ok(bytes.to_vec())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::testing::Fabricated;
    use super::super::testing::packed;
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn module(modinfo: &[u8]) -> Vec<u8> {
        Fabricated::new(modinfo).bytes()
    }

    const FIELDS: &[u8] = b"version=1.2\0\0license=GPL\0alias=pci:v1*\0alias=pci:v2*\0depends=a,b-c\0srcversion=ABC\0\
        name=hi\0vermagic=6.1.0-1-test SMP mod_unload \0version=9\0description=a=b\0parm=x:y\0junk\0depends=\0";

    #[test]
    fn fields_are_read_however_the_file_is_packed() {
        let dir = tempfile::tempdir().unwrap();
        for compression in Compression::ALL {
            let path = dir.path().join(format!("hi.ko{}", compression.suffix()));
            fs::write_whole(&path, &packed(&module(FIELDS), compression), 0o644).unwrap();
            let info = read_info(&path).unwrap();
            assert_eq!(info.version.as_deref(), Some("1.2"));
            assert_eq!(info.aliases, ["pci:v1*", "pci:v2*"]);
            assert_eq!(info.depends, ["a", "b-c"]);
            assert_eq!(info.description.as_deref(), Some("a=b"));
            assert_eq!(info.kernel_release(), Some("6.1.0-1-test"));
        }
    }

    #[test]
    fn what_is_no_module_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hi.ko");
        let whole = module(FIELDS);
        let cases: [(&[u8], &str); 5] = [
            (b"", "cut short"),
            (b"x", "cut short"),
            (b"#!/bin/sh\necho this is certainly not a module at all, is it\n", "no ELF file"),
            (&whole[..100], "cut short"),
            (&whole[..whole.len() - 1], "cut short"),
        ];
        for (bytes, why) in cases {
            fs::write_whole(&path, bytes, 0o644).unwrap();
            let error = read_info(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("hi.ko"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn hostile_files_never_panic(
            cut in 0_usize..600,
            changes in proptest::collection::vec((0_usize..600, any::<u8>()), 0..6),
            junk in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = module(b"version=1\0");
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes.truncate(cut);
            let length = bytes.len();
            prop_assert!(modinfo(Cursor::new(bytes)).map_or(0, |section| section.len()) <= length);
            prop_assert!(junk.starts_with(b"\x7fELF") || modinfo(Cursor::new(junk.clone())).is_err());
            // The first value counts, whatever comes behind it.
            let info = ModuleInfo::parse(&[b"version=1\0", junk.as_slice()].concat(), &mut Budget::default());
            let info = info.unwrap();
            prop_assert_eq!(info.version.as_deref(), Some("1"));
        }

        #[test]
        fn huge_numbers_in_headers_never_panic(at in 0_usize..100, value in prop_oneof![Just(u64::MAX), Just(1 << 40), any::<u64>()]) {
            let mut bytes = module(b"version=1\0");
            let words = bytes.len() / 8;
            let at = (at % words) * 8;
            // The magic stays, or nothing is read at all.
            if at > 0 {
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            let length = bytes.len();
            match modinfo(Cursor::new(bytes)) {
                Ok(section) => prop_assert!(section.len() <= length),
                Err(why) => prop_assert!(!why.is_empty()),
            }
        }
    }
}
