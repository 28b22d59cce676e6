//! The distribution, from os-release(5), and which rules are those of its family. Knows nothing of a kernel.

use std::path::PathBuf;

use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;

/// What a distribution's rules are those of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian and what is like it.
    Debian,
    /// Ubuntu itself, and what is like it.
    Ubuntu,
    /// Arch.
    Arch,
    /// Gentoo.
    Gentoo,
    /// Fedora.
    Fedora,
    /// RHEL, CentOS and their rebuilds.
    Rhel,
    /// SUSE and openSUSE.
    Suse,
    /// None that we know.
    Other,
}

impl Family {
    /// The family that an `ID`, or a word of `ID_LIKE`, names.
    fn named(id: &str) -> Option<Self> {
        Some(match id {
            "debian" => Self::Debian,
            "ubuntu" => Self::Ubuntu,
            "arch" => Self::Arch,
            "gentoo" => Self::Gentoo,
            "fedora" => Self::Fedora,
            "rhel" | "centos" => Self::Rhel,
            "suse" | "opensuse" | "sles" | "sled" => Self::Suse,
            _ => return None,
        })
    }

    /// Whether its packages are rpm's.
    #[must_use]
    pub fn uses_rpm(self) -> bool {
        matches!(self, Self::Fedora | Self::Rhel | Self::Suse)
    }
}

/// Who made the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// `ID` of os-release.
    pub id: String,
    /// Its family.
    pub family: Family,
}

/// Why the distribution isn't known.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// There is no os-release file.
    #[error("this system has no os-release file: neither `{}` nor `{}` is there", .0[0].display(), .0[1].display())]
    NoOsRelease([PathBuf; 2]),
    /// It can't be read.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Larger than any real os-release.
const OS_RELEASE_LIMIT: u64 = 1 << 20;

impl Distribution {
    /// Reads `/etc/os-release`, or else `/usr/lib/os-release`.
    ///
    /// # Errors
    /// [`DistributionError`] where there is neither, or it can't be read.
    pub fn read(layout: &Layout) -> Result<Self, DistributionError> {
        Self::text(layout).map(|text| Self::parse(&text))
    }

    fn text(layout: &Layout) -> Result<String, DistributionError> {
        let places = ["/etc/os-release", "/usr/lib/os-release"].map(|path| layout.at(path));
        for path in &places {
            if let Some(bytes) = fs::optional(fs::read_limited(path, OS_RELEASE_LIMIT))? {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Err(DistributionError::NoOsRelease(places))
    }

    /// Reads the text of an os-release file. Without an `ID` it is `linux`, as os-release(5) says.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let id = assigned(text, "ID").filter(|id| !id.is_empty()).unwrap_or_else(|| "linux".to_owned());
        let like = assigned(text, "ID_LIKE").unwrap_or_default();
        let family = family(&id, &like);
        Self { id, family }
    }

    /// The folder below `/lib/modules/K` where modules go; `None`: where each dkms.conf says.
    #[must_use]
    pub fn module_folder(&self) -> Option<&'static str> {
        match self.family {
            Family::Debian | Family::Ubuntu | Family::Arch => Some("/updates/dkms"),
            Family::Fedora | Family::Rhel => Some("/extra"),
            Family::Suse => Some("/updates"),
            Family::Gentoo | Family::Other => None,
        }
    }
}

/// What a system extension must state to be merged into a system (systemd-sysext(8)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `ID`.
    pub id: String,
    /// `SYSEXT_LEVEL`, or else `VERSION_ID`, with its name; a rolling release has neither.
    pub level: Option<(&'static str, String)>,
}

impl Release {
    /// That of the system below the root of `layout`.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub fn read(layout: &Layout) -> Result<Self, DistributionError> {
        Distribution::text(layout).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let level = ["SYSEXT_LEVEL", "VERSION_ID"];
        let level = level.into_iter().find_map(|name| Some((name, assigned(text, name)?)));
        Self { id: Distribution::parse(text).id, level: level.filter(|(_, value)| !value.is_empty()) }
    }
}

