//! A full disk, page by page: the tree, or the kernel's folder, on a file system of every size
//! from nothing to enough.
//!
//! Whatever the size, a command succeeds, or fails with one error and leaves the state before; no module
//! below `/lib/modules` is ever cut, and nothing temporary is left. A usual run takes the sizes around every
//! change of outcome; with `DKMS_TEST_FULL=1` it takes each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use dkms_tests::cache::Cache;
use dkms_tests::capture::{Listing, capture, digest};
use dkms_tests::kernels::Kernels;
use dkms_tests::passed::Passed;
use dkms_tests::ready::Ready;
use dkms_tests::root::{Root, User};
use dkms_tests::share;
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier, verdict};

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

/// What is tried on each size.
#[derive(Debug, Clone, Copy)]
struct Sweep {
    name: &'static str,
    /// Comes before the file system does.
    before: &'static str,
    /// Where the small file system is; what is there already is taken along, and counts.
    place: &'static str,
    /// The words after `dkms`.
    words: &'static str,
    /// The exit codes that a full disk may have.
    codes: &'static [i32],
    /// The status lines on success.
    done: &'static [&'static str],
}

const ADD: &str = "mv /usr/src/foo-1.0 /srv/new";
const BUILT: [&str; 1] = ["foo/1.0, $K, x86_64: built"];
const INSTALLED: [&str; 1] = ["foo/1.0, $K, x86_64: installed"];

const SWEEPS: [Sweep; 8] = [
    Sweep {
        name: "add, the tree full",
        before: ADD,
        place: "/var/lib/dkms",
        words: "add /srv/new",
        codes: &[1],
        done: &["foo/1.0: added"],
    },
    Sweep {
        name: "add, the source tree full",
        before: ADD,
        place: "/usr/src",
        words: "add /srv/new",
        codes: &[1],
        done: &["foo/1.0: added"],
    },
    Sweep {
        name: "build, the tree full",
        before: "dkms add foo/1.0",
        place: "/var/lib/dkms",
        words: "build foo/1.0 -k $K",
        // `cp` finds no room in place of make: that is a make that failed.
        codes: &[1, 6, 10],
        done: &BUILT,
    },
    Sweep {
        name: "build over a build, the tree full",
        before: "dkms build foo/1.0 -k $K",
        place: "/var/lib/dkms",
        words: "build foo/1.0 -k $K --force",
        codes: &[1, 6, 10],
        done: &BUILT,
    },
    Sweep {
        name: "install, the tree full",
        before: "dkms build foo/1.0 -k $K",
        place: "/var/lib/dkms",
        words: "install foo/1.0 -k $K",
        codes: &[6],
        done: &INSTALLED,
    },
    Sweep {
        name: "install, the kernel's folder full",
        before: "dkms build foo/1.0 -k $K",
        place: "/lib/modules/$K",
        words: "install foo/1.0 -k $K",
        codes: &[6],
        done: &INSTALLED,
    },
    Sweep {
        name: "install over an original, the tree full",
        before: "mkdir -p /lib/modules/$K/kernel/misc
                 cp /srv/ready/foo.ko /lib/modules/$K/kernel/misc/; depmod $K; dkms build foo/1.0 -k $K",
        place: "/var/lib/dkms",
        words: "install foo/1.0 -k $K --force",
        codes: &[6],
        done: &["foo/1.0, $K, x86_64: installed (Original modules exist)"],
    },
    Sweep {
        name: "uninstall, back to an original, the kernel's folder full",
        before: "mkdir -p /lib/modules/$K/kernel/misc
                 cp /srv/ready/foo.ko /lib/modules/$K/kernel/misc/; depmod $K; dkms install foo/1.0 -k $K --force",
        place: "/lib/modules/$K",
        words: "uninstall foo/1.0 -k $K",
        codes: &[6],
        done: &BUILT,
    },
];

/// A page of a tmpfs, in KiB.
const PAGE: u32 = 4;

/// Enough for all of them, in pages.
const ENOUGH: u32 = 512;

/// How many more sizes a usual run looks at besides those around a change of outcome.
const SPREAD: u32 = 3;

struct World {
    cache: Cache,
    kernels: Kernels,
    ready: &'static Ready,
}

