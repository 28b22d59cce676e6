//! Whole Debian systems for roots of tests. Each is a few layers, made once, kept in the cache and never
//! changed afterwards: a minimal system of its suite by mmdebstrap, the tools that build modules if it has
//! them, and what is its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use dkms_base::host::fs;
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
    /// Packages in it besides a minimal system's. With `gcc` among them it stands on the
    /// layer of `COMPILER`.
    pub include: &'static [&'static str],
    /// A shell script that runs in it at the end, with `/proc` and network. If it fetches packages
    /// (`apt install --download-only`), tests have them without network: lists and archives are kept.
    /// `kernels.sh` stands before it, which knows the kernels that can be had.
    pub script: &'static str,
}

/// Packages that all systems have that build modules.
const COMPILER: [&str; 5] = ["gcc", "make", "kmod", "patch", "xz-utils"];

/// Functions for scripts.
const PRELUDE: &str = include_str!("kernels.sh");

/// Ends the script of a whole system: apt's lists become those of what it has at hand.
const TRIM_LISTS: &str = include_str!("lists.sh");

/// The layer over a system that has packages of kernels at hand.
const STORED: &str = include_str!("stored.sh");

/// Updates the lists; says what apt knows of kernels.
const UPDATE: &str = "apt-get -qq update >&2 || apt-get -qq update >&2\n";

/// The layers of a system as an overlay's `lowerdir` names them, made if they aren't there as they should be.
/// Tests that want the same one at once wait for each other.
///
/// # Errors
/// If it can't be made.
pub fn base(cache: &Cache, base: &Base) -> Result<PathBuf> {
    let below = if base.include.contains(&"gcc") {
        compiler(cache, base.suite)?
    } else {
        minimal(cache, base.suite)?
    };
    let mut packages: Vec<&str> = base.include.to_vec();
    packages.retain(|package| !base.include.contains(&"gcc") || !COMPILER.contains(package));
    let layers = Layers { cache, name: base.name, suite: base.suite };
    let all = layers.over(&below, &packages, &format!("{}\n{TRIM_LISTS}", base.script))?;
    if !has_kernels_at_hand(&folder(cache, base.name)) {
        return Ok(all);
    }
    let name = format!("{}-stored", base.name);
    Layers { name: &name, ..layers }.over(&all, &[], STORED)
}

/// Whether apt's archives in a layer have packages of kernels.
fn has_kernels_at_hand(layer: &Path) -> bool {
    let archives = fs::list(&layer.join("root/var/cache/apt/archives")).unwrap_or_default();
    let names = archives.iter().map(|entry| entry.name.to_string_lossy());
    names.into_iter().any(|name| name.starts_with("linux-") && name.ends_with(".deb"))
}

/// What tells this making of a system from every other one.
///
/// # Errors
/// As [`base`].
pub fn made(cache: &Cache, of: &Base) -> Result<String> {
    base(cache, of)?;
    let folder = folder(cache, of.name);
    Ok(format!("{}{}", fs::read_lossy(&folder.join("MADE"))?, fs::read_lossy(&folder.join("RECIPE"))?))
}

/// What a system has over its lower layers.
///
/// # Errors
/// As [`base`].
pub fn own_layer(cache: &Cache, of: &Base) -> Result<PathBuf> {
    base(cache, of)?;
    Ok(folder(cache, of.name).join("root"))
}

/// Where a layer is: beside it are its recipe, and what it was made of.
fn folder(cache: &Cache, name: &str) -> PathBuf {
    cache.at("systems").join(name)
}

/// The minimal system of a suite, with apt's lists and what they say of kernels.
fn minimal(cache: &Cache, suite: &str) -> Result<PathBuf> {
    let name = format!("minimal-{suite}");
    let layers = Layers { cache, name: &name, suite };
    layers.once("", "", |layer| {
        let mut words = vec!["--quiet", "--variant=minbase", "--aptopt=Acquire::Languages \"none\""];
        // What a power cut destroys is made again.
        words.extend(["--dpkgopt=force-unsafe-io", "--skip=cleanup/apt/lists", "--include=ca-certificates"]);
        if matches!(suite, "forky" | "sid") {
            // Their lists may be older on a mirror than they say of themselves.
            words.push("--aptopt=Acquire::Check-Valid-Until \"false\"");
        }
        let path = layer.join("root");
        let text = path.to_string_lossy();
        words.extend([suite, text.as_ref()]);
        let make = || must_briefly("mmdebstrap", &words, Path::new("/"));
        make().or_else(|_| fs::remove_any(&path).map_err(Error::from).and_then(|()| make()))?;
        fs::write_whole(&path.join("etc/resolv.conf"), &fs::read(Path::new("/etc/resolv.conf"))?, 0o644)?;
        let answer = inside(None, layer, &ask(""))?;
        fs::write_whole(&path.join("etc/kernels-of-apt"), offers(&answer)?.as_bytes(), 0o644)?;
        Ok(())
    })
}

