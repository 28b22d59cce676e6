//! What `dkms forecast` foretells, and what comes of it: every module package of Debian's main, contrib and
//! non-free, on the newest kernels of bookworm and trixie.
//!
//! In one system, which has no headers, a few packages at a time are foretold; in another, which has them,
//! the same are installed. Both lie in memory: sources and builds go before the next few come. zfs and nvidia
//! take many minutes each: they come last, each by itself, and on the kernels of their own suite only.
//! `DKMS_TEST_ONLY=words` picks packages by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dkms_base::host::memory;
use dkms_tests::apt::{BOOKWORM, Machine, TRIXIE};
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::passed::Passed;
use dkms_tests::root::User;
use dkms_tests::setup::{
    Base, FURTHER_PACKAGES, MODULE_PACKAGES, ModulePackage, ModuleSource, fetch_further, made,
};
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier};
use serde_json::Value;

/// How many packages are in both systems at once.
const GROUP: usize = 6;

/// What no group takes, on a busy machine either.
const TIME_LIMIT: Duration = Duration::from_secs(3 * 3600);

/// What a group may need of memory: systems, sources, builds and compilers.
const MEMORY: u64 = 3 << 30;

/// A package on a kernel.
struct Case {
    package: ModulePackage,
    source: ModuleSource,
}

impl Case {
    fn point(&self, kernel: &str) -> String {
        let ModulePackage { name, suite, .. } = self.package;
        format!("{name} of {suite} on {kernel}: {}", self.source.debian)
    }

    fn id(&self) -> String {
        format!("{}/{}", self.source.module, self.source.version)
    }
}

/// Both systems of a suite.
struct Systems {
    /// Headers can be had, and are not installed.
    before: Machine,
    /// They are installed.
    after: Machine,
}

impl Systems {
    fn new(base: &Base) -> Result<Self> {
        let [before, after] = [system(base)?, system(base)?];
        after.must(&format!("apt-get -y --no-install-recommends install linux-headers-{}", after.new))?;
        Ok(Self { before, after })
    }

    /// Foretells these and installs them; a row each, and whether it is wrong.
    fn try_out(&self, suite: &str, cases: &[Case]) -> Result<Vec<(String, bool)>> {
        let kernel = &self.before.new;
        let available = memory::available();
        ensure!(available.is_none_or(|bytes| bytes >= MEMORY), "too little memory: {available:?} bytes");
        for machine in [&self.before, &self.after] {
            cases.iter().try_for_each(|case| put(machine, case))?;
        }
        let begun = Instant::now();
        let told = foretold(&self.before)?;
        let (seconds, begun) = (begun.elapsed().as_secs(), Instant::now());
        let came = came(&self.after)?;
        say(&format!(
            "{suite}: {seconds} s to foretell {} packages, {} s to install them",
            cases.len(),
            begun.elapsed().as_secs()
        ));
        for machine in [&self.before, &self.after] {
            cases.iter().try_for_each(|case| take_out(machine, case))?;
        }
        let row = |case: &Case| {
            let (result, reason) = told.get(&case.source.module).cloned().unwrap_or_default();
            let real = came
                .get(&case.source.module)
                .map_or("not there", |is_fit| if *is_fit { "installed" } else { "unfit" });
            let is_wrong = match result.as_str() {
                "builds" => real != "installed",
                "fails" | "excluded" => real == "installed",
                "compiler" | "unknown" => false,
                // It was not asked for.
                _ => true,
            };
            let mark = if is_wrong { "WRONG " } else { "" };
            let row = format!(
                "{kernel:<24} {:<30} {:<36} {result:<9} {real:<10} {mark}{reason}",
                case.package.name,
                case.id()
            );
            (row, is_wrong)
        };
        Ok(cases.iter().map(row).collect())
    }
}

fn system(base: &Base) -> Result<Machine> {
    let mut machine = Machine::of(base, env!("CARGO_BIN_EXE_dkms-under-test"))?;
    machine.root = machine.root.with_time_limit(TIME_LIMIT);
    machine.must(
        "apt-get -y --no-install-recommends install /debs/dkms.deb
         mkdir -p /srv/repo; cp /var/cache/apt/archives/linux-*.deb /srv/repo/; cd /srv/repo
         for f in *.deb; do dpkg-deb -f $f Package Version Architecture Depends; echo \"Filename: ./$f\"
             echo \"Size: $(stat -c %s $f)\"; echo \"SHA256: $(sha256sum $f | cut -d' ' -f1)\"; echo; done >Packages
         echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/t.list; apt-get -q update || true",
    )?;
    Ok(machine)
}

/// Adds a module, which is to be installed by itself whatever its conf says.
fn put(machine: &Machine, case: &Case) -> Result<()> {
    let folder = machine.root.view("/usr/src");
    for tree in &case.source.trees {
        must("cp", &["-a", tree, &folder.to_string_lossy()], Path::new("/"))?;
    }
    let (name, id) = (&case.source.module, case.id());
    machine.must(&format!("echo AUTOINSTALL=yes >/etc/dkms/{name}.conf; dkms add {id}")).map(drop)
}

