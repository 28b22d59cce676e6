//! From how things were before a transaction and how they are now to what has happened. Pure.

use std::collections::BTreeSet;

use dkms_base::id::{KernelRelease, ModuleId, Target};
use dkms_core::event::{Arrival, Happening};

use crate::record::{Before, Record, State};
use crate::targets::Thing;

/// How things are now.
pub trait Now {
    /// How a thing is, if it is there.
    fn state(&self, thing: &Thing) -> Option<State>;

    /// A kernel on its architecture; `None` where that is not known.
    fn target(&self, kernel: &KernelRelease) -> Option<Target>;
}

/// What has happened to everything that is remembered or was reported as brought by a transaction.
#[must_use]
pub fn happenings(record: &Record, brought: &BTreeSet<Thing>, now: &dyn Now) -> Vec<Happening> {
    let things: BTreeSet<&Thing> = record.0.keys().chain(brought).collect();
    let were = Were::of(record);
    let mut told = Vec::new();
    for thing in things {
        let before = record.0.get(thing);
        let state = now.state(thing);
        let was = before.and_then(|before| before.state.as_ref());
        let is_brought = brought.contains(thing);
        let has_changed = before.is_some_and(|before| before.taken_out || before.state != state);
        if !is_brought && !has_changed {
            continue;
        }
        match thing {
            Thing::Module(_) => {
                if let Some(id) = was.and_then(State::module)
                    && !is_the_same(was, state.as_ref())
                {
                    told.push(Happening::ModuleLeaving(id));
                }
                if let Some(state) = &state
                    && let Some(id) = state.module()
                {
                    let used_on = before.map(|before| before.used_on.as_slice()).unwrap_or_default();
                    let targets =
                        used_on.iter().filter_map(|kernel| now.target(&KernelRelease::new(kernel).ok()?));
                    told.extend(targets.map(|target| Happening::ModuleWasInUse(id.name.clone(), target)));
                    let arrival = if were.knows(&id, state) { Arrival::Upgrade } else { Arrival::First };
                    told.push(Happening::ModuleArrived(id, arrival));
                }
            }
            Thing::Kernel(kernel) => {
                let Some(target) = now.target(kernel) else { continue };
                if was.is_some() && !is_the_same(was, state.as_ref()) {
                    told.push(Happening::KernelLeaving(target.clone()));
                }
                if state.is_some() {
                    told.push(Happening::KernelArrived(target));
                }
            }
            // Headers alone are no kernel; should it come later it gets its modules then.
            Thing::Headers(kernel)
                if state.is_some() && now.state(&Thing::Kernel(kernel.clone())).is_some() =>
            {
                told.extend(now.target(kernel).map(Happening::HeadersArrived));
            }
            Thing::Headers(_) => {}
        }
    }
    told
}

/// What a hook before a transaction reports of the kernels that come: they are not there yet.
#[must_use]
pub fn prospects(brought: &BTreeSet<Thing>, now: &dyn Now) -> Vec<Happening> {
    let told = |thing: &Thing| match thing {
        Thing::Kernel(kernel) if now.state(thing).is_none() => {
            now.target(kernel).map(Happening::KernelArrived)
        }
        Thing::Headers(kernel) => now.target(kernel).map(Happening::HeadersArrived),
        Thing::Kernel(_) | Thing::Module(_) => None,
    };
    brought.iter().filter_map(told).collect()
}

