//! Our own Debian packages, written by our own writer of the programs that the tests were built with: in
//! seconds, since these are stripped and hardly compressed.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dkms_base::host::{Environment, fs};
use dkms_packaging::own::Project;
use dkms_packaging::own::list::{Source, What};
use dkms_release::packages::{self, Packing, Programs};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, Oracle};
use crate::command::must;
use crate::root::Root;
use crate::setup::{Base, base};

/// Where they are.
#[derive(Debug, Clone)]
pub struct Debs {
    /// The package dkms.
    pub dkms: PathBuf,
    /// The package dh-dkms.
    pub dh_dkms: PathBuf,
    /// The folder with the programs that are in them, stripped.
    pub programs: PathBuf,
}

impl Debs {
    /// Copies both into `/srv/ours` of a root.
    ///
    /// # Errors
    /// Where that can't be done.
    pub fn put_into(&self, root: &Root) -> Result<()> {
        let folder = root.view("/srv/ours");
        fs::create_dir_all(&folder)?;
        for deb in [&self.dkms, &self.dh_dkms] {
            let name = deb.file_name().context("a file has a name")?;
            fs::write_whole(&folder.join(name), &fs::read(deb)?, 0o644)?;
        }
        Ok(())
    }
}

/// Writes them; an integration test passes `env!("CARGO_BIN_EXE_dkms-under-test")`, beside which the other
/// programs are. They are kept in the cache while nothing that is in them has changed.
///
/// # Errors
/// Where they can't be written.
pub fn ours(cache: &Cache, program: &str) -> Result<Debs> {
    let folder = Path::new(program).parent().context("a program lies in a folder")?;
    let tree = fs::canonical(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let project = packages::project(tree, folder, Programs::UnderTest)?;
    let all = cache.at("debs");
    fs::create_dir_all(&all)?;
    let lock = rustix::fs::open(&all, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&lock, FlockOperation::LockExclusive).context("lock the folder of our packages")?;
    let place = all.join(key(&project)?);
    if !fs::is_dir(&place) {
        let new = all.join("new");
        fs::remove_any(&new)?;
        make(project, &new)?;
        // Those of earlier builds are of no use any more, but other trees have theirs.
        for entry in fs::list(&all)?.iter().filter(|entry| is_old(&all.join(&entry.name))) {
            fs::remove_any(&all.join(&entry.name))?;
        }
        fs::rename(&new, &place)?;
    }
    let find = |package: &str| -> Result<PathBuf> {
        let is_it = |entry: &&fs::Entry| entry.name.to_string_lossy().starts_with(&format!("{package}_"));
        let entries = fs::list(&place)?;
        let found = entries.iter().find(is_it).with_context(|| format!("no {package} was written"))?;
        Ok(place.join(&found.name))
    };
    Ok(Debs { dkms: find("dkms")?, dh_dkms: find("dh-dkms")?, programs: place.join("programs") })
}

fn make(mut project: Project, into: &Path) -> Result<()> {
    let stripped = into.join("programs");
    fs::create_dir_all(&stripped)?;
    for (name, path) in &mut project.programs {
        let copy = stripped.join(name.as_str());
        let words = ["--strip-all", "-o", &copy.to_string_lossy(), &path.to_string_lossy()];
        must("strip", &words, Path::new("/"))?;
        *path = copy;
    }
    packages::debs(&project, into, &Environment::default(), Packing::Gzip)?;
    Ok(())
}

/// What tells one state of everything that is in them from another.
fn key(project: &Project) -> Result<String> {
    let mut hash = Sha256::new();
    for path in project.programs.values() {
        let meta = fs::stat(path)?.context("the programs are there")?;
        hash.update(format!(
            "{} {} {}\n",
            path.display(),
            meta.len(),
            meta.mtime_nsec() + meta.mtime() * 1_000_000_000
        ));
    }
    for text in project.generated.values() {
        hash.update(text);
    }
    let debian = project.tree.join(dkms_packaging::own::DEBIAN);
    let mut files: Vec<PathBuf> = fs::list(&debian)?.iter().map(|entry| debian.join(&entry.name)).collect();
    files.push(project.tree.join(dkms_packaging::own::LIST));
    for line in project.lines("debian", None)? {
        if let What::File(Source::Tree(path), _) = line.what {
            files.push(project.tree.join(path));
        }
    }
    for file in files.iter().filter(|file| fs::is_file(file)) {
        hash.update(fs::read(file)?);
    }
    let mut key = String::new();
    for byte in hash.finalize().iter().take(12) {
        write!(key, "{byte:02x}")?;
    }
    Ok(key)
}

/// Whether nobody has made use of a folder for a day.
fn is_old(path: &Path) -> bool {
    let day = 24 * 60 * 60;
    let now = i64::try_from(dkms_base::host::clock::unix_seconds()).unwrap_or(i64::MAX);
    matches!(fs::lstat(path), Ok(Some(meta)) if meta.mtime() + day < now)
}

/// Debian with its own dkms, a kernel's headers, a module that a package brought, and one
/// that was added by hand.
const SCRIPT: &str = "
    # With a module's package, so that it is built: the headers and what needs them in one go.
    take() { apt install dkms dh-dkms dm-writeboost-dkms \"$2\"; }
    signed_offers cloud-amd64 $OWN | newest 1 take >/tmp/kernel
    enough 1 cloud-amd64 /tmp/kernel
    K=$(ls /lib/modules | tail -n 1)
    mkdir -p /usr/src/hand-1.0
    cd /usr/src/hand-1.0
    printf '%s\\n' '#include <linux/module.h>' 'MODULE_LICENSE(\"GPL\");' >hand.c
    echo 'obj-m := hand.o' >Makefile
    printf '%s\\n' PACKAGE_NAME=hand PACKAGE_VERSION=1.0 'BUILT_MODULE_NAME[0]=hand' 'DEST_MODULE_LOCATION[0]=/updates' AUTOINSTALL=yes >dkms.conf
    dkms install hand/1.0 -k $K
    dkms status | grep -q 'installed'
    # For the way back.
    cd /srv
    apt download dkms dh-dkms";

/// Debian's releases with their own dkms.
pub const SYSTEMS: [Base; 2] = [
    Base { name: "own-bookworm", suite: "bookworm", include: &["gcc"], script: SCRIPT },
    Base { name: "own-trixie", suite: "trixie", include: &["gcc"], script: SCRIPT },
];

/// A root with a Debian release's own dkms and modules of it installed; its packages are in `/srv`.
///
/// # Errors
/// Where it can't be made.
pub fn debian(cache: &Cache, oracle: Oracle) -> Result<Root> {
    let system = SYSTEMS.iter().find(|system| system.suite == oracle.suite());
    Root::of(cache, &base(cache, system.context("there is one for each")?)?, &[])
}
