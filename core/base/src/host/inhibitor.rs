//! Keeps the machine from being shut down or suspended by itself while something runs that should not
//! be cut short: an inhibitor of logind, held by `systemd-inhibit`. Without logind nothing is held,
//! and nothing is reported.
//!
//! The program that holds it reads from a pipe of ours, so it ends with us, however we end.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use super::{Environment, programs};

/// Held as long as this value lives.
#[derive(Debug)]
pub struct Inhibitor {
    child: Child,
    /// Closed before the child is waited for.
    pipe: Option<ChildStdin>,
}

impl Inhibitor {
    /// Takes one, if the system has logind; `why` is shown to a user who wants to shut down.
    #[must_use]
    pub fn take(why: &str, environment: &Environment) -> Option<Self> {
        // As sd_booted(3) looks.
        if !super::root::may_run_its_programs()
            || !Path::new("/run/systemd/system").is_dir()
            || !Path::new("/run/systemd/inhibit").is_dir()
        {
            return None;
        }
        Self::with(&programs::find("systemd-inhibit", environment)?, why, environment)
    }

    #[expect(clippy::disallowed_methods, reason = "this is a door to processes")]
    fn with(program: &Path, why: &str, environment: &Environment) -> Option<Self> {
        let cat = programs::find("cat", environment)?;
        let words = ["--what=shutdown:sleep", "--mode=block", "--who=dkms"];
        let mut child = std::process::Command::new(program)
            .args(words)
            .arg(format!("--why={why}"))
            .arg(cat)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok()?;
        let pipe = child.stdin.take();
        Some(Self { child, pipe })
    }
}

impl Drop for Inhibitor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It has ended, or never began.
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs;

    #[test]
    fn it_is_held_until_the_value_goes() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("systemd-inhibit");
        let (held, released) = (dir.path().join("held"), dir.path().join("released"));
        let text = format!(
            "#!/bin/sh\necho \"$*\" >{}\nfor last; do :; done\n\"$last\"\n: >{}\n",
            held.display(),
            released.display()
        );
        fs::write_whole(&program, text.as_bytes(), 0o755).unwrap();
        let environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let inhibitor = Inhibitor::with(&program, "building kernel modules", &environment).unwrap();
        while fs::read_lossy(&held).unwrap_or_default().is_empty() {
            std::thread::yield_now();
        }
        assert!(!fs::exists(&released));
        drop(inhibitor);
        assert!(fs::exists(&released));
        let words = fs::read_lossy(&held).unwrap();
        assert!(
            words.starts_with("--what=shutdown:sleep --mode=block --who=dkms --why=building kernel modules ")
        );
        let nowhere = [("PATH", "/nowhere")].into_iter().collect();
        assert!(Inhibitor::with(&program, "", &nowhere).is_none());
    }
}
