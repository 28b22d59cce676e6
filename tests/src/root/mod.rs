//! A fresh root in milliseconds: an overlay of this machine in namespaces that end with the test.
//!
//! Compiler and headers come from the machine below; `/var/lib/dkms`, `/etc/dkms`, `/usr/src` and
//! `/lib/modules` are the test's own. A process holds the namespaces and reads a pipe from us: when the
//! [`Root`] is dropped, or this process dies in any way, the pipe ends and everything goes. Nothing is ever
//! mounted in the machine's own namespace.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeWriter, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dkms_base::host::fs;
use dkms_base::host::process::exit_code;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::cache::Cache;
use crate::kernels::{Kernels, THIRD};
use crate::tool::Tool;

/// A command that hasn't ended after this long hangs, unless the root has another limit.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// A root of one's own.
#[derive(Debug)]
pub struct Root {
    /// How paths of the root are reached from here.
    view: PathBuf,
    holder: u32,
    kernels: Kernels,
    /// Program of the tool that `$DKMS` means in commands.
    dkms: String,
    /// Ends the holder when it is dropped.
    lifeline: Option<PipeWriter>,
    time_limit: Duration,
    process: duct::Handle,
}

/// Who runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Root.
    Root,
    /// Nobody, in no group but its own.
    Nobody,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, 128 + N for a signal N.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Root {
    /// A root in which `/usr/sbin/dkms` is the first of these tools; all of them are in `/opt/NAME/dkms`.
    ///
    /// # Errors
    /// Where the namespaces are not available (tests run as root).
    pub fn new(cache: &Cache, kernels: &Kernels, tools: &[&Tool]) -> Result<Self> {
        let root = Self::over(cache, Path::new("/"), kernels.clone(), tools)?;
        root.furnish()?;
        Ok(root)
    }

    /// A root over a system that [`base`](crate::setup::base) made, as it is there; these tools are in
    /// `/opt/NAME/dkms`. `$K` and the like mean nothing in it.
    ///
    /// # Errors
    /// Where the namespaces are not available (tests run as root).
    pub fn of(cache: &Cache, system: &Path, tools: &[&Tool]) -> Result<Self> {
        Self::over(cache, system, Kernels { first: String::new(), second: String::new() }, tools)
    }

    fn over(cache: &Cache, system: &Path, kernels: Kernels, tools: &[&Tool]) -> Result<Self> {
        let (stdin, lifeline) = std::io::pipe()?;
        let (ready, stdout) = std::io::pipe()?;
        let mut args: Vec<std::ffi::OsString> = vec![
            "--mount".into(),
            "--pid".into(),
            "--fork".into(),
            "--kill-child".into(),
            "--propagation=private".into(),
            "sh".into(),
            "-c".into(),
            include_str!("holder.sh").into(),
            "holder".into(),
            cache.mount_point()?.into(),
            system.into(),
        ];
        for tool in tools {
            args.push(tool.name.into());
            args.push(tool.program.clone().into());
        }
        // Built as one expression: a caller that keeps it keeps our ends of the pipes open.
        let process = duct::cmd("unshare", args).stdin_file(stdin).stdout_file(stdout).unchecked().start()?;
        let mut line = String::new();
        BufReader::new(ready).read_line(&mut line)?;
        let holder: u32 = line.trim().parse().context("no root: the holder ended (see its message above)")?;
        let dkms = tools.first().map(|tool| tool.path_in_root()).unwrap_or_default();
        let view = PathBuf::from(format!("/proc/{holder}/root"));
        Ok(Self { view, holder, kernels, dkms, lifeline: Some(lifeline), time_limit: TIME_LIMIT, process })
    }

    /// Module folders as a kernel package leaves them, signing switched off for each tool's reader.
    fn furnish(&self) -> Result<()> {
        self.must(
            "for k in $K $K2 $K3; do
               mkdir -p /lib/modules/$k
               ln -s /usr/src/linux-headers-$k /lib/modules/$k/build
               touch /lib/modules/$k/modules.order /lib/modules/$k/modules.builtin
               : >/lib/modules/$k/modules.builtin.modinfo
             done
             rm /lib/modules/$K3/build
             h=/usr/src/linux-headers-$K3
             mkdir -p $h/include/generated
             ln -s /usr/src/linux-headers-$K/* $h 2>/dev/null || true
             ln -s /usr/src/linux-headers-$K/include/* $h/include 2>/dev/null || true
             ln -s /usr/src/linux-headers-$K/include/generated/* $h/include/generated
             rm $h/include/generated/utsrelease.h
             echo \"#define UTS_RELEASE \\\"$K3\\\"\" >$h/include/generated/utsrelease.h
             ln -s $h /lib/modules/$K3/build
             for k in $K $K2 $K3; do depmod $k; done
             mkdir -p /usr/sbin
             rm -f /usr/sbin/dkms
             if [ -n \"$DKMS\" ]; then ln -s $DKMS /usr/sbin/dkms; fi",
        )?;
        // 3.2.2 knows no `try_sign_modules`: a program that isn't there makes it sign nothing.
        self.write(
            "/etc/dkms/framework.conf",
            "try_sign_modules=\"false\"\nsign_file=\"/nonexistent\"\n",
            0o644,
        )
    }

    /// The same, with builds that may write anywhere: to leave a mark that a test counts.
    ///
    /// # Errors
    /// Where the setting can't be written.
    pub fn without_sandbox(self) -> Result<Self> {
        self.write("/etc/dkms/framework.conf.d/sandbox.conf", "sandbox=off\n", 0o644)?;
        Ok(self)
    }

    /// The same, with another limit of time for each of its commands.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// A path of the root as this process can open it. Links in it that are absolute lead
    /// out: use [`Self::open`].
    #[must_use]
    pub fn view(&self, path: &str) -> PathBuf {
        self.view.join(path.trim_start_matches('/'))
    }

    /// Opens a file of the root; links are followed as inside it. None where it doesn't exist.
    ///
    /// # Errors
    /// Any other failure.
    pub fn open(&self, path: &str) -> Result<Option<File>> {
        let root = rustix::fs::open(&self.view, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let relative = path.trim_start_matches('/');
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match openat2(&root, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(descriptor) => Ok(Some(File::from(descriptor))),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("open `{path}` in the root")),
        }
    }

    /// The text of a file of the root, empty where there is none.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn read(&self, path: &str) -> Result<String> {
        let mut bytes = Vec::new();
        if let Some(mut file) = self.open(path)? {
            file.read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes a file of the root, and the folders above it.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let path = self.view(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write_whole(&path, text.as_bytes(), mode)?)
    }

    /// The kernels in it.
    #[must_use]
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Lets `$DKMS` mean another of the tools that the root was made with.
    pub fn switch_to(&mut self, tool: &Tool) {
        self.dkms = tool.path_in_root();
    }

    /// Runs the tool with these words, which a shell splits (`$K`, `$K2`, `$K3` and quotes
    /// mean what they mean).
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn dkms(&self, words: &str) -> Result<Output> {
        self.shell(&format!("exec \"$DKMS\" {words}"), User::Root, "/")
    }

    /// Runs a line of shell that has to succeed.
    ///
    /// # Errors
    /// Where it fails, with its output.
    pub fn must(&self, line: &str) -> Result<String> {
        let output = self.shell(&format!("set -e\n{line}"), User::Root, "/")?;
        if output.code != 0 {
            bail!("`{line}` ended with {}:\n{}{}", output.code, output.stdout, output.stderr);
        }
        Ok(output.stdout)
    }

    /// Runs a line of shell in a folder of the root, with a small environment of its own. Output goes to
    /// files: what the line leaves behind in the background holds up nobody.
    ///
    /// # Errors
    /// Where no process can be started, and where the line is ended at the time limit.
    pub fn shell(&self, line: &str, user: User, dir: &str) -> Result<Output> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let target = format!("--target={}", self.holder);
        let limit = self.time_limit.as_secs().to_string();
        let variables = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "HOME=/root".to_owned(),
            "LC_ALL=C.UTF-8".to_owned(),
            "TZ=UTC".to_owned(),
            format!("DKMS={}", self.dkms),
            format!("K={}", self.kernels.first),
            format!("K2={}", self.kernels.second),
            format!("K3={THIRD}"),
            "A=x86_64".to_owned(),
        ];
        let mut words: Vec<&str> = vec![&target, "--mount", "--pid", "--root", "env", "-i"];
        words.extend(variables.iter().map(String::as_str));
        words.extend(["timeout", "--kill-after=5", &limit]);
        if user == User::Nobody {
            words.extend(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        }
        words.extend(["sh", "-c", "cd \"$1\" && eval \"$2\"", "sh", dir, line]);
        let begun = Instant::now();
        let ended = duct::cmd("nsenter", words)
            .dir("/")
            .stdin_null()
            .stdout_file(stdout.try_clone()?)
            .stderr_file(stderr.try_clone()?)
            .unchecked()
            .run()?;
        if begun.elapsed() >= self.time_limit {
            bail!("`{line}` was ended after {limit} s");
        }
        let text = |file: &mut File| -> Result<String> {
            let mut bytes = Vec::new();
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Output { code: exit_code(ended.status), stdout: text(&mut stdout)?, stderr: text(&mut stderr)? })
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // It ends by itself now; waiting keeps it from staying as a zombie.
        let _ = self.process.wait();
    }
}
