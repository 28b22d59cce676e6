//! The module that a conf describes: its name and version, and the dkms that it needs.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::id::{Arch, KernelRelease, ModuleId, ModuleName, ModuleVersion, Target};
use dkms_base::layout::Layout;
use dkms_conf::{ConfSource, Directive, RawConf, Reader, Variables};

use crate::act::Job;
use crate::changelog;
use crate::error::Error;

/// What a conf says where the package's version belongs.
const PLACEHOLDER: &[u8] = b"#MODULE_VERSION#";

/// The oldest dkms that knows `BUILD_EXCLUSIVE_CONFIG`.
const KNOWS_CONFIG: &str = "3.0.3-4~";
/// The oldest dkms that has `common.postinst`.
const OLDEST: &str = "2.1.0.0";

/// A conf as it goes into the package.
#[derive(Debug)]
pub struct Conf {
    /// Where it came from.
    pub file: PathBuf,
    /// Its text, the version put in.
    pub text: Vec<u8>,
    /// When it was changed.
    pub mtime: (i64, i64),
    /// What it says.
    pub raw: RawConf,
    /// Name and version.
    pub id: ModuleId,
}

impl Conf {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error`] where it can't be read, or has no name and version that paths and scripts can have.
    pub fn read(job: &Job<'_>, file: PathBuf) -> Result<Self, Error> {
        let mut text = fs::read(&file)?;
        let meta = fs::stat(&file)?;
        let mtime = meta.map_or((0, 0), |meta| (meta.mtime(), meta.mtime_nsec()));
        let has_placeholder = contains(&text, PLACEHOLDER);
        let asked = job.options.args.module_version.is_some();
        let version = if asked || has_placeholder { Some(version(job)?) } else { None };
        if let (true, Some(version)) = (has_placeholder, &version) {
            text = replaced(&text, PLACEHOLDER, version.as_bytes());
        }
        let raw = read_text(job, &file, &text)?;
        let id = id(&raw, &file, version.as_deref().filter(|_| asked))?;
        Ok(Self { file, text, mtime, raw, id })
    }

    /// Whether any dkms will do, if it comes with a script for those that have none: not where the
    /// conf uses what is newer.
    #[must_use]
    pub fn can_be_legacy(&self) -> bool {
        self.since().is_none()
    }

    /// The dependency on dkms.
    #[must_use]
    pub fn dependency(&self, legacy: bool) -> String {
        match self.since() {
            None if legacy => "dkms".to_owned(),
            since => format!("dkms (>= {})", since.unwrap_or(OLDEST)),
        }
    }

    /// What the conf says the version is, where the package has another.
    #[must_use]
    pub fn other_version(&self) -> Option<&str> {
        self.raw.get(Directive::PackageVersion).filter(|version| *version != self.id.version.as_str())
    }

    fn since(&self) -> Option<&'static str> {
        let mut values = self.raw.all(Directive::BuildExclusiveConfig);
        values.any(|(_, value)| !value.is_empty()).then_some(KNOWS_CONFIG)
    }
}

/// What `-V` says, or the package's version without epoch and revision.
fn version(job: &Job<'_>) -> Result<String, Error> {
    if let Some(version) = job.options.args.module_version.as_deref().filter(|version| !version.is_empty()) {
        return Ok(version.to_owned());
    }
    let own = PathBuf::from(format!("debian/{}.changelog", job.package));
    let file = if fs::is_file(&own) { own } else { PathBuf::from("debian/changelog") };
    let text = fs::read_lossy(&file)?;
    match changelog::version(&text) {
        Some(version) => Ok(changelog::upstream(version).to_owned()),
        None => Err(Error::Changelog { file }),
    }
}

/// Reads a conf's text as if it lay where its file does, so that what it sources is found.
fn read_text(job: &Job<'_>, file: &Path, text: &[u8]) -> Result<RawConf, Error> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let failed = |source| fs::FsError { verb: "write beside", path: file.to_owned(), source };
    let mut copy = tempfile::Builder::new().prefix(".dh_dkms.").tempfile_in(folder).map_err(failed)?;
    copy.write_all(text).and_then(|()| copy.flush()).map_err(failed)?;
    let layout = Layout::under("/");
    let target = running()?;
    let variables = Variables {
        kernel_source_dir: layout.headers_dir(&target.kernel),
        target,
        kernel_config: None,
        parallel_jobs: 1,
        dest_override: None,
    };
    let source = ConfSource { id: None, file: copy.path().to_owned() };
    let read = Reader::new(&layout, job.environment).read(&source, &variables, &[]);
    // Errors name the file that the maintainer can change, and not our copy.
    let copied = source.file.file_name().unwrap_or_default().to_string_lossy();
    let absolute = std::path::absolute(folder).unwrap_or_default().join(&*copied).display().to_string();
    let shown = |text: String| text.replace(&absolute, &file.display().to_string());
    let mut raw = read.map_err(|error| Error::Conf(shown(error.to_string())))?;
    raw.file = file.to_owned();
    Ok(raw)
}

/// The running kernel: what a conf that asks for one sees. Names and versions mustn't depend on it.
///
/// # Errors
/// [`Error::Options`] where it has no name.
pub fn running() -> Result<Target, Error> {
    let uname = rustix::system::uname();
    let (kernel, arch) = (uname.release().to_string_lossy(), uname.machine().to_string_lossy());
    let kernel = KernelRelease::new(kernel).map_err(|error| Error::Options(error.to_string()))?;
    let arch = Arch::new(arch).map_err(|error| Error::Options(error.to_string()))?;
    Ok(Target { kernel, arch })
}

/// Name and version; `asked` is a version that goes before the conf's, which something may put in later.
fn id(raw: &RawConf, file: &Path, asked: Option<&str>) -> Result<ModuleId, Error> {
    let text = |directive: Directive, name: &'static str| {
        raw.filled(directive, 0).ok_or_else(|| Error::Nameless { file: file.to_owned(), directive: name })
    };
    let odd = |directive: &'static str, value: &str, why: String| Error::Odd {
        file: file.to_owned(),
        directive,
        value: value.escape_debug().to_string(),
        why,
    };
    let name = text(Directive::PackageName, "PACKAGE_NAME")?;
    let version = text(Directive::PackageVersion, "PACKAGE_VERSION")?;
    let version = asked.unwrap_or(version);
    let check = |directive: &'static str, value: &str, others: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        match value.chars().find(|c| !fits(*c)) {
            None => Ok(()),
            Some(c) => Err(odd(directive, value, format!("has `{}`", c.escape_debug()))),
        }
    };
    check("PACKAGE_NAME", name, ".+-_:@")?;
    check("PACKAGE_VERSION", version, ".+:~-")?;
    let name = ModuleName::new(name).map_err(|error| odd("PACKAGE_NAME", name, error.fault.to_owned()))?;
    let version = ModuleVersion::new(version)
        .map_err(|error| odd("PACKAGE_VERSION", version, error.fault.to_owned()))?;
    Ok(ModuleId::new(name, version))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn replaced(text: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        if text[at..].starts_with(word) {
            out.extend_from_slice(by);
            at += word.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_is_replaced_wherever_it_stands() {
        let text = b"A=#MODULE_VERSION#\nB=\"x#MODULE_VERSION##\"";
        assert!(contains(text, PLACEHOLDER));
        assert_eq!(replaced(text, PLACEHOLDER, b"1.0"), b"A=1.0\nB=\"x1.0#\"");
    }

    #[test]
    fn names_and_versions_are_for_scripts_and_paths() {
        let of = |name: &str, version: &str| {
            let mut raw = RawConf::default();
            raw.set(Directive::PackageName, 0, name);
            raw.set(Directive::PackageVersion, 0, version);
            id(&raw, Path::new("debian/dkms"), None)
        };
        for (name, version) in [("a_b", "1.0"), ("9a.b+c", "1:1~rc1-2"), ("A@b", "v1.0+ds")] {
            assert!(of(name, version).is_ok(), "{name} {version}");
        }
        for (name, version) in [
            ("", "1"),
            ("a", ""),
            ("a b", "1"),
            ("a$b", "1"),
            ("../a", "1"),
            ("a", "1_0"),
            ("a", "1;2"),
            ("a", "-1"),
            ("a", "ä"),
        ] {
            assert!(of(name, version).is_err(), "{name} {version}");
        }
    }
}
