//! Apt, the machine's own or a private one for a Debian suite. All that setup fetches comes through
//! here: the newest that works, one retry after an update, then an error of one line that names the
//! package and the suite.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use dkms_base::host::fs;
use dkms_offers::{Failure, INSTALLED, Kernel, Line, QUESTION, newest_that_works};

use crate::cache::Cache;
use crate::command::{must, must_briefly};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Some modules can't be in Debian's own part, whose licences don't go with the kernel's or aren't free.
const COMPONENTS: &str = "main contrib non-free";

/// Another process may be installing something.
const WAIT: &str = "-oDPkg::Lock::Timeout=300";

/// An apt with its sources.
pub(super) struct Apt {
    dir: PathBuf,
    options: Vec<String>,
    /// Where its packages come from, for messages.
    suite: String,
}

impl Apt {
    /// The machine's own.
    pub(super) fn of_machine() -> Self {
        Self {
            dir: PathBuf::from("/"),
            options: vec![WAIT.to_owned()],
            suite: "this machine's sources".to_owned(),
        }
    }

    /// One with lists of its own, Debian's keyring, and nothing of the machine's sources and preferences. The
    /// lists are fetched once.
    pub(super) fn open(cache: &Cache, suite: &str) -> Result<Self> {
        let dir = cache.apt(suite);
        fs::create_dir_all(&dir.join("lists/partial"))?;
        fs::create_dir_all(&dir.join("archives/partial"))?;
        let sources = dir.join("sources.list");
        let mirror = mirror(suite)?;
        let line = format!("deb [signed-by={KEYRING}] {mirror} {suite} {COMPONENTS}\n");
        fs::write_whole(&sources, line.as_bytes(), 0o644)?;
        let option = |name: &str, value: &Path| format!("-oDir::{name}={}", value.display());
        let options = vec![
            option("Etc::SourceList", &sources),
            option("Etc::SourceParts", Path::new("/dev/null")),
            option("Etc::Preferences", Path::new("/dev/null")),
            option("Etc::PreferencesParts", Path::new("/dev/null")),
            option("State::Lists", &dir.join("lists")),
            option("Cache::Archives", &dir.join("archives")),
            // Parsed once, not by each call.
            option("Cache::pkgcache", &dir.join("pkgcache.bin")),
            option("Cache::srcpkgcache", Path::new("")),
            "-oAPT::Sandbox::User=root".to_owned(),
            "-oAcquire::Languages=none".to_owned(),
        ];
        let apt = Self { dir, options, suite: suite.to_owned() };
        let updated = apt.dir.join("updated");
        // Of which sources the lists are.
        if !fs::exists(&updated) || fs::read_lossy(&updated)? != line {
            apt.update().or_else(|_| apt.update())?;
            fs::write_whole(&updated, line.as_bytes(), 0o644)?;
        }
        Ok(apt)
    }

    /// The same with these preferences.
    pub(super) fn preferring(mut self, preferences: &Path) -> Self {
        self.options.push(format!("-oDir::Etc::Preferences={}", preferences.display()));
        self
    }

    fn is_of_machine(&self) -> bool {
        self.dir == Path::new("/")
    }

    /// Fetches the lists again.
    pub(super) fn update(&self) -> Result<()> {
        let updated = self.run("apt-get", &["update"]);
        updated.map(drop).with_context(|| format!("can't update the package lists of {}", self.suite))
    }

    /// What it answers about kernels.
    pub(super) fn kernels(&self, line: &Line<'_>) -> Result<Vec<Kernel>> {
        Ok(dkms_offers::kernels(&self.answer()?, line))
    }

    /// Its answer about everything that belongs to kernels; empty if it knows nothing.
    pub(super) fn answer(&self) -> Result<String> {
        // Both fail if no package has such a name.
        let mut answer = self.run("apt-cache", &QUESTION).unwrap_or_default();
        if self.is_of_machine() {
            answer.push_str(&must_briefly("dpkg-query", &INSTALLED, &self.dir).unwrap_or_default());
        }
        Ok(answer)
    }

