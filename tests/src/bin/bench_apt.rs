//! `make bench-apt`: eight of Debian's module packages and two kernels' headers in one run of apt, with ours
//! and with Debian's dkms, in equal roots; fails where ours isn't twice as fast.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dkms_tests::apt::Machine;
use dkms_tests::command::ended;
use dkms_tests::say;

/// Ours is to be this much faster.
const RATIO: f64 = 2.0;
/// Runs of each, in turn; the shortest counts.
const RUNS: usize = 2;

const PACKAGES: &str = "acpi-call-dkms adv-17v35x-dkms bbswitch-dkms dm-writeboost-dkms langford-dkms nat-rtsp-dkms rapiddisk-dkms vpoll-dkms";

fn main() -> ExitCode {
    ended(run(), "")
}

fn run() -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("dkms-under-test").to_string_lossy().into_owned();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mine = measure(&program, "/debs/dkms.deb")?;
        let its = measure(&program, "dkms")?;
        ensure!(mine.1 == its.1, "the two leave different states:\n{}\n{}", mine.1, its.1);
        ours.push(mine.0);
        theirs.push(its.0);
    }
    let shortest = |times: &[Duration]| times.iter().min().copied().context("no run");
    let (ours, theirs) = (shortest(&ours)?, shortest(&theirs)?);
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    say(&format!(
        "apt, 8 module packages and 2 kernels' headers: {ours:.1?}, with Debian's dkms {theirs:.1?}: {ratio:.1} times faster (at least {RATIO})"
    ));
    ensure!(ratio >= RATIO, "a limit was missed: see above");
    Ok(())
}

/// How long it takes where that dkms is installed, and what `dkms status` says then.
fn measure(program: &str, dkms: &str) -> Result<(Duration, String)> {
    let machine = Machine::plain(program)?;
    // Neither signs: that is not what is compared.
    machine.root.write(
        "/etc/dkms/framework.conf.d/unsigned.conf",
        "try_sign_modules=\"false\"\nsign_file=\"/nonexistent\"\n",
        0o644,
    )?;
    machine.index_kernels()?;
    machine.install(dkms)?;
    let line = format!(
        "s=$(date +%s%N); apt-get -y --no-install-recommends install {PACKAGES} linux-headers-$OLD linux-headers-$NEW >/tmp/said 2>&1
         code=$?; e=$(date +%s%N); echo $((e - s)); exit $code"
    );
    let spent = machine.must(&line).context("apt failed")?;
    let mut states = machine.states()?;
    states.sort();
    let installed = states.iter().filter(|line| line.ends_with(": installed")).count();
    ensure!(
        installed == 16,
        "not all is installed:\n{}\n{}",
        states.join("\n"),
        machine.must("cat /tmp/said")?
    );
    Ok((Duration::from_nanos(spent.trim().parse()?), states.join("\n")))
}
