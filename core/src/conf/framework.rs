//! Reading framework.conf and framework.conf.d into [`Settings`].
//!
//! Only our own names are taken; whatever else a file sets is left alone, so that settings of other versions do no harm.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::bash::Bash;
use super::error::ConfError;
use super::file::{self, ConfFile};
use super::found::Given;
use super::settings::{OnBuildFailure, PreflightPolicy, SandboxMode, Settings, TrySign};
use super::{special, syntax};
use crate::host::processors::nproc;
use crate::host::{Environment, fs};
use crate::layout::Layout;

/// Every setting's name.
pub const NAMES: &[&str] = &[
    "source_tree",
    "dkms_tree",
    "install_tree",
    "tmp_location",
    "verbose",
    "symlink_modules",
    "autoinstall_all_kernels",
    "modprobe_on_install",
    "parallel_jobs",
    "compress_gzip_opts",
    "compress_xz_opts",
    "compress_zstd_opts",
    "build_environment",
    "post_transaction",
    "continue_on_error",
    "sign_file",
    "mok_signing_key",
    "mok_certificate",
    "mok_passphrase_file",
    "remake_initrd",
    "try_sign_modules",
    "build_cache",
    "build_cache_max",
    "preflight",
    "sandbox",
    "build_user",
    "sandbox_exempt",
    "on_build_failure",
    "lock_timeout",
    "batch",
];

/// Settings that are one of a few words; the first is the default.
const WORDS: &[(&str, &[&str])] = &[
    ("preflight", &["warn", "block", "off"]),
    ("sandbox", &["auto", "strict", "off"]),
    ("remake_initrd", &["auto", "no"]),
    ("on_build_failure", &["report", "fail"]),
];

/// Settings that are yes or no.
const FLAGS: &[&str] = &[
    "verbose",
    "symlink_modules",
    "autoinstall_all_kernels",
    "modprobe_on_install",
    "continue_on_error",
    "batch",
];

/// framework.conf, read.
#[derive(Debug, Clone)]
pub struct Framework {
    /// What holds.
    pub settings: Settings,
    /// What is written there and can't be meant.
    pub wrong: Vec<WrongValue>,
}

/// A value that a setting can't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongValue {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What it could be.
    pub expected: String,
    /// What holds in its place.
    pub taken_as: String,
}

impl std::fmt::Display for WrongValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, value, expected, taken_as } = self;
        write!(f, "`{name}={}` in framework.conf is not {expected}; {taken_as} holds", value.escape_debug())
    }
}

/// Reads the settings that hold below the root of `layout`.
///
/// # Errors
/// [`ConfError`]; a file that isn't there is none.
pub fn read(layout: &Layout, environment: &Environment) -> Result<Framework, ConfError> {
    let etc = layout.etc_dkms();
    let mut files = Vec::new();
    for path in paths(layout)? {
        files.push(Arc::new(ConfFile::read(&path)?));
    }
    // Which kernel is meant is known only when the value is used: until then the variable stands for itself.
    let variables = [("kernelver".to_owned(), "$kernelver".to_owned())];
    let hidden = NAMES.iter().filter(|name| **name != "parallel_jobs").copied().chain(["kernelver"]);
    let environment = special::for_confs(environment, hidden);
    let processors = nproc(&environment);
    let given = Given { variables: &variables, environment: &environment, processors };
    let bash = Bash { dir: &etc, given: &given, dest_override: None, wanted: NAMES, confined: None };
    let scripts = files.iter().map(|file| file.script.as_ref().ok()).collect::<Option<Vec<_>>>();
    let found = match scripts.map(|scripts| syntax::run(&scripts, &given, NAMES)) {
        Some(Ok(found)) => found,
        _ => file::through_bash(&files, &bash)?,
    };
    let first = |(name, values): (String, BTreeMap<usize, String>)| Some((name, values.get(&0)?.clone()));
    let values = found.values.into_iter().filter_map(first).collect();
    Ok(Framework { settings: settings(layout, &environment, &values), wrong: wrong(&values) })
}

