//! What is done to one package.

use std::path::{Path, PathBuf};

use dkms_base::host::process::quote;
use dkms_base::host::{Environment, fs};

use crate::config;
use crate::control::{Compat, Control};
use crate::error::Error;
use crate::host::Host;
use crate::messages::Messages;
use crate::module::{Conf, running};
use crate::options::{Options, log_of};
use crate::snippet::Script;
use crate::{check, substvars};

/// What `--legacy` ships, where it does its work by itself.
const COMMON_POSTINST: &str = "/usr/lib/dkms/common.postinst";
/// What it ships where that only calls our program, which other systems don't have.
const LEGACY: &str = include_str!("../files/legacy-postinst");
/// Where debhelper has its own snippets.
const DEBHELPERS_DATA: &str = "/usr/share/debhelper";
/// Where that program is.
const OUR_PROGRAMS: &str = "/usr/libexec/dkms/";

/// A package, and all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Its name.
    pub package: &'a str,
    /// The options.
    pub options: &'a Options,
    /// `debian/control`.
    pub control: &'a Control,
    /// The environment.
    pub environment: &'a Environment,
    /// The machine.
    pub host: &'a Host<'a>,
    /// The level of compatibility.
    pub compat: Compat,
    /// Whether nothing is changed.
    pub no_act: bool,
}

impl Job<'_> {
    /// Does it. Everything is read and judged before anything is written.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(&self, messages: &Messages) -> Result<(), Error> {
        let Some(file) = config::find(self)? else { return Ok(()) };
        let conf = Conf::read(self, file)?;
        let args = &self.options.args;
        if let Some(other) = conf.other_version() {
            messages.warn(&format!(
                "the package's module is of version {}, but `{}` says {other}: dkms takes it only if that is changed later",
                conf.id.version,
                conf.file.display()
            ));
        }
        let folder = PathBuf::from(args.tmpdir.clone().unwrap_or_else(|| format!("debian/{}", self.package)));
        let source = folder.join("usr/src").join(conf.id.dir_name());
        if args.check {
            let faults = check::faults(&conf, &running()?, &source);
            if !faults.is_empty() {
                return Err(Error::Check { file: conf.file, faults });
            }
        }
        if args.legacy && conf.can_be_legacy() {
            let place = folder.join("usr/share").join(self.package).join("postinst");
            messages.doing(&install(0o755, Path::new(COMMON_POSTINST), &place));
            self.put(&place, &legacy_script()?, 0o755, None)?;
        }
        self.depend(&conf.dependency(args.legacy), messages)?;
        for script in Script::ALL {
            self.add_snippet(script, &conf, messages)?;
        }
        let place = source.join("dkms.conf");
        messages.doing(&install(0o644, &conf.file, &place));
        self.put(&place, &conf.text, 0o644, Some(conf.mtime))
    }

    fn depend(&self, dependency: &str, messages: &Messages) -> Result<(), Error> {
        let file = PathBuf::from(format!("debian/{}.substvars", self.package));
        let Some(text) = substvars::add(&existing(&file)?, "misc:Depends", dependency) else { return Ok(()) };
        messages.doing(&format!("[META] add `misc:Depends={dependency}` to {}", file.display()));
        self.put(&file, text.as_bytes(), 0o644, None)
    }

    fn add_snippet(&self, script: Script, conf: &Conf, messages: &Messages) -> Result<(), Error> {
        let file = PathBuf::from(format!("debian/{}.{}.debhelper", self.package, script.name()));
        let installed = self.installed_snippet(script)?;
        let snippet = installed.as_deref().unwrap_or(script.text());
        let text = script.with(&existing(&file)?, snippet, conf.id.name.as_str(), conf.id.version.as_str());
        messages.doing(&format!("[META] add `{}` to {}", script.file_name(), file.display()));
        self.put(&file, text.as_bytes(), 0o644, None)
    }

    /// The snippet where debhelper looks for it: `DH_AUTOSCRIPTDIR`, folders of `DH_DATAFILES`, its own
    /// folder, in which our package has it.
    fn installed_snippet(&self, script: Script) -> Result<Option<String>, Error> {
        let direct = self.environment.get_filled("DH_AUTOSCRIPTDIR").map(PathBuf::from);
        let data = self.environment.get_filled("DH_DATAFILES").unwrap_or_default();
        let data = data.split(':').filter(|folder| !folder.is_empty()).chain([DEBHELPERS_DATA]);
        let folders = direct.into_iter().chain(data.map(|folder| Path::new(folder).join("autoscripts")));
        let mut files = folders.map(|folder| folder.join(script.file_name()));
        match files.find(|file| fs::exists(file)) {
            Some(file) => Ok(Some(fs::read_lossy(&file)?)),
            None => Ok(None),
        }
    }

    fn put(&self, file: &Path, bytes: &[u8], mode: u32, mtime: Option<(i64, i64)>) -> Result<(), Error> {
        if self.no_act {
            return Ok(());
        }
        fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        fs::write_whole(file, bytes, mode)?;
        if let Some(mtime) = mtime {
            fs::set_mtime(file, mtime)?;
        }
        Ok(())
    }
}

/// The script for systems whose dkms has none.
fn legacy_script() -> Result<Vec<u8>, Error> {
    let script = existing(Path::new(COMMON_POSTINST))?;
    let is_whole = !script.is_empty() && !script.contains(OUR_PROGRAMS);
    Ok(if is_whole { script } else { LEGACY.to_owned() }.into_bytes())
}

/// Notes that we acted on a package.
///
/// # Errors
/// [`Error::Fs`].
pub fn write_log(package: &str) -> Result<(), Error> {
    let file = PathBuf::from(log_of(package));
    let text = existing(&file)? + "dh_dkms\n";
    Ok(fs::write_whole(&file, text.as_bytes(), 0o644)?)
}

/// A file's text, empty where there is none.
fn existing(file: &Path) -> Result<String, Error> {
    if fs::exists(file) { Ok(fs::read_lossy(file)?) } else { Ok(String::new()) }
}

fn install(mode: u32, from: &Path, to: &Path) -> String {
    let word = |path: &Path| quote(&path.to_string_lossy());
    format!("install -p -D -m{mode:o} {} {}", word(from), word(to))
}
