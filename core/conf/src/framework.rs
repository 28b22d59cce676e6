//! Reading framework.conf and framework.conf.d into [`Settings`].
//!
//! Only names of the table are taken. An unknown name does no harm, but produces a warning: it
//! may be a misspelt one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::bash::Bash;
use super::error::ConfError;
use super::exempt;
use super::file::{self, ConfFile};
use super::found::{Found, Given};
use super::prebuilt_place::{PrebuiltPlace, Secret};
use super::settings::{
    BootGuard, CriticalModules, OnBuildFailure, PreflightPolicy, SandboxMode, Settings, TrySign,
};
use super::table::{self, Kind, Setting, Shown};
use super::{notices, special, syntax, trust};
use dkms_base::host::processors::nproc;
use dkms_base::host::trusted::Fault;
use dkms_base::host::{Environment, fs, root};
use dkms_base::layout::Layout;
use dkms_kernel::modfile::content::SIZE_LIMIT;

/// framework.conf, read.
#[derive(Debug, Clone)]
pub struct Framework {
    /// The settings that are in effect.
    pub settings: Settings,
    /// Invalid values and unknown names.
    pub faults: Vec<SettingFault>,
}

/// What is wrong with a line of framework.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingFault {
    /// A value that the setting can't have; its default is used.
    Value {
        /// The file.
        file: PathBuf,
        /// The setting.
        setting: &'static Setting,
        /// Its value.
        value: String,
    },
    /// A file that others may write: root doesn't read it.
    Untrusted {
        /// Who may, and where.
        fault: Fault,
    },
    /// A file that cannot be read to its end, as one with a quote that nothing closes: it is left out.
    Unread {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the file and, if known, the line.
        what: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// A file that root may read and this user may not: it is left out.
    Closed {
        /// The file.
        file: PathBuf,
    },
    /// Only bash could read the files, and with `--root` that is the image's: the defaults hold.
    NeedsBash {
        /// The first file.
        file: PathBuf,
    },
    /// A file with a login that every user of the machine can read.
    OpenLogin {
        /// The file.
        file: PathBuf,
    },
    /// A name that is no setting's, and that no other line uses.
    Unknown {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
}

impl SettingFault {
    /// The file that has it.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Value { file, .. }
            | Self::Unknown { file, .. }
            | Self::Unread { file, .. }
            | Self::OpenLogin { file }
            | Self::Closed { file }
            | Self::NeedsBash { file } => file,
            Self::Untrusted { fault } => &fault.place,
        }
    }
}

