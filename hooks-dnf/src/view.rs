//! What packages have brought that concerns us, as it was seen last, and what has changed since. Pure.
//!
//! File lists of a transaction's packages are not available from dnf, and rpm forgets what it has removed. So
//! we remember what was there, and compare: it no longer matters which call reports what, and what was missed
//! is found the next time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Everything that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Kernels by release.
    pub kernels: BTreeMap<String, Seen>,
    /// Headers by the release of their kernel.
    pub headers: BTreeMap<String, Seen>,
    /// Modules by the folder of their source.
    pub modules: BTreeMap<String, Seen>,
    /// Folders whose modules were dealt with in the middle of a transaction: a script of rpm's
    /// may have undone that.
    #[serde(default)]
    pub meanwhile: BTreeSet<String>,
    /// Modules by name, with the kernels and architectures that they were in use on.
    #[serde(default)]
    pub in_use: BTreeSet<(String, String, String)>,
}

impl View {
    /// The last transaction of rpm's that brought something; they are numbered by time.
    #[must_use]
    pub fn newest_transaction(&self) -> Option<&str> {
        let seen = self.kernels.values().chain(self.headers.values()).chain(self.modules.values());
        let owners = seen.filter_map(|seen| seen.owner.as_ref());
        let transactions =
            owners.flat_map(|Owner(packages)| packages.iter().map(|package| package.transaction.as_str()));
        transactions.max_by_key(|number| number.parse::<u64>().unwrap_or(0))
    }
}

/// One thing that was seen: a file that stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which file: its number, and when it was last changed in any way (seconds, nanoseconds). Another one
    /// isn't looked at again.
    pub stamp: (u64, i64, i64),
    /// The packages that own it, and the transactions that brought them; `None`: no package does.
    pub owner: Option<Owner>,
    /// For a source: name and version of its module, where its dkms.conf says.
    #[serde(default)]
    pub module: Option<(String, String)>,
}

/// The packages that own a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(pub Vec<Package>);

/// An installed package, as rpm's database has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name, version and architecture, and when it was built.
    pub build: String,
    /// The transaction that brought it: `INSTALLTID`, the second in which it began.
    pub transaction: String,
    /// Its record in the database, `DBINSTANCE`: two transactions may begin in the same second.
    pub record: String,
}

impl Owner {
    /// Whether one of them came with this transaction.
    #[must_use]
    pub fn came_with(&self, transaction: &str) -> bool {
        self.0.iter().any(|package| package.transaction == transaction)
    }

    /// Whether the packages are the same, whichever transaction brought them.
    fn is_same(&self, other: &Self) -> bool {
        self.0.iter().map(|package| &package.build).eq(other.0.iter().map(|package| &package.build))
    }
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A kernel has come.
    KernelCame(String),
    /// Another build of the same release has taken its place.
    KernelReplaced(String),
    /// A kernel has gone.
    KernelWent(String),
    /// Headers have come, or were replaced.
    HeadersCame(String),
    /// A module has come, of which no version was there before.
    ModuleCame(String, String),
    /// Another version of a module has come, or the same was installed again.
    ModuleCameAgain(String, String),
    /// Its source was put in place again.
    ModuleReplaced(String, String),
    /// A module has gone.
    ModuleWent(String, String),
    /// A module that has come, or was replaced, was in use on this kernel and architecture.
    WasInUse(String, String, String),
}

