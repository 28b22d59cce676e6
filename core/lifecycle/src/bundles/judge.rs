//! Whether a bundle is taken: first who signed its manifest, then what the manifest states. Pure.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dkms_archive::{SignedManifest, Statement};

use crate::host::clock;
use crate::id::{ModuleId, Target};
use crate::sign::TrustedKey;

/// Why a bundle is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It can't be unpacked, is cut, or a file in it has another digest than its manifest states.
    #[error("{0}")]
    Broken(String),
    /// There is no signature.
    #[error("it is not signed (`dkms sign`)")]
    Unsigned,
    /// No key is trusted.
    #[error("no key is trusted: `{}` has none", .0.display())]
    NoKeys(PathBuf),
    /// The key is not trusted.
    #[error("{}, which is not trusted; trusted keys: {}", claim(claimed.as_ref()), trusted.join(", "))]
    Untrusted {
        /// The id of the key, as the manifest has it.
        claimed: Option<String>,
        /// The ids of those that are.
        trusted: Vec<String>,
    },
    /// It says that a trusted key signed it, which that did not.
    #[error(
        "BAD SIGNATURE: it states that the trusted key {key} signed it, and the signature is not by that key or not over this manifest"
    )]
    Forged {
        /// The id of that key.
        key: String,
    },
    /// It holds another module, or another version.
    #[error("it holds {0}")]
    OtherModule(String),
    /// It has nothing for this kernel.
    #[error("it was built for {}, not for kernel {} ({})", list(builds), target.kernel, target.arch)]
    OtherKernel {
        /// What it has something for.
        builds: Vec<String>,
        /// What was asked for.
        target: Target,
    },
    /// It does not say which source it was built from.
    #[error("it does not state which source it was built from, and the source of {0} is registered here")]
    NoSource(ModuleId),
    /// It was built from another source.
    #[error(
        "it was built from another source (SHA-256 {theirs:.16}…) than the one that is registered here ({ours:.16}…)"
    )]
    OtherSource {
        /// The digest of what it was built from.
        theirs: String,
        /// The digest of what is registered.
        ours: String,
    },
    /// dkms.conf names other modules than it has.
    #[error("dkms.conf names the modules {}, and it has {}", list(wanted), list(found))]
    OtherFiles {
        /// What dkms.conf names.
        wanted: Vec<String>,
        /// What it has.
        found: Vec<String>,
    },
    /// One that was signed later was taken before: an old one may have been put in its place.
    #[error("it was signed {}, and one signed {} was taken before", date(*when), date(*taken))]
    Older {
        /// When it was signed.
        when: u64,
        /// When the one was signed that was taken.
        taken: u64,
    },
    /// The kernel will not load it.
    #[error("{0}")]
    Unfit(String),
}

fn claim(claimed: Option<&String>) -> String {
    claimed.map_or_else(
        || "the key that signed it is not named".to_owned(),
        |key| format!("it is signed by the key {key}"),
    )
}

fn date(seconds: u64) -> String {
    if seconds == 0 { "at an unknown time".to_owned() } else { format!("on {}", clock::rfc2822(seconds)) }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The trusted key that signed a manifest, which states this.
pub(super) fn signer<'a>(
    manifest: &SignedManifest,
    statement: &Statement,
    keys: &'a [TrustedKey],
    folder: &std::path::Path,
) -> Result<&'a TrustedKey, Reason> {
    if keys.is_empty() {
        return Err(Reason::NoKeys(folder.to_owned()));
    }
    let claimed = statement.signed.as_ref().map(|signed| signed.key.as_str());
    let signed = keys.iter().find(|key| key.accepts_text(&manifest.bytes, &manifest.signature));
    signed.ok_or_else(|| match claimed {
        Some(key) if keys.iter().any(|known| known.id == key) => Reason::Forged { key: key.to_owned() },
        claimed => Reason::Untrusted {
            claimed: claimed.map(|key| key.chars().filter(char::is_ascii_hexdigit).take(64).collect()),
            trusted: keys.iter().map(|key| key.id.clone()).collect(),
        },
    })
}

/// The request, and what is known here of it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) id: &'a ModuleId,
    pub(super) target: &'a Target,
    /// The digest of the registered source, if there is one.
    pub(super) source: Option<String>,
    /// The modules that dkms.conf names for this kernel.
    pub(super) modules: BTreeSet<String>,
    /// When the bundle was signed that was taken last.
    pub(super) taken: Option<u64>,
}

/// What a bundle holds, besides what its manifest states.
#[derive(Debug)]
pub(super) struct Held {
    /// The digest of the source in it.
    pub(super) source: Option<String>,
    /// The modules for the kernel that is asked for.
    pub(super) modules: BTreeSet<String>,
}