/// framework.conf, then framework.conf.d/*.conf by name; those that are there.
fn paths(layout: &Layout) -> Result<Vec<PathBuf>, ConfError> {
    let main = layout.etc_dkms().join("framework.conf");
    let folder = layout.etc_dkms().join("framework.conf.d");
    let mut paths = Vec::new();
    if fs::stat(&main).map_err(ConfError::Unreadable)?.is_some() {
        paths.push(main);
    }
    for entry in fs::list(&folder).map_err(ConfError::Unreadable)? {
        let path = folder.join(&entry.name);
        let name = entry.name.to_string_lossy();
        if name.ends_with(".conf")
            && !name.starts_with('.')
            && fs::stat(&path).is_ok_and(|meta| meta.is_some())
        {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The settings that `values` give, over the defaults. Pure.
fn settings(layout: &Layout, environment: &Environment, values: &BTreeMap<String, String>) -> Settings {
    let text = |name: &str| values.get(name).map(|value| value.trim_end_matches('\r'));
    let filled = |name: &str| text(name).filter(|value| !value.is_empty()).map(str::to_owned);
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
        // `auto`, the default, is a yes.
        ("remake_initrd", &mut settings.remake_initrd),
    ];
    for (name, flag) in flags {
        if let Some(value) = text(name) {
            *flag = is_yes(value);
        }
    }
    let jobs = filled("parallel_jobs").or_else(|| environment.get_filled("parallel_jobs").map(str::to_owned));
    settings.parallel_jobs = jobs.and_then(|jobs| jobs.trim().parse().ok());
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
    settings.try_sign_modules = match filled("try_sign_modules").as_deref() {
        None | Some("not_in_chroot") => TrySign::NotInChroot,
        Some(value) if is_yes(value) => TrySign::Always,
        Some(_) => TrySign::Never,
    };
    settings.build_cache = filled("build_cache").map(|path| layout.at(&path));
    if let Some(max) = filled("build_cache_max").as_deref().and_then(size) {
        settings.build_cache_max = max;
    }
    if text("on_build_failure").is_some_and(|value| value.eq_ignore_ascii_case("fail")) {
        settings.on_build_failure = OnBuildFailure::Fail;
    }
    settings.preflight = match filled("preflight").as_deref() {
        Some("block") => PreflightPolicy::Block,
        Some("off") => PreflightPolicy::Off,
        _ => PreflightPolicy::Warn,
    };
    settings.sandbox = match filled("sandbox").as_deref() {
        Some("strict") => SandboxMode::Strict,
        Some("off") => SandboxMode::Off,
        _ => SandboxMode::Auto,
    };
    if let Some(user) = filled("build_user") {
        settings.build_user = user;
    }
    let exempt = filled("sandbox_exempt").unwrap_or_default();
    settings.sandbox_exempt = exempt.split_whitespace().map(str::to_owned).collect();
    if let Some(seconds) = filled("lock_timeout").and_then(|text| text.trim().parse().ok()) {
        settings.lock_timeout = Duration::from_secs(seconds);
    }
    settings
}

/// A size in bytes: `4096`, `500M`, `2G`, in powers of 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Values that say nothing we know. Pure.
fn wrong(values: &BTreeMap<String, String>) -> Vec<WrongValue> {
    let filled = |name: &str| {
        values.get(name).map(|value| value.trim_end_matches('\r')).filter(|value| !value.is_empty())
    };
    let quoted = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let mut wrong = Vec::new();
    let mut add = |name: &'static str, expected: String, taken_as: String| {
        let value = filled(name).unwrap_or_default().to_owned();
        wrong.push(WrongValue { name, value, expected, taken_as });
    };
    if filled("parallel_jobs").is_some_and(|value| value.trim().parse::<u32>().is_err()) {
        add("parallel_jobs", "a number".to_owned(), "the number of CPUs".to_owned());
    }
    for (name, words) in WORDS {
        let is_flag = |value: &str| *name == "remake_initrd" && (is_plain_yes(value) || !is_yes(value));
        if filled(name).is_some_and(|value| !words.contains(&value) && !is_flag(value)) {
            add(name, format!("one of {}", quoted(words)), quoted(&words[..1]));
        }
    }
    for name in FLAGS {
        if filled(name).is_some_and(|value| is_yes(value) && !is_plain_yes(value)) {
            add(name, "`yes` or `no`".to_owned(), "`yes`".to_owned());
        }
    }
    let is_sign_word = |value: &str| value == "not_in_chroot" || is_plain_yes(value) || !is_yes(value);
    if filled("try_sign_modules").is_some_and(|value| !is_sign_word(value)) {
        let words = ["true", "false", "not_in_chroot"];
        add("try_sign_modules", format!("one of {}", quoted(&words)), "`true`".to_owned());
    }
    wrong
}

fn is_plain_yes(value: &str) -> bool {
    ["1", "yes", "y", "true", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// People write `1`, `true`, `yes`, and leave empty what isn't to be.
fn is_yes(value: &str) -> bool {
    !["", "0", "no", "n", "false", "off"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::KernelRelease;
    use crate::layout::Layout;

    struct Root(tempfile::TempDir);

    impl Root {
        fn with(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join("etc/dkms").join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
            }
            Self(dir)
        }

        fn read(&self, environment: &[(&str, &str)]) -> Result<Settings, ConfError> {
            self.framework(environment).map(|read| read.settings)
        }

        fn framework(&self, environment: &[(&str, &str)]) -> Result<Framework, ConfError> {
            read(&Layout::under(self.0.path()), &environment.iter().copied().collect())
        }
    }

    #[test]
    fn without_files_the_defaults_hold() {
        let root = Root::with(&[]);
        let settings = root.read(&[("TMPDIR", "/var/tmp"), ("sign_file", "/evil")]).unwrap();
        assert_eq!(settings.tmp_location, root.0.path().join("var/tmp"));
        assert_eq!(settings.layout.dkms_tree, root.0.path().join("var/lib/dkms"));
        assert_eq!((settings.sign_file, settings.parallel_jobs), (None, None));
        assert!(settings.continue_on_error && !settings.verbose);
    }

    #[test]
    fn files_come_over_one_another_by_name() {
        let root = Root::with(&[
            ("framework.conf", "dkms_tree=/a\nsandbox=strict\nverbose=1\nsymlink_modules=no\n"),
            ("framework.conf.d/20-b.conf", "dkms_tree=\"/b\"\r\n"),
            ("framework.conf.d/10-c.conf", "dkms_tree=/c\ncontinue_on_error=\n"),
            ("framework.conf.d/30-d.conf.dpkg-old", "dkms_tree=/d\n"),
        ]);
        let settings = root.read(&[]).unwrap();
        assert_eq!(settings.layout.dkms_tree, root.0.path().join("b"));
        assert!(settings.verbose && !settings.symlink_modules && !settings.continue_on_error);
    }

    #[test]
    fn the_kernel_is_put_in_later() {
        let text = "sign_file=\"/usr/$kernelver/sign\"\nmok_certificate='/k/${kernelver}.pub'\n";
        let kernel = KernelRelease::new("6.1.0-47-amd64").unwrap();
        for more in ["", "true\n"] {
            let settings = Root::with(&[("framework.conf", &format!("{more}{text}"))]).read(&[]).unwrap();
            let value = |text: Option<String>| Settings::for_kernel(&text.unwrap(), &kernel);
            assert_eq!(value(settings.sign_file), "/usr/6.1.0-47-amd64/sign");
            assert_eq!(value(settings.mok_certificate), "/k/6.1.0-47-amd64.pub");
        }
    }

    #[test]
    fn jobs_come_from_the_environment_too() {
        let jobs = |text: &str| {
            Root::with(&[("framework.conf", text)]).read(&[("parallel_jobs", "3")]).unwrap().parallel_jobs
        };
        assert_eq!(jobs(""), Some(3));
        assert_eq!(jobs("parallel_jobs=7"), Some(7));
        assert_eq!(jobs("parallel_jobs=$((parallel_jobs + 1))"), Some(4));
    }

    #[test]
    fn sizes_have_units() {
        let max = |text: &str| {
            let text = format!("build_cache=/c\nbuild_cache_max={text}\non_build_failure=fail\n");
            let settings = Root::with(&[("framework.conf", &text)]).read(&[]).unwrap();
            assert!(settings.build_cache.unwrap().ends_with("c"));
            assert_eq!(settings.on_build_failure, OnBuildFailure::Fail);
            settings.build_cache_max
        };
        assert_eq!((max("4096"), max("500M"), max("3g"), max("1KiB")), (4096, 500 << 20, 3 << 30, 1024));
        assert_eq!((max("much"), max(""), max("99999999999T")), (2 << 30, 2 << 30, 2 << 30));
    }

    #[test]
    fn what_can_not_be_meant_is_told() {
        let wrong = |text: &str| {
            let read = Root::with(&[("framework.conf", text)]).framework(&[]).unwrap();
            read.wrong.into_iter().map(|wrong| (wrong.name, wrong.value)).collect::<Vec<_>>()
        };
        let sound = "parallel_jobs=4\nsandbox=strict\npreflight=block\nverbose=1\ncontinue_on_error=\n\
                     symlink_modules=False\ntry_sign_modules=not_in_chroot\non_build_failure=fail\r\nother=x\n";
        assert_eq!(wrong(sound), []);
        for (line, value) in [
            ("parallel_jobs=many", "many"),
            ("parallel_jobs=-1", "-1"),
            ("sandbox=yes", "yes"),
            ("preflight=Block", "Block"),
            ("verbose=maybe", "maybe"),
            ("try_sign_modules=auto", "auto"),
        ] {
            let name = line.split('=').next().unwrap();
            assert_eq!(wrong(line), [(name, value.to_owned())], "{line}");
        }
        let settings = Root::with(&[("framework.conf", "preflight=block\n")]).read(&[]).unwrap();
        assert_eq!(settings.preflight, PreflightPolicy::Block);
    }

    /// What is installed as /etc/dkms/framework.conf: each setting in a line of its own that is taken out.
    #[test]
    fn the_file_that_is_shipped_has_all_settings_and_their_defaults() {
        let shipped = include_str!("../../../packaging/files/framework.conf");
        let setting =
            |line: &'static str| line.strip_prefix('#').filter(|line| !line.starts_with([' ', '#']));
        let lines: Vec<&str> = shipped.lines().filter_map(setting).collect();
        for name in NAMES {
            let of_it = lines.iter().filter(|line| line.split('=').next() == Some(name));
            assert_eq!(of_it.count(), 1, "{name}");
        }
        let defaults = Root::with(&[]).read(&[]).unwrap();
        let given = Root::with(&[("framework.conf", &lines.join("\n"))]).framework(&[]).unwrap();
        assert_eq!(given.wrong, []);
        let settings = given.settings;
        assert_eq!(settings.lock_timeout, defaults.lock_timeout);
        assert_eq!(settings.build_cache_max, defaults.build_cache_max);
        assert_eq!(settings.on_build_failure, defaults.on_build_failure);
        assert_eq!(settings.preflight, defaults.preflight);
        assert_eq!(settings.try_sign_modules, defaults.try_sign_modules);
        assert_eq!(settings.compress_xz_opts, defaults.compress_xz_opts);
        assert_eq!(settings.compress_zstd_opts, defaults.compress_zstd_opts);
        let flags = |settings: &Settings| {
            let Settings { verbose, symlink_modules, autoinstall_all_kernels, batch, .. } = settings;
            let Settings { modprobe_on_install, continue_on_error, remake_initrd, build_cache, .. } =
                settings;
            [
                [*verbose, *symlink_modules, *autoinstall_all_kernels, *batch],
                [*modprobe_on_install, *continue_on_error, *remake_initrd, build_cache.is_some()],
            ]
        };
        assert_eq!(flags(&settings), flags(&defaults));
    }

    #[test]
    fn a_time_limit_is_a_number_of_seconds() {
        let limit =
            |text: &str| Root::with(&[("framework.conf", text)]).read(&[]).unwrap().lock_timeout.as_secs();
        assert_eq!(
            (limit("lock_timeout=7"), limit("lock_timeout=0"), limit("lock_timeout=long")),
            (7, 0, 1800)
        );
    }

    #[test]
    fn a_bad_file_is_named() {
        let error = Root::with(&[("framework.conf", "a=1\nif then\n")]).read(&[]).unwrap_err();
        assert!(matches!(&error, ConfError::Syntax { line: 2, .. }), "{error}");
    }
}
