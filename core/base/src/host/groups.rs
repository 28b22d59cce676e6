//! The process groups that we have started, noted on disk while they run: so that the next command can end
//! what an earlier one, and the keeper between it and its build, left running when both were killed.
//!
//! `FOLDER/GROUP`: who started it, when, and what the machine called this boot. A number alone means nothing:
//! it may be another's by now.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ancestry::{self, ProcessIdentity};
use super::{fs, scratch, signals};

/// Where notes go; `None`: nowhere yet.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// No note is longer.
const LONGEST: u64 = 1000;
/// How long a group has to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// From now on groups are noted in this folder, which is there.
pub fn note_in(folder: &Path) {
    *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
}

/// A group runs. That it can't be noted is no reason not to go on.
pub(super) fn begun(group: u32) {
    if let (Some(path), Some(leader)) = (place(group), ancestry::identity(group)) {
        let own = ancestry::own();
        let text = format!("{} {} {} {} {}\n", own.pid, own.started, group, leader.started, boot());
        drop(scratch::write_note(&path, &text));
    }
}

/// It doesn't any more.
pub(super) fn ended(group: u32) {
    if let Some(path) = place(group) {
        drop(fs::remove_file(&path));
    }
}

fn place(group: u32) -> Option<PathBuf> {
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    folder.as_ref().map(|folder| folder.join(group.to_string()))
}

fn boot() -> String {
    fs::read_lossy(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}

/// Ends every noted group whose owner is gone, and forgets it; how many processes there were.
pub fn end_left(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        let note = fs::read_limited(&path, LONGEST)
            .ok()
            .and_then(|text| Note::parse(&String::from_utf8_lossy(&text)));
        if let Some(note) = &note {
            if note.boot == boot() && ancestry::identity(note.owner.pid) == Some(note.owner) {
                continue;
            }
            count += note.end();
        }
        drop(fs::remove_file(&path));
    }
    count
}

struct Note {
    owner: ProcessIdentity,
    leader: ProcessIdentity,
    boot: String,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [pid, started, group, leader_started, boot] = words[..] else { return None };
        let process = |pid: &str, started: &str| {
            Some(ProcessIdentity { pid: pid.parse().ok()?, started: started.parse().ok()? })
        };
        let leader = process(group, leader_started)?;
        Some(Self { owner: process(pid, started)?, leader, boot: boot.to_owned() })
            .filter(|note| note.leader.pid > 1)
    }

    /// The processes of the group: of its session too, and no older than its leader, or it is
    /// another one of that number.
    fn members(&self) -> usize {
        if self.boot != boot()
            || ancestry::identity(self.leader.pid).is_some_and(|found| found != self.leader)
        {
            return 0;
        }
        let processes = fs::list(Path::new("/proc")).unwrap_or_default().into_iter();
        let stats = processes.filter_map(|entry| {
            let pid: u32 = entry.name.to_str()?.parse().ok()?;
            fs::read_lossy(Path::new(&format!("/proc/{pid}/stat"))).ok()
        });
        let group = self.leader.pid.to_string();
        let is_member = |stat: String| {
            let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
            let started = fields.get(19).and_then(|text| text.parse::<u64>().ok());
            fields.first().is_some_and(|state| *state != "Z")
                && fields.get(2) == Some(&group.as_str())
                && fields.get(3) == Some(&group.as_str())
                && started.is_some_and(|started| started >= self.leader.started)
        };
        stats.filter(|stat| is_member(stat.clone())).count()
    }

    fn end(&self) -> usize {
        let (began, found) = (Instant::now(), self.members());
        let mut left = found;
        while left > 0 && began.elapsed() < PATIENCE {
            signals::kill_group(self.leader.pid);
            std::thread::sleep(Duration::from_millis(20));
            left = self.members();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process that nobody keeps")]
    fn what_nobody_keeps_any_more_is_ended_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut sleepers =
            [(); 3].map(|()| std::process::Command::new("setsid").args(["sleep", "5153"]).spawn().unwrap());
        let leads = |pid: u32| {
            fs::read_lossy(Path::new(&format!("/proc/{pid}/stat")))
                .is_ok_and(|stat| stat.contains(&format!("{pid} {pid} ")) && stat.contains("(sleep)"))
        };
        let [left, others, recycled] = [0, 1, 2].map(|place| {
            let pid = sleepers[place].id();
            while !leads(pid) {
                std::thread::sleep(Duration::from_millis(10));
            }
            ancestry::identity(pid).unwrap()
        });
        let gone = ProcessIdentity { pid: 4_999_999, started: 1 };
        let older = ProcessIdentity { started: recycled.started - 1, ..recycled };
        for (owner, leader) in [(gone, left), (ancestry::own(), others), (gone, older)] {
            let text =
                format!("{} {} {} {} {}\n", owner.pid, owner.started, leader.pid, leader.started, boot());
            fs::write_whole(&dir.path().join(leader.pid.to_string()), text.as_bytes(), 0o644).unwrap();
        }
        fs::write_whole(&dir.path().join("rubbish"), b"1 1 1 1 1", 0o644).unwrap();
        assert_eq!(end_left(dir.path()), 1);
        assert_eq!(fs::list(dir.path()).unwrap().len(), 1, "only the one of a living process stays");
        assert!(!sleepers[0].wait().unwrap().success());
        for sleeper in &mut sleepers[1..] {
            assert!(sleeper.try_wait().unwrap().is_none());
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
        }
    }
}