/// Whether a folder of `/usr/src` can be one of a module with this name.
#[must_use]
pub fn may_be_of(folder: &str, name: &str) -> bool {
    let version = folder.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    version.is_some_and(|version| {
        version.trim_start_matches(['r', 'v']).starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Whether the same package put the same thing there again: what was made of it stays good.
fn is_the_same(was: Option<&State>, is: Option<&State>) -> bool {
    matches!((was, is), (Some(was), Some(is)) if was == is && is.owner.is_some())
}

/// Modules and packages that were there before.
struct Were<'a> {
    modules: BTreeSet<String>,
    packages: BTreeSet<&'a str>,
}

impl<'a> Were<'a> {
    fn of(record: &'a Record) -> Self {
        let states = || record.0.values().filter_map(|Before { state, .. }| state.as_ref());
        Self {
            modules: states().filter_map(|state| Some(state.module.as_ref()?.0.clone())).collect(),
            packages: states().filter_map(|state| Some(state.owner.as_ref()?.name.as_str())).collect(),
        }
    }

    fn knows(&self, id: &ModuleId, state: &State) -> bool {
        self.modules.contains(id.name.as_str())
            || state.owner.as_ref().is_some_and(|owner| self.packages.contains(owner.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owners::Owner;
    use std::collections::BTreeMap;

    struct World(BTreeMap<Thing, State>);

    impl Now for World {
        fn state(&self, thing: &Thing) -> Option<State> {
            self.0.get(thing).cloned()
        }

        fn target(&self, kernel: &KernelRelease) -> Option<Target> {
            Target::parse(kernel.as_str(), "x86_64").ok()
        }
    }

    fn module(folder: &str) -> Thing {
        Thing::Module(folder.to_owned())
    }

    fn kernel(release: &str) -> Thing {
        Thing::Kernel(KernelRelease::new(release).unwrap())
    }

    fn owned(package: &str, version: &str, folder: &str) -> State {
        let owner = Owner { name: package.to_owned(), version: version.to_owned(), built: 1 };
        let module = folder.rsplit_once('-').map(|(name, version)| (name.to_owned(), version.to_owned()));
        State { owner: Some(owner), module }
    }

    fn was(state: Option<State>) -> Before {
        Before { state, taken_out: false, used_on: Vec::new(), comes_with: None }
    }

    fn said(record: Record, brought: &[Thing], now: World) -> Vec<String> {
        let told = happenings(&record, &brought.iter().cloned().collect(), &now);
        let said = |happening: &Happening| match happening {
            Happening::KernelArrived(target) | Happening::KernelReplaced(target) => {
                format!("+{}", target.kernel)
            }
            Happening::HeadersArrived(target) => format!("h{}", target.kernel),
            Happening::KernelLeaving(target) => format!("-{}", target.kernel),
            Happening::ModuleArrived(id, arrival) => format!("+{id} {arrival:?}"),
            Happening::ModuleLeaving(id) => format!("-{id}"),
            Happening::ModuleWasInUse(name, target) => format!("{name} was in use on {}", target.kernel),
        };
        told.iter().map(said).collect()
    }

    #[test]
    fn a_new_version_takes_the_place_of_an_old_one() {
        let (old, new) = (owned("foo-dkms", "1-1", "foo-1"), owned("foo-dkms", "2-1", "foo-2"));
        let record =
            || Record([(module("foo-1"), was(Some(old.clone()))), (module("foo-2"), was(None))].into());
        let now = || World([(module("foo-2"), new.clone())].into());
        assert_eq!(said(record(), &[module("foo-2")], now()), ["-foo/1", "+foo/2 Upgrade"]);
        // Seen by a later transaction, or by the boot service.
        assert_eq!(said(record(), &[], now()), ["-foo/1", "+foo/2 Upgrade"]);
        assert_eq!(said(Record::default(), &[module("foo-2")], now()), ["+foo/2 First"]);
        // It was broken off before anything had changed.
        let nothing = World([(module("foo-1"), old.clone())].into());
        assert!(said(record(), &[], nothing).is_empty());
    }

    #[test]
    fn what_was_reinstalled_is_the_same() {
        let same = owned("foo-dkms", "1-1", "foo-1");
        let other = owned("foo-dkms", "1-2", "foo-1");
        let now = |state: &State| World([(module("foo-1"), state.clone())].into());
        let record = || Record([(module("foo-1"), was(Some(same.clone())))].into());
        let brought = [module("foo-1")];
        assert_eq!(said(record(), &brought, now(&same)), ["+foo/1 Upgrade"]);
        assert_eq!(said(record(), &brought, now(&other)), ["-foo/1", "+foo/1 Upgrade"]);
        let unowned = State { owner: None, ..same.clone() };
        let record = Record([(module("foo-1"), was(Some(unowned.clone())))].into());
        assert_eq!(said(record, &brought, now(&unowned)), ["-foo/1", "+foo/1 Upgrade"]);
    }

    #[test]
    fn what_was_taken_out_and_stayed_comes_back() {
        let state = owned("foo-dkms", "1-1", "foo-1");
        let before = Before {
            state: Some(state.clone()),
            taken_out: true,
            used_on: vec!["6.1.0".to_owned()],
            comes_with: None,
        };
        let record = || Record([(module("foo-1"), before.clone())].into());
        let stayed = World([(module("foo-1"), state)].into());
        assert_eq!(said(record(), &[], stayed), ["foo was in use on 6.1.0", "+foo/1 Upgrade"]);
        assert_eq!(said(record(), &[], World(BTreeMap::new())), ["-foo/1"]);
    }

    #[test]
    fn kernels_come_and_go_and_are_made_anew() {
        let state = |version: &str| State { module: None, ..owned("linux", version, "") };
        let record = Record(
            [
                (kernel("6.1.0"), was(Some(state("1")))),
                (kernel("6.2.0"), was(None)),
                (kernel("6.3.0"), was(Some(state("1")))),
                (kernel("6.4.0"), was(Some(state("1")))),
            ]
            .into(),
        );
        let headers = Thing::Headers(KernelRelease::new("6.2.0").unwrap());
        let now = [("6.2.0", "2"), ("6.3.0", "2"), ("6.4.0", "1")];
        let mut now: BTreeMap<_, _> = now.map(|(release, version)| (kernel(release), state(version))).into();
        now.insert(headers.clone(), state("2"));
        let brought = [kernel("6.2.0"), kernel("6.3.0"), kernel("6.4.0"), headers];
        let told = said(record, &brought, World(now));
        assert_eq!(told, ["-6.1.0", "+6.2.0", "-6.3.0", "+6.3.0", "+6.4.0", "h6.2.0"]);
    }

    #[test]
    fn headers_without_their_kernel_bring_nothing() {
        let release = KernelRelease::new("6.2.0").unwrap();
        let (headers, of) = (Thing::Headers(release.clone()), Thing::Kernel(release));
        let state = State { module: None, ..owned("linux-headers", "2", "") };
        let alone = World([(headers.clone(), state.clone())].into());
        assert!(said(Record::default(), std::slice::from_ref(&headers), alone).is_empty());
        let both = World([(headers.clone(), state.clone()), (of, state)].into());
        assert_eq!(said(Record::default(), &[headers], both), ["h6.2.0"]);
    }

    #[test]
    fn folders_are_matched_with_names_cautiously() {
        for (folder, name, is) in [
            ("foo-1.0", "foo", true),
            ("foo-r12.abc", "foo", true),
            ("foo-bar-1.0", "foo", false),
            ("foo-bar-1.0", "foo-bar", true),
            ("foobar-1", "foo", false),
            ("foo", "foo", false),
        ] {
            assert_eq!(may_be_of(folder, name), is, "{folder} {name}");
        }
    }
}
