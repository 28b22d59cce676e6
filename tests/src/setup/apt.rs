//! A private apt for one Debian suite: lists of its own, Debian's keyring, nothing of the machine's sources.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dkms_core::host::fs;

use crate::cache::Cache;
use crate::command::must;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Apt for one suite.
pub(super) struct Apt {
    dir: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Prepares it; the lists are fetched once.
    pub(super) fn open(cache: &Cache, suite: &str) -> Result<Self> {
        let dir = cache.apt(suite);
        fs::create_dir_all(&dir.join("lists/partial"))?;
        fs::create_dir_all(&dir.join("archives/partial"))?;
        let sources = dir.join("sources.list");
        let line = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
        fs::write_whole(&sources, line.as_bytes(), 0o644)?;
        let option = |name: &str, value: &Path| format!("-oDir::{name}={}", value.display());
        let options = vec![
            option("Etc::SourceList", &sources),
            option("Etc::SourceParts", Path::new("/dev/null")),
            option("State::Lists", &dir.join("lists")),
            option("Cache::Archives", &dir.join("archives")),
            option("Cache::pkgcache", Path::new("")),
            option("Cache::srcpkgcache", Path::new("")),
            "-oAPT::Sandbox::User=root".to_owned(),
            "-oAcquire::Languages=none".to_owned(),
        ];
        let apt = Self { dir, options };
        if !fs::exists(&apt.dir.join("updated")) {
            apt.run("apt-get", &["update"])?;
            fs::write_whole(&apt.dir.join("updated"), b"", 0o644)?;
        }
        Ok(apt)
    }

    /// Fetches the lists anew, then downloads a package: for a version that the mirror has dropped since.
    pub(super) fn download(&self, package: &str, into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        let words = |name: &str| {
            let mut words = self.options.clone();
            words.extend(["download".to_owned(), name.to_owned()]);
            words
        };
        let words = words(package);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if must("apt-get", &words, into).is_err() {
            self.run("apt-get", &["update"])?;
            must("apt-get", &words, into)?;
        }
        Ok(())
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        let mut all: Vec<&str> = self.options.iter().map(String::as_str).collect();
        all.extend(words);
        must(program, &all, &self.dir)
    }
}

/// The mirror that this machine's own apt takes Debian from.
fn mirror() -> Result<String> {
    let words = ["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"];
    let targets = must("apt-get", &words, Path::new("/"))?;
    let found = targets.lines().filter_map(|line| line.split_once(' ')).find(|(release, uri)| {
        // Neither -updates nor another archive: the suites that we want lie beside this one.
        !release.contains(['-', '/']) && uri.trim_end_matches('/').ends_with("/debian")
    });
    found.map(|(_, uri)| uri.to_owned()).context("apt is set up for no mirror of Debian")
}
