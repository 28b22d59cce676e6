//! Where fetched things lie: the cache folder of the tests. Knows names; what fills it is `setup`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dkms_base::host::environment::Environment;
use dkms_base::host::fs;

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

/// A release of Debian whose `dkms` we compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oracle {
    /// trixie's, the main one.
    Trixie,
    /// bookworm's, for take-over.
    Bookworm,
}

impl Oracle {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Trixie, Self::Bookworm];

    /// The suite's name.
    #[must_use]
    pub fn suite(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        }
    }
}

impl Cache {
    /// `DKMS_TEST_CACHE`, or `target/test-cache` in the workspace.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn open() -> Result<Self> {
        let environment = Environment::of_this_process();
        let dir = match environment.get_filled("DKMS_TEST_CACHE") {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"),
        };
        fs::create_dir_all(&dir)?;
        Ok(Self(fs::canonical(&dir)?))
    }

    /// A path in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The file in which setup names the kernels that it chose.
    #[must_use]
    pub fn kernels(&self) -> PathBuf {
        self.0.join("kernels")
    }

    /// Where things from this suite's apt go.
    #[must_use]
    pub fn apt(&self, suite: &str) -> PathBuf {
        self.0.join("apt").join(suite)
    }

    /// The unpacked package of a Debian release, `name` it: `dkms` or `acpi-call-dkms`.
    #[must_use]
    pub fn package(&self, suite: &str, name: &str) -> PathBuf {
        self.0.join("packages").join(suite).join(name)
    }

    /// The version of an unpacked package.
    ///
    /// # Errors
    /// Where setup didn't unpack it.
    pub fn package_version(&self, suite: &str, name: &str) -> Result<String> {
        let file = self.package(suite, name).join("VERSION");
        let text =
            fs::read_lossy(&file).with_context(|| format!("no `{name}` of {suite}: run `make setup`"))?;
        Ok(text.trim().to_owned())
    }

    /// The original's program.
    ///
    /// # Errors
    /// Where setup didn't unpack it.
    pub fn original(&self, oracle: Oracle) -> Result<PathBuf> {
        let program = self.package(oracle.suite(), "dkms").join("root/usr/sbin/dkms");
        if !fs::is_file(&program) {
            bail!("no dkms of {} in `{}`: run `make setup`", oracle.suite(), self.0.display());
        }
        Ok(program)
    }

    /// The folder that roots mount over: the same for all, each in a mount namespace of its own.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn mount_point(&self) -> Result<PathBuf> {
        let dir = self.0.join("mnt");
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}
