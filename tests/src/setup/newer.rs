//! A kernel of a newer line than the machine's own: image and headers, unpacked into the
//! cache, never installed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dkms_base::host::fs;
use dkms_offers::Line;

use super::apt::Apt;
use super::images::{place, unpacked_now};
use crate::cache::Cache;
use crate::command::must;
use crate::root::Root;

/// The end of its release: the smallest flavour.
const FLAVOUR: &str = "cloud-amd64";

/// The names of its packages.
fn names(release: &str) -> [String; 4] {
    let line = release.trim_end_matches(FLAVOUR).trim_end_matches('-');
    [
        format!("linux-image-{release}"),
        format!("linux-headers-{release}"),
        format!("linux-headers-{line}-common"),
        format!("linux-kbuild-{line}"),
    ]
}

/// Linux 6.12, as Debian's security archive has it for bookworm: its modules are compressed (xz), it unpacks
/// them itself, and it knows ECDSA.
#[derive(Debug, Clone)]
pub struct NewerKernel {
    /// Its release.
    pub release: String,
    /// Unpacked packages: image, headers, headers that all flavours have in common,
    /// programs that build modules.
    packages: Vec<PathBuf>,
}

impl NewerKernel {
    /// Fetches it, where it isn't in the cache already.
    ///
    /// # Errors
    /// Where the packages are not available.
    pub fn fetch(cache: &Cache) -> Result<Self> {
        let chosen = cache.at("newer-kernel");
        if fs::is_file(&chosen) {
            let release = fs::read_lossy(&chosen)?.trim().to_owned();
            let packages = names(&release).map(|name| place(cache, &name)).to_vec();
            if packages.iter().all(|place| fs::is_dir(place)) {
                return Ok(Self { release, packages });
            }
        }
        let line = Line::beginning(FLAVOUR, "6.12.");
        let from = |apt: &Apt| {
            apt.newest_kernel(&line, |kernel| {
                let unpacked = |name: &String| {
                    let package = if name.starts_with("linux-image-") { &kernel.image } else { name };
                    unpacked_now(cache, apt, package, name)
                };
                let packages = names(&kernel.release).iter().map(unpacked).collect::<Result<_>>()?;
                Ok(Self { release: kernel.release.clone(), packages })
            })
        };
        // A machine without security updates among its sources can still take it from there.
        let found = from(&Apt::of_machine()).or_else(|error| {
            Apt::open(cache, "bookworm-security").and_then(|apt| from(&apt)).map_err(|_| error)
        })?;
        fs::write_whole(&chosen, format!("{}\n", found.release).as_bytes(), 0o644)?;
        Ok(found)
    }

    /// The kernel's own file.
    #[must_use]
    pub fn vmlinuz(&self) -> PathBuf {
        self.packages[0].join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// Its modules: the folder that is `/lib/modules/K` in its package.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.packages[0].join("lib/modules").join(&self.release)
    }

    /// The list of the symbols that it exports, `Module.symvers` of its headers.
    #[must_use]
    pub fn list(&self) -> PathBuf {
        self.packages[1]
            .join("usr/src")
            .join(format!("linux-headers-{}", self.release))
            .join("Module.symvers")
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.packages[0].join("boot").join(format!("config-{}", self.release))
    }

    /// Puts its modules and headers into a root, without the types of the kernel itself: those would have to
    /// be added to modules by a program that isn't here.
    ///
    /// # Errors
    /// Where they can't be copied.
    pub fn put_into(&self, root: &Root) -> Result<()> {
        for (folder, at) in [("lib/modules", "/usr/lib"), ("usr/src", "/usr"), ("usr/lib", "/usr")] {
            for package in &self.packages {
                let from = package.join(folder).display().to_string();
                if fs::is_dir(Path::new(&from)) {
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
