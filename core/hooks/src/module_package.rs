//! `common.postinst NAME VERSION [TARBALL_ROOT [ARCH [UPGRADE]]]`: a module's package has come,
//! as its script tells.

use std::path::{Path, PathBuf};

use super::Output;
use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs};
use dkms_base::id::ModuleId;
use dkms_kernel::Machine;

const USAGE: &str = "usage: common.postinst NAME VERSION [TARBALL_ROOT [ARCH [UPGRADE]]]";

/// A package that brought a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModulePackage<'a> {
    /// The module.
    pub id: ModuleId,
    /// The architecture that it is for; empty: each kernel's own. A package that names this machine's names
    /// no other than the kernels' own.
    pub arch: &'a str,
    /// Whether an older version of the package was there.
    pub is_upgrade: bool,
    tarball: Option<PathBuf>,
}

impl<'a> ModulePackage<'a> {
    /// From the words that the script was called with. `None`: they name no module, which is reported.
    #[must_use]
    pub fn from_words(words: &[&'a str], out: &Output) -> Option<Self> {
        let word = |place: usize| words.get(place).copied().unwrap_or_default();
        match ModuleId::parse(word(0), word(1)) {
            Ok(id) => {
                let file = Path::new(word(2)).join(format!("{}.dkms.tar.gz", id.dir_name()));
                let tarball = (!word(2).is_empty() && fs::is_file(&file)).then_some(file);
                Some(Self { id, arch: other_machine(word(3)), is_upgrade: !word(4).is_empty(), tarball })
            }
            Err(error) => {
                out.say(&format!("error: {error}"));
                out.say(USAGE);
                None
            }
        }
    }

    /// Loads its tarball, which may have what was built as well. False: that failed, which is reported.
    #[must_use]
    pub fn load(&self, environment: &Environment, out: &Output) -> bool {
        let Some(tarball) = &self.tarball else { return true };
        let words = ["ldtarball", "--force", "--archive"].map(std::ffi::OsString::from);
        let words = words.into_iter().chain([tarball.as_os_str().to_owned()]);
        let why = match Process::new("dkms", words, &environment.whole()).capture() {
            Ok(ended) if ended.code() == 0 => return true,
            Ok(ended) => ended.text(),
            Err(error) => error.to_string(),
        };
        out.say(&format!("error: `{}` can't be loaded", tarball.display()));
        why.lines().for_each(|line| out.say(line));
        false
    }
}

/// The architecture that a package names, if it is not this machine's.
fn other_machine(word: &str) -> &str {
    let word = machine(word);
    let named = Machine::named(word);
    if named.is_some() && named == Machine::running() { "" } else { word }
}

/// Packages name an architecture as dpkg does; kernels as `uname -m` prints it.
fn machine(word: &str) -> &str {
    match word {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "i386" => "i686",
        "armhf" => "armv7l",
        "ppc64el" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plain, Stream};

    #[test]
    fn words_of_scripts() {
        let out = Plain::new(Stream::error());
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        let plain = ModulePackage::from_words(&["foo", "1.0"], &out).unwrap();
        assert_eq!((plain.arch, plain.is_upgrade, plain.tarball), ("", false, None));
        let (own, other) = match Machine::running() {
            Some(Machine::Arm64) => (["aarch64", "arm64"], ["amd64", "x86_64"]),
            _ => (["x86_64", "amd64"], ["arm64", "aarch64"]),
        };
        for own in own {
            let told = ModulePackage::from_words(&["foo", "1.0", root, own], &out).unwrap();
            assert_eq!(told.arch, "", "{own} is this machine's");
        }
        let all = ["foo", "1.0", root, other[0], "0.9"];
        let told = ModulePackage::from_words(&all, &out).unwrap();
        assert_eq!(
            (told.arch, told.is_upgrade, told.tarball),
            (machine(other[0]), true, None),
            "no such file"
        );
        let told = ModulePackage::from_words(&["foo", "1.0", root, other[1]], &out).unwrap();
        assert_eq!(told.arch, machine(other[1]));
        fs::write_whole(&dir.path().join("foo-1.0.dkms.tar.gz"), b"", 0o644).unwrap();
        assert!(ModulePackage::from_words(&all, &out).unwrap().tarball.is_some());
        for words in [&[] as &[&str], &["foo"], &["../foo", "1.0"], &["foo", "1/0"]] {
            assert_eq!(ModulePackage::from_words(words, &out), None);
        }
    }
}
