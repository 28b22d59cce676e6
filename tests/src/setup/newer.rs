//! A kernel of a newer line than the machine's own: image and headers, unpacked into the cache, never installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::images::unpacked;
use crate::cache::Cache;
use crate::command::must;
use crate::root::Root;

/// The end of its release: the smallest flavour.
const FLAVOUR: &str = "-cloud-amd64";

/// Linux 6.12, as Debian's security archive has it for bookworm: its modules are compressed (xz), it unpacks them itself, and it
/// knows ECDSA.
#[derive(Debug, Clone)]
pub struct NewerKernel {
    /// Its release.
    pub release: String,
    /// Unpacked packages: image, headers, headers that all flavours have in common, programs that build modules.
    packages: Vec<PathBuf>,
}

impl NewerKernel {
    /// Fetches it, where it isn't in the cache already.
    ///
    /// # Errors
    /// Where the packages can't be had.
    pub fn fetch(cache: &Cache) -> Result<Self> {
        let words = ["search", "--names-only", "^linux-headers-6\\.12\\.[0-9]+.*-cloud-amd64$"];
        let found = must("apt-cache", &words, Path::new("/"))?;
        let releases =
            found.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("linux-headers-"));
        let number =
            |release: &&str| release.split(['.', '+', '-']).nth(2).and_then(|text| text.parse().ok());
        let release = releases.max_by_key(|release| number(release).unwrap_or(0_u32));
        let release = release.context("apt offers no headers of a Linux 6.12")?.to_owned();
        let line = release.trim_end_matches(FLAVOUR);
        let names = [
            format!("linux-image-{release}"),
            format!("linux-headers-{release}"),
            format!("linux-headers-{line}-common"),
            format!("linux-kbuild-{line}"),
        ];
        let packages = names.iter().map(|name| unpacked(cache, name)).collect::<Result<_>>()?;
        Ok(Self { release, packages })
    }

    /// The kernel's own file.
    #[must_use]
    pub fn vmlinuz(&self) -> PathBuf {
        self.packages[0].join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.packages[0].join("boot").join(format!("config-{}", self.release))
    }

    /// Puts its modules and headers into a root, without the types of the kernel itself: those would have to be added to modules
    /// by a program that isn't here.
    ///
    /// # Errors
    /// Where they can't be copied.
    pub fn put_into(&self, root: &Root) -> Result<()> {
        for (folder, at) in [("lib/modules", "/usr/lib"), ("usr/src", "/usr"), ("usr/lib", "/usr")] {
            for package in &self.packages {
                let from = package.join(folder).display().to_string();
                if dkms_core::host::fs::is_dir(Path::new(&from)) {
                    must("cp", &["-a", &from, &root.view(at).display().to_string()], Path::new("/"))?;
                }
            }
        }
        root.must(&format!(
            "rm -f /usr/src/linux-headers-{0}/vmlinux; depmod {0}; test -f /lib/modules/{0}/build/Makefile",
            self.release
        ))?;
        Ok(())
    }
}
