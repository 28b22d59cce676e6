//! What an alpm hook receives on standard input: paths, one a line, without a leading slash. Pure.
//!
//! libalpm's patterns match across slashes, so a hook receives more than it asked for; what is none of
//! ours is passed over.

use std::collections::BTreeSet;
use std::fmt;

use dkms_base::id::KernelRelease;
use dkms_kernel::Brought;

/// One thing that a transaction brings or takes away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// `usr/src/FOLDER/dkms.conf`: a module's source.
    Module(String),
    /// A kernel: its folder `usr/lib/modules/K` has `vmlinuz`, `modules.order` (Arch Linux ARM has no image
    /// there) or `kernel/`.
    Kernel(KernelRelease),
    /// `usr/lib/modules/K/build/include/`: its headers.
    Headers(KernelRelease),
}

/// What only the package of a kernel has in its folder, as file lists name it.
pub const KERNEL_PARTS: [&str; 3] = ["vmlinuz", "modules.order", "kernel/"];

impl Thing {
    /// The paths that a package which has it lists, one of them at least.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        match self {
            Self::Kernel(kernel) => {
                KERNEL_PARTS.map(|part| format!("usr/lib/modules/{kernel}/{part}")).into()
            }
            Self::Module(_) | Self::Headers(_) => vec![self.to_string()],
        }
    }
}

impl fmt::Display for Thing {
    /// As pacman's file lists have it; a kernel is noted by its image, whether it has one or not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(folder) => write!(f, "usr/src/{folder}/dkms.conf"),
            Self::Kernel(kernel) => write!(f, "usr/lib/modules/{kernel}/vmlinuz"),
            Self::Headers(kernel) => write!(f, "usr/lib/modules/{kernel}/build/include/"),
        }
    }
}

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A thing of ours.
    Thing(Thing),
    /// A module that a package brings prebuilt for a kernel.
    Prebuilt(KernelRelease, String),
    /// This program.
    Ourselves,
    /// Where a thing of ours would be, under a name that none can have.
    Odd,
    /// Something else.
    Other,
}

impl Line {
    /// Reads a line.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        let parts: Vec<&[u8]> = line.strip_suffix(b"/").unwrap_or(line).split(|byte| *byte == b'/').collect();
        let thing = match parts.as_slice() {
            [b"usr", b"src", folder, b"dkms.conf"] => folder_name(folder).map(Thing::Module),
            [b"usr", b"lib", b"modules", name, b"vmlinuz" | b"modules.order" | b"kernel"] => {
                kernel(name).map(Thing::Kernel)
            }
            [b"usr", b"lib", b"modules", name, b"build", b"include"] => kernel(name).map(Thing::Headers),
            [b"usr", b"lib", b"dkms", b"hooks-pacman"] => return Self::Ourselves,
            [b"usr", b"lib", b"modules", _, b"extramodules" | b"extra" | b"updates", .., _] => {
                return prebuilt(line).unwrap_or(Self::Other);
            }
            _ => return Self::Other,
        };
        thing.map_or(Self::Odd, Self::Thing)
    }
}

fn prebuilt(line: &[u8]) -> Option<Line> {
    let brought = Brought::of([std::str::from_utf8(line).ok()?]);
    let (release, module) = brought.modules.into_iter().next()?;
    Some(Line::Prebuilt(KernelRelease::new(release).ok()?, module))
}

fn folder_name(bytes: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(bytes).ok()?;
    let is_plain = !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control);
    is_plain.then(|| name.to_owned())
}

fn kernel(bytes: &[u8]) -> Option<KernelRelease> {
    let name = std::str::from_utf8(bytes).ok().filter(|name| KernelRelease::looks_like_kernel(name))?;
    KernelRelease::new(name).ok()
}

/// All that was received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Things, each once.
    pub things: BTreeSet<Thing>,
    /// Lines with names that can't be, as they can be shown.
    pub odd: BTreeSet<String>,
    /// Modules that come prebuilt.
    pub prebuilt: BTreeSet<(KernelRelease, String)>,
    /// This program itself is among them.
    pub ourselves: bool,
    /// How many lines there were.
    pub lines: usize,
}

