//! What the guest reports → what became of each module. Pure.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::report::{Line, NO_ERRNO};

/// What became of a module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is loaded and its init function has succeeded.
    Live,
    /// It is linked; its init function found no device, which is not in the guest.
    NoDevice,
    /// The kernel refused it, with this reason.
    Refused(String),
    /// Its init function ended with this error.
    InitFailed(String),
    /// The kernel crashed, or the module was not loaded in time.
    Crashed(String),
    /// Something that it needs could not be loaded, or the guest was booted too often.
    NotTried(String),
}

impl Outcome {
    /// Its name in the output for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NoDevice => "no-device",
            Self::Refused(_) => "refused",
            Self::InitFailed(_) => "init-failed",
            Self::Crashed(_) => "crashed",
            Self::NotTried(_) => "not-tried",
        }
    }

    /// Why it is so, where that needs a reason.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Live | Self::NoDevice => None,
            Self::Refused(why) | Self::InitFailed(why) | Self::Crashed(why) | Self::NotTried(why) => {
                Some(why)
            }
        }
    }
}

/// What was reported of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) says: Vec<String>,
    pub(crate) ended: Option<i32>,
    pub(crate) lacks: Option<usize>,
    pub(crate) crash: Option<String>,
}

/// What was reported in one boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) tried: BTreeMap<usize, Tried>,
    /// The item that was being loaded when the guest ended.
    pub(crate) broken: Option<usize>,
    /// All were tried.
    pub(crate) is_done: bool,
}

/// Words of the kernel's last messages, of which the first is the cause.
const CRASHES: [&str; 6] =
    ["BUG:", "kernel BUG at", "general protection fault", "Oops", "Unable to handle kernel", "Kernel panic"];

impl Boot {
    /// Reads a console. `items`: how many modules the guest was given. A module may write to the console what
    /// it likes: numbers that no module has are nothing, and what is reported of one twice is believed
    /// neither time.
    pub(crate) fn read(console: &str, items: usize) -> Self {
        let mut boot = Self::default();
        let mut cause = None;
        for line in console.lines().map(str::trim_end) {
            match Line::parse(line).filter(|line| line.item().is_none_or(|item| item < items)) {
                Some(Line::Begin(item)) => {
                    if let Some(twice) = boot.tried.get_mut(&item) {
                        twice.crash =
                            Some("its report came twice: a module writes reports itself".to_owned());
                    }
                    boot.tried.entry(item).or_default();
                    boot.broken = Some(item);
                    cause = None;
                }
                Some(Line::Says(item, text)) => {
                    boot.tried.entry(item).or_default().says.push(text.to_owned());
                }
                // Only what was begun ends.
                Some(Line::End(item, errno)) if boot.broken == Some(item) => {
                    boot.tried.entry(item).or_default().ended = Some(errno);
                    boot.broken = None;
                }
                Some(Line::Lacks(item, other)) => boot.tried.entry(item).or_default().lacks = Some(other),
                Some(Line::Hangs(item, seconds)) => {
                    let crash = format!("it was not loaded within {seconds} s");
                    boot.tried.entry(item).or_default().crash = Some(crash);
                    boot.broken = Some(item);
                }
                Some(Line::Done) => boot.is_done = true,
                Some(Line::End(..)) | None => {
                    let is_cause = CRASHES.iter().any(|word| line.contains(word));
                    cause = cause.or_else(|| is_cause.then(|| without_time(line).to_owned()));
                }
            }
        }
        if let Some(tried) = boot.broken.and_then(|item| boot.tried.get_mut(&item)) {
            let crash = cause.unwrap_or_else(|| "the guest ended while it was being loaded".to_owned());
            tried.crash.get_or_insert(crash);
        }
        boot
    }
}

/// A message of the kernel without its time: `[    1.234567] TEXT`.
fn without_time(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.map_or(line, |(_, text)| text.trim_start())
}

/// Messages of the kernel that say why it refuses a module.
const REFUSALS: [&str; 7] = [
    "Unknown symbol",
    "disagrees about version of symbol",
    "version magic",
    "no symbol version for",
    "does not have a valid signature",
    "Loading of unsigned module is rejected",
    "uses symbols from proprietary module",
];

