//! The settings of framework.conf, with their defaults.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::prebuilt_place::{PrebuiltPlace, Secret};

use dkms_base::host::fs::FsError;
use dkms_base::host::{Environment, fs, trusted};
use dkms_base::id::{KernelRelease, ModuleName};
use dkms_base::layout::Layout;
use dkms_kernel::modfile::{CompressOptions, DEFAULT_XZ_OPTS, DEFAULT_ZSTD_OPTS};

/// `try_sign_modules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrySign {
    /// Always.
    Always,
    /// Never.
    Never,
    /// Everywhere but in a chroot.
    NotInChroot,
}

/// `on_build_failure`: what a module that fails to build means to a package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBuildFailure {
    /// It is reported, and recorded.
    Report,
    /// The transaction fails.
    Fail,
}

/// `sandbox`: what a module's own code runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// The isolation layers that the system gives.
    Auto,
    /// All of them, or nothing runs.
    Strict,
    /// None, as in the 3.x line.
    Off,
}

/// `preflight`: what adapters do where a module in use will not be there on a kernel that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreflightPolicy {
    /// It is reported.
    Warn,
    /// The same, and critical modules are built before the transaction, to see whether they can be.
    Build,
    /// The transaction ends before anything has changed, where the package manager allows that.
    Block,
    /// Nobody is asked.
    Off,
}

/// `critical`: which modules the machine can't boot or be reached without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CriticalModules {
    /// Those that are found to be.
    Auto,
    /// None.
    None,
    /// These.
    Names(Vec<String>),
}

/// `boot_guard`: what happens to a kernel for which a critical module is refuted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootGuard {
    /// It is reported.
    Warn,
    /// It does not become the default, as long as another one is proven.
    Hold,
    /// Nothing.
    Off,
}

/// Every setting that framework.conf knows, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `source_tree`, `dkms_tree`, `install_tree` and what follows from them.
    pub layout: Layout,
    /// `tmp_location`.
    pub tmp_location: PathBuf,
    /// `verbose`.
    pub verbose: bool,
    /// `symlink_modules`.
    pub symlink_modules: bool,
    /// `autoinstall_all_kernels`.
    pub autoinstall_all_kernels: bool,
    /// `modprobe_on_install`.
    pub modprobe_on_install: bool,
    /// `parallel_jobs`; `None`: as many as there are CPUs; 0: no limit.
    pub parallel_jobs: Option<u32>,
    /// `compress_gzip_opts`, split at blanks; empty: our own compressor.
    pub compress_gzip_opts: String,
    /// `compress_xz_opts`.
    pub compress_xz_opts: String,
    /// `compress_zstd_opts`.
    pub compress_zstd_opts: String,
    /// `build_environment`, before `$kernelver` is put in.
    pub build_environment: Option<String>,
    /// `post_transaction`, before `$kernelver` is put in.
    pub post_transaction: Option<String>,
    /// `continue_on_error`.
    pub continue_on_error: bool,
    /// `sign_file`, before `$kernelver` is put in.
    pub sign_file: Option<String>,
    /// `mok_signing_key`, before `$kernelver` is put in; `None`: not set.
    pub mok_signing_key: Option<String>,
    /// `mok_certificate`, before `$kernelver` is put in; `None`: not set.
    pub mok_certificate: Option<String>,
    /// `mok_passphrase_file`, before `$kernelver` is put in: what opens an encrypted key.
    pub mok_passphrase_file: Option<String>,
    /// `remake_initrd`: a kernel's initramfs is made again where an installed module asks for it.
    pub remake_initrd: bool,
    /// `try_sign_modules`.
    pub try_sign_modules: TrySign,
    /// `build_cache`; `None`: no cache.
    pub build_cache: Option<PathBuf>,
    /// `build_cache_max`, in bytes.
    pub build_cache_max: u64,
    /// `prebuilt`: where modules are looked for that another machine has built.
    pub prebuilt: Vec<PrebuiltPlace>,
    /// `prebuilt_proxy`: the proxy for those on other machines; it may have a password.
    pub prebuilt_proxy: Option<Secret>,
    /// `prebuilt_only`: nothing is built here.
    pub prebuilt_only: bool,
    /// `prebuilt_keys`: the folder with the keys that are trusted with them.
    pub prebuilt_keys: PathBuf,
    /// `on_unfit=fail`: a module that its kernel will not load has failed to be built.
    pub unfit_fails: bool,
    /// `on_build_failure`.
    pub on_build_failure: OnBuildFailure,
    /// `preflight`.
    pub preflight: PreflightPolicy,
    /// `forecast_timeout`: how long `preflight=build` may take for a kernel, in seconds; 0: as long as it
    /// likes.
    pub forecast_timeout: u64,
    /// `boot_guard`.
    pub boot_guard: BootGuard,
    /// `critical`.
    pub critical: CriticalModules,
    /// `sandbox`.
    pub sandbox: SandboxMode,
    /// `build_user`: who a module's own code runs as.
    pub build_user: String,
    /// `sandbox_exempt`: the modules that run in none.
    pub sandbox_exempt: Vec<String>,
    /// `pass_environment`: what the code of packages sees besides the usual variables.
    pub pass_environment: Vec<String>,
    /// `batch`: modules that arrive in one transaction of a package manager are built together, at its end.
    pub batch: bool,
    /// `module_size_max`: the most bytes that a module which make built may have, debug information included.
    pub module_size_max: u64,
    /// `build_timeout`: how long a build may take; `None`: as long as it likes.
    pub build_timeout: Option<Duration>,
    /// `lock_timeout`: how long to wait for another command.
    pub lock_timeout: Duration,
}