/// How one size ended: what tells it from another, and what was wrong.
#[derive(Debug, Clone)]
struct Ended {
    code: i32,
    wrong: Vec<String>,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let cache = Cache::open()?;
        let kernels = Kernels::find()?;
        let ready = Ready::compile(&cache, &kernels)?;
        Ok(Self { cache, kernels, ready })
    }

    /// Runs a sweep's command with so many pages free besides what is there already.
    fn run(&self, sweep: &Sweep, pages: u32) -> anyhow::Result<Ended> {
        let ours = Tool::ours(DKMS);
        let root = Root::new(&self.cache, &self.kernels, &[&ours])?;
        self.ready.put_into(&root)?;
        root.must(sweep.before)?;
        self.mount(&root, sweep, pages)?;
        let (before, status_before) = (capture(&root)?, status(&root)?);
        let modules_before = modules(&root, &before)?;

        let output = root.shell(&format!("exec \"$DKMS\" {}", sweep.words), User::Root, "/")?;

        let (after, status_after) = (capture(&root)?, status(&root)?);
        let mut wrong = if output.code == 0 { verdict::of_success(&output) } else { Vec::new() };
        if output.code == 0 {
            let done: Vec<String> =
                sweep.done.iter().map(|line| line.replace("$K", &self.kernels.first)).collect();
            if status_after != done {
                wrong.push(format!("it succeeded, and the status is {status_after:?}"));
            }
        } else {
            let code = if sweep.codes.contains(&output.code) { output.code } else { sweep.codes[0] };
            // depmod is about the kernel, all else about the module.
            let about = if output.stderr.contains("depmod") { self.kernels.first.as_str() } else { "foo" };
            wrong.extend(verdict::of_failure(&output, code, &[about]));
            if status_after != status_before {
                wrong.push(format!("it failed, and the status is {status_after:?}"));
            }
            // A failed build leaves its build folder with the log.
            wrong.extend(verdict::changes(&before, &after, &["/var/lib/dkms/foo/1.0/build"]));
        }
        wrong.extend(temporaries(&root)?);
        wrong.extend(self.cut(&modules_before, &modules(&root, &after)?));
        Ok(Ended { code: output.code, wrong })
    }

    /// Puts a file system with so many free pages, and as many free inodes, over a folder, and
    /// what is in it into it.
    fn mount(&self, root: &Root, sweep: &Sweep, pages: u32) -> anyhow::Result<()> {
        let (place, size) = (sweep.place, pages * PAGE);
        // `size=0` would be no limit, so one page and one inode are there to be filled.
        root.must(&format!(
            "place=$(readlink -f {place}); mkdir /srv/copy; mount -t tmpfs copy /srv/copy
             cp -a $place/. /srv/copy/
             used=$(df --output=used -k /srv/copy | tail -n 1); inodes=$(df --output=iused /srv/copy | tail -n 1)
             limits=size=$((used + {size} + 4))k,nr_inodes=$((inodes + {pages} + 1))
             mount -t tmpfs -o mode=755,$limits small $place
             cp -a /srv/copy/. $place/; umount /srv/copy; rmdir /srv/copy
             head -c 4096 /dev/zero >$place/.one"
        ))?;
        Ok(())
    }

    /// Modules below `/lib/modules` that are none that was there, and not the good one.
    fn cut(&self, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
        let known: Vec<&String> = before.values().collect();
        let cut =
            after.iter().filter(|(path, bytes)| path.starts_with("/lib/modules") && !known.contains(bytes));
        cut.map(|(path, _)| format!("`{path}` is cut")).collect()
    }
}

/// The digest of each module, wherever it lies: those built before a command are what it may install.
fn modules(root: &Root, listing: &Listing) -> anyhow::Result<BTreeMap<String, String>> {
    let paths = listing.keys().filter(|path| path.contains(".ko") && !path.ends_with(".origin"));
    paths.map(|path| Ok((path.clone(), digest(&root.view(path))?))).collect()
}

fn status(root: &Root) -> anyhow::Result<Vec<String>> {
    let output = root.dkms("status")?;
    let mut lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    if output.code != 0 {
        lines.push(format!("status ended with {}", output.code));
    }
    lines.extend(output.stderr.lines().map(str::to_owned));
    Ok(lines)
}

