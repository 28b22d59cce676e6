//! Boots a kernel with QEMU in a sandbox: no network, no disk, no folder of the host; KVM where it is there,
//! emulated otherwise. The guest has an initramfs that is made here, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Process, ProcessError};
use dkms_base::host::programs;
use dkms_base::host::sandbox::{Missing, Sandbox, Wanted};
use dkms_base::host::stream::Bounded;
use dkms_kernel::Machine;
use dkms_kernel::modfile::{self, ModfileError};
use dkms_kernel::newc::Newc;

use crate::guest::PATIENCE;
use crate::outcome::{self, Boot, Outcome};
use crate::report::LIST;
use crate::selection::Selection;

/// One boot that takes longer hangs: a kernel is up in seconds, emulated too.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
/// How often a guest is booted that modules end.
const BOOTS: usize = 20;
/// No console has more to say; what comes before is left out.
const CONSOLE_LIMIT: usize = 64 << 20;
/// What makes a guest fast.
const KVM: &str = "/dev/kvm";
/// With KVM our program says something sooner, if KVM works.
const FIRST_WORD_LIMIT: Duration = Duration::from_secs(30);
/// It says something of a module that hangs, too, so a guest that is silent has been stopped by KVM.
const SILENCE_LIMIT: Duration = Duration::from_secs(PATIENCE.as_secs() + 30);
/// KVM has failed to run a kernel, so it is not tried with the next one.
static KVM_FAILED: AtomicBool = AtomicBool::new(false);
/// No program or library is larger.
const PROGRAM_LIMIT: u64 = 1 << 30;

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// There is no emulator.
    #[error("QEMU for {0} is not installed")]
    NoQemu(&'static str),
    /// Kernels of this machine can't be booted.
    #[error("virtual machines are for x86_64 and arm64; the kernel is for another machine")]
    Machine,
    /// The kernel's image isn't there.
    #[error("the image of the kernel cannot be read: it is none of {0:?}")]
    NoImage(Vec<PathBuf>),
    /// It didn't come as far as our program.
    #[error("the virtual machine ended before it could load a module: {0}")]
    NotBooted(String),
    /// Something can't be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A module file can't be read.
    #[error(transparent)]
    Modfile(#[from] ModfileError),
    /// The initramfs can't be written.
    #[error("the initramfs of the virtual machine cannot be written: {0}")]
    Write(#[from] io::Error),
    /// QEMU can't be started, or doesn't end.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl VmError {
    /// The command that helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoQemu("x86_64") => {
                Some("install `qemu-system-x86` (Debian, Arch) or `qemu-system-x86-core` (Fedora)".to_owned())
            }
            Self::NoQemu(_) => {
                Some("install `qemu-system-arm` (Debian) or `qemu-system-aarch64` (Fedora, Arch)".to_owned())
            }
            _ => None,
        }
    }
}

/// A kind of machine.
struct Kind {
    name: &'static str,
    program: &'static str,
    board: &'static str,
    console: &'static str,
}

const KINDS: [(Machine, Kind); 2] = [
    (Machine::X86_64, Kind { name: "x86_64", program: "qemu-system-x86_64", board: "q35", console: "ttyS0" }),
    (
        Machine::Arm64,
        Kind { name: "arm64", program: "qemu-system-aarch64", board: "virt", console: "ttyAMA0" },
    ),
];

/// A kernel that is booted to load modules.
#[derive(Debug)]
pub struct Guest<'a> {
    /// Its image; the first of these that is there.
    pub images: &'a [PathBuf],
    /// The machine that it is for.
    pub machine: Option<Machine>,
    /// Where the initramfs is written: a folder of our own.
    pub folder: &'a Path,
    /// Where an isolation layer is missing, QEMU does not run.
    pub strict: bool,
    /// The user that QEMU runs as, where we can become another one.
    pub user: &'a str,
    /// The environment of QEMU.
    pub environment: &'a Environment,
}

