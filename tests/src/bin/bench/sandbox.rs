//! What a sandbox costs a build: making it ready, and starting a command in it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dkms_base::host::environment::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::host::sandbox::{Sandbox, Wanted};
use dkms_tests::kernels::Kernels;
use dkms_tests::say;

/// What it may cost.
const LIMIT: Duration = Duration::from_millis(20);
const RUNS: usize = 40;

/// Starts `true` with and without a sandbox like that of a build.
pub(crate) fn measure(kernels: &Kernels) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let (tree, folder) = (dir.path().join("dkms"), dir.path().join("dkms/m/1/build"));
    fs::create_dir_all(&folder)?;
    let headers = Path::new("/lib/modules").join(&kernels.first).join("build");
    let environment = Environment::of_this_process();
    let in_sandbox = || -> Result<()> {
        let sandbox = Sandbox::new(&Wanted {
            strict: true,
            folders: vec![(&folder, &folder)],
            shown: vec![tree.clone(), "/usr/src".into(), "/lib/modules".into(), headers.clone()],
            secret: vec![headers.join("certs/signing_key.pem"), tree.join("mok.key")],
            ..Wanted::bare("nobody", &environment)
        })?;
        let process = Process::new("/bin/true", [""; 0], &environment).dir(&folder).in_sandbox(&sandbox);
        ensure!(process.capture()?.code() == 0, "`true` failed in a sandbox");
        Ok(())
    };
    let plainly = || -> Result<()> {
        Process::new("/bin/true", [""; 0], &environment).dir(&folder).capture()?;
        Ok(())
    };
    let (with, without) = (times(in_sandbox)?, times(plainly)?);
    let cost = with[RUNS / 2].saturating_sub(without[RUNS / 2]);
    say(&format!(
        "a sandbox, made ready and entered: {cost:.1?} more than a process without one (median of {RUNS}; shortest {:.1?}; \
         under {LIMIT:?})",
        with[0].saturating_sub(without[0])
    ));
    Ok(cost < LIMIT)
}

/// How long each run took, the shortest first.
fn times(run: impl Fn() -> Result<()>) -> Result<Vec<Duration>> {
    let one = |_| {
        let begin = Instant::now();
        run().map(|()| begin.elapsed())
    };
    let mut times = (0..RUNS).map(one).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times)
}
