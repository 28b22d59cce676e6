//! The table of settings: for each its name, what it may be, its default, and a sentence about it.
//!
//! The reader, the warnings, framework.conf as shipped, and the manual's section come from it. A new setting
//! is a row here and a field of [`Settings`](super::Settings) that [`mod@super::framework`] fills.

use super::prebuilt_place::without_logins;

mod kind;

pub use kind::Kind;

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
                "Names of modules that are built without a sandbox, separated by blanks.",
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
                "Further environment variables that the code of packages (builds, scripts, each dkms.conf) receives, separated by blanks; a \
                 `*` at the end of a name stands for any characters.",
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
                "Locations of prebuilt modules, separated by blanks, which are searched before a module is built. They contain archives that \
                 `dkms mktarball` wrote and `dkms sign` signed: file:/FOLDER, https://[USER:PASSWORD@]HOST/FOLDER, \
                 oci:REGISTRY/REPOSITORY[:TAG] (http:// and oci+http: without TLS).",
            ),
            row(
                "prebuilt_proxy",
                Proxy,
                Example("http://proxy:3128"),
                "The proxy for locations of `prebuilt` on other machines. If it is not set, the environment variables `http_proxy` and \
                 `https_proxy` are used. `no_proxy` applies in both cases.",
            ),
            row(
                "prebuilt_only",
                Flag,
                Default("no"),
                "Never build: a module for which there is no prebuilt one fails.",
            ),
            row(
                "prebuilt_keys",
                Path,
                Default("/etc/dkms/trusted.d"),
                "The folder with the public keys, in PEM, whose signatures on prebuilt modules are trusted.",
            ),
            row("continue_on_error", Flag, Default("yes"), "Continue with other modules after one failed."),
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
                "What happens if a built module is for another kernel, or needs symbols that its kernel does not have: warn, fail (the build \
                 fails).",
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
                "Whether a kernel's initramfs is remade if it is out of date: it contains another build of a module, or a module that was \
                 removed; it was made before its kernel's modules; or an installed module has REMAKE_INITRD. auto, no (it is only reported).",
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
                "Whether modules are signed: true, false, not_in_chroot (in a chroot they are not).",
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
                "What happens in a transaction if a module cannot be built: report (it is printed, and the transaction goes on), fail.",
            ),
            row(
                "preflight",
                Words(&["warn", "build", "block", "off"]),
                Default("warn"),
                "What happens before a transaction if a module in use would be missing on a new kernel: warn, build (critical modules are \
                 built beforehand to find out; then a warning), block (the transaction is stopped), off (no check).",
            ),
            row(
                "forecast_timeout",
                Number(u32::MAX as u64),
                Default("600"),
                "The time limit for the builds of preflight=build for a new kernel, in seconds; after it the transaction goes on. 0 is no \
                 limit.",
            ),
            row(
                "boot_guard",
                Words(&["warn", "hold", "off"]),
                Default("warn"),
                "What happens if a critical module is missing for a kernel, or will not load on it: warn, hold (the kernel does not become \
                 the default of the boot menu, if another kernel is known to load its critical modules), off.",
            ),
            row(
                "critical",
                Modules,
                Default("auto"),
                "Modules without which this machine cannot boot or be reached; they are reported first if they are missing: auto (dkms finds \
                 them, see `dkms critical`), none, or names, separated by blanks.",
            ),
            row(
                "batch",
                Flag,
                Default("yes"),
                "Build all modules of a transaction together, as one batch; no: each one when its package is configured.",
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

impl Setting {
    /// A value as messages show it.
    #[must_use]
    pub fn shown_value(&self, value: &str) -> String {
        if matches!(self.kind, Proxy | Places) { without_logins(value) } else { value.to_owned() }
    }
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
}
