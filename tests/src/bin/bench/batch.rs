//! Twelve modules for three kernels: ours as one batch, the original one after the other, both beside the
//! bound that the compilers' own time sets.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::{Kernels, THIRD};
use dkms_tests::root::Root;
use dkms_tests::say;
use dkms_tests::setup::image;
use dkms_tests::tool::Tool;

use crate::timed;

/// Debian's own modules among them.
const REAL: [&str; 4] = ["acpi-call-dkms", "adv-17v35x-dkms", "bbswitch-dkms", "nat-rtsp-dkms"];
/// And ours: the name, and what each depends on.
const MADE: [(&str, Option<&str>); 8] = [
    ("chain-a", None),
    ("chain-b", Some("chain-a")),
    ("chain-c", Some("chain-b")),
    ("lone-a", None),
    ("lone-b", None),
    ("lone-c", None),
    ("lone-d", None),
    ("lone-e", None),
];
/// The batch is to be this much faster than the original.
const RATIO: f64 = 3.0;
/// And at most this much slower than the bound.
const OVER_THE_BOUND: f64 = 1.10;

/// Measures; whether both limits were kept.
pub(crate) fn measure(
    cache: &Cache,
    kernels: &Kernels,
    ours: &Tool,
    batch: &Tool,
    original: &Tool,
) -> Result<bool> {
    let mine = run(cache, kernels, &[ours, batch], &|root| {
        timed(root, &format!("{} $K $K2 $K3", batch.path_in_root()))
    })?;
    let its = run(cache, kernels, &[original], &|root| {
        timed(root, "for k in $K $K2 $K3; do $DKMS autoinstall -k $k || exit 1; done")
    })?;
    ensure!(mine.states == its.states, "the two end in different states:\n{}\n{}", mine.states, its.states);
    let cores = std::thread::available_parallelism()?.get();
    let bound = mine.makes.as_secs_f64() / f64::from(u32::try_from(cores)?) + mine.depmods.as_secs_f64();
    let (mine, its) = (mine.whole.as_secs_f64(), its.whole.as_secs_f64());
    let (ratio, over) = (its / mine, mine / bound);
    say(&format!(
        "{} modules on 3 kernels with their own module trees: {mine:.1} s, the original {its:.1} s: {ratio:.1} times faster (at least \
         {RATIO}); the bound on {cores} cores (CPU time of all makes / cores + one depmod for each kernel) is {bound:.1} s: {over:.2} times \
         that (at most {OVER_THE_BOUND})",
        REAL.len() + MADE.len()
    ));
    Ok(ratio >= RATIO && over <= OVER_THE_BOUND)
}

struct Measured {
    whole: Duration,
    /// CPU time of all makes, with their children.
    makes: Duration,
    /// One depmod after the other, one for each kernel, by the clock.
    depmods: Duration,
    states: String,
}

fn run(
    cache: &Cache,
    kernels: &Kernels,
    tools: &[&Tool],
    work: &dyn Fn(&Root) -> Result<Duration>,
) -> Result<Measured> {
    let root = Root::new(cache, kernels, tools)?;
    trees(cache, kernels, &root)?;
    modules(cache, &root)?;
    watch_makes(&root)?;
    let whole = work(&root)?;
    let makes = root.must("cat /tmp/makes")?;
    let makes = makes.lines().filter_map(|line| line.parse::<f64>().ok()).sum::<f64>();
    let depmods = timed(&root, "for k in $K $K2 $K3; do depmod $k; done")?;
    Ok(Measured {
        whole,
        makes: Duration::from_secs_f64(makes),
        depmods,
        states: root.must("$DKMS status | sort")?,
    })
}

/// Gives each kernel the module tree of its package; the third borrows the first one's.
fn trees(cache: &Cache, kernels: &Kernels, root: &Root) -> Result<()> {
    for (kernel, of) in [
        (&kernels.first, &kernels.first),
        (&kernels.second, &kernels.second),
        (&THIRD.to_owned(), &kernels.first),
    ] {
        let tree = image(cache, of)?;
        let tree = tree.to_str().context("the cache's path is text")?;
        root.must(&format!(
            "d=/lib/modules/{kernel}; rm -f $d/modules.*; cp {tree}/modules.* $d; mkdir $d/kernel
             mount --bind -o ro {tree}/kernel $d/kernel; depmod {kernel}"
        ))?;
    }
    Ok(())
}

fn modules(cache: &Cache, root: &Root) -> Result<()> {
    for package in REAL {
        let sources = cache.package("bookworm", package).join("root/usr/src");
        let into = root.view("/usr/src");
        must(
            "sh",
            &["-c", "cp -a \"$1\"/*-* \"$2\"", "copy", &sources.to_string_lossy(), &into.to_string_lossy()],
            Path::new("/"),
        )?;
    }
    for (name, needs) in MADE {
        let module = Module::new(name, "1.0");
        let module = match needs {
            Some(needed) => module.with(&format!("BUILD_DEPENDS={needed}")),
            None => module,
        };
        module.write_to(root)?;
    }
    root.must(
        "for c in /usr/src/*/dkms.conf; do $DKMS add $(dirname $c) || exit 1; done
         sed -i '/^AUTOINSTALL/d' /usr/src/*/dkms.conf; for c in /usr/src/*/dkms.conf; do echo AUTOINSTALL=yes >>$c; done",
    )?;
    Ok(())
}

/// Notes the CPU time of each make that dkms starts, in seconds.
fn watch_makes(root: &Root) -> Result<()> {
    let place = root.must("p=$(command -v make); mkdir -p /opt/real; mv $p /opt/real/make; echo $p")?;
    // Only the outermost counts: the others are its children.
    let text = "#!/bin/bash
if [ -n \"$MAKE_IS_WATCHED\" ]; then exec /opt/real/make \"$@\"; fi
export MAKE_IS_WATCHED=1
TIMEFORMAT='%U %S'
{ time /opt/real/make \"$@\" 2>&3; } 3>&2 2>/tmp/make.$$
code=$?
awk '{ print $1 + $2 }' /tmp/make.$$ >>/tmp/makes
exit $code
";
    root.write(place.trim(), text, 0o755)
}