/// The default of `build_cache_max`: 2 GiB.
pub const DEFAULT_BUILD_CACHE_MAX: u64 = 2 << 30;
/// The default of `build_timeout`: longer than the largest module takes on the slowest
/// machine that builds it.
pub const DEFAULT_BUILD_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// The default of `module_size_max`: 256 MiB. The largest modules (nvidia, amdgpu) have 100 to 200 MiB
/// with their debug information, before strip.
pub const DEFAULT_MODULE_SIZE_MAX: u64 = 256 << 20;
/// The default of `forecast_timeout`: a package manager that waits longer looks as if it hung.
pub const DEFAULT_FORECAST_TIMEOUT: u64 = 600;
/// The default of `lock_timeout`.
pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(1800);

/// The user that our packages make for builds.
pub const BUILD_USER: &str = "_dkms";

impl Settings {
    /// Whether one of them contains a user name or password: of a place or of a proxy.
    #[must_use]
    pub fn has_login(&self) -> bool {
        let of_place =
            |place: &PrebuiltPlace| matches!(place, PrebuiltPlace::Remote(remote) if remote.login.is_some());
        let of_proxy = |proxy: &Secret| proxy.reveal().contains('@');
        self.prebuilt.iter().any(of_place) || self.prebuilt_proxy.as_ref().is_some_and(of_proxy)
    }

    /// Which setting exempts the code of a module (of any, without a name) from the sandbox.
    #[must_use]
    pub fn exemption(&self, name: Option<&ModuleName>) -> Option<String> {
        if self.sandbox == SandboxMode::Off {
            return Some("`sandbox=off` in framework.conf".to_owned());
        }
        let name = name.filter(|name| self.sandbox_exempt.iter().any(|exempt| exempt == name.as_str()))?;
        Some(format!("`sandbox_exempt`, or a file in `sandbox_exempt.d`, names {name}"))
    }

    /// The settings of an image don't switch off what protects the system that works on it.
    pub fn of_an_image(&mut self) {
        self.exempt_nothing();
        self.build_user = Self::defaults(self.layout.clone()).build_user;
    }

    /// For code that root has not put in place, as that of an archive which is only examined: no setting
    /// exempts it from the sandbox, whatever module it says it is.
    pub fn exempt_nothing(&mut self) {
        if self.sandbox == SandboxMode::Off {
            self.sandbox = SandboxMode::Auto;
        }
        self.sandbox_exempt.clear();
    }

    /// A folder for temporary files in which nobody else can exchange what we make: `tmp_location`, or
    /// else one of the system.
    #[must_use]
    pub fn staging_place(&self) -> PathBuf {
        let others = ["/tmp", "/var/tmp"].map(|path| self.layout.at(path));
        let sound = |folder: &&PathBuf| trusted::is_for_staging(folder);
        let place = || std::iter::once(&self.tmp_location).chain(&others).find(sound);
        // One that isn't there is an error that names it.
        let named = Some(&self.tmp_location).filter(|folder| !fs::exists(folder));
        named.or_else(place).unwrap_or(&self.layout.dkms_tree).clone()
    }

    /// The place of temporary files, looked at now: a folder that is not there yet would belong to the user
    /// who makes it first.
    ///
    /// # Errors
    /// [`FsError`] where it is missing, or nothing of ours is safe in it.
    pub fn staging_folder(&self) -> Result<&Path, FsError> {
        let folder = self.tmp_location.as_path();
        match trusted::fault(folder) {
            _ if !fs::is_dir(folder) => Err(self.no_staging(io::ErrorKind::NotFound.into())),
            Some(fault) => Err(self.no_staging(io::Error::other(fault.to_string()))),
            None => Ok(folder),
        }
    }