/// Ubuntu and RHEL are what they say; else the first known word of `ID_LIKE` counts before `ID`. (RHEL calls
/// itself like Fedora, but has RHEL's weak-modules.)
fn family(id: &str, like: &str) -> Family {
    match Family::named(id) {
        Some(own @ (Family::Ubuntu | Family::Rhel)) => own,
        own => like.split_whitespace().find_map(Family::named).or(own).unwrap_or(Family::Other),
    }
}

/// The value of the last assignment to `name` in a file of plain shell assignments, quotes
/// and escapes taken away.
pub(crate) fn assigned(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| Some(unquote(line.trim().strip_prefix(name)?.strip_prefix('=')?));
    text.lines().filter_map(value).next_back()
}

/// A shell word without its quotes; what follows its end (a comment, say) is left out.
fn unquote(word: &str) -> String {
    let (mut out, mut quote, mut chars) = (String::new(), None, word.chars());
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => out.extend(chars.next()),
            (c, None) if c.is_whitespace() => break,
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn family_of(text: &str) -> Family {
        Distribution::parse(text).family
    }

    #[test]
    fn an_extension_states_level_or_version() {
        let of = |text: &str| Release::parse(text);
        let debian = of("ID=debian\nVERSION_ID=\"13\"\n");
        assert_eq!((debian.id.as_str(), debian.level), ("debian", Some(("VERSION_ID", "13".to_owned()))));
        assert_eq!(of("ID=x\nVERSION_ID=3\nSYSEXT_LEVEL=2").level, Some(("SYSEXT_LEVEL", "2".to_owned())));
        assert_eq!(of("ID=arch").level, None);
    }

    #[test]
    fn families_of_real_distributions() {
        let cases = [
            ("ID=debian\n", Family::Debian),
            ("ID=ubuntu\nID_LIKE=debian\n", Family::Ubuntu),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Ubuntu),
            ("ID=raspbian\nID_LIKE=debian\n", Family::Debian),
            ("ID=arch\nBUILD_ID=rolling\n", Family::Arch),
            ("ID=manjaro\nID_LIKE=arch\n", Family::Arch),
            ("ID='fedora'\nVERSION_ID=40\n", Family::Fedora),
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\n", Family::Rhel),
            ("ID=\"rocky\"\r\nID_LIKE=\"rhel centos fedora\"\r\n", Family::Rhel),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", Family::Suse),
            ("ID=\"sles\"\nID_LIKE=\"suse\"\n", Family::Suse),
            ("ID=gentoo\n", Family::Gentoo),
            ("ID=funny\nID_LIKE=\"unknown gentoo debian\"\n", Family::Gentoo),
            ("ID=alpine\n", Family::Other),
            ("NAME=x\n", Family::Other),
            ("", Family::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(family_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_shell_words() {
        assert_eq!(Distribution::parse("#ID=no\nID=\"a\\\"b\" # c\nMY_ID=x").id, "a\"b");
        assert_eq!(Distribution::parse("ID=one\nID='two'\n").id, "two");
        assert_eq!(Distribution::parse("").id, "linux");
    }

    #[test]
    fn modules_go_where_the_family_says() {
        let folder = |text: &str| Distribution::parse(text).module_folder();
        assert_eq!(folder("ID=debian"), Some("/updates/dkms"));
        assert_eq!(folder("ID=fedora"), Some("/extra"));
        assert_eq!(folder("ID=sles"), Some("/updates"));
        assert_eq!(folder("ID=gentoo"), None);
    }

    #[test]
    fn etc_comes_before_usr_and_neither_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        assert!(matches!(Distribution::read(&layout), Err(DistributionError::NoOsRelease(_))));
        fs::create_dir_all(&layout.at("/usr/lib")).unwrap();
        fs::write_whole(&layout.at("/usr/lib/os-release"), b"ID=arch\n", 0o644).unwrap();
        assert_eq!(Distribution::read(&layout).unwrap().family, Family::Arch);
        fs::create_dir_all(&layout.at("/etc")).unwrap();
        fs::write_whole(&layout.at("/etc/os-release"), b"ID=debian\n", 0o644).unwrap();
        assert_eq!(Distribution::read(&layout).unwrap().family, Family::Debian);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,40}|(ID|ID_LIKE)=[\"'\\\\a-z ]{0,20}\n") {
            prop_assert_eq!(Distribution::parse(&format!("{text}\nID=last")).id, "last");
        }
    }
}