/// What became of modules.
#[derive(Debug)]
pub struct Loaded {
    /// Of each file that is asked for.
    pub outcomes: BTreeMap<PathBuf, Outcome>,
    /// The isolation layers that QEMU had to do without.
    pub missing: Missing,
}

impl Guest<'_> {
    /// Loads the modules; what became of each file that is asked for.
    ///
    /// # Errors
    /// [`VmError`] where nothing is known of any.
    pub fn load(&self, selection: &Selection) -> Result<Loaded, VmError> {
        let kind = KINDS.iter().find(|(machine, _)| Some(*machine) == self.machine);
        let (_, kind) = kind.ok_or(VmError::Machine)?;
        if programs::find(kind.program, self.environment).is_none() {
            return Err(VmError::NoQemu(kind.name));
        }
        let image = self.images.iter().find(|path| fs::is_file(path));
        let image = image.ok_or_else(|| VmError::NoImage(self.images.to_vec()))?;
        let (mut known, mut broken) = (BTreeMap::new(), BTreeSet::new());
        let mut missing = Missing::default();
        // KVM may be there and not work: inside of another virtual machine, or for another kind of processor.
        let kvm = Path::new(KVM);
        let has_kvm = fs::exists(kvm) && fs::may_write(kvm) && !KVM_FAILED.load(Ordering::Relaxed);
        let mut accelerator = if has_kvm { "kvm" } else { "tcg" };
        for _ in 0..BOOTS {
            let console = match self.boot(kind, (image, accelerator), selection, &broken) {
                Err(VmError::NotBooted(_)) if accelerator == "kvm" => {
                    KVM_FAILED.store(true, Ordering::Relaxed);
                    accelerator = "tcg";
                    continue;
                }
                ended => {
                    let (console, lacked) = ended?;
                    missing = lacked;
                    console
                }
            };
            let boot = Boot::read(&console, selection.items.len());
            // What an earlier boot says of an item counts: there it was not alone.
            for (item, tried) in boot.tried {
                known.entry(item).or_insert(tried);
            }
            match boot.broken {
                _ if boot.is_done => break,
                Some(item) if broken.insert(item) => {}
                // It was put aside, and is named again: nothing else would be learnt.
                Some(_) => break,
                None if accelerator == "kvm" => accelerator = "tcg",
                None => return Err(VmError::NotBooted(last_line(&console))),
            }
        }
        let name = |place: usize| {
            let file = selection.items.get(place).and_then(|(path, _)| path.file_name());
            file.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let asked = selection.items.iter().enumerate().filter(|(_, (_, item))| item.is_asked);
        let outcomes = asked
            .map(|(place, (path, _))| (path.clone(), outcome::of_item(known.get(&place), name)))
            .collect();
        Ok(Loaded { outcomes, missing })
    }

    /// Boots once; what stands on the console, and what QEMU's sandbox lacked.
    fn boot(
        &self,
        kind: &Kind,
        (image, accelerator): (&Path, &str),
        selection: &Selection,
        broken: &BTreeSet<usize>,
    ) -> Result<(String, Missing), VmError> {
        let initramfs = self.folder.join("initramfs");
        let size = self.write(&initramfs, selection, broken)?;
        // It is there twice while the kernel unpacks it.
        let memory = 1024 + 3 * (size >> 20);
        // An emulated clock on a busy machine fails the kernel's test of its timer, which ends the boot.
        let line = format!(
            "console={} rdinit=/init panic=-1 oops=panic no_timer_check quiet loglevel=1",
            kind.console
        );
        let words = [
            "-machine",
            kind.board,
            "-accel",
            accelerator,
            "-cpu",
            "max",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-net",
            "none",
            "-m",
            &memory.to_string(),
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-append",
            &line,
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
            "-kernel",
        ];
        let mut words: Vec<std::ffi::OsString> = words.into_iter().map(Into::into).collect();
        words.extend([image.into(), "-initrd".into(), initramfs.clone().into_os_string()]);
        let process = Process::new(kind.program, words, self.environment).called(kind.program);
        let process =
            process.in_sandbox(&self.sandbox(vec![image.to_owned(), initramfs])?).dir(Path::new("/"));
        // What the guest says is bounded here; its file could be all of a disk.
        let mut console = Bounded::new(CONSOLE_LIMIT / 2, CONSOLE_LIMIT / 2);
        let process = process.time_limit(BOOT_LIMIT);
        let process = match accelerator {
            "kvm" => process.silence_limit(FIRST_WORD_LIMIT, SILENCE_LIMIT),
            _ => process,
        };
        let ended = match process.stream_to(&mut |bytes| console.push(bytes)) {
            Err(error @ ProcessError::TimedOut { .. }) if accelerator == "kvm" => {
                return Err(VmError::NotBooted(error.to_string()));
            }
            // The item at work is to blame.
            Err(ProcessError::TimedOut { .. } | ProcessError::TooMuchOutput { .. }) => None,
            ended => Some(ended?),
        };
        let text = String::from_utf8_lossy(&console.bytes()).into_owned();
        match ended {
            Some(ended) if ended.code() != 0 => {
                let text =
                    format!("{} ended with exit code {}: {}", kind.program, ended.code(), last_line(&text));
                Err(VmError::NotBooted(text))
            }
            ended => Ok((text, ended.map(|ended| ended.missing).unwrap_or_default())),
        }
    }

    /// What QEMU runs in: a module that breaks out of the guest is in there, and not root. KVM is shown to
    /// it.
    /// What root reads of `inputs` is read there too.
    fn sandbox(&self, inputs: Vec<PathBuf>) -> Result<Sandbox, VmError> {
        let wanted = Wanted {
            strict: self.strict,
            inputs,
            devices: vec![KVM.into()],
            ..Wanted::bare(self.user, self.environment)
        };
        Sandbox::new(&wanted).map_err(|error| VmError::Write(error.into()))
    }

    /// Writes the initramfs; its size in bytes.
    #[expect(clippy::disallowed_methods, reason = "a large file in our own folder, written piece by piece")]
    fn write(&self, to: &Path, selection: &Selection, broken: &BTreeSet<usize>) -> Result<u64, VmError> {
        let mut archive = Newc::new(BufWriter::new(std::fs::File::create(to)?), 0);
        ["/proc", "/sys", "/dev"].into_iter().try_for_each(|folder| archive.folder(folder))?;
        let program = fs::canonical(Path::new("/proc/self/exe"))?;
        archive.file("/init", 0o755, &fs::read_limited(&program, PROGRAM_LIMIT)?)?;
        archive.link("/sbin/modprobe", "/init")?;
        for library in self.libraries(&program)? {
            let bytes = fs::read_limited(&library, PROGRAM_LIMIT)?;
            archive.file(&library.to_string_lossy(), 0o755, &bytes)?;
        }
        let list = selection.list_without(broken);
        archive.file(LIST, 0o644, &serde_json::to_vec(&list).map_err(io::Error::from)?)?;
        for ((path, _), item) in selection.items.iter().zip(&list) {
            if !item.path.is_empty() {
                // Not every kernel unpacks modules itself.
                archive.file(&item.path, 0o644, &modfile::content(path)?)?;
            }
        }
        archive.finish()?;
        Ok(fs::stat(to)?.map_or(0, |meta| meta.len()))
    }

    /// The libraries of a program at the paths where its loader looks, and the loader, as ldd(1) prints them:
    /// `NAME => PATH (ADDRESS)` and `PATH (ADDRESS)`. None of a static one.
    fn libraries(&self, program: &Path) -> Result<Vec<PathBuf>, VmError> {
        let ended = Process::new("ldd", [program.as_os_str()], self.environment).capture_stdout()?;
        let text = ended.text();
        let paths = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
        let cache = PathBuf::from("/etc/ld.so.cache");
        Ok(paths.chain(fs::is_file(&cache).then_some(cache)).collect())
    }
}

fn last_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed nothing").to_owned()
}
