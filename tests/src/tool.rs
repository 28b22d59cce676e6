//! A `dkms` to run: ours, or one of the originals.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cache::{Cache, Oracle};

/// A `dkms` program on this machine that a root can show under `/usr/sbin/dkms`.
#[derive(Debug, Clone)]
pub struct Tool {
    /// How messages call it, and its folder below `/opt` in a root.
    pub name: &'static str,
    /// Where it lies on the machine.
    pub program: PathBuf,
    /// What tells one build of it from another: keys recorded observations.
    pub version: String,
}

impl Tool {
    /// Ours; an integration test passes `env!("CARGO_BIN_EXE_dkms-under-test")`.
    #[must_use]
    pub fn ours(program: &str) -> Self {
        Self { name: "ours", program: Path::new(program).to_owned(), version: "ours".to_owned() }
    }

    /// What runs one batch for kernels that have arrived, as an adapter does (`batch-under-test`).
    #[must_use]
    pub fn batch(program: &str) -> Self {
        Self { name: "batch", ..Self::ours(program) }
    }

    /// The original of a Debian release.
    ///
    /// # Errors
    /// Where setup didn't fetch it.
    pub fn original(cache: &Cache, oracle: Oracle) -> Result<Self> {
        let name = match oracle {
            Oracle::Trixie => "original",
            Oracle::Bookworm => "original-bookworm",
        };
        let version = cache.package_version(oracle.suite(), "dkms")?;
        Ok(Self { name, program: cache.original(oracle)?, version })
    }

    /// Where it is in every root that was made with it.
    #[must_use]
    pub fn path_in_root(&self) -> String {
        format!("/opt/{}/dkms", self.name)
    }
}
