//! Small objects for tests that are modules to all that read ELF, without a compiler.
#![expect(clippy::unwrap_used, reason = "only tests use this")]

use std::io::Write;

use super::object::Machine;
use crate::Compression;

/// A module in the making.
#[derive(Debug, Clone)]
pub struct Fabricated {
    machine: Machine,
    modinfo: Vec<u8>,
    exports: Vec<u8>,
    /// Name and binding (1: global, 2: weak) of undefined symbols.
    needs: Vec<(String, u8)>,
    /// `__versions`: CRC and name, 64 bytes each.
    sums: Vec<u8>,
    has_this_module: bool,
}

impl Fabricated {
    /// For x86_64, with this `.modinfo`.
    #[must_use]
    pub fn new(modinfo: impl AsRef<[u8]>) -> Self {
        Self {
            machine: Machine::named("x86_64").unwrap(),
            modinfo: modinfo.as_ref().to_vec(),
            exports: Vec::new(),
            needs: Vec::new(),
            sums: Vec::new(),
            has_this_module: true,
        }
    }

    /// For a kernel.
    #[must_use]
    pub fn for_kernel(name: &str, kernel: &str) -> Self {
        Self::new(format!("license=GPL\0name={name}\0vermagic={kernel} SMP mod_unload \0"))
    }

    /// For another machine.
    #[must_use]
    pub fn machine(mut self, name: &str) -> Self {
        self.machine = Machine::named(name).unwrap();
        self
    }

    /// With undefined symbols.
    #[must_use]
    pub fn needs(mut self, names: &[&str]) -> Self {
        self.needs.extend(names.iter().map(|name| ((*name).to_owned(), 1)));
        self
    }

    /// With undefined symbols that may stay so.
    #[must_use]
    pub fn weak(mut self, names: &[&str]) -> Self {
        self.needs.extend(names.iter().map(|name| ((*name).to_owned(), 2)));
        self
    }

    /// With symbols for others.
    #[must_use]
    pub fn exports(mut self, names: &[&str]) -> Self {
        self.exports.extend(names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()));
        self
    }

    /// Expecting these CRCs of symbols.
    #[must_use]
    pub fn sums(mut self, sums: &[(&str, u32)]) -> Self {
        for (name, sum) in sums {
            let begin = self.sums.len();
            self.sums.extend([&u64::from(*sum).to_le_bytes()[..], name.as_bytes()].concat());
            self.sums.resize(begin + 64, 0);
        }
        self
    }

    /// An object that is no module.
    #[must_use]
    pub fn without_this_module(mut self) -> Self {
        self.has_this_module = false;
        self
    }

    /// The file: header, the sections' bytes, the table of sections. A machine of 64 bits, whichever it is.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (mut names, mut symbols) = (vec![0_u8], vec![0_u8; 24]);
        for (name, bind) in &self.needs {
            symbols.extend(u32::try_from(names.len()).unwrap().to_le_bytes());
            symbols.extend([bind << 4, 0, 0, 0]);
            symbols.extend([0; 16]);
            names.extend([name.as_bytes(), b"\0"].concat());
        }
        // Name, type, bytes, linked section, size of an entry.
        let mut sections: Vec<(&str, u32, Vec<u8>, u32, u64)> = vec![
            ("", 0, Vec::new(), 0, 0),
            (".symtab", 2, symbols, 2, 24),
            (".strtab", 3, names, 0, 0),
            (".modinfo", 1, self.modinfo.clone(), 0, 0),
            ("__ksymtab_strings", 1, self.exports.clone(), 0, 0),
        ];
        if !self.sums.is_empty() {
            sections.push(("__versions", 1, self.sums.clone(), 0, 0));
        }
        if self.has_this_module {
            sections.push((".gnu.linkonce.this_module", 1, vec![0; 8], 0, 0));
        }
        sections.push((".shstrtab", 3, Vec::new(), 0, 0));
        let mut section_names = Vec::new();
        let mut name_at = Vec::new();
        for (name, ..) in &sections {
            name_at.push(u32::try_from(section_names.len()).unwrap());
            section_names.extend([name.as_bytes(), b"\0"].concat());
        }
        sections.last_mut().unwrap().2 = section_names;
        let mut body = vec![0_u8; 64];
        let mut places = Vec::new();
        for (_, _, bytes, _, _) in &sections {
            body.resize(body.len().next_multiple_of(8), 0);
            places.push(body.len() as u64);
            body.extend(bytes);
        }
        body.resize(body.len().next_multiple_of(8), 0);
        let table_at = body.len() as u64;
        for (at, (_, kind, bytes, link, entry)) in sections.iter().enumerate() {
            body.extend([name_at[at].to_le_bytes(), kind.to_le_bytes()].concat());
            body.extend([0, 0, places[at], bytes.len() as u64].map(u64::to_le_bytes).concat());
            body.extend([link.to_le_bytes(), 0_u32.to_le_bytes()].concat());
            body.extend([1_u64, *entry].map(u64::to_le_bytes).concat());
        }
        let count = u16::try_from(sections.len()).unwrap();
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        head.extend([1_u16, self.machine.number].map(u16::to_le_bytes).concat());
        head.extend(1_u32.to_le_bytes());
        head.extend([0_u64, 0, table_at].map(u64::to_le_bytes).concat());
        head.extend(0_u32.to_le_bytes());
        head.extend([64_u16, 0, 0, 64, count, count - 1].map(u16::to_le_bytes).concat());
        body[..64].copy_from_slice(&head);
        body
    }
}

/// Bytes, packed.
#[must_use]
pub fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => liblzma::encode_all(bytes, 6).unwrap(),
        Compression::Zstd => zstd::encode_all(bytes, 3).unwrap(),
    }
}
