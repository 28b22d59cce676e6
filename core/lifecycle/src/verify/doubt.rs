//! What cannot be known of a module file for a kernel, and which file would settle it.

use std::fmt;
use std::path::PathBuf;

use super::fault::list;
use super::proof::Link;

/// Something that is neither proven nor refuted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The file cannot be read.
    Unreadable(String),
    /// The machine of the kernel is not known.
    Machine,
    /// It has no vermagic, and the kernel can be made to load it nevertheless.
    NoKernel,
    /// What the kernel compares of vermagic besides the release is not known.
    Vermagic,
    /// What the kernel exports is not known.
    Exports(Vec<Tried>),
    /// The module does not say which CRCs it expects of these symbols.
    NoSums(Vec<String>),
    /// Whether the kernel lets modules use namespaces that they do not import is not known.
    Namespaces {
        /// The symbols.
        names: Vec<String>,
        /// Their namespaces.
        namespaces: Vec<String>,
    },
}

/// A file that was looked for to learn what a kernel exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The file.
    pub path: PathBuf,
    /// It is there, and this user may not read it.
    pub is_denied: bool,
}

impl Doubt {
    /// The link that it is about; `None`: all that is read from the file.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        match self {
            Self::Unreadable(_) => None,
            Self::Machine => Some(Link::Whole),
            Self::NoKernel | Self::Vermagic => Some(Link::Kernel),
            Self::Exports(_) | Self::NoSums(_) | Self::Namespaces { .. } => Some(Link::Linked),
        }
    }

    /// Whether root could tell.
    #[must_use]
    pub fn is_for_root(&self) -> bool {
        matches!(self, Self::Exports(tried) if tried.iter().any(|tried| tried.is_denied))
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Machine => f.write_str("the machine that the kernel is for is not known"),
            Self::NoKernel => f.write_str("does not say which kernel it is built for (no vermagic)"),
            Self::Vermagic => f.write_str(
                "how the kernel is configured is not known: neither its configuration nor a module of its own is there",
            ),
            Self::Exports(tried) => {
                let files = |is_denied: bool| -> Vec<String> {
                    let of = tried.iter().filter(|tried| tried.is_denied == is_denied);
                    of.map(|tried| format!("`{}`", tried.path.display())).collect()
                };
                let (denied, missing) = (files(true), files(false));
                f.write_str("what the kernel exports is not known: ")?;
                match denied.is_empty() {
                    false => write!(f, "{} can only be read by root", denied.join(", ")),
                    true => write!(f, "one of these files would tell: {}", missing.join(", ")),
                }
            }
            Self::NoSums(names) => {
                f.write_str("does not say which CRCs it expects of the symbols ")?;
                list(f, names)
            }
            Self::Namespaces { names, namespaces } => {
                write!(f, "uses symbols of the namespace {} without importing it: ", namespaces.join(", "))?;
                list(f, names)?;
                f.write_str("; whether the kernel allows that is not known: its configuration is not there")
            }
        }
    }
}