    /// A new folder of ours in it.
    ///
    /// # Errors
    /// As [`Self::staging_folder`], or where it can't be made.
    pub fn staging(&self, prefix: &str) -> Result<tempfile::TempDir, FsError> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(self.staging_folder()?);
        made.map_err(|error| self.no_staging(error))
    }

    fn no_staging(&self, source: io::Error) -> FsError {
        FsError { verb: "make a temporary folder in", path: self.tmp_location.clone(), source }
    }

    /// The options of compressors.
    #[must_use]
    pub fn compress_options(&self) -> CompressOptions {
        CompressOptions {
            gzip: self.compress_gzip_opts.clone(),
            xz: self.compress_xz_opts.clone(),
            zstd: self.compress_zstd_opts.clone(),
        }
    }

    /// What the code of packages sees of the caller's environment.
    #[must_use]
    pub fn for_packages(&self, environment: &Environment) -> Environment {
        environment.for_packages(&self.pass_environment)
    }

    /// What holds below `root` where no framework.conf says otherwise.
    #[must_use]
    pub fn defaults(layout: Layout) -> Self {
        Self {
            tmp_location: layout.at("/tmp"),
            prebuilt_keys: layout.etc_dkms().join("trusted.d"),
            layout,
            verbose: false,
            symlink_modules: false,
            autoinstall_all_kernels: false,
            modprobe_on_install: false,
            parallel_jobs: None,
            compress_gzip_opts: String::new(),
            compress_xz_opts: DEFAULT_XZ_OPTS.to_owned(),
            compress_zstd_opts: DEFAULT_ZSTD_OPTS.to_owned(),
            build_environment: None,
            post_transaction: None,
            continue_on_error: true,
            sign_file: None,
            mok_signing_key: None,
            mok_certificate: None,
            mok_passphrase_file: None,
            remake_initrd: true,
            try_sign_modules: TrySign::NotInChroot,
            build_cache: None,
            build_cache_max: DEFAULT_BUILD_CACHE_MAX,
            prebuilt: Vec::new(),
            prebuilt_proxy: None,
            prebuilt_only: false,
            unfit_fails: false,
            on_build_failure: OnBuildFailure::Report,
            preflight: PreflightPolicy::Warn,
            forecast_timeout: DEFAULT_FORECAST_TIMEOUT,
            boot_guard: BootGuard::Warn,
            critical: CriticalModules::Auto,
            sandbox: SandboxMode::Auto,
            build_user: BUILD_USER.to_owned(),
            sandbox_exempt: Vec::new(),
            pass_environment: Vec::new(),
            batch: true,
            module_size_max: DEFAULT_MODULE_SIZE_MAX,
            build_timeout: Some(DEFAULT_BUILD_TIMEOUT),
            lock_timeout: DEFAULT_LOCK_TIMEOUT,
        }
    }
    /// A setting with `$kernelver` and `${kernelver}` put in.
    #[must_use]
    pub fn for_kernel(text: &str, kernel: &KernelRelease) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            let part_of_a_name =
                |rest: &&str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let bare = after.strip_prefix("kernelver").filter(|rest| !part_of_a_name(rest));
            if let Some(behind) = after.strip_prefix("{kernelver}").or(bare) {
                result.push_str(kernel.as_str());
                rest = behind;
            } else {
                result.push('$');
                rest = after;
            }
        }
        result + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_for_temporary_files_that_is_missing_or_open_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Layout::under("/"));
        settings.tmp_location = dir.path().join("none");
        assert!(settings.staging("x.").unwrap_err().is_not_found());
        fs::create_dir_all(&settings.tmp_location).unwrap();
        assert!(settings.staging("x.").is_ok());
        fs::set_mode(&settings.tmp_location, 0o777).unwrap();
        assert!(settings.staging("x.").is_err(), "other users may exchange what is in it");
    }

    #[test]
    fn the_kernel_is_put_in() {
        let kernel = KernelRelease::new("6.1").unwrap();
        assert_eq!(Settings::for_kernel("/a/$kernelver/${kernelver}.x$", &kernel), "/a/6.1/6.1.x$");
        assert_eq!(Settings::for_kernel("$kernelversion $HOME", &kernel), "$kernelversion $HOME");
    }
}