/// What is left under a temporary name.
fn temporaries(root: &Root) -> anyhow::Result<Vec<String>> {
    let found = root.must("find /var/lib/dkms/ /usr/src/ /lib/modules/ /tmp -xdev -name '.tmp_*'; find /var/lib/dkms/ -name '.tmp_*'")?;
    Ok(found.lines().map(|path| format!("`{path}` is left")).collect())
}

/// Takes sizes until each change of outcome lies between two that are one page apart.
fn sample(world: &World, sweep: &Sweep) -> anyhow::Result<BTreeMap<u32, Ended>> {
    let mut seen = BTreeMap::new();
    for step in 0..=SPREAD {
        let pages = ENOUGH * step * step / (SPREAD * SPREAD);
        seen.insert(pages, world.run(sweep, pages)?);
    }
    loop {
        let ends: Vec<(u32, i32)> =
            seen.iter().map(|(pages, ended): (&u32, &Ended)| (*pages, ended.code)).collect();
        let gap = ends.windows(2).find(|pair| pair[0].1 != pair[1].1 && pair[1].0 > pair[0].0 + 1);
        let Some(gap) = gap else { return Ok(seen) };
        let middle = u32::midpoint(gap[0].0, gap[1].0);
        seen.insert(middle, world.run(sweep, middle)?);
    }
}

fn every(world: &World, sweep: &Sweep) -> anyhow::Result<BTreeMap<u32, Ended>> {
    let mut seen = BTreeMap::new();
    for pages in 0..=ENOUGH {
        let ended = world.run(sweep, pages)?;
        let enough = ended.code == 0;
        seen.insert(pages, ended);
        // Some more, to see that success stays.
        if enough && pages > 8 && (pages - 8..pages).all(|before| seen[&before].code == 0) {
            break;
        }
    }
    Ok(seen)
}

/// One sweep: how many things are wrong. It must have met both a full disk and one that is large enough.
fn swept(world: &World, sweep: &Sweep, full: bool) -> anyhow::Result<usize> {
    let seen = if full { every(world, sweep) } else { sample(world, sweep) }?;
    for (pages, ended) in &seen {
        ended.wrong.iter().for_each(|line| say(&format!("{}, {} KiB: {line}", sweep.name, pages * PAGE)));
    }
    let failed = seen.values().filter(|ended| ended.code != 0).count();
    say(&format!("{}: {} sizes, {failed} of them too small", sweep.name, seen.len()));
    ensure!(seen.len() > SPREAD as usize, "{}: only {} sizes were tried", sweep.name, seen.len());
    ensure!(failed > 0, "{}: no size was too small, so nothing was seen of a full disk", sweep.name);
    let largest = seen.values().next_back().map(|ended| ended.code);
    ensure!(largest == Some(0), "{}: {} KiB are not enough", sweep.name, ENOUGH * PAGE);
    Ok(seen.values().map(|ended| ended.wrong.len()).sum())
}

#[test]
fn no_size_of_a_disk_does_harm() {
    let (full, only) = (tier::is_full(), tier::only().unwrap_or_default());
    let mut sweeps: Vec<&Sweep> = SWEEPS.iter().filter(|sweep| sweep.name.contains(&only)).collect();
    if !full && only.is_empty() {
        sweeps = tier::taken(sweeps, tier::turn(), 3);
    }
    assert!(!sweeps.is_empty(), "no sweep is called so");
    let world = World::new().unwrap();
    let passed = Passed::of(
        &world.cache,
        ("full_disk", include_str!("full_disk.rs")),
        &[Path::new(DKMS)],
        &[&world.kernels.first, &world.kernels.second],
    )
    .unwrap();
    let try_it = |(): &(), sweep: &Sweep| {
        let wrong = swept(&world, sweep, full)?;
        if wrong == 0 {
            passed.record(sweep.name, &())?;
        }
        Ok(wrong)
    };
    let left = passed.left(sweeps, |sweep| sweep.name.to_owned());
    let wrong: usize = share::all(left, || Ok(()), try_it).unwrap().iter().sum();
    assert!(wrong == 0, "{wrong} things are wrong");
}