/// What was known before.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    /// This.
    Known(&'a View),
    /// Nothing; what came with this transaction of rpm's has come, the rest was there.
    Nothing(&'a str),
}

/// What has changed; `is_registered` says whether a module is in the tree.
#[must_use]
pub fn changes(
    before: Before<'_>,
    now: &View,
    is_registered: &dyn Fn(&str, &str) -> bool,
) -> BTreeSet<Change> {
    let nothing = View::default();
    let (old, first) = match before {
        Before::Known(view) => (view, None),
        Before::Nothing(transaction) => (&nothing, Some(transaction)),
    };
    let came = |seen: &Seen, known: Option<&Seen>| -> Option<Way> {
        let owner = seen.owner.as_ref()?;
        match (first, known.and_then(|known| known.owner.as_ref())) {
            (Some(transaction), _) => owner.came_with(transaction).then_some(Way::New),
            (None, None) => Some(Way::New),
            (None, Some(known)) if known == owner => None,
            // Reinstalled: all that was built of it is as good as before. Where scripts took
            // it out, it has come.
            (None, Some(known)) if owner.is_same(known) => Some(Way::New),
            (None, Some(_)) => Some(Way::Anew),
        }
    };
    let mut changes = BTreeSet::new();
    for (release, seen) in &now.kernels {
        match came(seen, old.kernels.get(release)) {
            Some(Way::New) => changes.insert(Change::KernelCame(release.clone())),
            Some(Way::Anew) => changes.insert(Change::KernelReplaced(release.clone())),
            None => continue,
        };
    }
    for (release, seen) in &now.headers {
        if came(seen, old.headers.get(release)).is_some() {
            changes.insert(Change::HeadersCame(release.clone()));
        }
    }
    let gone = |release: &&String| !now.kernels.contains_key(*release);
    changes.extend(owned(&old.kernels).filter(gone).cloned().map(Change::KernelWent));
    let of_modules = changed_modules(old, now, &came, is_registered);
    // Its old package's scripts may have taken it out of all of them.
    for (name, kernel, arch) in &old.in_use {
        let comes = |change: &Change| match change {
            Change::ModuleCame(of, _) | Change::ModuleCameAgain(of, _) | Change::ModuleReplaced(of, _) => {
                of == name
            }
            _ => false,
        };
        if of_modules.iter().any(comes) {
            changes.insert(Change::WasInUse(name.clone(), kernel.clone(), arch.clone()));
        }
    }
    changes.extend(of_modules);
    changes
}

enum Way {
    New,
    Anew,
}

fn owned(things: &BTreeMap<String, Seen>) -> impl Iterator<Item = &String> {
    things.iter().filter(|(_, seen)| seen.owner.is_some()).map(|(name, _)| name)
}

fn changed_modules(
    old: &View,
    now: &View,
    came: &dyn Fn(&Seen, Option<&Seen>) -> Option<Way>,
    is_registered: &dyn Fn(&str, &str) -> bool,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let was_there = |name: &String| {
        old.modules.values().filter_map(|seen| seen.module.as_ref()).any(|(known, _)| known == name)
    };
    for (folder, seen) in &now.modules {
        let Some((name, version)) = &seen.module else { continue };
        let known = old.modules.get(folder);
        let is_another = known.is_some_and(|known| known.module != seen.module);
        match came(seen, known) {
            Some(Way::Anew) if !is_another => {
                changes.push(Change::ModuleReplaced(name.clone(), version.clone()));
            }
            Some(_) if was_there(name) => {
                changes.push(Change::ModuleCameAgain(name.clone(), version.clone()));
            }
            Some(_) => changes.push(Change::ModuleCame(name.clone(), version.clone())),
            None if old.meanwhile.contains(folder) && !is_registered(name, version) => {
                changes.push(Change::ModuleCame(name.clone(), version.clone()));
            }
            None => {}
        }
    }
    let there: BTreeSet<_> = now.modules.values().filter_map(|seen| seen.module.as_ref()).collect();
    for seen in old.modules.values().filter(|seen| seen.owner.is_some()) {
        if let Some((name, version)) = &seen.module
            && !there.contains(&(name.clone(), version.clone()))
            && is_registered(name, version)
        {
            changes.push(Change::ModuleWent(name.clone(), version.clone()));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(package: &str, transaction: &str) -> Seen {
        Seen { stamp: (1, 1, 1), owner: Some(owner(package, transaction, "1")), module: None }
    }

    fn owner(build: &str, transaction: &str, record: &str) -> Owner {
        let [build, transaction, record] = [build, transaction, record].map(str::to_owned);
        Owner(vec![Package { build, transaction, record }])
    }

    fn module(name: &str, version: &str, transaction: &str) -> (String, Seen) {
        let module = Some((name.to_owned(), version.to_owned()));
        (format!("{name}-{version}"), Seen { module, ..seen(&format!("{name}-{version}"), transaction) })
    }

    fn view(kernels: &[(&str, &str)], modules: &[(&str, &str, &str)]) -> View {
        View {
            kernels: kernels.iter().map(|(k, t)| ((*k).to_owned(), seen("kernel-core", t))).collect(),
            headers: kernels.iter().map(|(k, t)| ((*k).to_owned(), seen("kernel-devel", t))).collect(),
            modules: modules.iter().map(|(m, v, t)| module(m, v, t)).collect(),
            ..View::default()
        }
    }

    fn between(before: Before<'_>, now: &View) -> Vec<String> {
        changes(before, now, &|_, _| true).into_iter().map(|change| format!("{change:?}")).collect()
    }

    #[test]
    fn nothing_has_changed() {
        let now = view(&[("6.1", "1")], &[("foo", "1", "1")]);
        assert!(between(Before::Known(&now), &now).is_empty());
    }

    #[test]
    fn what_comes_and_goes() {
        let before = view(&[("6.1", "1"), ("6.2", "1")], &[("foo", "1", "1"), ("bar", "1", "1")]);
        let now = view(&[("6.2", "2"), ("6.3", "2")], &[("foo", "2", "2"), ("bar", "1", "2")]);
        assert_eq!(
            between(Before::Known(&before), &now),
            [
                r#"KernelCame("6.2")"#,
                r#"KernelCame("6.3")"#,
                r#"KernelWent("6.1")"#,
                r#"HeadersCame("6.2")"#,
                r#"HeadersCame("6.3")"#,
                r#"ModuleCameAgain("bar", "1")"#,
                r#"ModuleCameAgain("foo", "2")"#,
                r#"ModuleWent("foo", "1")"#,
            ]
        );
    }

    #[test]
    fn another_build_of_the_same_is_another() {
        let before = view(&[("6.1", "1")], &[("foo", "1", "1")]);
        let mut now = before.clone();
        let rebuilt = Some(owner("rebuilt", "2", "2"));
        now.kernels
            .values_mut()
            .chain(now.modules.values_mut())
            .for_each(|seen| seen.owner = rebuilt.clone());
        assert_eq!(
            between(Before::Known(&before), &now),
            [r#"KernelReplaced("6.1")"#, r#"ModuleReplaced("foo", "1")"#]
        );
    }

    #[test]
    fn installed_again_within_the_same_second() {
        let before = view(&[], &[("foo", "1", "1")]);
        let mut now = before.clone();
        now.modules.values_mut().for_each(|seen| seen.owner = Some(owner("foo-1", "1", "2")));
        assert_eq!(between(Before::Known(&before), &now), [r#"ModuleCameAgain("foo", "1")"#]);
    }

    #[test]
    fn at_first_only_what_came_last_has_come() {
        let now = view(&[("6.1", "1"), ("6.2", "2")], &[("foo", "1", "2")]);
        assert_eq!(
            between(Before::Nothing("2"), &now),
            [r#"KernelCame("6.2")"#, r#"HeadersCame("6.2")"#, r#"ModuleCame("foo", "1")"#]
        );
        assert_eq!(now.newest_transaction(), Some("2"));
        assert!(between(Before::Nothing(""), &now).is_empty());
    }

    #[test]
    fn what_no_package_owns_is_none_of_our_business() {
        let mut now = view(&[("6.1", "1")], &[("foo", "1", "1")]);
        now.kernels.values_mut().chain(now.headers.values_mut()).for_each(|seen| seen.owner = None);
        now.modules.values_mut().for_each(|seen| seen.owner = None);
        assert!(between(Before::Known(&View::default()), &now).is_empty());
        assert!(between(Before::Known(&now), &View::default()).is_empty());
    }

    #[test]
    fn a_script_that_undid_what_was_done_is_noticed() {
        let mut before = view(&[], &[("foo", "1", "1")]);
        let now = before.clone();
        before.meanwhile.insert("foo-1".to_owned());
        let gone = changes(Before::Known(&before), &now, &|_, _| false);
        assert_eq!(gone, [Change::ModuleCame("foo".to_owned(), "1".to_owned())].into());
        assert!(between(Before::Known(&before), &now).is_empty());
    }

    #[test]
    fn where_it_was_in_use_is_told_with_what_comes() {
        let mut before = view(&[], &[("foo", "1", "1"), ("bar", "1", "1")]);
        let of = |name: &str| (name.to_owned(), "6.1".to_owned(), "x86_64".to_owned());
        before.in_use = [of("foo"), of("bar")].into();
        let now = view(&[], &[("foo", "2", "2"), ("bar", "1", "1")]);
        let all = changes(Before::Known(&before), &now, &|_, version| version == "2");
        let came = Change::ModuleCameAgain("foo".to_owned(), "2".to_owned());
        let was = Change::WasInUse("foo".to_owned(), "6.1".to_owned(), "x86_64".to_owned());
        assert_eq!(all, [came, was].into(), "its old version was taken out by its package's script");
    }

    #[test]
    fn a_folder_without_a_version_in_its_name() {
        let with = |version: &str, transaction: &str| {
            let (_, seen) = module("foo", version, transaction);
            View { modules: [("foo".to_owned(), seen)].into(), ..View::default() }
        };
        assert_eq!(
            between(Before::Known(&with("1", "1")), &with("2", "2")),
            [r#"ModuleCameAgain("foo", "2")"#, r#"ModuleWent("foo", "1")"#]
        );
    }
}
