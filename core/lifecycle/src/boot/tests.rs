//! The guard over made-up boot partitions: whatever happens in which order, the rules hold, and a release
//! leaves what was there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::journal::{self, Stage};
use super::{Guard, Kernels, systemd_boot};
use crate::conf::settings::BootGuard;
use crate::critical::{Standing, Verdict};
use crate::host::Environment;
use crate::host::fs;
use crate::id::{KernelRelease, ModuleId, Target};
use crate::layout::Layout;
use crate::report::Silent;

/// What happens to a system.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A transaction ends.
    Batch,
    /// A kernel's modules are proven, refuted, or not known.
    Judged(u8, Verdict),
    /// kernel-install writes an entry, with or without a counter, and calls our plugin.
    Installed(u8, bool),
    /// kernel-install removes a kernel's entries, and calls our plugin.
    Removed(u8),
    /// The admin holds or releases a kernel.
    HeldByHand(u8),
    ReleasedByHand(u8),
    /// A held entry is booted: the boot loader counts.
    Booted(u8),
    /// A command was killed while it held or released a kernel.
    Killed(u8, bool),
}

struct World {
    _dir: tempfile::TempDir,
    layout: Layout,
    environment: Environment,
    verdicts: BTreeMap<u8, Verdict>,
}

fn release(number: u8) -> KernelRelease {
    KernelRelease::new(format!("6.{number}.0")).unwrap()
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        fs::create_dir_all(&layout.at("/boot/loader/entries")).unwrap();
        fs::write_whole(&layout.at("/boot/loader/loader.conf"), b"timeout 3\n", 0o644).unwrap();
        let environment = Environment::of_this_process();
        Self { _dir: dir, layout, environment, verdicts: BTreeMap::new() }
    }

    fn guard(&self) -> Guard<'_> {
        Guard {
            layout: &self.layout,
            environment: &self.environment,
            mode: BootGuard::Hold,
            lock_timeout: Duration::from_secs(1),
            reporter: &Silent,
        }
    }

    fn with_kernels<T>(&self, act: impl FnOnce(&Kernels<'_>) -> T) -> T {
        let target = |number: u8| Target::parse(release(number).as_str(), "x86_64").unwrap();
        let installed: Vec<Target> = self.verdicts.keys().map(|number| target(*number)).collect();
        let standing = |(number, verdict): (&u8, &Verdict)| Standing {
            id: ModuleId::parse("foo", "1").unwrap(),
            target: target(*number),
            critical: "root file system".to_owned(),
            verdict: *verdict,
            link: None,
            reason: String::new(),
            remedy: None,
        };
        let standings: Vec<Standing> = self.verdicts.iter().map(standing).collect();
        act(&Kernels { installed: &installed, standings: &standings, has_critical: true })
    }

    fn entries(&self, number: u8) -> Vec<String> {
        let names = fs::list(&self.layout.at("/boot/loader/entries")).unwrap().into_iter();
        let names = names.filter_map(|entry| entry.name.into_string().ok());
        let start = format!("token-{}", release(number));
        let mut names: Vec<String> = names
            .filter(|name| name.strip_prefix(&start).is_some_and(|rest| rest.starts_with(['.', '+'])))
            .filter(|name| name.ends_with(".conf"))
            .collect();
        names.sort();
        names
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.layout.at("/boot/loader/entries").join(name)
    }

    fn is_last(&self, number: u8) -> bool {
        self.entries(number).iter().all(|name| systemd_boot::is_last(&self.at(name)))
    }

    /// What systemd-boot boots: the newest that has tries, otherwise the newest.
    fn default(&self) -> Option<u8> {
        let offered = || (0..4).filter(|number| !self.entries(*number).is_empty());
        offered().filter(|number| !self.is_last(*number)).max().or_else(|| offered().max())
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Batch => drop(self.with_kernels(|kernels| self.guard().reconcile(kernels))),
            Event::Judged(number, verdict) => {
                if let Some(known) = self.verdicts.get_mut(&number) {
                    *known = verdict;
                }
            }
            Event::Installed(number, counts) => {
                self.verdicts.entry(number).or_insert(Verdict::Refuted);
                // kernel-install takes those away that have another counter.
                let name = format!("token-{}{}.conf", release(number), if counts { "+3" } else { "" });
                let others = self.entries(number).into_iter().filter(|other| !other.contains("+0"));
                others.for_each(|other| fs::remove_file(&self.at(&other)).unwrap());
                let text = format!("version {}\nlinux /l\n", release(number));
                fs::write_whole(&self.at(&name), text.as_bytes(), 0o644).unwrap();
                self.plugin();
            }
            Event::Removed(number) => {
                self.entries(number).iter().for_each(|name| fs::remove_file(&self.at(name)).unwrap());
                self.verdicts.remove(&number);
                self.plugin();
            }
            Event::HeldByHand(number) => self.with_kernels(|kernels| {
                let guard = self.guard();
                let report = guard.look(kernels);
                if !report.state.held.contains_key(&release(number)) {
                    drop(guard.hold(&report, &release(number), "by hand", true));
                }
            }),
            Event::ReleasedByHand(number) => self.with_kernels(|kernels| {
                let report = self.guard().look(kernels);
                drop(self.guard().release(&release(number), Some(&report)));
            }),
            Event::Booted(number) => {
                for name in self.entries(number) {
                    if let Some(stem) = name.strip_suffix("+0.conf") {
                        fs::rename(&self.at(&name), &self.at(&format!("{stem}+0-1.conf"))).unwrap();
                    }
                }
            }
            Event::Killed(number, is_release) => {
                let held =
                    journal::all(&self.layout).into_iter().find(|(kernel, _)| *kernel == release(number));
                if let Some((kernel, mut hold)) = held {
                    hold.stage = if is_release { Stage::Releasing } else { Stage::Holding };
                    journal::note(&self.layout, &kernel, &hold).unwrap();
                    systemd_boot::release(&hold.renames()).unwrap();
                }
            }
        }
    }

    fn plugin(&self) {
        self.with_kernels(|kernels| self.guard().restore(kernels)).unwrap();
    }
}