/// What became of an item. `name`: how another one is called.
#[must_use]
pub(crate) fn of_item(tried: Option<&Tried>, name: impl Fn(usize) -> String) -> Outcome {
    let Some(tried) = tried else {
        return Outcome::NotTried("the guest ended too often before it".to_owned());
    };
    if let Some(crash) = &tried.crash {
        return Outcome::Crashed(crash.clone());
    }
    if let Some(other) = tried.lacks {
        return Outcome::NotTried(format!("{}, which it needs, is not loaded", name(other)));
    }
    match tried.ended {
        Some(errno) => judge(errno, &tried.says),
        None => Outcome::NotTried("nothing was reported of it".to_owned()),
    }
}

/// What an errno of finit_module(2) means, with what the kernel logged meanwhile.
#[must_use]
pub fn judge(errno: i32, says: &[String]) -> Outcome {
    if errno == 0 {
        return Outcome::Live;
    }
    let error = Errno::from_raw_os_error(errno);
    let text = || match errno {
        NO_ERRNO => "the process that loads it ended".to_owned(),
        _ => format!("{error}"),
    };
    let refusal = says.iter().find(|line| REFUSALS.iter().any(|words| line.contains(words)));
    match error {
        Errno::EXIST => Outcome::Live,
        Errno::NOEXEC | Errno::KEYREJECTED | Errno::NOKEY | Errno::BADMSG => {
            Outcome::Refused(refusal.or(says.last()).cloned().unwrap_or_else(text))
        }
        Errno::NOENT | Errno::INVAL | Errno::PERM if refusal.is_some() => {
            Outcome::Refused(refusal.cloned().unwrap_or_default())
        }
        Errno::NODEV | Errno::NXIO | Errno::OPNOTSUPP => Outcome::NoDevice,
        _ => Outcome::InitFailed(text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_classes() {
        let unknown = "foo: Unknown symbol bar (err -2)".to_owned();
        for (errno, says, expected) in [
            (0, vec![], Outcome::Live),
            (17, vec![], Outcome::Live),
            (19, vec!["foo: no device".to_owned()], Outcome::NoDevice),
            (6, vec![], Outcome::NoDevice),
            (2, vec![unknown.clone()], Outcome::Refused(unknown)),
            (8, vec!["foo: odd".to_owned()], Outcome::Refused("foo: odd".to_owned())),
        ] {
            assert_eq!(judge(errno, &says), expected, "{errno}");
        }
        for errno in [1, 2, 12, 22, 255] {
            assert_eq!(judge(errno, &[]).word(), "init-failed", "{errno}");
        }
        assert_eq!(judge(126, &[]).word(), "refused");
    }

    #[test]
    fn the_item_at_work_when_the_guest_ends_is_to_blame() {
        let console = "[ 0.1] Linux\ndkms-vm: begin 0\ndkms-vm: says 0 a: hello\ndkms-vm: end 0 0\r\n\
                       dkms-vm: lacks 1 5\ndkms-vm: begin 2\n[  1.5] BUG: kernel NULL pointer dereference\n\
                       [  1.6] Kernel panic - not syncing\n";
        let boot = Boot::read(console, 100);
        assert_eq!((boot.broken, boot.is_done), (Some(2), false));
        let name = |place: usize| format!("m{place}");
        let of = |place| of_item(boot.tried.get(&place), name);
        assert_eq!(of(0), Outcome::Live);
        assert_eq!(of(1), Outcome::NotTried("m5, which it needs, is not loaded".to_owned()));
        assert_eq!(of(2), Outcome::Crashed("BUG: kernel NULL pointer dereference".to_owned()));
        assert_eq!(of(3).word(), "not-tried");
        let boot = Boot::read("dkms-vm: begin 4\ndkms-vm: hangs 4 120\n", 100);
        assert_eq!(boot.broken, Some(4));
        assert_eq!(
            of_item(boot.tried.get(&4), name),
            Outcome::Crashed("it was not loaded within 120 s".to_owned())
        );
        assert!(Boot::read("dkms-vm: done\n", 100).is_done);
    }

    #[test]
    fn a_module_that_writes_reports_is_not_believed() {
        let console = "dkms-vm: begin 0\ndkms-vm: begin 1\ndkms-vm: end 1 0\ndkms-vm: end 0 0\ndkms-vm: end 7 0\n\
                       dkms-vm: begin 9\ndkms-vm: begin 1\ndkms-vm: end 1 -8\ndkms-vm: done\n";
        let boot = Boot::read(console, 2);
        assert_eq!(boot.tried.keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert!(boot.tried[&1].crash.as_ref().unwrap().contains("came twice"), "{boot:?}");
        assert_eq!(boot.tried[&0].ended, None, "it was not the one that was being loaded");
    }
}
