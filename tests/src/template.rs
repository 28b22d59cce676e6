//! A module that a kernel's own makefiles have compiled once, of which modules of other names and versions
//! are made without a compiler. It knows nothing of roots that use them: see [`crate::ready`].

use anyhow::{Context, Result, ensure};
use dkms_base::host::fs;

use crate::fixture::Module;
use crate::root::Root;

/// Stand in the compiled file where a name and a version belong: what takes their place is no longer.
const NAME: &str = "a_name_that_is_replaced";
const VERSION: &str = "a.version.that.is.replaced";

/// The kernel has so many bytes for a module's name.
const NAME_ROOM: usize = 56;

/// The compiled file.
#[derive(Debug, Clone)]
pub struct Template(Vec<u8>);

impl Template {
    /// Compiles it in a root for a kernel whose headers are there. It carries some incompressible data: what
    /// is to be cut by a full disk needs some length.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub fn compile(root: &Root, headers: &str) -> Result<Self> {
        Module::new(NAME, VERSION).write_below(root, "/srv/made")?;
        root.must(&format!(
            "cd /srv/made
             printf 'const unsigned a_table[] = {{' >>{NAME}.c
             i=1; while [ $i -lt 6000 ]; do printf '%du,' $(((i * 2654435761) & 0xffffffff)); i=$((i + 1)); done >>{NAME}.c
             echo '}};' >>{NAME}.c
             make -s -C {headers} M=/srv/made modules"
        ))?;
        let made = fs::read(&root.view(&format!("/srv/made/{NAME}.ko"))).context("read the module")?;
        root.must("rm -r /srv/made")?;
        Ok(Self(made))
    }

    /// The file with a name and a version, as modinfo and the kernel read them.
    ///
    /// # Errors
    /// If one is too long, or the compiled file does not say what it should.
    pub fn module(&self, name: &str, version: &str) -> Result<Vec<u8>> {
        let mut bytes = self.0.clone();
        let word = name.replace('-', "_");
        put(&mut bytes, format!("name={NAME}\0").as_bytes(), &format!("name={word}"))?;
        put(&mut bytes, format!("version={VERSION}\0").as_bytes(), &format!("version={version}"))?;
        // What the kernel calls it when it is loaded.
        let rest = vec![0; NAME_ROOM - NAME.len()];
        put(&mut bytes, &[NAME.as_bytes(), &rest].concat(), &word)?;
        // Another source has another sum.
        let sum =
            name.bytes().chain(version.bytes()).fold(0_u16, |sum, byte| sum.rotate_left(3) ^ u16::from(byte));
        let old = field(&bytes, "srcversion=")?;
        let new = String::from_utf8_lossy(&old[..old.len() - 5]).into_owned();
        put(&mut bytes, &old, &format!("{new}{sum:04X}"))?;
        Ok(bytes)
    }

    /// The same for a kernel that has all in common with this one but the release, which is no longer.
    ///
    /// # Errors
    /// As [`module`](Self::module).
    pub fn for_release(&self, release: &str) -> Result<Self> {
        let mut bytes = self.0.clone();
        let old = field(&bytes, "vermagic=")?;
        let text = String::from_utf8_lossy(&old).into_owned();
        let (_, rest) =
            text.trim_end_matches('\0').split_once(' ').context("vermagic begins with a release")?;
        put(&mut bytes, &old, &format!("vermagic={release} {rest}"))?;
        Ok(Self(bytes))
    }
}

/// A field of `.modinfo`, to the NUL that ends it.
fn field(bytes: &[u8], key: &str) -> Result<Vec<u8>> {
    let from = position(bytes, key.as_bytes()).with_context(|| format!("the module has no `{key}`"))?;
    let length = bytes[from..].iter().position(|byte| *byte == 0).context("a field ends")?;
    Ok(bytes[from..=from + length].to_vec())
}

fn position(bytes: &[u8], old: &[u8]) -> Option<usize> {
    bytes.windows(old.len()).position(|window| window == old)
}

/// Writes a text, and NULs behind it, over the one place that has `old`, which ends with a NUL.
fn put(bytes: &mut [u8], old: &[u8], new: &str) -> Result<()> {
    let shown = String::from_utf8_lossy(old).trim_end_matches('\0').to_owned();
    ensure!(new.len() < old.len(), "`{new}` is longer than `{shown}`");
    let from = position(bytes, old).with_context(|| format!("the module has no `{shown}`"))?;
    ensure!(position(&bytes[from + 1..], old).is_none(), "the module has `{shown}` twice");
    let place = &mut bytes[from..from + old.len()];
    place.fill(0);
    place[..new.len()].copy_from_slice(new.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        let info = format!(
            "license=GPL\0version={VERSION}\0srcversion=0123456789ABCDEF01234567\0name={NAME}\0vermagic=6.1.0-1-amd64 SMP \0"
        );
        let mut bytes = info.into_bytes();
        bytes.extend_from_slice(b"\x01\x02");
        bytes.extend_from_slice(NAME.as_bytes());
        bytes.resize(bytes.len() + NAME_ROOM - NAME.len(), 0);
        bytes.extend_from_slice(b"\x03");
        Template(bytes)
    }

    fn said(bytes: &[u8]) -> Vec<String> {
        let fields = bytes.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect()
    }

    #[test]
    fn a_module_has_its_name_and_version_and_nothing_else_moves() {
        let bytes = template().module("a-b", "2.0").unwrap();
        assert_eq!(bytes.len(), template().0.len());
        let fields = said(&bytes);
        assert_eq!(fields[..2], ["license=GPL", "version=2.0"]);
        assert!(
            fields[2].starts_with("srcversion=0123456789ABCDEF0123") && fields[2].len() == 35,
            "{fields:?}"
        );
        assert_eq!(fields[3..], ["name=a_b", "vermagic=6.1.0-1-amd64 SMP ", "\u{1}\u{2}a_b", "\u{3}"]);
        let other = said(&template().module("a-b", "2.1").unwrap());
        assert_ne!(fields[2], other[2]);
    }

    #[test]
    fn another_release_is_put_into_vermagic_and_what_is_too_long_is_refused() {
        let other = template().for_release("6.0.9-third").unwrap();
        assert!(said(&other.0).contains(&"vermagic=6.0.9-third SMP ".to_owned()));
        assert!(template().for_release("6.1.0-1-cloud-amd64").is_err());
        assert!(template().module(&"x".repeat(40), "1").is_err());
    }
}
