//! Debian's own module packages on two kernels: what ours builds and installs is byte for byte
//! what the original does.
//!
//! The full tier takes every module package of Debian's main, contrib and non-free, and two lines of kernels
//! (for zfs and nvidia that of their own suite);
//! by default a few small ones are built for two flavours of one. What the original did is remembered in the
//! cache. `DKMS_TEST_ONLY=words` picks packages by name.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::capture::capture;
use dkms_tests::command::must;
use dkms_tests::kernels::Kernels;
use dkms_tests::passed::Passed;
use dkms_tests::root::Root;
use dkms_tests::setup::{
    FURTHER_PACKAGES, MODULE_PACKAGES, ModulePackage, ModuleSource, NewerKernel, fetch_further,
};
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How many of all packages the original has to build on both kernels, for the comparison to mean something.
const ENOUGH: usize = 15;

/// How many packages build at once: each has long stretches that use one core.
const SIDE_BY_SIDE: usize = 2;

/// What no package takes, on a busy machine either (zfs: about 8 minutes on two idle cores).
const TIME_LIMIT: Duration = Duration::from_secs(3 * 3600);

/// Bumped when what is recorded changes its meaning.
const FORMAT: u32 = 2;

/// A package's modules for one kernel.
struct Case {
    package: ModulePackage,
    source: ModuleSource,
    kernel: Kernel,
}

/// The kernel that modules are built for.
#[derive(Debug, Clone)]
enum Kernel {
    /// One whose headers this machine has.
    OfMachine(String),
    /// One that is put into the root.
    Newer(NewerKernel),
}

impl Kernel {
    fn release(&self) -> &str {
        match self {
            Self::OfMachine(release) => release,
            Self::Newer(kernel) => &kernel.release,
        }
    }

    /// The suite that it comes from.
    fn suite(&self) -> &'static str {
        match self {
            Self::OfMachine(_) => "bookworm",
            Self::Newer(_) => "trixie",
        }
    }
}

/// What an install left.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    code: i32,
    /// SHA-256 of each module below `/lib/modules/K`, by path.
    modules: BTreeMap<String, String>,
    /// The other paths of the root, as text: kind, mode, owner, and contents where they are stable.
    rest: BTreeMap<String, String>,
    status: String,
    /// What was printed last: for a person who looks for the reason.
    stderr: String,
    seconds: f64,
}

impl Case {
    fn new(package: ModulePackage, kernel: &Kernel, cache: &Cache) -> Result<Self> {
        Ok(Self { package, source: package.source(cache)?, kernel: kernel.clone() })
    }

    /// Installs it with a tool in a fresh root.
    fn run(&self, cache: &Cache, kernels: &Kernels, tool: &Tool) -> Result<Outcome> {
        let root = Root::new(cache, kernels, &[tool])?.with_time_limit(TIME_LIMIT);
        match &self.kernel {
            Kernel::OfMachine(release) => link_common_headers(&root, release)?,
            Kernel::Newer(kernel) => kernel.put_into(&root)?,
        }
        for source in &self.source.trees {
            let into = root.view("/usr/src");
            must("cp", &["-a", source, &into.to_string_lossy()], Path::new("/"))?;
        }
        let begun = Instant::now();
        let ModuleSource { module, version, .. } = &self.source;
        let output = root.dkms(&format!("install {module}/{version} -k {}", self.kernel.release()))?;
        let seconds = begun.elapsed().as_secs_f64();
        let (mut modules, mut rest) = (BTreeMap::new(), BTreeMap::new());
        for (path, node) in capture(&root)? {
            if path.starts_with(&format!("/lib/modules/{}/", self.kernel.release())) && is_module(&path) {
                modules.insert(path, node.detail);
            } else {
                rest.insert(path, node.to_string());
            }
        }
        let status = root.dkms("status")?.stdout;
        Ok(Outcome { code: output.code, modules, rest, status, stderr: tail(&output.stderr), seconds })
    }

