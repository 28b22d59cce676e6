//! `make bench`: ours against the original, in the same run and the same root; prints ratios, and
//! fails where one is worse than what the project promises. The words `sandbox`, `status`, `install`,
//! `batch` and `fleet` pick some.

mod batch;
mod fleet;
mod sandbox;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::command::ended;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::say;
use dkms_tests::tool::Tool;

/// How many modules `status` is measured on, each built and installed for two kernels.
const MODULES: usize = 100;
/// `status` is to be this much faster than the original.
const STATUS_RATIO: f64 = 300.0;
/// And to take no longer than this.
const STATUS_LIMIT: Duration = Duration::from_millis(20);
/// What building and installing a one-file module may cost besides the programs it runs.
const OWN_TIME_LIMIT: Duration = Duration::from_millis(50);

/// A program that notes how long the real one took, in nanoseconds.
const STOPWATCH: &str = "#!/bin/bash
start=$(date +%s%N); REAL \"$@\"; code=$?; end=$(date +%s%N)
echo $((end - start)) >>/tmp/spent; exit $code
";

fn main() -> ExitCode {
    ended(run(), "")
}

fn run() -> Result<()> {
    let cache = Cache::open()?;
    let kernels = Kernels::find()?;
    let program = |name: &str| -> Result<String> {
        Ok(std::env::current_exe()?.with_file_name(name).to_string_lossy().into_owned())
    };
    let ours = Tool::ours(&program("dkms")?);
    let original = Tool::original(&cache, Oracle::Trixie)?;
    let only: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).skip(1).collect();
    let is_asked_for = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    let mut kept = Vec::new();
    if is_asked_for("sandbox") {
        kept.push(sandbox::measure(&kernels)?);
    }
    let mut root = Root::new(&cache, &kernels, &[&ours, &original])?;
    if is_asked_for("status") {
        kept.push(status(&mut root, &ours, &original)?);
    }
    if is_asked_for("install") {
        kept.push(one_module(&mut root, &ours, &original)?);
    }
    if is_asked_for("batch") {
        let batch = Tool::batch(&program("batch-under-test")?);
        kept.push(batch::measure(&cache, &kernels, &ours, &batch, &original)?);
    }
    if is_asked_for("fleet") {
        kept.push(fleet::measure(&cache, &kernels, &ours)?);
    }
    ensure!(!kept.is_empty() && kept.iter().all(|kept| *kept), "a limit was missed: see above");
    Ok(())
}

/// The shortest of some runs: what else the machine does only ever adds.
fn shortest(runs: usize, mut run: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let times = (0..runs).map(|_| run()).collect::<Result<Vec<_>>>()?;
    times.into_iter().min().context("no run")
}

/// A command's own time, measured inside the root so that getting there doesn't count.
fn timed(root: &Root, line: &str) -> Result<Duration> {
    let script = format!("s=$(date +%s%N); {line} >/tmp/out 2>&1; e=$(date +%s%N); echo $((e - s))");
    Ok(Duration::from_nanos(root.must(&script)?.trim().parse()?))
}

/// `status` on many modules: time, processes, and that both say the same.
fn status(root: &mut Root, ours: &Tool, original: &Tool) -> Result<bool> {
    Module::new("m0", "1.0").write_to(root)?;
    root.must("$DKMS install m0/1.0 -k $K -k $K2")?;
    root.must(&format!(
        "cd /var/lib/dkms; for i in $(seq {}); do m=m$i; cp -r /usr/src/m0-1.0 /usr/src/$m-1.0
         sed -i s/m0/$m/ /usr/src/$m-1.0/dkms.conf; mkdir -p $m/1.0; ln -s /usr/src/$m-1.0 $m/1.0/source
         for k in $K $K2; do mkdir $m/1.0/$k; cp -r m0/1.0/$k/$A $m/1.0/$k; ln -s 1.0/$k/$A $m/kernel-$k-$A
         mv $m/1.0/$k/$A/module/m0.ko $m/1.0/$k/$A/module/$m.ko
         cp $m/1.0/$k/$A/module/$m.ko /lib/modules/$k/updates/dkms; done; done",
        MODULES - 1
    ))?;
    let line = |tool: &Tool| format!("{} status", tool.path_in_root());
    let mine = shortest(20, || timed(root, &line(ours)))?;
    let said = root.must("sort /tmp/out")?;
    let its = shortest(2, || timed(root, &line(original)))?;
    ensure!(said == root.must("sort /tmp/out")?, "the two print different states");
    let processes = root
        .must("strace -f -e trace=execve -o /tmp/trace $DKMS status >/dev/null; grep -c execve /tmp/trace")?;
    let ratio = its.as_secs_f64() / mine.as_secs_f64();
    say(&format!(
        "status, {MODULES} modules on 2 kernels: {mine:.1?}, the original {its:.1?}: {ratio:.0} times faster \
         (at least {STATUS_RATIO}, under {STATUS_LIMIT:?}); processes started: {}",
        processes.trim().parse::<usize>()? - 1
    ));
    Ok(ratio >= STATUS_RATIO && mine < STATUS_LIMIT && processes.trim() == "1")
}

/// Building and installing a module of one file: what we add to make, depmod and the other programs.
fn one_module(root: &mut Root, ours: &Tool, original: &Tool) -> Result<bool> {
    Module::new("one", "1.0").write_to(root)?;
    for tool in ["make", "depmod", "strip"] {
        // Moved by its name: kmod tells by it which of its tools it is.
        let place = root
            .must(&format!("p=$(command -v {tool}); mkdir -p /opt/real; mv $p /opt/real/{tool}; echo $p"))?;
        root.write(place.trim(), &STOPWATCH.replace("REAL", &format!("/opt/real/{tool}")), 0o755)?;
    }
    let mut run = |tool: &Tool| {
        root.switch_to(tool);
        root.must("rm -f /tmp/spent; $DKMS add one/1.0")?;
        let begin = Instant::now();
        let whole = timed(root, "$DKMS install one/1.0 -k $K")?;
        ensure!(begin.elapsed() >= whole, "the clock in the root is another");
        let spent: u64 =
            root.must("cat /tmp/spent")?.lines().filter_map(|line| line.parse::<u64>().ok()).sum();
        root.must("$DKMS remove one/1.0 --all")?;
        Ok(whole.saturating_sub(Duration::from_nanos(spent)))
    };
    let mine = shortest(5, || run(ours))?;
    let its = shortest(3, || run(original))?;
    say(&format!(
        "install of a one-file module, time besides make, depmod and strip: {mine:.1?}, the original {its:.1?} \
         (under {OWN_TIME_LIMIT:?})"
    ));
    Ok(mine < OWN_TIME_LIMIT)
}
