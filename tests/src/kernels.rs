//! Which kernels a test can build for: two with headers of their own, and a third that borrows them.

use anyhow::{Context, Result};
use dkms_base::host::fs;
use std::path::Path;

use crate::cache::Cache;

/// The kernels in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernels {
    /// `$K`: a kernel of flavour `amd64` with headers.
    pub first: String,
    /// `$K2`: one of flavour `cloud-amd64`, with an image in the cache.
    pub second: String,
}

/// `$K3`: a kernel that is only a folder, with headers that are links to the first one's but for the release.
pub const THIRD: &str = "6.0.9-third";

/// The two flavours that setup installs.
pub const FLAVOURS: [&str; 2] = ["amd64", "cloud-amd64"];

impl Kernels {
    /// Those on this machine: the ones that setup chose, or the newest with headers.
    ///
    /// # Errors
    /// Where setup didn't install them.
    pub fn find() -> Result<Self> {
        let chosen = Cache::open()?.kernels();
        let chosen = if fs::is_file(&chosen) { fs::read_lossy(&chosen)? } else { String::new() };
        let pick = |flavour| {
            let by_setup =
                chosen.lines().find(|kernel| abi_of(kernel, flavour).is_some() && has_headers(kernel));
            let kernel = by_setup.map(str::to_owned).or(installed(flavour)?.pop());
            kernel.with_context(|| format!("no headers for a {flavour} kernel: run `make setup`"))
        };
        Ok(Self { first: pick(FLAVOURS[0])?, second: pick(FLAVOURS[1])? })
    }
}

/// The installed kernels of a flavour that have headers, the newest last.
///
/// # Errors
/// Where `/lib/modules` can't be read.
pub fn installed(flavour: &str) -> Result<Vec<String>> {
    let folder = Path::new("/lib/modules");
    if !fs::is_dir(folder) {
        return Ok(Vec::new());
    }
    let names = fs::list(folder)?;
    let releases = names.iter().filter_map(|entry| entry.name.to_str());
    let usable = |release: &&str| has_headers(release) && abi_of(release, flavour).is_some();
    let mut found: Vec<String> = releases.filter(usable).map(str::to_owned).collect();
    found.sort_by_key(|release| abi_of(release, flavour));
    Ok(found)
}

/// Whether a kernel has headers on this machine.
#[must_use]
pub fn has_headers(release: &str) -> bool {
    fs::is_dir(&Path::new("/lib/modules").join(release).join("build/include"))
}

/// `6.1.0-56-amd64` of flavour `amd64` is (6, 1, 0, 56): the kernel's part first, then the ABI number. Other
/// flavours and other ways to number are none.
#[must_use]
pub fn abi_of(release: &str, flavour: &str) -> Option<Vec<u32>> {
    let (version, rest) = release.split_once('-')?;
    let abi = rest.strip_suffix(flavour)?.strip_suffix('-')?;
    let mut numbers: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.push(abi.parse().ok()?);
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::abi_of;

    #[test]
    fn flavours_are_told_apart() {
        assert_eq!(abi_of("6.1.0-56-amd64", "amd64"), Some(vec![6, 1, 0, 56]));
        assert_eq!(abi_of("6.1.0-56-cloud-amd64", "amd64"), None);
        assert_eq!(abi_of("6.1.0-56-cloud-amd64", "cloud-amd64"), Some(vec![6, 1, 0, 56]));
        assert_eq!(abi_of("6.1.0-56-rt-amd64", "amd64"), None);
        assert!(abi_of("6.1.0-9-amd64", "amd64") < abi_of("6.1.0-56-amd64", "amd64"));
    }
}