fn event() -> impl Strategy<Value = Event> {
    let kernel = || 0u8..4;
    let verdict = prop_oneof![Just(Verdict::Proven), Just(Verdict::Refuted), Just(Verdict::Unknown)];
    prop_oneof![
        3 => Just(Event::Batch),
        3 => (kernel(), verdict).prop_map(|(number, verdict)| Event::Judged(number, verdict)),
        4 => (kernel(), any::<bool>()).prop_map(|(number, counts)| Event::Installed(number, counts)),
        1 => kernel().prop_map(Event::Removed),
        1 => kernel().prop_map(Event::HeldByHand),
        1 => kernel().prop_map(Event::ReleasedByHand),
        1 => kernel().prop_map(Event::Booted),
        1 => (kernel(), any::<bool>()).prop_map(|(number, is_release)| Event::Killed(number, is_release)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_a_fit_kernel_boots_and_a_release_leaves_what_was_there(
        events in proptest::collection::vec(event(), 1..14)
    ) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
            // No kernel has lost its last entry.
            for number in world.verdicts.keys() {
                prop_assert!(!world.entries(*number).is_empty(), "{event:?}: {number} has no entry");
            }
        }
        world.happens(Event::Batch);
        let is = |number: &u8, verdict: Verdict| world.verdicts.get(number) == Some(&verdict);
        let held: BTreeSet<String> = journal::all(&world.layout).iter().map(|(kernel, _)| kernel.to_string()).collect();
        let is_held = |number: &u8| held.contains(release(*number).as_str());
        let has_fit = world.verdicts.keys().any(|number| is(number, Verdict::Proven) && !is_held(number));
        if let Some(default) = world.default() {
            prop_assert!(!has_fit || !is(&default, Verdict::Refuted), "{default} boots: {:?}", world.verdicts);
        }
        for number in world.verdicts.keys() {
            prop_assert!(!is_held(number) || has_fit, "{number} is held without a proven other");
            prop_assert!(!is_held(number) || !is(number, Verdict::Proven), "{number} is proven, and held");
            // One entry each, and none that is last without a journal.
            prop_assert!(world.entries(*number).len() == 1, "{:?}", world.entries(*number));
            prop_assert!(is_held(number) == world.is_last(*number), "{:?} {held:?}", world.entries(*number));
        }
        let guard = world.guard();
        for (kernel, _) in guard.held() {
            guard.release(&kernel, None).unwrap();
        }
        for number in world.verdicts.keys() {
            let names = world.entries(*number);
            prop_assert!(names.len() == 1 && !world.is_last(*number), "{names:?}");
        }
        prop_assert!(journal::all(&world.layout).is_empty());
    }
}

#[test]
fn what_cannot_be_read_may_be_held() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::under(dir.path());
    let folder = layout.state_dir().join("boot");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("6.1.json", "{"), ("6 2.json", "{}"), ("6.3.json.tmp", "{"), ("last-good", "6.1\n")]
    {
        fs::write_whole(&folder.join(name), text.as_bytes(), 0o644).unwrap();
    }
    let (holds, unreadable) = journal::read(&layout);
    let names: Vec<_> = unreadable.iter().map(|(path, _)| path.file_name().unwrap()).collect();
    assert_eq!((names, holds.len()), (vec!["6 2.json".as_ref(), "6.1.json".as_ref()], 0));
    let environment = Environment::default();
    let guard = Guard {
        layout: &layout,
        environment: &environment,
        mode: BootGuard::Hold,
        lock_timeout: std::time::Duration::ZERO,
        reporter: &Silent,
    };
    let report = guard.look(&Kernels { installed: &[], standings: &[], has_critical: true });
    assert!(report.menu.unclear.unwrap().contains("it is not known what is held"));
    assert_eq!(report.unreadable.len(), 2);
}