impl std::fmt::Display for SettingFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value { file, setting: setting @ Setting { name, kind, shown, .. }, value } => {
                write!(
                    f,
                    "`{name}={}` in `{}` is not {}",
                    setting.shown_value(value).escape_debug(),
                    file.display(),
                    kind.allowed()
                )?;
                match shown {
                    Shown::Default("") => f.write_str("; it is ignored"),
                    Shown::Default(text) => write!(f, "; the default `{text}` is used"),
                    Shown::Example(_) => f.write_str("; the default is used"),
                }
            }
            Self::Unread { what, .. } => write!(f, "settings of this file are left out: {what}"),
            Self::Closed { file } => {
                write!(f, "settings of `{}` are left out: this user may not read it", file.display())
            }
            Self::NeedsBash { file } => write!(
                f,
                "`{}` contains more than assignments: with `--root` it is not read, and the defaults are used",
                file.display()
            ),
            Self::Untrusted { fault } => write!(f, "settings are not read: {fault}"),
            Self::OpenLogin { file } => {
                write!(f, "`{}` contains a user name or password, and every user can read it", file.display())
            }
            Self::Unknown { file, name, nearest } => {
                write!(f, "`{name}` in `{}` is not a setting", file.display())?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What becomes of a file that root should not read, or that nobody can read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadFile {
    /// It is an error: what is not known to be set must not be done otherwise.
    Fails,
    /// It is a fault, and the others hold.
    LeftOut,
}

/// Reads the settings that hold below the root of `layout`. For what changes something.
///
/// # Errors
/// [`ConfError`]; a file that isn't there is none.
pub fn read(layout: &Layout, environment: &Environment) -> Result<Framework, ConfError> {
    load(layout, environment, BadFile::Fails)
}

/// As [`read`]; files that others may write, or that cannot be read, are left out, each with a fault. For
/// what only shows something.
///
/// # Errors
/// [`ConfError`] if it is not the fault of one file.
pub fn examine(layout: &Layout, environment: &Environment) -> Result<Framework, ConfError> {
    load(layout, environment, BadFile::LeftOut)
}

fn load(layout: &Layout, environment: &Environment, bad: BadFile) -> Result<Framework, ConfError> {
    let etc = layout.etc_dkms();
    let mut files = Vec::new();
    let mut left_out = Vec::new();
    let (paths, unlisted) = files_of(layout);
    if let Some(error) = unlisted {
        left_out.push(unread(bad, &etc.join(FOLDER), error)?);
    }
    for path in paths {
        match trust::fault(&path) {
            Some(fault) if bad == BadFile::Fails => return Err(ConfError::Untrusted { fault }),
            Some(fault) => left_out.push(SettingFault::Untrusted { fault }),
            None => match ConfFile::read(&path) {
                Ok(file) => files.push(Arc::new(file)),
                Err(error) => left_out.push(unread(bad, &path, error)?),
            },
        }
    }
    // Which kernel is meant is known only when the value is used: until then the variable stands for itself.
    let variables = [("kernelver".to_owned(), "$kernelver".to_owned())];
    let names = table::names();
    let hidden = names.iter().filter(|name| **name != "parallel_jobs").copied().chain(["kernelver"]);
    let environment = special::for_confs(environment, hidden);
    let processors = nproc(&environment);
    let given = Given { variables: &variables, environment: &environment, processors };
    let bash = Bash { dir: &etc, given: &given, dest_override: None, wanted: &names, confined: None };
    let found = loop {
        let scripts = files.iter().map(|file| file.script.as_ref().ok()).collect::<Option<Vec<_>>>();
        match scripts.map(|scripts| syntax::run(&scripts, &given, &names)) {
            Some(Ok(found)) => break found,
            // The bash of an image is the image's: it runs confined, if it runs at all, and these would
            // be settings of ours.
            _ if root::is_entered() => {
                let path = files.first().map_or_else(|| etc.join(MAIN), |file| file.path.clone());
                left_out.push(SettingFault::NeedsBash { file: path });
                break Found::default();
            }
            _ => {}
        }
        let error = match file::through_bash(&files, &bash) {
            Ok(found) => break found,
            Err(error) => error,
        };
        let Some(at) = files.iter().position(|file| error.path() == Some(&file.path)) else {
            return Err(error);
        };
        left_out.push(unread(bad, &files.remove(at).path, error)?);
    };
    let first = |(name, values): (String, BTreeMap<usize, String>)| Some((name, values.get(&0)?.clone()));
    let values = found.values.into_iter().filter_map(first).collect();
    let (values, mut faults) = checked(&values, &files);
    faults.extend(left_out);
    faults.extend(unknown(found.names.iter().map(String::as_str), &files));
    let mut settings = settings(layout, &environment, &values);
    settings.tmp_location = settings.staging_place();
    let holds = |file: &&Arc<ConfFile>| holds_login(&file.text, &settings);
    let open = files.iter().filter(holds).filter(|file| fs::is_readable_by_all(&file.path));
    faults.extend(open.map(|file| SettingFault::OpenLogin { file: file.path.clone() }));
    if root::is_entered() {
        settings.of_an_image();
    }
    Ok(Framework { settings, faults })
}

/// Whether a file of settings with this text contains a login, or may contain a part of one: of a location or
/// a proxy that is used, or of a value that is invalid.
pub(crate) fn holds_login(text: &str, settings: &Settings) -> bool {
    let has_login = |word: &str| word.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    let sets_one = |line: &str| line.trim_start().starts_with("prebuilt") && line.split(' ').any(has_login);
    text.lines().any(sets_one) || settings.has_login() && text.contains('@')
}

/// The fault of a file that can't be read, unless it is to be an error.
fn unread(bad: BadFile, file: &Path, error: ConfError) -> Result<SettingFault, ConfError> {
    match error {
        // It is the command that was stopped.
        ConfError::Process(_) => Err(error),
        _ if bad == BadFile::Fails => Err(error),
        // What root may not read is not root's alone: it is a fault like another.
        ConfError::Unreadable(error) if error.is_permission() && !rustix::process::geteuid().is_root() => {
            Ok(SettingFault::Closed { file: file.to_owned() })
        }
        _ => Ok(SettingFault::Unread { file: file.to_owned(), what: error.to_string(), hint: error.hint() }),
    }
}

/// The main file.
const MAIN: &str = "framework.conf";
/// The folder of those that override it.
const FOLDER: &str = "framework.conf.d";

/// framework.conf, then framework.conf.d/*.conf by name; those that are there.
#[must_use]
pub fn paths(layout: &Layout) -> Vec<PathBuf> {
    files_of(layout).0
}

/// The same, and why the folder can't be listed. What can't be looked at counts as there: who reads it says
/// why not.
fn files_of(layout: &Layout) -> (Vec<PathBuf>, Option<ConfError>) {
    let folder = layout.etc_dkms().join(FOLDER);
    let is_there = |path: &PathBuf| fs::stat(path).map_or(true, |meta| meta.is_some());
    let mut paths = vec![layout.etc_dkms().join(MAIN)];
    let (entries, unlisted) = match fs::list(&folder) {
        Ok(entries) => (entries, None),
        Err(error) => (Vec::new(), Some(ConfError::Unreadable(error))),
    };
    let is_conf = |name: &str| name.ends_with(".conf") && !name.starts_with('.');
    let confs = entries.into_iter().filter(|entry| is_conf(&entry.name.to_string_lossy()));
    paths.extend(confs.map(|entry| folder.join(entry.name)));
    paths.retain(is_there);
    (paths, unlisted)
}

/// The values that settings may have, as the table writes them, and the faults of the others. Pure.
fn checked(
    values: &BTreeMap<String, String>,
    files: &[Arc<ConfFile>],
) -> (BTreeMap<&'static str, String>, Vec<SettingFault>) {
    let mut valid = BTreeMap::new();
    let mut faults = Vec::new();
    for setting in table::all() {
        let Some(value) = values.get(setting.name).map(|value| value.trim_end_matches('\r')) else {
            continue;
        };
        // An empty value is no value, but where it says something.
        if value.is_empty() && !matches!(setting.kind, Kind::Flag | Kind::Text) {
            continue;
        }
        match setting.kind.normal(value) {
            Some(value) => drop(valid.insert(setting.name, value)),
            None => faults.push(SettingFault::Value {
                file: file_that_sets(setting.name, files),
                setting,
                value: value.to_owned(),
            }),
        }
    }
    (valid, faults)
}

/// Names that are no settings. A variable that another line uses is none of them.
fn unknown<'a>(names: impl Iterator<Item = &'a str>, files: &[Arc<ConfFile>]) -> Vec<SettingFault> {
    let settings = table::names();
    let is_used = |name: &str| {
        let refers = |text: &str| {
            text.split('$').skip(1).any(|rest| {
                let rest = rest.trim_start_matches(['{', '(', '#', '!', '\'', '"']);
                rest.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_name_char))
            })
        };
        files.iter().any(|file| refers(&file.text))
    };
    let nearest = |name: &str| {
        let distance = |setting: &str| notices::distance(&name.to_ascii_lowercase(), setting);
        let close = |setting: &&&str| distance(setting) <= 2 + setting.len() / 8;
        settings.iter().filter(close).min_by_key(|setting| distance(setting)).copied()
    };
    let fault = |name: &str| SettingFault::Unknown {
        file: file_that_sets(name, files),
        name: name.to_owned(),
        nearest: nearest(name),
    };
    names.filter(|name| !settings.contains(name) && !is_used(name)).map(fault).collect()
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The last file in which a name is set; by its text, so a guess where bash computed the name.
fn file_that_sets(name: &str, files: &[Arc<ConfFile>]) -> PathBuf {
    let sets = |text: &str| {
        text.match_indices(name).any(|(at, _)| {
            let rest = &text[at + name.len()..];
            let begins = !text[..at].ends_with(|c| is_name_char(c) || c == '$' || c == '{');
            begins && (rest.starts_with('=') || rest.starts_with("+=") || rest.starts_with('['))
        })
    };
    let file = files.iter().rev().find(|file| sets(&file.text)).or(files.first());
    file.map_or_else(|| PathBuf::from("framework.conf"), |file| file.path.clone())
}

