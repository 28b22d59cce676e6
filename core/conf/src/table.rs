//! The table of settings: for each its name, what it may be, its default, and a sentence about it.
//!
//! The reader, the warnings, framework.conf as shipped, and the manual's section come from it. A new setting
//! is a row here and a field of [`Settings`](super::Settings) that [`mod@super::framework`] fills.

use super::prebuilt_place::{PrebuiltPlace, is_proxy, without_logins};

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`, in the words that people use for them; empty is `no`.
    Flag,
    /// One of these words, in any case.
    Words(&'static [&'static str]),
    /// As [`Words`](Self::Words); a yes or no stands for one of them.
    Switch {
        /// The words.
        words: &'static [&'static str],
        /// The one that a yes means.
        yes: &'static str,
        /// The one that a no means.
        no: &'static str,
    },
    /// A number from 0 to a limit.
    Number(u64),
    /// A number of bytes, with a unit or without.
    Size,
    /// An absolute path.
    Path,
    /// An absolute path, or a PKCS#11 URI.
    Key,
    /// Names of modules, separated by blanks.
    Modules,
    /// Names of environment variables, separated by blanks, each with a `*` at its end or without.
    Names,
    /// Places of prebuilt modules, separated by blanks.
    Places,
    /// The address of a proxy.
    Proxy,
    /// A name of a user, or a number.
    User,
    /// Free text: options and commands.
    Text,
}

/// What stands behind a setting's name in framework.conf as shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The default.
    Default(&'static str),
    /// There is no default that could be written down: an example.
    Example(&'static str),
}

impl Shown {
    /// The text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Default(text) | Self::Example(text) => text,
        }
    }
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its default, or an example.
    pub shown: Shown,
    /// What it does.
    pub about: &'static str,
}

/// Settings with one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// The subject.
    pub title: &'static str,
    /// The settings.
    pub settings: &'static [Setting],
}

const fn row(name: &'static str, kind: Kind, shown: Shown, about: &'static str) -> Setting {
    Setting { name, kind, shown, about }
}

use Kind::{Flag, Key, Modules, Names, Number, Path, Places, Proxy, Size, Switch, Text, User, Words};
use Shown::{Default, Example};

/// All settings.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Where things are",
        settings: &[
            row("source_tree", Path, Default("/usr/src"), "Sources of modules, as MODULE-VERSION."),
            row("dkms_tree", Path, Default("/var/lib/dkms"), "Added and built modules."),
            row("install_tree", Path, Default("/lib/modules"), "The kernels' module folders."),
            row("tmp_location", Path, Default("/tmp"), "The folder for temporary files; it must exist."),
        ],
    },
    Section {
        title: "Building",
        settings: &[
            row(
                "parallel_jobs",
                Number(u32::MAX as u64),
                Example("4"),
                "How many jobs run at once, over all modules that are built; 0 is no limit. Default: one for each processor.",
            ),
            row(
                "sandbox",
                Words(&["auto", "strict", "off"]),
                Default("auto"),
                "Whether builds are isolated from the system: auto (as far as this system supports it), strict (completely, or they \
                 fail), off.",
            ),
            row(
                "build_user",
                User,
                Default("_dkms"),
                "The user that builds modules in the sandbox and reads each dkms.conf.",
            ),
            row(
                "sandbox_exempt",
                Modules,
                Example("nvidia zfs"),
                "Modules that are built without a sandbox, separated by blanks.",
            ),
            row(
                "build_environment",
                Text,
                Example("source /opt/toolchain/enable"),
                "A command to run before each build, in the same shell as make. $kernelver is the kernel.",
            ),
            row(
                "pass_environment",
                Names,
                Example("IGNORE_* MY_OPTION"),
                "Environment variables that the code of packages (builds, scripts, each dkms.conf) sees besides the usual ones, separated \
                 by blanks; a `*` at the end of a name stands for anything.",
            ),
            row(
                "build_cache",
                Path,
                Default(""),
                "A folder that keeps built modules, so that the same input is not built twice; empty: none.",
            ),
            row("build_cache_max", Size, Default("2G"), "The maximum size of that folder."),
            row(
                "prebuilt",
                Places,
                Example("file:/srv/kmods"),
                "Where prebuilt modules are looked for before one is built, separated by blanks: tarballs that `dkms sign` signed, in \
                 file:/FOLDER, https://[USER:PASSWORD@]HOST/FOLDER, oci:REGISTRY/REPOSITORY[:TAG] (http:// and oci+http: without TLS).",
            ),
            row(
                "prebuilt_proxy",
                Proxy,
                Example("http://proxy:3128"),
                "The proxy for places of `prebuilt` on other machines; otherwise `http_proxy` and `https_proxy` of the environment count, \
                 and `no_proxy` in any case.",
            ),
            row(
                "prebuilt_only",
                Flag,
                Default("no"),
                "Build nothing: a module that is not there prebuilt is a failure.",
            ),
            row(
                "prebuilt_keys",
                Path,
                Default("/etc/dkms/trusted.d"),
                "The folder with the public keys, in PEM, whose signatures on prebuilt modules are trusted.",
            ),
            row("continue_on_error", Flag, Default("true"), "Continue with other modules after one failed."),
            row(
                "build_timeout",
                Number(u32::MAX as u64),
                Default("14400"),
                "The time limit for the build of a module, in seconds; a longer build is ended and fails. 0 is no limit.",
            ),
            row(
                "on_unfit",
                Words(&["warn", "fail"]),
                Default("warn"),
                "If a module that was built is for another kernel, or the kernel cannot link it: warn, fail (the build).",
            ),
            row(
                "module_size_max",
                Size,
                Default("256M"),
                "The largest size of a built module, with its debug information; a larger one fails the build. All modules of one \
                 build may have four times as much together. At most 512M.",
            ),
            row(
                "lock_timeout",
                Number(u32::MAX as u64),
                Default("1800"),
                "How long a command waits for another one that changes the same module, in seconds.",
            ),
        ],
    },
    Section {
        title: "Installing",
        settings: &[
            row(
                "autoinstall_all_kernels",
                Flag,
                Default("no"),
                "Build a new module for every kernel with headers, not only for the running and the newest one.",
            ),
            row(
                "symlink_modules",
                Flag,
                Default("no"),
                "Link modules into the kernels' folders instead of copying them.",
            ),
            row(
                "modprobe_on_install",
                Flag,
                Default("no"),
                "Load a module after it was installed for the running kernel.",
            ),
            row(
                "remake_initrd",
                Switch { words: &["auto", "no"], yes: "auto", no: "no" },
                Default("auto"),
                "Remake a kernel's initramfs if an installed module requests it: auto, no.",
            ),
            row(
                "post_transaction",
                Text,
                Example("update-initramfs -u -k $kernelver"),
                "A command to run after all modules were installed for a kernel. $kernelver is the kernel.",
            ),
            row(
                "compress_gzip_opts",
                Text,
                Default(""),
                "Options for gzip, if the kernel's modules are compressed with it; empty: dkms compresses, with the same result.",
            ),
            row(
                "compress_xz_opts",
                Text,
                Default(dkms_kernel::modfile::DEFAULT_XZ_OPTS),
                "The same for xz. dkms compresses by itself if this is the default.",
            ),
            row(
                "compress_zstd_opts",
                Text,
                Default(dkms_kernel::modfile::DEFAULT_ZSTD_OPTS),
                "The same for zstd. dkms compresses by itself if this is the default.",
            ),
        ],
    },
    Section {
        title: "Signing",
        settings: &[
            row(
                "try_sign_modules",
                Switch { words: &["true", "false", "not_in_chroot"], yes: "true", no: "false" },
                Default("not_in_chroot"),
                "Sign modules: true, false, not_in_chroot.",
            ),
            row(
                "mok_signing_key",
                Key,
                Default("/var/lib/dkms/mok.key"),
                "The key that signs modules. It is generated if neither it nor its certificate exists. $kernelver is the kernel. It may be \
                 a PKCS#11 URI.",
            ),
            row("mok_certificate", Path, Default("/var/lib/dkms/mok.pub"), "The certificate of that key."),
            row(
                "mok_passphrase_file",
                Path,
                Example("/etc/dkms/passphrase"),
                "A file with the passphrase of the key.",
            ),
            row(
                "sign_file",
                Path,
                Example("/lib/modules/$kernelver/build/scripts/sign-file"),
                "A program that signs, in place of dkms: called with hash, key, certificate, module. $kernelver is the kernel.",
            ),
        ],
    },
    Section {
        title: "Package managers",
        settings: &[
            row(
                "on_build_failure",
                Words(&["report", "fail"]),
                Default("report"),
                "If a module can't be built in a transaction: report (print it, the transaction goes on), fail.",
            ),
            row(
                "preflight",
                Words(&["warn", "build", "block", "off"]),
                Default("warn"),
                "If a module in use would be missing on a new kernel: warn, build (critical modules are built first, to know it; then warn), \
                 block (the transaction), off.",
            ),
            row(
                "forecast_timeout",
                Number(u32::MAX as u64),
                Default("600"),
                "How long preflight=build may build for a new kernel, in seconds; then the transaction goes on without. 0 is no limit.",
            ),
            row(
                "boot_guard",
                Words(&["warn", "hold", "off"]),
                Default("warn"),
                "If a critical module is missing for a kernel or will not load on it: warn, hold (the kernel does not become the default of \
                 the boot menu if another one is proven), off.",
            ),
            row(
                "critical",
                Modules,
                Default("auto"),
                "Modules that this machine can't boot or be reached without; what is missing of them is reported first: auto (they are found: \
                 `dkms critical`), none, or names, separated by blanks.",
            ),
            row(
                "batch",
                Flag,
                Default("yes"),
                "Build all modules of a transaction as one batch; no: each when its package is configured.",
            ),
        ],
    },
    Section {
        title: "Output",
        settings: &[row("verbose", Flag, Default("no"), "Show the commands that are run, and their output.")],
    },
];

/// Every setting, in the table's order.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// Every setting's name.
#[must_use]
pub fn names() -> Vec<&'static str> {
    all().map(|setting| setting.name).collect()
}

/// The text of framework.conf as shipped: it explains every setting and sets none.
#[must_use]
pub fn framework_conf() -> String {
    let mut text = "# Settings of DKMS. Each line shows a setting's default, or an example if there is none; to change a setting, remove the \
                    `#`\n# before it. Files in /etc/dkms/framework.conf.d/*.conf override this one.\n"
        .to_owned();
    for Section { title, settings } in SECTIONS {
        text.push_str(&format!("\n## {title}\n"));
        for Setting { name, shown, about, .. } in *settings {
            let value = shown.text();
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let quote = if is_number { "" } else { "\"" };
            text.push_str(&format!("\n# {about}\n#{name}={quote}{value}{quote}\n"));
        }
    }
    text
}

