//! The lines about the boot state that people see where they look: at login, and beside a due reboot.

use super::guard::{Guard, Kernels, Report};
use super::journal::Stage;
use super::model::Decision;
use crate::host::fs::{self, FsError};
use crate::layout::Layout;
use dkms_base::visible::visible_line;

/// What pam_motd shows at login, on Debian and Fedora alike.
const MOTD: &str = "/run/motd.d/dkms-boot-guard";
/// What Debian and Ubuntu show when a reboot is due.
const REBOOT_REQUIRED: &str = "/run/reboot-required";
/// How our lines begin, there and in the motd.
const OURS: &str = "dkms: ";
const LIMIT: u64 = 1 << 20;

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A kernel that lacks a critical module boots next.
    BootsNext,
    /// A kernel is held.
    Held,
    /// A command that held or released a kernel was interrupted.
    Interrupted,
}

/// Something to know before this machine reboots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub subject: Subject,
    /// The text.
    pub text: String,
    /// The command that shows more, or helps.
    pub command: String,
}

impl Report {
    /// What people should know.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        let of = |row: &super::Row| {
            let kernel = &row.kernel;
            let (subject, text, command) = match &row.hold {
                Some(hold) if hold.stage != Stage::Held => (
                    Subject::Interrupted,
                    format!("a command that held or released kernel {kernel} was interrupted"),
                    format!("dkms boot release {kernel}"),
                ),
                Some(hold) => (
                    Subject::Held,
                    format!("kernel {kernel} does not boot by default: {}", hold.why),
                    "dkms boot".to_owned(),
                ),
                None => match row.decision {
                    Decision::Warn | Decision::Refuse(_) if self.menu.next.as_ref() == Some(kernel) => (
                        Subject::BootsNext,
                        format!("do not reboot: kernel {kernel} boots next: {}", row.why()),
                        "dkms boot".to_owned(),
                    ),
                    _ => return None,
                },
            };
            Some(Notice { subject, text, command })
        };
        let unreadable = self.unreadable.iter().map(|path| Notice {
            subject: Subject::Interrupted,
            text: format!("`{}` cannot be read: a kernel may be held without being listed", path.display()),
            command: "dkms boot".to_owned(),
        });
        self.rows.iter().filter_map(of).chain(unreadable).collect()
    }
}

impl Guard<'_> {
    /// Writes what people should know where they look, or removes it. Without these files nothing is wrong:
    /// an error is nobody's failure.
    pub fn notify(&self, kernels: &Kernels<'_>) {
        drop(write(self.layout, &self.look(kernels).notices()));
    }
}

/// Whether people are shown something.
#[must_use]
pub fn is_shown(layout: &Layout) -> bool {
    fs::is_file(&layout.at(MOTD))
}

/// Removes what was written.
pub fn forget(layout: &Layout) {
    drop(write(layout, &[]));
}

fn write(layout: &Layout, notices: &[Notice]) -> Result<(), FsError> {
    // Every terminal shows it, and a module file may have named some of it.
    let line = |notice: &Notice| {
        format!("{OURS}{} (`{}`)\n", visible_line(&notice.text), visible_line(&notice.command))
    };
    let text: String = notices.iter().map(line).collect();
    let motd = layout.at(MOTD);
    if text.is_empty() {
        fs::optional(fs::remove_file(&motd))?;
    } else if fs::is_dir(&layout.at("/run")) && !fs::read_lossy(&motd).is_ok_and(|now| now == text) {
        fs::create_dir_all(&layout.at("/run/motd.d"))?;
        fs::write_whole(&motd, text.as_bytes(), 0o644)?;
    }
    let place = layout.at(REBOOT_REQUIRED);
    if !fs::is_file(&place) {
        return Ok(());
    }
    let before = String::from_utf8_lossy(&fs::read_limited(&place, LIMIT)?).into_owned();
    let others: String = before.split_inclusive('\n').filter(|line| !line.starts_with(OURS)).collect();
    let gap = if text.is_empty() || others.is_empty() || others.ends_with('\n') { "" } else { "\n" };
    let after = format!("{others}{gap}{text}");
    if after == before { Ok(()) } else { fs::write_whole(&place, after.as_bytes(), 0o644) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_and_go_and_those_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.at("/run")).unwrap();
        let place = layout.at(REBOOT_REQUIRED);
        let notice = Notice {
            subject: Subject::Held,
            text: "kernel 6.2 does not boot by default: why".to_owned(),
            command: "dkms boot".to_owned(),
        };
        // No reboot is due: nobody is asked for one.
        write(&layout, std::slice::from_ref(&notice)).unwrap();
        assert!(!fs::exists(&place));
        let line = "dkms: kernel 6.2 does not boot by default: why (`dkms boot`)\n";
        assert_eq!(fs::read_lossy(&layout.at(MOTD)).unwrap(), line);
        let others = "*** System restart required ***\n";
        fs::write_whole(&place, others.as_bytes(), 0o644).unwrap();
        for _ in 0..2 {
            write(&layout, std::slice::from_ref(&notice)).unwrap();
            assert_eq!(fs::read_lossy(&place).unwrap(), format!("{others}{line}"));
        }
        write(&layout, &[]).unwrap();
        assert_eq!(fs::read_lossy(&place).unwrap(), others);
        assert!(!fs::exists(&layout.at(MOTD)));
    }
}
