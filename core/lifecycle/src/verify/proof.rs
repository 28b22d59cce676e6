//! The seven links between a module and a kernel that loads it, and the verdict on each. Plain data.

use crate::id::{ModuleId, Target};

/// What must hold so that a kernel loads a module, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// Every file that dkms.conf names is in the kernel's folder, and is the one that was built.
    There,
    /// Each is a whole module for the kernel's machine.
    Whole,
    /// Each is for this kernel.
    Kernel,
    /// Each symbol that they need is exported, to them and as they expect it.
    Linked,
    /// The kernel accepts how they are signed.
    Trusted,
    /// modprobe finds them, and all that they depend on.
    Found,
    /// The images that the kernel boots with hold these very files, if they hold or need them.
    Boot,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::There, Self::Whole, Self::Kernel, Self::Linked, Self::Trusted, Self::Found, Self::Boot];

    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Whole => "whole",
            Self::Kernel => "kernel",
            Self::Linked => "linked",
            Self::Trusted => "trusted",
            Self::Found => "found",
            Self::Boot => "boot",
        }
    }
}

/// What is known of a link; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It holds.
    Proven,
    /// It cannot be known.
    Unknown,
    /// It does not hold.
    Refuted,
}

impl Verdict {
    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Unknown => "unknown",
            Self::Refuted => "refuted",
        }
    }

    /// Of several things that must all hold: the worst.
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Proven)
    }
}

/// Why nothing can be known of a module that is not there.
const ABSENT: &str = "no file of the module is there";

/// A link, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkProof {
    /// Which.
    pub link: Link,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Why it does not, or why that is not known; of one that holds, what is worth knowing.
    pub reason: Option<String>,
    /// The command that helps.
    pub remedy: Option<String>,
}

impl LinkProof {
    pub(super) fn proven(link: Link) -> Self {
        Self { link, verdict: Verdict::Proven, reason: None, remedy: None }
    }

    pub(super) fn refuted(link: Link, reason: impl Into<String>) -> Self {
        Self { link, verdict: Verdict::Refuted, reason: Some(reason.into()), remedy: None }
    }

    pub(super) fn unknown(link: Link, reason: impl Into<String>) -> Self {
        Self { link, verdict: Verdict::Unknown, reason: Some(reason.into()), remedy: None }
    }

    /// What can't be known of a module that is not there.
    #[must_use]
    pub fn of_absent(link: Link) -> Self {
        Self::unknown(link, ABSENT)
    }

    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub(super) fn remedy(mut self, command: impl Into<String>) -> Self {
        self.remedy = Some(command.into());
        self
    }

    pub(super) fn maybe(self, command: Option<String>) -> Self {
        match command {
            Some(command) => self.remedy(command),
            None => self,
        }
    }
}

/// A module on a kernel, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The module.
    pub id: ModuleId,
    /// The kernel.
    pub target: Target,
    /// The seven links, in order.
    pub links: Vec<LinkProof>,
}

impl Proof {
    /// The verdict on all of them.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::of_all(self.links.iter().map(|link| link.verdict))
    }

    /// The links that do not hold, then those that are not known.
    pub fn open(&self) -> impl Iterator<Item = &LinkProof> {
        let of = |verdict| self.links.iter().filter(move |link| link.verdict == verdict);
        of(Verdict::Refuted).chain(of(Verdict::Unknown))
    }

    /// Whether a link says no more than that the module is not there, which the first one says with its
    /// reason.
    #[must_use]
    pub fn is_told_by_absence(&self, link: &LinkProof) -> bool {
        let there = self.links.iter().find(|one| one.link == Link::There);
        link.reason.as_deref() == Some(ABSENT) && there.is_some_and(|there| there.verdict != Verdict::Proven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_link_decides() {
        let of = |verdicts: &[Verdict]| Verdict::of_all(verdicts.iter().copied()).word();
        assert_eq!(of(&[]), "proven");
        assert_eq!(of(&[Verdict::Proven, Verdict::Unknown]), "unknown");
        assert_eq!(of(&[Verdict::Refuted, Verdict::Unknown, Verdict::Proven]), "refuted");
    }

    #[test]
    fn what_does_not_hold_comes_first() {
        let links = vec![
            LinkProof::unknown(Link::Linked, "x"),
            LinkProof::proven(Link::Trusted),
            LinkProof::refuted(Link::Found, "y").remedy("depmod"),
        ];
        let (id, target) = (ModuleId::parse("foo", "1").unwrap(), Target::parse("6.1", "x86_64").unwrap());
        let proof = Proof { id, target, links };
        assert_eq!(proof.verdict(), Verdict::Refuted);
        assert_eq!(proof.open().map(|open| open.link).collect::<Vec<_>>(), [Link::Found, Link::Linked]);
    }
}