    /// Fetches by `attempt` the newest kernel of a line for which that works.
    pub(super) fn newest_kernel<R>(
        &self,
        line: &Line<'_>,
        attempt: impl FnMut(&Kernel) -> Result<R>,
    ) -> Result<R> {
        let done = newest_that_works(|| self.kernels(line), || self.update(), attempt);
        done.map_err(|failure| self.failed(failure, &line.describe()))
    }

    /// Installs the packages that `missing` names; it is asked again once the lists are new, since
    /// names change with them.
    pub(super) fn install(&self, missing: &dyn Fn() -> Vec<String>) -> Result<()> {
        let names = || Ok(vec![missing()]);
        let done = newest_that_works(names, || self.update(), |names| self.install_now(names));
        done.map_err(|failure| self.failed(failure, &missing().join(", ")))
    }

    /// Installs packages, without a retry.
    pub(super) fn install_now(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        crate::say(&format!("setup: installing {}", names.join(", ")));
        let mut words = vec!["install", "-y", "--no-install-recommends"];
        words.extend(names.iter().map(String::as_str));
        let done = self.run("apt-get", &words).map(drop);
        done.with_context(|| format!("can't install {} from {}", names.join(", "), self.suite))
    }

    /// Downloads the package that `name` names into a folder; the file's path. It is asked again
    /// once the lists are new.
    pub(super) fn download(
        &self,
        name: &dyn Fn() -> Result<Option<String>>,
        what: &str,
        into: &Path,
    ) -> Result<PathBuf> {
        let names = || Ok(name()?.into_iter().collect());
        let done = newest_that_works(names, || self.update(), |name: &String| self.download_now(name, into));
        done.map_err(|failure| self.failed(failure, what))
    }

    /// Downloads a package, without a retry.
    pub(super) fn download_now(&self, name: &str, into: &Path) -> Result<PathBuf> {
        fs::create_dir_all(into)?;
        let mut words: Vec<&str> = self.options.iter().map(String::as_str).collect();
        words.extend(["download", name]);
        must_briefly("apt-get", &words, into)
            .with_context(|| format!("can't download {name} of {}", self.suite))?;
        let is_it = |entry: &fs::Entry| {
            entry.name.to_str().is_some_and(|file| {
                file.starts_with(&format!("{name}_"))
                    && Path::new(file).extension().is_some_and(|end| end == "deb")
            })
        };
        let found = fs::list(into)?.into_iter().find(is_it);
        let found = found.with_context(|| format!("apt downloaded no {name} of {}", self.suite))?;
        Ok(into.join(found.name))
    }

    fn failed(&self, failure: Failure<Error>, what: &str) -> Error {
        match failure {
            Failure::Failed(error) => error,
            Failure::NoOffer => anyhow!("apt offers no {what} (looked for in {})", self.suite),
        }
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        let mut all: Vec<&str> = self.options.iter().map(String::as_str).collect();
        all.extend(words);
        must_briefly(program, &all, &self.dir)
    }
}

/// The mirror that this machine's own apt takes Debian from; for `bookworm-security` the archive of
/// security updates beside it.
fn mirror(suite: &str) -> Result<String> {
    let words = ["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"];
    let targets = must("apt-get", &words, Path::new("/"))?;
    let found = targets.lines().filter_map(|line| line.split_once(' ')).find(|(release, uri)| {
        // Neither -updates nor another archive: the suites that we want lie beside this one.
        !release.contains(['-', '/']) && uri.trim_end_matches('/').ends_with("/debian")
    });
    let uri =
        found.map(|(_, uri)| uri.trim_end_matches('/')).context("apt is set up for no mirror of Debian")?;
    Ok(if suite.ends_with("-security") { format!("{uri}-security") } else { uri.to_owned() })
}
