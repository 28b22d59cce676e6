//! This program inside the guest: its first process, which loads the modules of a list one after the other
//! and reports; its `modprobe`, which the kernel calls where a module asks for another; and the process that
//! loads one module.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use dkms_base::host::fs;
use dkms_kernel::modfile::canonical_name;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};

use crate::report::{Item, LIST, Line, NO_ERRNO};

/// A module that takes longer hangs: an emulated machine is slow, and no module needs a minute in one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How the process that loads one module is called.
const LOADER: &str = "dkms-vm-load";

/// Whether this process is one of a guest, by the name that it was started with; its exit code.
#[must_use]
pub fn main_of_guest() -> Option<ExitCode> {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let name = Path::new(words.first()?).file_name()?.to_str()?;
    let is_guest = || Path::new(LIST).exists();
    match name {
        "init" if std::process::id() == 1 && is_guest() => Some(first_process()),
        "modprobe" if is_guest() => Some(modprobe(&words)),
        LOADER if is_guest() => Some(load(words.get(1)?)),
        _ => None,
    }
}

fn items() -> Vec<Item> {
    let bytes = fs::read(Path::new(LIST)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn first_process() -> ExitCode {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        // What is missing shows in what becomes of modules.
        let _ = mount(kind, at, kind, MountFlags::empty(), None);
    }
    let console = OpenOptions::new().write(true).open("/dev/console");
    if let Ok(mut console) = console {
        let mut say = |line: Line<'_>| drop(console.write_all(format!("\n{}\n", line.text()).as_bytes()));
        Loading::new(items()).all(&mut say);
    }
    let _ = reboot(RebootCommand::Restart);
    ExitCode::FAILURE
}

/// The modules of the list, at work.
struct Loading {
    items: Vec<Item>,
    /// What has ended: the errno of each.
    ended: Vec<Option<i32>>,
    kernel_log: Option<File>,
}

impl Loading {
    fn new(items: Vec<Item>) -> Self {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let kernel_log = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg").ok();
        let ended = vec![None; items.len()];
        Self { items, ended, kernel_log }
    }

    fn all(&mut self, say: &mut impl FnMut(Line<'_>)) {
        self.kernel_messages();
        for place in 0..self.items.len() {
            if !self.one(place, say) {
                // It has the kernel's locks, maybe: another guest tries the others.
                return;
            }
        }
        say(Line::Done);
    }

    /// Loads an item whose needs come before it in the list; `false`: it hangs.
    fn one(&mut self, place: usize, say: &mut impl FnMut(Line<'_>)) -> bool {
        let Some(item) = self.items.get(place) else { return true };
        if item.path.is_empty() {
            return true;
        }
        let lacking = item.needs.iter().find(|need| self.ended.get(**need).copied().flatten() != Some(0));
        if let Some(lacking) = lacking {
            say(Line::Lacks(place, *lacking));
            return true;
        }
        say(Line::Begin(place));
        let errno = run_loader(place);
        for message in self.kernel_messages() {
            say(Line::Says(place, &message));
        }
        let Some(errno) = errno else {
            say(Line::Hangs(place, PATIENCE.as_secs()));
            return false;
        };
        let is_there = errno == 0 || errno == Errno::EXIST.raw_os_error();
        if let Some(ended) = self.ended.get_mut(place) {
            *ended = Some(if is_there { 0 } else { errno });
        }
        say(Line::End(place, errno));
        true
    }

    /// What the kernel has logged since the last time, without what it says of itself in front.
    fn kernel_messages(&mut self) -> Vec<String> {
        let Some(log) = &mut self.kernel_log else { return Vec::new() };
        let mut found = Vec::new();
        // A read gives one record: `PRIORITY,SEQUENCE,TIME,…;TEXT`, and further lines of its dictionary.
        let mut record = vec![0; 8192];
        loop {
            match log.read(&mut record) {
                Ok(0) => return found,
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
                    let message = text.split_once(';').map(|(_, text)| text);
                    found.extend(message.and_then(|text| text.lines().next()).map(str::to_owned));
                }
                // Older records were overwritten.
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(_) => return found,
            }
        }
    }
}

/// Loads an item in a process of its own; its errno. `None`: it hangs.
#[expect(
    clippy::disallowed_methods,
    reason = "in a guest there is nothing to be logged, and no group to be ended"
)]
fn run_loader(place: usize) -> Option<i32> {
    let mut process = match Command::new("/init").arg0(LOADER).arg(place.to_string()).spawn() {
        Ok(process) => process,
        Err(error) => return Some(error.raw_os_error().unwrap_or(NO_ERRNO)),
    };
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match process.try_wait() {
            Ok(Some(status)) => return Some(status.code().unwrap_or(NO_ERRNO)),
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return Some(NO_ERRNO),
        }
    }
    None
}

/// The process that loads one item; its exit code is the errno.
fn load(place: &str) -> ExitCode {
    let items = items();
    let item = place.parse().ok().and_then(|place: usize| items.get(place));
    let errno = item.map_or(NO_ERRNO, |item| insert(item).map_or_else(Errno::raw_os_error, |()| 0));
    ExitCode::from(u8::try_from(errno).unwrap_or(u8::MAX))
}

fn insert(item: &Item) -> Result<(), Errno> {
    let file =
        rustix::fs::open(item.path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let options = std::ffi::CString::new(item.options.as_str()).map_err(|_| Errno::INVAL)?;
    finit_module(&file, &options, 0)
}

/// `modprobe -q -- NAME`, as the kernel calls it: loads the item of that name or alias and what it needs.
fn modprobe(words: &[String]) -> ExitCode {
    let items = items();
    let Some(name) = words.last().map(|name| canonical_name(name)) else { return ExitCode::FAILURE };
    let wanted = items.iter().position(|item| item.names.iter().any(|pattern| is_alias(pattern, &name)));
    match wanted.map(|place| with_needs(&items, place)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) | None => ExitCode::FAILURE,
    }
}

/// Needs come before in the list, so this ends.
fn with_needs(items: &[Item], place: usize) -> Result<(), Errno> {
    let Some(item) = items.get(place).filter(|item| !item.path.is_empty()) else { return Err(Errno::NOENT) };
    for need in item.needs.iter().filter(|need| **need < place) {
        with_needs(items, *need)?;
    }
    match insert(item) {
        Err(Errno::EXIST) => Ok(()),
        ended => ended,
    }
}

/// Whether a name is one of a pattern, where `*` is any text and `?` any character.
fn is_alias(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut star) = (0, 0, None);
    while let Some(letter) = name.get(at) {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == letter => {
                of += 1;
                at += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    of = place + 1;
                    at = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(of..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_patterns() {
        for (pattern, name, is_so) in [
            ("snd_hda", "snd_hda", true),
            ("snd_hda", "snd", false),
            ("fs_*", "fs_ext4", true),
            ("pci:v*d*", "pci:v1d2", true),
            ("pci:v*d?", "pci:v1d22", false),
            ("pci:v*d?", "pci:v1dd2", true),
            ("pci:v*e", "pci:v1d2", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(is_alias(pattern, name), is_so, "{pattern} {name}");
        }
    }

    #[test]
    fn outside_of_a_guest_this_is_no_guest() {
        assert!(main_of_guest().is_none());
    }
}