/// Whether a bundle is the one that is asked for, by what a manifest states that a trusted key signed.
pub(super) fn judge_statement(wanted: &Wanted<'_>, statement: &Statement) -> Result<(), Reason> {
    let Wanted { id, target, .. } = wanted;
    let (name, version) = &statement.module;
    if (name.as_str(), version.as_str()) != (id.name.as_str(), id.version.as_str()) {
        return Err(Reason::OtherModule(format!("{name}/{version}")));
    }
    let asked = (target.kernel.to_string(), target.arch.to_string());
    if !statement.builds.contains(&asked) {
        let builds = statement.builds.iter().map(|(kernel, arch)| format!("kernel {kernel} ({arch})"));
        return Err(Reason::OtherKernel { builds: builds.collect(), target: (*target).clone() });
    }
    let when = statement.signed.as_ref().map_or(0, |signed| signed.when);
    match wanted.taken.filter(|taken| *taken > when) {
        Some(taken) => Err(Reason::Older { when, taken }),
        None => Ok(()),
    }
}

/// Whether what such a bundle holds is what was requested.
pub(super) fn judge_contents(wanted: &Wanted<'_>, statement: &Statement, held: &Held) -> Result<(), Reason> {
    if let Some(ours) = &wanted.source {
        let theirs = held.source.as_ref().or(statement.source.as_ref());
        let theirs = theirs.ok_or_else(|| Reason::NoSource(wanted.id.clone()))?;
        if theirs != ours {
            return Err(Reason::OtherSource { theirs: theirs.clone(), ours: ours.clone() });
        }
    }
    if held.modules != wanted.modules {
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect();
        return Err(Reason::OtherFiles { wanted: names(&wanted.modules), found: names(&held.modules) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dkms_archive::SignedBy;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn judged(change: impl FnOnce(&mut Statement, &mut Held, &mut Wanted<'_>)) -> String {
        let (id, target) = (ModuleId::parse("foo", "1.0").unwrap(), Target::parse("6.1", "x86_64").unwrap());
        let mut wanted = Wanted {
            id: &id,
            target: &target,
            source: Some("aa".to_owned()),
            modules: names(&["foo"]),
            taken: Some(100),
        };
        let mut statement = Statement {
            module: ("foo".to_owned(), "1.0".to_owned()),
            builds: vec![("6.1".to_owned(), "x86_64".to_owned())],
            source: None,
            signed: Some(SignedBy { key: "k".to_owned(), when: 100 }),
        };
        let mut held = Held { source: Some("aa".to_owned()), modules: names(&["foo"]) };
        change(&mut statement, &mut held, &mut wanted);
        let judged =
            judge_statement(&wanted, &statement).and_then(|()| judge_contents(&wanted, &statement, &held));
        judged.map_or_else(|why| why.to_string(), |()| "taken".to_owned())
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        assert_eq!(judged(|_, _, _| ()), "taken");
        assert_eq!(judged(|stated, _, _| stated.module.1 = "1.1".to_owned()), "it holds foo/1.1");
        assert_eq!(
            judged(|stated, _, _| stated.builds[0].1 = "aarch64".to_owned()),
            "it was built for kernel 6.1 (aarch64), not for kernel 6.1 (x86_64)"
        );
        assert_eq!(
            judged(|_, held, _| held.modules = names(&["foo", "more"])),
            "dkms.conf names the modules foo, and it has foo, more"
        );
    }

    #[test]
    fn the_source_must_be_the_registered_one_if_there_is_one() {
        assert_eq!(
            judged(|_, held, _| held.source = Some("bb".to_owned())),
            "it was built from another source (SHA-256 bb…) than the one that is registered here (aa…)"
        );
        let stated = |text: &'static str| {
            judged(move |stated, held, _| (stated.source, held.source) = (Some(text.to_owned()), None))
        };
        assert_eq!(stated("aa"), "taken");
        assert!(stated("cc").starts_with("it was built from another source"));
        assert!(judged(|_, held, _| held.source = None).starts_with("it does not state which source"));
        assert_eq!(judged(|_, held, wanted| (held.source, wanted.source) = (None, None)), "taken");
        // What the manifest says does not count if the source is there.
        let lies = judged(|stated, held, _| {
            (stated.source, held.source) = (Some("aa".to_owned()), Some("bb".to_owned()));
        });
        assert!(lies.starts_with("it was built from another source"), "{lies}");
    }

    #[test]
    fn an_older_one_is_not_taken_again() {
        let signed = |when| judged(move |stated, _, _| stated.signed.as_mut().unwrap().when = when);
        assert!(signed(99).contains("taken before"), "{}", signed(99));
        assert_eq!(signed(101), "taken");
        assert!(judged(|stated, _, _| stated.signed = None).starts_with("it was signed at an unknown time"));
        assert_eq!(judged(|stated, _, wanted| (stated.signed, wanted.taken) = (None, None)), "taken");
    }
}