/// Nothing of it stays.
fn take_out(machine: &Machine, case: &Case) -> Result<()> {
    let trees = case.source.trees.iter().filter_map(|tree| tree.rsplit('/').next());
    let trees: Vec<String> = trees.map(|tree| format!("/usr/src/{tree}")).collect();
    let (name, id) = (&case.source.module, case.id());
    machine
        .must(&format!("dkms remove {id} --all; rm -rf {} /etc/dkms/{name}.conf", trees.join(" ")))
        .map(drop)
}

/// Result and reason of each module.
fn foretold(machine: &Machine) -> Result<BTreeMap<String, (String, String)>> {
    let line = format!("dkms forecast -k {} --json", machine.new);
    let output = machine.root.shell(&line, User::Root, "/")?;
    ensure!([0, 30, 31].contains(&output.code), "{output:?}");
    let document: Value = serde_json::from_str(&output.stdout)?;
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().replace('\n', " ");
    let modules = document["modules"].as_array().context("no modules")?.iter();
    Ok(modules.map(|one| (text(one, "module"), (text(one, "result"), text(one, "reason")))).collect())
}

/// The modules that are installed, each with whether the kernel will load it as far as headers tell.
fn came(machine: &Machine) -> Result<BTreeMap<String, bool>> {
    let kernel = &machine.new;
    let states = machine
        .must(&format!("dkms autoinstall -k {kernel} >/dev/null 2>&1 || true; dkms status -k {kernel}"))?;
    let installed = states.lines().filter(|line| line.contains(": installed"));
    let mut came: BTreeMap<String, bool> =
        installed.filter_map(|line| Some((line.split_once('/')?.0.to_owned(), true))).collect();
    let verified = machine.root.shell(&format!("dkms verify -k {kernel} --json"), User::Root, "/")?;
    let document: Value = serde_json::from_str(&verified.stdout).with_context(|| format!("{verified:?}"))?;
    for one in document["modules"].as_array().into_iter().flatten() {
        let is_unfit = one["links"].as_array().into_iter().flatten().any(|link| {
            link["verdict"] == "refuted" && ["whole", "kernel", "linked"].iter().any(|of| link["link"] == *of)
        });
        if let Some(fit) = came.get_mut(one["module"].as_str().unwrap_or_default()) {
            *fit &= !is_unfit;
        }
    }
    Ok(came)
}

/// Large ones come last, each by itself.
fn groups(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let (large, small): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.package.large);
    let mut groups: Vec<Vec<Case>> = Vec::new();
    for case in small {
        match groups.last_mut() {
            Some(group) if group.len() < GROUP => group.push(case),
            _ => groups.push(vec![case]),
        }
    }
    groups.extend(large.into_iter().map(|case| vec![case]));
    groups
}

#[test]
#[ignore = "full tier"]
fn what_is_foretold_comes_true_of_every_package() {
    let cache = Cache::open().unwrap();
    let only = tier::only().unwrap_or_default();
    let further = FURTHER_PACKAGES.iter().filter(|package| package.name.contains(&only));
    further.for_each(|package| fetch_further(&cache, package).unwrap());
    let packages: Vec<ModulePackage> = [MODULE_PACKAGES, FURTHER_PACKAGES].concat();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let (mut rows, mut wrong) = (Vec::new(), 0);
    for (suite, base) in [("bookworm", &BOOKWORM), ("trixie", &TRIXIE)] {
        let of_suite = packages
            .iter()
            .filter(|package| package.name.contains(&only) && (!package.large || package.suite == suite));
        let cases = of_suite
            .map(|package| Case { package: *package, source: package.source(&cache).unwrap() })
            .collect();
        let system = made(&cache, base).unwrap();
        let passed =
            Passed::of(&cache, ("foretold", include_str!("foretold.rs")), &[&ours.program], &[&system])
                .unwrap();
        let (earlier, left) = passed.sorted::<_, String>(cases, |case: &Case| case.point(suite));
        for (_, row) in earlier {
            say(&row);
            rows.push(row);
        }
        if left.is_empty() {
            continue;
        }
        let systems = Systems::new(base).unwrap();
        for group in groups(left) {
            let tried = systems.try_out(suite, &group).unwrap();
            for (case, (row, is_wrong)) in group.iter().zip(tried) {
                say(&row);
                if is_wrong {
                    wrong += 1;
                } else {
                    passed.record(&case.point(suite), &row).unwrap();
                }
                rows.push(row);
            }
        }
    }
    let count = |word: &str| rows.iter().filter(|row| row.split_whitespace().nth(3) == Some(word)).count();
    say(&format!(
        "{} pairs: {} foretold to build, {} to fail, {} excluded, {} not known; {wrong} wrong",
        rows.len(),
        count("builds"),
        count("fails"),
        count("excluded"),
        count("compiler") + count("unknown")
    ));
    assert_eq!(wrong, 0);
    assert!(tier::only().is_some() || rows.len() > 80, "too few pairs");
}