    /// What the original did, from the cache where it is known.
    fn recorded(&self, cache: &Cache, kernels: &Kernels, tool: &Tool) -> Result<Outcome> {
        let file = cache.at("observations").join(format!("{}.json", self.key(tool)?));
        if fs::is_file(&file)
            && let Ok(known) = serde_json::from_slice(&fs::read(&file)?)
        {
            return Ok(known);
        }
        let outcome = self.run(cache, kernels, tool)?;
        fs::create_dir_all(&cache.at("observations"))?;
        fs::write_whole(&file, &serde_json::to_vec(&outcome)?, 0o644)?;
        Ok(outcome)
    }

    /// Everything that a recorded outcome depends on.
    fn key(&self, tool: &Tool) -> Result<String> {
        let mut digest = Sha256::new();
        digest.update(FORMAT.to_be_bytes());
        for code in [
            include_str!("../src/root/mod.rs"),
            include_str!("../src/root/holder.sh"),
            include_str!("../src/capture.rs"),
        ] {
            digest.update(code);
        }
        digest.update(must("gcc", &["-dumpfullversion"], Path::new("/"))?);
        for part in [self.package.name, &self.source.debian, self.kernel.release(), &tool.version] {
            digest.update([0]);
            digest.update(part);
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// `/lib/modules/K/source`, as header packages have it: OpenZFS looks there.
fn link_common_headers(root: &Root, release: &str) -> Result<()> {
    let line = release.trim_end_matches("-amd64").trim_end_matches("-cloud");
    root.must(&format!("ln -s /usr/src/linux-headers-{line}-common /lib/modules/{release}/source"))?;
    Ok(())
}

fn is_module(path: &str) -> bool {
    [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().any(|end| path.ends_with(end))
}

/// The last lines of an output.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Where ours differs, a line each.
fn differences(theirs: &Outcome, ours: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if theirs.code != ours.code {
        lines.push(format!("exit code: original {}, ours {}", theirs.code, ours.code));
        lines.push(format!("original said: {}", theirs.stderr.replace('\n', "\n        ")));
        lines.push(format!("ours said: {}", ours.stderr.replace('\n', "\n        ")));
    }
    if theirs.status != ours.status {
        lines.push(format!("status: original {:?}, ours {:?}", theirs.status, ours.status));
    }
    for (theirs, ours) in [(&theirs.modules, &ours.modules), (&theirs.rest, &ours.rest)] {
        for (path, their) in theirs {
            match ours.get(path) {
                Some(our) if our == their => {}
                Some(our) => lines.push(format!("{path}: original {their}, ours {our}")),
                // What a build writes to its source is thrown away in the sandbox.
                None if path.starts_with("/usr/src/") => {}
                None => lines.push(format!("{path}: only the original has it")),
            }
        }
        let more = ours.keys().filter(|path| !theirs.contains_key(*path));
        lines.extend(more.map(|path| format!("{path}: only ours has it")));
    }
    lines
}

/// How many modules it installed, beside those that the kernel brings.
fn installed(outcome: &Outcome) -> usize {
    outcome.modules.keys().filter(|path| !path.split('/').any(|folder| folder == "kernel")).count()
}

fn shown(outcome: &Outcome) -> String {
    match outcome.code {
        0 => format!("{} modules", installed(outcome)),
        code => format!("exit {code}"),
    }
}

/// A case that was tried: its row of the table, and whether and how many modules the original installed.
#[derive(Debug, Serialize, Deserialize)]
struct Tried {
    row: String,
    is_built: bool,
    modules: usize,
}

/// A case with both tools, and lines of what differs.
fn beside(
    case: &Case,
    cache: &Cache,
    kernels: &Kernels,
    original: &Tool,
    ours: &Tool,
) -> Result<(Tried, Vec<String>)> {
    let theirs = case.recorded(cache, kernels, original)?;
    let ours = case.run(cache, kernels, ours)?;
    let differ = differences(&theirs, &ours);
    let row = format!(
        "{:28} {:32} {:28} {:>11} {:>11} {:>6.1} {:>6.1} {}",
        case.package.name,
        case.source.version,
        case.kernel.release(),
        shown(&theirs),
        shown(&ours),
        theirs.seconds,
        ours.seconds,
        if differ.is_empty() { "equal" } else { "DIFFERENT" },
    );
    let modules = installed(&theirs);
    Ok((Tried { row, is_built: theirs.code == 0 && modules > 0, modules }, differ))
}

/// Builds all of these packages for both kernels with both tools, and prints the table; how many packages the
/// original builds for both.
fn compare(
    test: &'static str,
    packages: &[ModulePackage],
    on: &[Kernel; 2],
    cache: &Cache,
    kernels: &Kernels,
) -> usize {
    let original = Tool::original(cache, Oracle::Trixie).unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let only = tier::only().unwrap_or_default();
    let packages = packages.iter().filter(|package| package.name.contains(&only));
    let pairs = packages.flat_map(|package| on.iter().map(move |kernel| (package, kernel)));
    let mut cases: Vec<Case> = pairs
        .filter(|(package, kernel)| !package.large || package.suite == kernel.suite())
        .map(|(package, kernel)| Case::new(*package, kernel, cache).unwrap())
        .collect();
    assert!(!cases.is_empty(), "no package is called so");
    // The longest first: at the end nobody waits for one of them.
    cases.sort_by_key(|case| !case.package.large);
    say(&format!(
        "{:28} {:32} {:28} {:>11} {:>11} {:>6} {:>6}",
        "package", "version", "kernel", "original", "ours", "s", "s"
    ));
    let passed = Passed::of(
        cache,
        (test, include_str!("bytes.rs")),
        &[&ours.program, &original.program],
        &[&kernels.first, &kernels.second],
    )
    .unwrap();
    let next = AtomicUsize::new(0);
    let built = Mutex::new(BTreeMap::<(&str, &str), usize>::new());
    let wrong = Mutex::new(Vec::new());
    let modules = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ModulePackage { name, suite, .. } = case.package;
                    let at = format!("{name} of {suite} on {}", case.kernel.release());
                    let point = format!("{at}: {}", case.source.debian);
                    let tried = match passed.earlier(&point) {
                        Some(tried) => Ok((tried, Vec::new())),
                        None => beside(case, cache, kernels, &original, &ours),
                    };
                    let lines = match tried {
                        Ok((tried, differ)) => {
                            say(&tried.row);
                            modules.fetch_add(tried.modules, Ordering::Relaxed);
                            if tried.is_built {
                                *built.lock().unwrap().entry((suite, name)).or_default() += 1;
                            }
                            if differ.is_empty() {
                                passed.record(&point, &tried).unwrap();
                            }
                            differ
                        }
                        Err(error) => vec![format!("{error:#}")],
                    };
                    wrong.lock().unwrap().extend(lines.into_iter().map(|line| format!("{at}: {line}")));
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    wrong.iter().for_each(|line| say(line));
    let built = built.into_inner().unwrap();
    let on_both = built.values().filter(|kernels| **kernels == 2).count();
    say(&format!(
        "{} pairs of package and kernel: the original builds {on_both} packages on both kernels, {} on one, {} modules \
         in all",
        cases.len(),
        built.len() - on_both,
        modules.into_inner(),
    ));
    assert!(wrong.is_empty(), "{} differences", wrong.len());
    on_both
}

#[test]
fn modules_of_debian_packages_are_byte_identical() {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let sample: Vec<ModulePackage> =
        MODULE_PACKAGES.iter().filter(|package| package.sampled).copied().collect();
    let flavours = [&kernels.first, &kernels.second].map(|kernel| Kernel::OfMachine(kernel.clone()));
    let on_both = compare("bytes-sample", &sample, &flavours, &cache, &kernels);
    assert!(tier::only().is_some() || on_both == sample.len(), "the sample is of packages that build");
}

#[test]
#[ignore = "full tier"]
fn every_module_package_of_debian_on_two_lines_of_kernels() {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let only = tier::only().unwrap_or_default();
    for package in FURTHER_PACKAGES.iter().filter(|package| package.name.contains(&only)) {
        fetch_further(&cache, package).unwrap();
    }
    let all = [MODULE_PACKAGES, FURTHER_PACKAGES].concat();
    let newer = NewerKernel::fetch(&cache).unwrap();
    let lines = [Kernel::OfMachine(kernels.first.clone()), Kernel::Newer(newer)];
    let on_both = compare("bytes", &all, &lines, &cache, &kernels);
    assert!(tier::only().is_some() || on_both >= ENOUGH, "only {on_both} build for both");
}
