//! Which kernels a test can build for: two with headers of their own, and a third that borrows them.

use anyhow::{Context, Result};
use dkms_core::host::fs;
use std::path::Path;

/// The kernels in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernels {
    /// `$K`: the newest `amd64` kernel with headers.
    pub first: String,
    /// `$K2`: the newest `cloud-amd64` kernel with headers.
    pub second: String,
}

/// `$K3`: a kernel that is only a folder with a link to the first one's headers.
pub const THIRD: &str = "6.0.9-third";

/// The two flavours that setup installs.
pub const FLAVOURS: [&str; 2] = ["amd64", "cloud-amd64"];

impl Kernels {
    /// Those on this machine.
    ///
    /// # Errors
    /// Where setup didn't install them.
    pub fn find() -> Result<Self> {
        let pick = |flavour| {
            newest(flavour)?.with_context(|| format!("no headers for a {flavour} kernel: run `make setup`"))
        };
        Ok(Self { first: pick(FLAVOURS[0])?, second: pick(FLAVOURS[1])? })
    }
}

/// The newest installed kernel of a flavour that has headers.
///
/// # Errors
/// Where `/lib/modules` can't be read.
pub fn newest(flavour: &str) -> Result<Option<String>> {
    let names = fs::list(Path::new("/lib/modules"))?;
    let releases = names.iter().filter_map(|entry| entry.name.to_str());
    let usable = |release: &&str| {
        fs::is_dir(&Path::new("/lib/modules").join(release).join("build/include"))
            && abi_of(release, flavour).is_some()
    };
    Ok(releases.filter(usable).max_by_key(|release| abi_of(release, flavour)).map(str::to_owned))
}

/// `6.1.0-56-amd64` of flavour `amd64` is (6, 1, 0, 56): the kernel's part first, then the ABI number. Other flavours
/// and other ways to number are none.
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