/// The minimal system with what builds modules.
fn compiler(cache: &Cache, suite: &str) -> Result<PathBuf> {
    let below = minimal(cache, suite)?;
    let name = format!("compiler-{suite}");
    Layers { cache, name: &name, suite }.over(&below, &COMPILER, "")
}

struct Layers<'a> {
    cache: &'a Cache,
    name: &'a str,
    suite: &'a str,
}

impl Layers<'_> {
    /// A layer over others: with these packages, and what a script does.
    fn over(&self, below: &Path, packages: &[&str], script: &str) -> Result<PathBuf> {
        let line =
            if packages.is_empty() { String::new() } else { format!("apt install {}\n", packages.join(" ")) };
        let script = format!("{line}{script}");
        let all = format!("OWN={}\n{PRELUDE}\n{script}", own_line(self.suite));
        let made = below.to_string_lossy();
        let first = Path::new(made.split(':').next().unwrap_or_default());
        let made = fs::read_lossy(&first.with_file_name("MADE"))?;
        let own = self.once(made.trim(), &script, |layer| {
            inside(Some(below), layer, &all).map(drop).or_else(|_| {
                // Lists that are older than the archive name what it has no more.
                fs::remove_any(layer)?;
                fs::create_dir_all(&layer.join("root/etc"))?;
                let answer = inside(Some(below), layer, &ask(UPDATE))?;
                fs::write_whole(&layer.join("root/etc/kernels-of-apt"), offers(&answer)?.as_bytes(), 0o644)?;
                inside(Some(below), layer, &all).map(drop)
            })
        })?;
        let mut layers = own.into_os_string();
        layers.push(":");
        layers.push(below);
        Ok(PathBuf::from(layers))
    }

    /// A layer's folder `root`, made if it isn't there as its recipe says. What it stands on is a part of
    /// that: `below` says when that was made.
    fn once(&self, below: &str, script: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let Self { cache, name, suite } = self;
        let dir = folder(cache, name);
        fs::create_dir_all(&dir)?;
        let lock =
            rustix::fs::open(&dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        flock(&lock, FlockOperation::LockExclusive).context("lock the system's folder")?;
        let (recipe, root, new) = (dir.join("RECIPE"), dir.join("root"), dir.join("new"));
        let wanted = format!("{suite}\n{below}\n{script}\n");
        if fs::is_file(&recipe) && fs::read_lossy(&recipe)? == wanted {
            return Ok(root);
        }
        say(&format!("setup: making the system `{name}` of {suite}"));
        let begun = std::time::Instant::now();
        for old in [&recipe, &root, &new] {
            fs::remove_any(old)?;
        }
        fs::create_dir_all(&new)?;
        make(&new).with_context(|| format!("can't make the system `{name}` of {suite}"))?;
        fs::rename(&new.join("root"), &root)?;
        fs::remove_any(&new)?;
        let time = dkms_base::host::clock::unix_seconds();
        fs::write_whole(&dir.join("MADE"), format!("{name} {time}\n").as_bytes(), 0o644)?;
        fs::write_whole(&recipe, wanted.as_bytes(), 0o644)?;
        say(&format!("setup: made the system `{name}` in {} s", begun.elapsed().as_secs()));
        Ok(root)
    }
}

/// Runs a script in the system of these layers; what it changes goes to `root` in the folder `layer`.
fn inside(below: Option<&Path>, layer: &Path, script: &str) -> Result<String> {
    let words = ["--mount", "--pid", "--fork", "--kill-child", "--propagation=private"];
    let below = below.map(Path::to_string_lossy).unwrap_or_default();
    let layer = layer.to_string_lossy();
    let call = ["sh", "-c", include_str!("layer.sh"), "sh", &*below, &*layer, script];
    must_briefly("unshare", &[&words[..], &call[..]].concat(), Path::new("/"))
}

/// A script that asks apt what it knows of kernels.
fn ask(before: &str) -> String {
    let [show, all, names] = QUESTION;
    format!("{before}apt-cache {show} {all} '{names}' || :")
}

/// Apt's answer as a table: flavour, release, headers, image.
fn offers(answer: &str) -> Result<String> {
    let mut table = String::new();
    for flavour in ["cloud-amd64", "amd64", "rt-amd64"] {
        for Kernel { release, headers, image } in dkms_offers::kernels(answer, &Line::any(flavour)) {
            writeln!(table, "{flavour} {release} {headers} {image}")?;
        }
    }
    Ok(table)
}

/// How the releases of a suite's own kernels begin: others may come with its security updates.
fn own_line(suite: &str) -> &'static str {
    match suite {
        "bookworm" => "6.1.0-",
        "trixie" => "6.12.",
        _ => "",
    }
}