/// The settings that valid `values` give, over the defaults. Pure.
fn settings(layout: &Layout, environment: &Environment, values: &BTreeMap<&'static str, String>) -> Settings {
    let text = |name: &str| values.get(name).map(String::as_str);
    let filled = |name: &str| text(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let mut settings = Settings::defaults(layout.clone());
    let places = [
        ("source_tree", &mut settings.layout.source_tree),
        ("dkms_tree", &mut settings.layout.dkms_tree),
        ("install_tree", &mut settings.layout.install_tree),
    ];
    for (name, place) in places {
        if let Some(path) = filled(name) {
            *place = layout.at(&path);
        }
    }
    if let Some(path) = filled("tmp_location").as_deref().or_else(|| environment.get_filled("TMPDIR")) {
        settings.tmp_location = layout.at(path);
    }
    let flags = [
        ("verbose", &mut settings.verbose),
        ("symlink_modules", &mut settings.symlink_modules),
        ("autoinstall_all_kernels", &mut settings.autoinstall_all_kernels),
        ("modprobe_on_install", &mut settings.modprobe_on_install),
        ("continue_on_error", &mut settings.continue_on_error),
        ("batch", &mut settings.batch),
        ("prebuilt_only", &mut settings.prebuilt_only),
    ];
    for (name, flag) in flags {
        if let Some(value) = text(name) {
            *flag = value == "yes";
        }
    }
    let of_environment = || environment.get_filled("parallel_jobs")?.trim().parse().ok();
    settings.parallel_jobs =
        number("parallel_jobs").and_then(|jobs| u32::try_from(jobs).ok()).or_else(of_environment);
    let options = [
        ("compress_gzip_opts", &mut settings.compress_gzip_opts),
        ("compress_xz_opts", &mut settings.compress_xz_opts),
        ("compress_zstd_opts", &mut settings.compress_zstd_opts),
    ];
    for (name, option) in options {
        if let Some(value) = text(name) {
            value.clone_into(option);
        }
    }
    settings.build_environment = filled("build_environment");
    settings.post_transaction = filled("post_transaction");
    settings.sign_file = filled("sign_file");
    settings.mok_signing_key = filled("mok_signing_key");
    settings.mok_certificate = filled("mok_certificate");
    settings.mok_passphrase_file = filled("mok_passphrase_file");
    settings.remake_initrd = text("remake_initrd") != Some("no");
    settings.try_sign_modules = match text("try_sign_modules") {
        Some("true") => TrySign::Always,
        Some("false") => TrySign::Never,
        _ => TrySign::NotInChroot,
    };
    settings.build_cache = filled("build_cache").map(|path| layout.at(&path));
    settings.build_cache_max = number("build_cache_max").unwrap_or(settings.build_cache_max);
    let places = filled("prebuilt").unwrap_or_default();
    settings.prebuilt = places.split_whitespace().filter_map(PrebuiltPlace::parse).collect();
    settings.prebuilt_proxy = filled("prebuilt_proxy").map(Secret::new);
    if let Some(path) = filled("prebuilt_keys") {
        settings.prebuilt_keys = layout.at(&path);
    }
    settings.unfit_fails = text("on_unfit") == Some("fail");
    if text("on_build_failure") == Some("fail") {
        settings.on_build_failure = OnBuildFailure::Fail;
    }
    settings.preflight = match text("preflight") {
        Some("block") => PreflightPolicy::Block,
        Some("build") => PreflightPolicy::Build,
        Some("off") => PreflightPolicy::Off,
        _ => PreflightPolicy::Warn,
    };
    settings.forecast_timeout = number("forecast_timeout").unwrap_or(settings.forecast_timeout);
    settings.boot_guard = match text("boot_guard") {
        Some("hold") => BootGuard::Hold,
        Some("off") => BootGuard::Off,
        _ => BootGuard::Warn,
    };
    settings.critical = match filled("critical").as_deref().map(str::trim) {
        None | Some("auto") => CriticalModules::Auto,
        Some("none") => CriticalModules::None,
        Some(names) => CriticalModules::Names(names.split_whitespace().map(str::to_owned).collect()),
    };
    settings.sandbox = match text("sandbox") {
        Some("strict") => SandboxMode::Strict,
        Some("off") => SandboxMode::Off,
        _ => SandboxMode::Auto,
    };
    if let Some(user) = filled("build_user") {
        settings.build_user = user;
    }
    for (name, list) in [
        ("sandbox_exempt", &mut settings.sandbox_exempt),
        ("pass_environment", &mut settings.pass_environment),
    ] {
        *list = filled(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    }
    if let Some(seconds) = number("build_timeout") {
        settings.build_timeout = Some(Duration::from_secs(seconds)).filter(|limit| !limit.is_zero());
    }
    if let Some(bytes) = number("module_size_max") {
        settings.module_size_max = bytes.min(SIZE_LIMIT);
    }
    settings.sandbox_exempt.extend(exempt::names(layout));
    if let Some(seconds) = number("lock_timeout") {
        settings.lock_timeout = Duration::from_secs(seconds);
    }
    settings
}

#[cfg(test)]
mod tests;
