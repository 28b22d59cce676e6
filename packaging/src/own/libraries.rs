//! The libraries that a program needs, as dependencies: what dpkg-shlibdeps says of programs that need only
//! the C library and gcc's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dkms_base::host::fs;
use elf::ElfBytes;
use elf::endian::AnyEndian;
use elf::file::Class;

use crate::entries::FILE_LIMIT;
use crate::error::PackageError;

/// The package of a library, and how versions of its symbols begin.
fn package(library: &str) -> Option<(&'static str, &'static str)> {
    match library {
        "libgcc_s.so.1" => Some(("libgcc-s1", "GCC_")),
        "libc.so.6" | "libm.so.6" | "libdl.so.2" | "libpthread.so.0" | "librt.so.1" => {
            Some(("libc6", "GLIBC_"))
        }
        _ if library.starts_with("ld-linux") => Some(("libc6", "GLIBC_")),
        _ => None,
    }
}

/// The dependencies of programs, in order.
///
/// # Errors
/// [`PackageError`] where one can't be read, or needs a library that isn't known here.
pub fn dependencies(programs: &[&Path]) -> Result<Vec<String>, PackageError> {
    let mut needed: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
    for program in programs {
        let bytes = fs::read_limited(program, FILE_LIMIT)?;
        for (package, version) in of(&bytes).map_err(|why| refuse(program, why))? {
            let newest = needed.entry(package).or_default();
            if version > *newest {
                *newest = version;
            }
        }
    }
    let text = |(package, version): (&&str, &Vec<u32>)| {
        let mut version = version.as_slice();
        // gcc's symbols say 4.2.0 where Debian's list of them says 4.2.
        while let [rest @ .., 0] = version {
            version = rest;
        }
        let words: Vec<String> = version.iter().map(u32::to_string).collect();
        format!("{package} (>= {})", words.join("."))
    };
    Ok(needed.iter().map(text).collect())
}

/// The dependency on libalpm of a program that needs it, as makepkg writes those on
/// libraries: `libalpm.so=13-64`.
#[must_use]
pub fn libalpm(program: &[u8]) -> Option<String> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(program).ok()?;
    let common = file.find_common_data().ok()?;
    let (dynamic, names) = (common.dynamic?, common.dynsyms_strs?);
    let needed = dynamic.iter().filter(|entry| entry.d_tag == elf::abi::DT_NEEDED);
    let number = needed
        .filter_map(|entry| names.get(usize::try_from(entry.d_val()).ok()?).ok())
        .find_map(|name| name.strip_prefix("libalpm.so."))?;
    let bits = if file.ehdr.class == elf::file::Class::ELF64 { 64 } else { 32 };
    Some(format!("libalpm.so={number}-{bits}"))
}

/// The symbols of libraries that a program needs, as rpm writes them: `libc.so.6(GLIBC_2.34)(64bit)`.
///
/// # Errors
/// [`PackageError`] where it can't be read.
pub fn symbols(program: &Path) -> Result<BTreeSet<String>, PackageError> {
    let bytes = fs::read_limited(program, FILE_LIMIT)?;
    let unreadable = |_| refuse(program, "is no program that can be read");
    let file = ElfBytes::<AnyEndian>::minimal_parse(&bytes).map_err(unreadable)?;
    let bits = if file.ehdr.class == Class::ELF64 { "(64bit)" } else { "" };
    let table = file.dynamic_symbol_table().map_err(unreadable)?;
    let versions = file.symbol_version_table().map_err(unreadable)?;
    let mut all = BTreeSet::new();
    if let (Some((symbols, _)), Some(versions)) = (table, versions) {
        for index in 0..symbols.len() {
            if let Some(needed) = versions.get_requirement(index).map_err(unreadable)? {
                all.insert(format!("{}({}){bits}", needed.file, needed.name));
            }
        }
    }
    Ok(all)
}

fn refuse(program: &Path, why: &'static str) -> PackageError {
    PackageError::CannotPack { path: program.to_owned(), why }
}

fn of(bytes: &[u8]) -> Result<Vec<(&'static str, Vec<u32>)>, &'static str> {
    let unreadable = |_| "is no program that can be read";
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(unreadable)?;
    let symbols = file.dynamic_symbol_table().map_err(unreadable)?;
    let versions = file.symbol_version_table().map_err(unreadable)?;
    // One that is linked statically needs nothing.
    let (Some((symbols, _)), Some(versions)) = (symbols, versions) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for index in 0..symbols.len() {
        let Some(required) = versions.get_requirement(index).map_err(unreadable)? else { continue };
        let (package, prefix) =
            package(required.file).ok_or("needs a library that no package is known for")?;
        let Some(version) = required.name.strip_prefix(prefix) else { continue };
        let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
        // Names that are no versions (GLIBC_PRIVATE) are nobody's promise.
        all.extend(numbers.map(|numbers| (package, numbers)));
    }
    Ok(all)
}
