//! The environment as the process found it: read once, handed on as data.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Environment variables by name. Those whose name or value is no UTF-8 are left out: no conf and no
/// build can mean them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// What programs are started with.
    passed: BTreeMap<String, String>,
    /// What only we read, and who is [given it by name](Self::for_packages).
    kept: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where it is read, once")]
    pub fn of_this_process() -> Self {
        let text = |s: OsString| s.into_string().ok();
        let mut own: Self = std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect();
        // su keeps it: what root makes in a user's folder that user could exchange before root uses it.
        if own.get_filled("TMPDIR").is_some_and(|folder| !super::trusted::is_for_staging(folder.as_ref())) {
            own.unset("TMPDIR");
        }
        if let Some(flags) = own.get("MAKEFLAGS").map(without_variables) {
            match flags.is_empty() {
                true => own.unset("MAKEFLAGS"),
                false => own.set("MAKEFLAGS", flags),
            }
        }
        own.with_path()
    }

    /// The same, for a command that starts the system's programs as root (`depmod`, what makes an initramfs,
    /// package managers): they are started with the variables that they are known to need. Many others make
    /// a program run code, or read files, of the user who sets them (`BASH_ENV`, `PERL5LIB`, `PYTHONPATH`,
    /// `GCONV_PATH`, `TAR_OPTIONS`, `MODPROBE_OPTIONS`), and `sudo -E` and `su` pass them on.
    ///
    /// Who isn't root starts programs with their own rights: there all variables are passed on.
    #[must_use]
    pub fn of_this_command() -> Self {
        let own = Self::of_this_process();
        if rustix::process::geteuid().is_root() { own.for_tools() } else { own }
    }

    fn for_tools(self) -> Self {
        let all = self.passed.into_iter().chain(self.kept);
        let (passed, kept) = all.partition(|(name, _)| is_for_tools(name));
        Self { passed, kept }
    }

    /// All of it, for this program started once more: it decides the same for itself.
    #[must_use]
    pub fn whole(&self) -> Self {
        self.with_kept(|_| true)
    }

    /// For a program that the administrator wrote for us (`sign_file`, `post_transaction`), which may need
    /// whatever the caller has: a token, say. Only what makes a shell, an interpreter or the C library run
    /// something else isn't passed on.
    #[must_use]
    pub fn for_admins(&self) -> Self {
        self.with_kept(|name| !is_of_an_interpreter(name))
    }

    fn with_kept(&self, is_wanted: impl Fn(&str) -> bool) -> Self {
        let Self { mut passed, kept } = self.clone();
        let (more, kept) = kept.into_iter().partition::<BTreeMap<_, _>, _>(|(name, _)| is_wanted(name));
        passed.extend(more);
        Self { passed, kept }
    }

    /// With a `PATH`, where there is none: udev, cron and small service managers give none.
    fn with_path(mut self) -> Self {
        if self.get_filled("PATH").is_none() {
            self.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        }
        self
    }

    /// The value of a variable, also where it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.passed.get(name).or_else(|| self.kept.get(name)).map(String::as_str)
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get_filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.kept.remove(&name);
        self.passed.insert(name, value.into());
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) {
        self.passed.remove(name);
        self.kept.remove(name);
    }

    /// What the code of a package sees: variables that are known to be no secrets, and those that `more`
    /// names (`*` at the end of a name stands for anything).
    #[must_use]
    pub fn for_packages(&self, more: &[String]) -> Self {
        let named = |name: &str| {
            more.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(begin) => name.starts_with(begin),
                None => name == wanted,
            })
        };
        let all = self.passed.iter().chain(&self.kept);
        let seen = all.filter(|(name, _)| named(name) || (is_known(name) && !is_secret(name)));
        Self {
            passed: seen.map(|(name, value)| (name.clone(), value.clone())).collect(),
            kept: BTreeMap::new(),
        }
    }

    /// The names of all variables, of those too that programs are not started with.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.passed.keys().chain(self.kept.keys()).map(String::as_str)
    }

    /// All variables that programs are started with, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.passed.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// The flags of a make around us, without the variables of its command line: `O=` and `ARCH=` were meant for
/// what it makes, and would come over whatever a Makefile of the kernel says.
fn without_variables(flags: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    // A backslash keeps a blank in its word.
    let mut is_continued = false;
    let mut is_variable = false;
    for piece in flags.split_ascii_whitespace() {
        if !is_continued {
            if piece == "--" {
                break;
            }
            // What `--eval` gives is run by each make.
            is_variable = !piece.starts_with('-') && piece.contains('=') || piece.starts_with("--eval");
        }
        if !is_variable {
            kept.push(piece.to_owned());
        }
        is_continued = piece.ends_with('\\');
    }
    kept.join(" ")
}