impl Kind {
    /// What a value means, as the table writes it; `None`: nothing, the setting can't have it.
    #[must_use]
    pub fn normal(self, value: &str) -> Option<String> {
        let word = value.trim();
        match self {
            Self::Flag => yes_or_no(word).map(|yes| if yes { "yes" } else { "no" }.to_owned()),
            Self::Words(words) => one_of(words, word),
            Self::Switch { words, yes, no } => one_of(words, word).or_else(|| {
                let is_yes = yes_or_no(word)?;
                Some(if is_yes { yes } else { no }.to_owned())
            }),
            Self::Number(limit) => {
                word.parse::<u64>().ok().filter(|number| *number <= limit).map(|number| number.to_string())
            }
            Self::Size => size(word).map(|bytes| bytes.to_string()),
            Self::Path => value.starts_with('/').then(|| value.to_owned()),
            Self::Key => (value.starts_with('/') || value.starts_with("pkcs11:")).then(|| value.to_owned()),
            Self::Modules => {
                let plain = |name: &str| dkms_base::id::ModuleName::new(name).is_ok();
                value.split_whitespace().all(plain).then(|| value.to_owned())
            }
            Self::Names => {
                let plain = |name: &str| {
                    let name = name.strip_suffix('*').unwrap_or(name);
                    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                };
                value.split_whitespace().all(plain).then(|| value.to_owned())
            }
            Self::Places => {
                let is_place = |word: &str| PrebuiltPlace::parse(word).is_some();
                value.split_whitespace().all(is_place).then(|| value.to_owned())
            }
            Self::Proxy => is_proxy(word).then(|| word.to_owned()),
            Self::User => {
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
                (word.starts_with(|c: char| c.is_alphanumeric() || c == '_') && word.chars().all(plain))
                    .then(|| word.to_owned())
            }
            Self::Text => Some(value.to_owned()),
        }
    }

