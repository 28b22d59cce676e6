//! Questions to dpkg.

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::layout::Layout;
use dkms_kernel::Brought;

/// The trigger of the package dkms, for what couldn't be begun when it was its turn.
pub const TRIGGER: &str = "dkms-modules";

/// Whether a maintainer script of dpkg calls us.
#[must_use]
pub fn is_above(environment: &Environment) -> bool {
    environment.get_filled("DPKG_MAINTSCRIPT_PACKAGE").is_some()
}

/// Activates the trigger, which nobody waits for; whether dpkg has taken it.
#[must_use]
pub fn activate(environment: &Environment) -> bool {
    let ended = Process::new("dpkg-trigger", ["--no-await", TRIGGER], environment).capture();
    ended.is_ok_and(|ended| ended.code() == 0)
}

/// Whether dpkg will still call the trigger of the package dkms: then what waits for it is dpkg's to say.
#[must_use]
pub fn will_call(environment: &Environment) -> bool {
    status("dkms", environment).is_some_and(|status| status.word != "installed")
}

/// What dpkg says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    word: String,
    /// Its version.
    pub version: String,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let (word, version) = text.trim_end_matches('\n').split_once('\t')?;
        Some(Self { word: word.to_owned(), version: version.to_owned() })
    }

    /// Whether it is unpacked or being unpacked: what becomes of it is not known yet.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        ["half-installed", "unpacked", "half-configured"].contains(&self.word.as_str())
    }

    /// Whether it is configured.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        ["installed", "triggers-awaited", "triggers-pending"].contains(&self.word.as_str())
    }
}

/// What dpkg says of a package. `None` where it doesn't know it, or can't be asked.
#[must_use]
pub fn status(package: &str, environment: &Environment) -> Option<Status> {
    let words = ["--show", "--showformat=${db:Status-Status}\t${Version}\n", "--", package];
    let ended = Process::new("dpkg-query", words, environment).capture_stdout().ok()?;
    Status::parse(ended.text().lines().next()?).filter(|_| ended.code() == 0)
}

/// What the files of an installed package bring.
#[must_use]
pub fn brought_by(package: &str, arch: &str, layout: &Layout) -> Brought {
    let info = layout.at("/var/lib/dpkg/info");
    let names = [format!("{package}.list"), format!("{package}:{arch}.list")];
    let text = names.iter().find_map(|name| fs::read_lossy(&info.join(name)).ok()).unwrap_or_default();
    Brought::of(text.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_not_decided() {
        for (text, at_work, installed) in [
            ("installed\t1.0-1\n", false, true),
            ("triggers-pending\t1.0\n", false, true),
            ("unpacked\t1.0\n", true, false),
            ("half-configured\t1.0\n", true, false),
            ("config-files\t1.0\n", false, false),
            ("not-installed\t\n", false, false),
        ] {
            let status = Status::parse(text).unwrap();
            assert_eq!((status.is_at_work(), status.is_installed()), (at_work, installed), "{text}");
        }
        assert_eq!(Status::parse("unpacked"), None);
    }

    #[test]
    fn a_package_has_modules_where_it_has_their_confs() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let info = layout.at("/var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        let text = "/.\n/usr/src/a-1.0/dkms.conf\n/usr/src/a-1.0/sub/dkms.conf\n/usr/share/b-2/dkms.conf\n";
        fs::write_whole(&info.join("a-dkms.list"), text.as_bytes(), 0o644).unwrap();
        fs::write_whole(&info.join("c-dkms:amd64.list"), text.as_bytes(), 0o644).unwrap();
        assert_eq!(brought_by("a-dkms", "all", &layout).sources, ["a-1.0".to_owned()].into());
        assert_eq!(brought_by("c-dkms", "amd64", &layout).sources, ["a-1.0".to_owned()].into());
        assert!(brought_by("d-dkms", "all", &layout).is_empty());
    }
}
