//! A root whose state is kept and put back: many runs, one root.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::stock::{self, Stock};
use super::tripwire;
use crate::cache::Cache;
use crate::capture::{Listing, capture};
use crate::kernels::Kernels;
use crate::root::Root;
use crate::tool::Tool;

/// The folders that make up a state. All but the sources are file systems of their own, which can
/// do all that ext4 can.
const PLACES: &str = "/var/lib/dkms /lib/modules /etc/modprobe.d";
/// Reading the tree takes milliseconds. This is for a loaded machine, and shorter than any wait for a lock.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What is there: on disk, and as `status` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Every path but those of `.state`, which is no part of what others see, and what a killed
    /// depmod left half-written.
    pub listing: Listing,
    /// What `status` printed.
    pub status: String,
}

/// A root with ready-built modules, a tripwire, and states to go back to.
#[derive(Debug)]
pub struct World {
    /// The root.
    pub root: Root,
}

impl World {
    /// One with the sources of these modules (name, version, further line of the conf).
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn new(
        cache: &Cache,
        kernels: &Kernels,
        ours: &Tool,
        stock: &Stock,
        modules: &[(&str, &str, &str)],
    ) -> Result<Self> {
        let root = Root::new(cache, kernels, &[ours])?;
        root.must(&format!(
            "for place in {PLACES}; do
               cp -a $place/. /tmp/kept; mount -t tmpfs -o mode=755 world $place; cp -a /tmp/kept/. $place; rm -r /tmp/kept
             done"
        ))?;
        tripwire::put_into(&root)?;
        stock.put_into(&root, "foo", "0.1")?;
        for (name, version, line) in modules {
            stock.put_into(&root, name, version)?;
            stock::module(name, version).with(line).write_to(&root)?;
        }
        Ok(Self { root })
    }

    /// Keeps the present state under a name.
    ///
    /// # Errors
    /// Where it can't be copied.
    pub fn keep(&self, name: &str) -> Result<()> {
        self.root
            .must(&format!(
                "at=/srv/kept/{name}; rm -rf $at; mkdir -p $at/usr/src
                 for place in {PLACES}; do mkdir -p $at$place; cp -a $place/. $at$place; done
                 cd /usr/src; for one in ???-?.0 .tmp_*; do [ ! -e $one ] || cp -a $one $at/usr/src; done"
            ))
            .map(|_| ())
    }

    /// The line of shell that puts a kept state back.
    #[must_use]
    pub fn putting_back(name: &str) -> String {
        format!(
            "set -e; at=/srv/kept/{name}
             find {PLACES} -mindepth 1 -delete; rm -rf /usr/src/???-?.0 /usr/src/.tmp_*
             for place in {PLACES} /usr/src; do cp -a $at$place/. $place; done; set +e"
        )
    }

    /// Puts a kept state back.
    ///
    /// # Errors
    /// Where it can't be copied.
    pub fn put_back(&self, name: &str) -> Result<()> {
        self.root.must(&Self::putting_back(name)).map(|_| ())
    }

    /// What is there now. `status` has to succeed at once, say nothing on stderr, and change nothing.
    ///
    /// # Errors
    /// Where it does otherwise, or the root can't be listed.
    pub fn look(&self) -> Result<Seen> {
        let before = capture(&self.root)?;
        let asked = Instant::now();
        let output = self.root.dkms("status")?;
        ensure!(asked.elapsed() < AT_ONCE, "status took {:?}", asked.elapsed());
        ensure!(output.code == 0, "status ended with {}: {}", output.code, output.stderr);
        ensure!(!output.stderr.contains("Error!"), "status said {:?}", output.stderr);
        let mut listing = capture(&self.root)?;
        ensure!(listing == before, "status changed something");
        let is_remembered = |path: &str| path == STATE || path.starts_with(&format!("{STATE}/"));
        listing.retain(|path, _| !is_remembered(path) && !is_depmods(path));
        Ok(Seen { listing, status: output.stdout })
    }
}

/// Where we remember things between commands.
pub const STATE: &str = "/var/lib/dkms/.state";

/// `modules.dep.bin.PID.MICROSECONDS.SECONDS`: depmod's own temporary files, which nobody else knows.
fn is_depmods(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut parts = name.rsplit('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    path.starts_with("/lib/modules/") && name.starts_with("modules.") && parts.by_ref().take(3).all(is_number)
}

#[cfg(test)]
mod tests {
    use super::is_depmods;

    #[test]
    fn depmods_temporary_files_are_known() {
        assert!(is_depmods("/lib/modules/6.1.0/modules.dep.bin.42877.393649.1795221548"));
        assert!(!is_depmods("/lib/modules/6.1.0/modules.dep.bin"));
        assert!(!is_depmods("/lib/modules/6.1.0/updates/dkms/foo.ko"));
    }
}