/// Whether the code of a package may need a variable of this name, and it is known to be no secret.
fn is_known(name: &str) -> bool {
    /// Who calls and how; what builds heed, the kernel's and the tools'; what drivers' confs ask;
    /// what stands in for root.
    const NAMES: [&str; 52] = [
        "ADDON_MODULES_DIR",
        "CC",
        "CFLAGS",
        "COLUMNS",
        "CROSS_COMPILE",
        "CXX",
        "CXXFLAGS",
        "DISPLAY",
        "HOME",
        "HOSTNAME",
        "IGNORE_CC_MISMATCH",
        "IGNORE_PREEMPT_RT_PRESENCE",
        "IGNORE_XEN_PRESENCE",
        "KAFLAGS",
        "KBUILD_BUILD_HOST",
        "KBUILD_BUILD_TIMESTAMP",
        "KBUILD_BUILD_USER",
        "KBUILD_BUILD_VERSION",
        "KBUILD_MODPOST_WARN",
        "KBUILD_VERBOSE",
        "KCFLAGS",
        "KCPPFLAGS",
        "KERNEL_INSTALL_VERBOSE",
        "LANG",
        "LANGUAGE",
        "LDFLAGS",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "LINES",
        "LLVM",
        "LLVM_IAS",
        "LOGNAME",
        "MAKEFLAGS",
        "MODULES_SIGN_HASH",
        "OLDPWD",
        "OMP_NUM_THREADS",
        "OMP_THREAD_LIMIT",
        "PAHOLE",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "SOURCE_DATE_EPOCH",
        "SUDO_UID",
        "SUDO_USER",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "V",
        "container",
        "parallel_jobs",
    ];
    const BEGINS: [&str; 14] = [
        "CCACHE_",
        "DEBCONF_",
        "DEBIAN_",
        "DEB_",
        "DISTCC_",
        "DKMS_",
        "DPKG_",
        "FAKECHROOT",
        "FAKEROOT",
        "ICECC_",
        "LC_",
        "NIX_",
        "RPM_",
        "UNAME_",
    ];
    // Where the passphrase is to be read.
    const NOT: &str = "DKMS_PASSPHRASE_FD";
    name != NOT && (NAMES.binary_search(&name).is_ok() || BEGINS.iter().any(|begin| name.starts_with(begin)))
}

/// Whether programs that root starts for its own ends may need a variable of this name: what packages see of
/// it, but for a make around us; and ways to the network and to a token's library.
fn is_for_tools(name: &str) -> bool {
    const NAMES: [&str; 5] =
        ["OPENSSL_CONF", "P11_KIT_SERVER_ADDRESS", "SOFTHSM2_CONF", "SSL_CERT_DIR", "SSL_CERT_FILE"];
    const BEGINS: [&str; 5] = ["DH_", "INITRAMFS_", "KERNEL_INSTALL_", "PKCS11_", "SYSTEMD_"];
    const PROXY: &str = "_proxy";
    (is_known(name) && !is_secret(name) && name != "MAKEFLAGS")
        || NAMES.contains(&name)
        || BEGINS.iter().any(|begin| name.starts_with(begin))
        || name.to_ascii_lowercase().ends_with(PROXY)
}

/// Whether a variable of this name makes a shell, an interpreter, make or the C library load something.
fn is_of_an_interpreter(name: &str) -> bool {
    const NAMES: [&str; 15] = [
        "CDPATH",
        "COMPILER_PATH",
        "ENV",
        "GCC_EXEC_PREFIX",
        "GCONV_PATH",
        "GLOBIGNORE",
        "IFS",
        "LD_AUDIT",
        "LOCPATH",
        "MAKEFILES",
        "PERLLIB",
        "PS4",
        "SHELLOPTS",
        "TAR_OPTIONS",
        "_JAVA_OPTIONS",
    ];
    const BEGINS: [&str; 6] = ["BASH", "GLIBC_", "NODE_", "PERL5", "PYTHON", "RUBY"];
    NAMES.contains(&name) || BEGINS.iter().any(|begin| name.starts_with(begin))
}

