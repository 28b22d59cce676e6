//! Whole Debian systems for roots of tests: made once with mmdebstrap, kept in the cache, never changed afterwards.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use dkms_core::host::fs;
use dkms_offers::{Kernel, Line, QUESTION};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::cache::Cache;
use crate::command::must_briefly;
use crate::say;

/// What a system is made of.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    /// What it is called in the cache.
    pub name: &'static str,
    /// Debian's suite.
    pub suite: &'static str,
    /// Packages in it besides a minimal system's.
    pub include: &'static [&'static str],
    /// A shell script that runs in it at the end, with `/proc` and network, after an `apt-get update`. If it fetches packages
    /// (`apt install --download-only`), tests have them without network: lists and archives are kept. `kernels.sh` stands
    /// before it, which knows the kernels that can be had. Empty: nothing is done.
    pub script: &'static str,
}

/// Functions for scripts.
const PRELUDE: &str = include_str!("kernels.sh");

/// Runs a script in a folder as its root. Called as: `sh -c … sh FOLDER SCRIPT`.
const INSIDE: &str = "set -e
    mount -t proc proc \"$1/proc\"
    mount --rbind /dev \"$1/dev\"
    exec chroot \"$1\" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -ec \"$2\"";

/// The folder of a system, made where it isn't there as it should be. Tests that want the same one at once wait for each other.
///
/// # Errors
/// Where it can't be made.
pub fn base(cache: &Cache, base: &Base) -> Result<PathBuf> {
    let Base { name, suite, include, script } = base;
    let dir = cache.at("bases").join(name);
    fs::create_dir_all(&dir)?;
    let lock = rustix::fs::open(&dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&lock, FlockOperation::LockExclusive).context("lock the system's folder")?;
    let (recipe, root, new) = (dir.join("RECIPE"), dir.join("root"), dir.join("new"));
    let wanted = format!("{suite}\n{}\n{script}\n", include.join(" "));
    if fs::is_file(&recipe) && fs::read_lossy(&recipe)? == wanted {
        return Ok(root);
    }
    say(&format!("setup: making a system of {suite} for `{name}`"));
    for old in [&recipe, &root, &new] {
        fs::remove_any(old)?;
    }
    let mut words = vec!["--quiet", "--variant=minbase", "--aptopt=Acquire::Languages \"none\""];
    // What a power cut destroys is made again.
    words.push("--dpkgopt=force-unsafe-io");
    if matches!(*suite, "forky" | "sid") {
        // Their lists may be older on a mirror than they say of themselves.
        words.push("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    let include = format!("--include={}", include.join(","));
    if include != "--include=" {
        words.push(&include);
    }
    let path = new.to_string_lossy();
    words.extend([*suite, path.as_ref()]);
    let make = || must_briefly("mmdebstrap", &words, Path::new("/"));
    let again = |_| fs::remove_any(&new).map_err(Error::from).and_then(|()| make());
    make().or_else(again).with_context(|| format!("can't make the system `{name}` of {suite}"))?;
    fs::write_whole(&new.join("etc/resolv.conf"), &fs::read(Path::new("/etc/resolv.conf"))?, 0o644)?;
    furnish(&new, suite, script).with_context(|| format!("can't furnish the system `{name}` of {suite}"))?;
    fs::rename(&new, &root)?;
    fs::write_whole(&recipe, wanted.as_bytes(), 0o644)?;
    Ok(root)
}

/// Runs the script in a fresh system, after it is told which kernels apt has there.
fn furnish(new: &Path, suite: &str, script: &str) -> Result<()> {
    if script.is_empty() {
        return Ok(());
    }
    let inside = |script: &str| {
        let words =
            ["--mount", "--pid", "--fork", "--kill-child", "--propagation=private", "sh", "-c", INSIDE, "sh"];
        let path = new.to_string_lossy();
        let words: Vec<&str> = words.into_iter().chain([&*path, script]).collect();
        must_briefly("unshare", &words, Path::new("/"))
    };
    inside("apt-get -qq update || apt-get -qq update")?;
    let [show, all, names] = QUESTION;
    let answer = inside(&format!("apt-cache {show} {all} '{names}' || :"))?;
    let mut offers = String::new();
    for flavour in ["cloud-amd64", "amd64", "rt-amd64"] {
        for Kernel { release, headers, image } in dkms_offers::kernels(&answer, &Line::any(flavour)) {
            writeln!(offers, "{flavour} {release} {headers} {image}")?;
        }
    }
    fs::write_whole(&new.join("etc/kernels-of-apt"), offers.as_bytes(), 0o644)?;
    inside(&format!("OWN={}\n{PRELUDE}\n{script}", own_line(suite))).map(drop)
}

/// How the releases of a suite's own kernels begin: others may come with its security updates.
fn own_line(suite: &str) -> &'static str {
    match suite {
        "bookworm" => "6.1.0-",
        "trixie" => "6.12.",
        _ => "",
    }
}
