//! Commands that we propose, as they have to be typed: a line for another tree is answered with lines for
//! that tree.

use std::path::PathBuf;

use dkms_base::host::process::quote;

use crate::args::Args;

/// Programs that work on the system they are started in.
const OF_A_SYSTEM: [&str; 10] = [
    "apt",
    "apt-get",
    "depmod",
    "dnf",
    "dracut",
    "mkinitcpio",
    "pacman",
    "update-initramfs",
    "update-secureboot-policy",
    "zypper",
];

/// The options of a line that say which tree it works on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposed {
    /// They as a shell reads them; empty where the tree is this system's own.
    options: String,
    /// `--root`, likewise.
    root: Option<String>,
}

impl Proposed {
    /// As the line has them.
    #[must_use]
    pub fn of(args: &Args) -> Self {
        let Args { root, dkmstree, sourcetree, installtree, .. } = args;
        let named = [
            ("--root", root),
            ("--dkmstree", dkmstree),
            ("--sourcetree", sourcetree),
            ("--installtree", installtree),
        ];
        let option = |(name, value): (&str, &Option<PathBuf>)| {
            Some(format!(" {name} {}", quote(&value.as_ref()?.to_string_lossy())))
        };
        Self {
            options: named.into_iter().filter_map(option).collect(),
            root: root.as_ref().map(|root| quote(&root.to_string_lossy())),
        }
    }

    /// A command line for a shell. What is done to files of a root is done in it: on this system the same
    /// path would be another file.
    #[must_use]
    pub fn command(&self, line: &str) -> String {
        let is_ours = |command: &str| command.starts_with("dkms ");
        match &self.root {
            Some(_) if line.split(" && ").all(is_ours) || line == "reboot" => self.with_options(line),
            Some(root) if line.contains(['&', '|', ';', '$', '"', '\'', '*']) => {
                format!("chroot {root} sh -c {}", quote(line))
            }
            Some(root) => format!("chroot {root} {line}"),
            None => self.with_options(line),
        }
    }

    fn with_options(&self, line: &str) -> String {
        let command = |command: &str| match command.strip_prefix("dkms ") {
            Some(rest) => format!("dkms{} {rest}", self.options),
            None => command.to_owned(),
        };
        line.split(" && ").map(command).collect::<Vec<_>>().join(" && ")
    }

    /// A sentence with command lines between backquotes.
    #[must_use]
    pub fn sentence(&self, text: &str) -> String {
        if self.options.is_empty() {
            return text.to_owned();
        }
        let parts = text.split('`').enumerate();
        let part = |(at, part): (usize, &str)| match at % 2 {
            1 if is_command(part) => self.command(part),
            _ => part.to_owned(),
        };
        parts.map(part).collect::<Vec<_>>().join("`")
    }
}

/// Whether what stands between backquotes is a command line of ours or of a program that works on the system
/// it is started in; paths, names and values stand there too.
fn is_command(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(program, _)| program == "dkms" || OF_A_SYSTEM.contains(&program))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(root: Option<&str>, tree: Option<&str>) -> Proposed {
        Proposed::of(&Args { root: root.map(Into::into), dkmstree: tree.map(Into::into), ..Args::default() })
    }

    #[test]
    fn a_line_for_this_system_is_left_alone() {
        let here = proposed(None, None);
        assert_eq!(here.command("dkms autoinstall"), "dkms autoinstall");
        assert_eq!(here.sentence("run `apt install make`"), "run `apt install make`");
    }

    #[test]
    fn a_line_for_another_tree_names_it() {
        let there = proposed(Some("/mnt"), Some("/mnt/my tree's"));
        assert_eq!(
            there.command("dkms build a/1"),
            r"dkms --root /mnt --dkmstree '/mnt/my tree'\''s' build a/1"
        );
        let there = proposed(Some("/mnt"), None);
        assert_eq!(
            there.sentence("`dkms status` lists them; then `apt install make` and `make`, or `dkms` alone"),
            "`dkms --root /mnt status` lists them; then `chroot /mnt apt install make` and `make`, or `dkms` alone"
        );
    }

    #[test]
    fn what_is_done_to_files_of_a_root_is_done_in_it() {
        let there = proposed(Some("/mnt"), None);
        for (line, typed) in [
            ("rm -r /var/lib/dkms/a", "chroot /mnt rm -r /var/lib/dkms/a"),
            (
                "mkdir -p /x && dkms remove a/1 --all",
                "chroot /mnt sh -c 'mkdir -p /x && dkms remove a/1 --all'",
            ),
            (
                "dkms build a/1 && dkms install a/1",
                "dkms --root /mnt build a/1 && dkms --root /mnt install a/1",
            ),
            ("reboot", "reboot"),
        ] {
            assert_eq!(there.command(line), typed);
        }
        let there = proposed(None, Some("/srv/tree"));
        assert_eq!(there.command("rm -r /x && dkms status"), "rm -r /x && dkms --dkmstree /srv/tree status");
    }

    #[test]
    fn programs_of_a_system_stay_where_only_the_tree_is_another() {
        let there = proposed(None, Some("/srv/tree"));
        assert_eq!(
            there.sentence("`depmod 6.1`, `dkms status`"),
            "`depmod 6.1`, `dkms --dkmstree /srv/tree status`"
        );
    }
}