/// Whether a variable of this name is likely to hold a secret, or to lead to one.
fn is_secret(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "KBUILD_SIGN_PIN",
        "CREDENTIALS_DIRECTORY",
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GPG_AGENT_INFO",
        "DBUS_SESSION_BUS_ADDRESS",
        "XDG_RUNTIME_DIR",
        "XAUTHORITY",
        "AWS_ACCESS_KEY_ID",
    ];
    const ENDS: [&str; 9] = [
        "_PIN",
        "_TOKEN",
        "_PASSWORD",
        "_PASSWD",
        "_PASSPHRASE",
        "_SECRET",
        "_SECRET_KEY",
        "_ACCESS_KEY",
        "_CREDENTIALS",
    ];
    let name = name.to_ascii_uppercase();
    NAMES.contains(&name.as_str())
        || ENDS.iter().any(|end| name.ends_with(end) || name == end.trim_start_matches('_'))
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let passed = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { passed, kept: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_path() {
        let none = Environment::default().with_path();
        assert!(none.get("PATH").is_some_and(|path| path.contains("/usr/bin")));
        let own: Environment = [("PATH", "/x")].into_iter().collect();
        assert_eq!(own.with_path().get("PATH"), Some("/x"));
    }

    #[test]
    fn variables_of_a_make_around_us_are_not_those_of_builds() {
        for (flags, kept) in [
            (" -- O=/out ARCH=arm64", ""),
            ("ks -j4 --jobserver-auth=3,4 -- O=/out", "ks -j4 --jobserver-auth=3,4"),
            ("O=/a\\ folder k -j2 V=1", "k -j2"),
            ("-I/a\\ folder -j2", "-I/a\\ folder -j2"),
            ("-j8", "-j8"),
            ("k --eval=$(shell\\ id) -j2", "k -j2"),
        ] {
            assert_eq!(without_variables(flags), kept, "{flags}");
        }
    }

    #[test]
    fn packages_see_what_is_known_to_be_no_secret() {
        let names = [
            "KBUILD_SIGN_PIN",
            "DKMS_PASSPHRASE_FD",
            "ANYTHING",
            "DEB_TOKEN",
            "MY_A",
            "MY_B",
            "PATH",
            "DPKG_ROOT",
        ];
        let environment: Environment = names.into_iter().map(|name| (name, "x")).collect();
        let kept = |more: &[&str]| {
            let more: Vec<String> = more.iter().map(ToString::to_string).collect();
            let kept = environment.for_packages(&more);
            kept.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[]), ["DPKG_ROOT", "PATH"]);
        assert_eq!(kept(&["MY_*", "ANYTHING"]), ["ANYTHING", "DPKG_ROOT", "MY_A", "MY_B", "PATH"]);
        assert!(
            is_known("ADDON_MODULES_DIR") && is_known("parallel_jobs") && is_known("LLVM"),
            "the names are ordered"
        );
    }

    #[test]
    fn programs_of_root_get_what_they_need_and_nothing_that_runs_code() {
        let hostile =
            ["BASH_ENV", "BASH_FUNC_ls%%", "ENV", "PERL5LIB", "PERL5OPT", "PYTHONPATH", "GCONV_PATH"];
        let needed = ["PATH", "DEBIAN_FRONTEND", "https_proxy", "OPENSSL_CONF", "KERNEL_INSTALL_ROOT"];
        let others = ["MAKEFLAGS", "VAULT_TOKEN", "KBUILD_SIGN_PIN", "MODPROBE_OPTIONS"];
        let names = hostile.iter().chain(&needed).chain(&others);
        let environment = names.map(|name| (*name, "x")).collect::<Environment>().for_tools();
        let passed = |to: &Environment, names: &[&str]| {
            names.iter().map(|name| to.iter().any(|(passed, _)| passed == *name)).collect::<Vec<_>>()
        };
        assert_eq!(passed(&environment, &needed), [true; 5]);
        assert_eq!(passed(&environment, &hostile), [false; 7]);
        assert_eq!(passed(&environment, &others), [false; 4]);
        // We read them all, and a package sees of them what it is to see.
        assert_eq!(environment.get("KBUILD_SIGN_PIN"), Some("x"));
        let of_packages = environment.for_packages(&["VAULT_TOKEN".to_owned()]);
        assert_eq!(passed(&of_packages, &others), [true, true, false, false]);
        let of_admins = environment.for_admins();
        assert_eq!(passed(&of_admins, &others), [true; 4]);
        assert_eq!(passed(&of_admins, &hostile), [false; 7]);
        assert_eq!(passed(&environment.whole(), &hostile), [true; 7]);
        let mut environment = environment;
        environment.set("VAULT_TOKEN", "y");
        assert_eq!(environment.iter().find(|(name, _)| *name == "VAULT_TOKEN"), Some(("VAULT_TOKEN", "y")));
        environment.unset("ENV");
        assert_eq!(environment.get("ENV"), None);
    }

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in ["KBUILD_SIGN_PIN", "github_token", "PASSWORD", "DB_PASSWD", "SSH_AUTH_SOCK"] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("PATH") && !is_secret("PIN_COUNT"));
    }
}