    /// What it may be, for people.
    #[must_use]
    pub fn allowed(self) -> String {
        let list =
            |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Flag => "`yes` or `no`".to_owned(),
            Self::Words(words) | Self::Switch { words, .. } => format!("one of {}", list(words)),
            Self::Number(limit) => format!("a number from 0 to {limit}"),
            Self::Size => "a size such as `500M` or `2G`".to_owned(),
            Self::Path => "a path that begins with `/`".to_owned(),
            Self::Key => "a path that begins with `/`, or a `pkcs11:` URI".to_owned(),
            Self::Modules => "a list of module names".to_owned(),
            Self::Names => "a list of names of environment variables".to_owned(),
            Self::Places => {
                "a list of `file:/FOLDER`, `https://HOST/FOLDER` and `oci:REGISTRY/REPOSITORY:TAG`".to_owned()
            }
            Self::Proxy => "`http://HOST:PORT`".to_owned(),
            Self::User => "a user's name or number".to_owned(),
            Self::Text => "a text".to_owned(),
        }
    }
}

impl Setting {
    /// A value as messages show it.
    #[must_use]
    pub fn shown_value(&self, value: &str) -> String {
        if matches!(self.kind, Proxy | Places) { without_logins(value) } else { value.to_owned() }
    }
}

/// People write `1`, `true`, `yes`, and leave empty what isn't to be.
fn yes_or_no(word: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|one| word.eq_ignore_ascii_case(one));
    if is(&["1", "yes", "y", "true", "on"]) {
        Some(true)
    } else if is(&["", "0", "no", "n", "false", "off"]) {
        Some(false)
    } else {
        None
    }
}