impl Targets {
    /// Reads what was received.
    #[must_use]
    pub fn parse(input: &[u8]) -> Self {
        let mut targets = Self::default();
        for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            targets.lines += 1;
            match Line::parse(line) {
                Line::Thing(thing) => {
                    targets.things.insert(thing);
                }
                Line::Odd => {
                    targets.odd.insert(String::from_utf8_lossy(line).escape_debug().to_string());
                }
                Line::Prebuilt(kernel, module) => {
                    targets.prebuilt.insert((kernel, module));
                }
                Line::Ourselves => targets.ourselves = true,
                Line::Other => {}
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_paths_count() {
        let input = b"usr/src/foo-1.0/dkms.conf\nusr/src/foo-1.0/sub/dkms.conf\nusr/lib/modules/6.1.0-1/vmlinuz\n\
            usr/lib/modules/6.1.0-1/build/include/\nusr/lib/modules/6.1.0-1/build/include/linux/\n\nusr/src/a b/dkms.conf\n\
            usr/lib/modules/6.2.0-1/modules.order\nusr/lib/modules/6.2.0-1/kernel/\nusr/lib/modules/6.3.0-1/kernel/fs/\n\
            usr/lib/dkms/hooks-pacman\nusr/lib/modules/extramodules/vmlinuz\nusr/src/../dkms.conf\nusr/src/\xff-1/dkms.conf\nusr/src/foo-1.0/dkms.conf";
        let targets = Targets::parse(input);
        let paths: Vec<String> = targets.things.iter().map(ToString::to_string).collect();
        assert_eq!(
            paths,
            [
                "usr/src/a b/dkms.conf",
                "usr/src/foo-1.0/dkms.conf",
                "usr/lib/modules/6.1.0-1/vmlinuz",
                "usr/lib/modules/6.2.0-1/vmlinuz",
                "usr/lib/modules/6.1.0-1/build/include/",
            ]
        );
        assert_eq!(targets.odd.len(), 3, "{:?}", targets.odd);
        assert_eq!((targets.lines, targets.ourselves), (14, true));
    }

    #[test]
    fn modules_come_ready_built_in_folders_beside_the_kernels_own() {
        let input = b"usr/lib/modules/6.1.0-1/extramodules/nvidia-drm.ko.zst\nusr/lib/modules/6.1.0-1/extra/zfs/zfs.ko\n\
            usr/lib/modules/6.1.0-1/extramodules/\nusr/lib/modules/6.1.0-1/extramodules/version\n\
            usr/lib/modules/6.1.0-1/kernel/fs/ext4.ko\nusr/lib/modules/x/extra/a.ko\nusr/lib/modules/6.1.0-1/extra/\xff.ko";
        let targets = Targets::parse(input);
        let found: Vec<_> =
            targets.prebuilt.iter().map(|(kernel, name)| format!("{kernel} {name}")).collect();
        assert_eq!(found, ["6.1.0-1 nvidia_drm", "6.1.0-1 zfs"]);
        assert!(targets.things.is_empty() && targets.odd.is_empty());
    }

    proptest! {
        #[test]
        fn anything_can_be_read(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let targets = Targets::parse(&input);
            let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(targets.lines, lines.len());
            // Random bytes are no path of ours; between them one is found.
            prop_assert_eq!((targets.things.len(), targets.odd.len()), (0, 0));
            let around = [&input, &b"\nusr/src/foo-1.0/dkms.conf\n"[..], &input].concat();
            prop_assert_eq!(Targets::parse(&around).things.len(), 1);
        }

        #[test]
        fn a_thing_is_its_path(name in "[a-z0-9][a-z0-9._-]{0,12}") {
            let thing = Thing::Module(name);
            prop_assert_eq!(Line::parse(thing.to_string().as_bytes()), Line::Thing(thing));
        }
    }
}