fn one_of(words: &[&str], word: &str) -> Option<String> {
    words.iter().find(|one| word.eq_ignore_ascii_case(one)).map(|one| (*one).to_owned())
}

/// A size in bytes: `4096`, `500M`, `2G`, in powers of 1024.
fn size(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_that_the_setting_may_have() {
        for setting in all() {
            let text = setting.shown.text();
            assert!(text.is_empty() || setting.kind.normal(text).is_some(), "{}", setting.name);
        }
        let mut names = names();
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "a name twice");
    }

    #[test]
    fn words_are_taken_in_any_case_and_nothing_near_them() {
        let fail = Words(&["report", "fail"]);
        assert_eq!(fail.normal("FAIL").as_deref(), Some("fail"));
        assert_eq!([fail.normal("fails"), fail.normal(""), fail.normal("yes")], [None, None, None]);
        let sign = Switch { words: &["true", "false", "not_in_chroot"], yes: "true", no: "false" };
        let normal = |text| sign.normal(text);
        assert_eq!([normal("Yes"), normal("off")], [Some("true".to_owned()), Some("false".to_owned())]);
        assert_eq!([normal("auto"), Flag.normal("maybe"), Path.normal("usr/src")], [None, None, None]);
        assert_eq!([Number(9).normal("10"), Number(9).normal("-1"), Size.normal("much")], [None, None, None]);
        assert_eq!([Modules.normal("a ../b"), User.normal("no body"), Key.normal("key")], [None, None, None]);
    }
}
