//! Real apt in real roots: dkms, a kernel, its headers, and two modules of which one needs the other, in any
//! order, one by one or together, configured in any order, killed anywhere: the end is the same.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::LazyLock;

use dkms_tests::apt::{BOOKWORM, Machine, Package};
use dkms_tests::cache::Cache;
use dkms_tests::capture::{Listing, capture};
use dkms_tests::debs;
use dkms_tests::passed::Passed;
use dkms_tests::setup::made;
use dkms_tests::share;
use dkms_tests::tier::{is_full, taken, turn};

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Dkms,
    Headers,
    Image,
    A,
    B,
}

use Item::{A, B, Dkms, Headers, Image};

const ALL: [Item; 5] = [Dkms, Headers, Image, A, B];

/// Every order in which dkms comes before the packages that depend on it.
fn orders() -> Vec<Vec<Item>> {
    fn extend(order: &[Item], all: &mut Vec<Vec<Item>>) {
        if order.len() == ALL.len() {
            all.push(order.to_vec());
        }
        for item in ALL.into_iter().filter(|item| !order.contains(item)) {
            if order.contains(&Dkms) || ![A, B].contains(&item) {
                extend(&[order, &[item]].concat(), all);
            }
        }
    }
    let mut all = Vec::new();
    extend(&[], &mut all);
    all
}

/// A machine without dkms, and the files of A's and B's packages.
fn bare() -> (Machine, [String; 2]) {
    let machine = Machine::bare(DKMS).unwrap();
    // B's package doesn't depend on A's: only their modules do.
    let a = Package::of(machine.ready("a", "1.0").unwrap()).pack(&machine.root).unwrap();
    let b = machine.ready("b", "1.0").unwrap().with("BUILD_DEPENDS[0]=\"a\"");
    let b = Package::of(b).pack(&machine.root).unwrap();
    let conf = "/etc/dkms/framework.conf.d/unsigned.conf";
    machine.root.write(conf, "try_sign_modules=\"false\"\n", 0o644).unwrap();
    (machine, [a, b])
}

/// The machine in which these steps have been taken, each a run of apt.
fn after(steps: &[Vec<Item>]) -> (Machine, String) {
    let (machine, [a, b]) = bare();
    let mut said = String::new();
    for step in steps {
        let name = |item: &Item| match item {
            Dkms => "/debs/dkms.deb",
            Headers => "linux-headers-$NEW",
            Image => "linux-image-$NEW",
            A => &a,
            B => &b,
        };
        let names: Vec<&str> = step.iter().map(name).collect();
        said.push_str(&machine.install(&names.join(" ")).unwrap());
    }
    (machine, said)
}

fn end(steps: &[Vec<Item>]) -> Listing {
    let (machine, said) = after(steps);
    settled(&machine, &said, &format!("{steps:?}"))
}

/// What is on disk, where all is as it should be.
fn settled(machine: &Machine, said: &str, how: &str) -> Listing {
    let states = machine.states().unwrap();
    assert_eq!(states, ["a/1.0, NEW: installed", "b/1.0, NEW: installed"], "{how}\n{said}");
    let waiting = "find /var/lib/dkms/.state/pending /var/lib/dkms/.state/initramfs -type f 2>/dev/null || :";
    assert_eq!(machine.must(waiting).unwrap(), "", "{how}\n{said}");
    assert_eq!(machine.must("modinfo -k $NEW -F name a b").unwrap(), "a\nb\n", "{how}\n{said}");
    let mut listing = capture(&machine.root).unwrap();
    listing.retain(|path, _| !path.contains("/var/lib/dkms/mok."));
    listing
}

fn is_the_same(expected: &Listing, found: &Listing, how: &str) {
    let differs: Vec<_> = expected.iter().filter(|(path, node)| found.get(*path) != Some(*node)).collect();
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(differs.is_empty() && more.is_empty(), "{how}: {differs:#?} {more:#?}");
}

/// What passes depends on the system and on our package.
fn passed(test: &'static str) -> Passed {
    let cache = Cache::open().unwrap();
    let system = made(&cache, &BOOKWORM).unwrap();
    let ours = debs::ours(&cache, DKMS).unwrap();
    Passed::of(&cache, (test, include_str!("apt_orders.rs")), &[&ours.dkms], &[&system]).unwrap()
}

#[test]
fn all_orders_end_in_the_same_state() {
    let together = LazyLock::new(|| end(&[ALL.to_vec()]));
    let passed = passed("apt_orders");
    let left = passed.left(tried(), |order| format!("{order:?}"));
    let try_it = |_: &(), order: Vec<Item>| {
        let steps: Vec<Vec<Item>> = order.iter().map(|item| vec![*item]).collect();
        let how = format!("{order:?}");
        is_the_same(&together, &end(&steps), &how);
        passed.record(&how, &())
    };
    let ended = share::all(left.clone(), || Ok(()), try_it).unwrap();
    assert_eq!(ended.len(), left.len());
}

/// All orders in the full tier.
fn tried() -> Vec<Vec<Item>> {
    let orders = orders();
    assert_eq!(orders.len(), 40);
    // The later a module's dependency, headers and kernel come, the more has to be made up for.
    let sampled = [
        vec![Dkms, B, A, Image, Headers],
        vec![Image, Dkms, B, Headers, A],
        vec![Headers, Dkms, A, B, Image],
    ];
    assert!(sampled.iter().all(|order| orders.contains(order)));
    if is_full() { orders } else { sampled.to_vec() }
}

/// Unpacks everything, as apt does before dpkg configures the first package.
const UNPACK: &str = "cd /var/cache/apt/archives; dpkg --unpack /debs/dkms.deb /debs/a-dkms_1.0.deb /debs/b-dkms_1.0.deb \
    linux-image-${NEW}_*.deb linux-headers-${NEW}_*.deb linux-headers-${NEW%%-cloud*}-common_*.deb";

/// One run of dpkg that configures what was unpacked, in this order.
fn configure(order: &[Item]) -> String {
    let name = |item: &Item| match item {
        Dkms => "dkms",
        Headers => "linux-headers-${NEW%%-cloud*}-common linux-headers-$NEW",
        Image => "linux-image-$NEW",
        A => "a-dkms",
        B => "b-dkms",
    };
    format!("dpkg --configure {}", order.iter().map(name).collect::<Vec<_>>().join(" "))
}

#[test]
fn all_orders_of_configuration_end_in_the_same_state() {
    let together = LazyLock::new(|| end(&[ALL.to_vec()]));
    let tried = if is_full() { tried() } else { taken(tried(), turn(), 3) };
    let passed = passed("apt_orders-configure");
    let left = passed.left(tried, |order| format!("{order:?}"));
    let try_it = |_: &(), order: Vec<Item>| {
        let (machine, _) = bare();
        machine.note_makes().unwrap();
        let said = machine.must(&format!("{UNPACK}; {}", configure(&order))).unwrap();
        let how = format!("{order:?}");
        let place = |item| order.iter().position(|other| *other == item);
        let images = machine.noted("initramfs").unwrap();
        // Before dkms is configured it has no hook that the kernel's package would run.
        if place(Dkms) < place(Image) {
            assert!(images.last().is_some_and(|last| last.ends_with(": a b")), "{how}: {images:?}\n{said}");
        }
        let mut found = settled(&machine, &said, &how);
        found.retain(|path, _| !path.ends_with("/notes.conf"));
        is_the_same(&together, &found, &how);
        assert_eq!(machine.must("dpkg --audit").unwrap(), "", "{how}");
        assert_eq!(machine.makes().unwrap().0, 2, "{how}: nothing is built twice: {said}");
        let depmods = machine.depmods().unwrap();
        assert!(depmods.len() <= 2, "{how}: {depmods:?}\n{said}");
        passed.record(&how, &())
    };
    let ended = share::all(left.clone(), || Ok(()), try_it).unwrap();
    assert_eq!(ended.len(), left.len());
}

/// Every process of dpkg's run is killed, at points that are spread over it; then the admin types what dpkg
/// advises, and what apt was asked for.
#[test]
fn killed_anywhere_dpkg_and_apt_finish_it() {
    let points = 16;
    let together = LazyLock::new(|| end(&[ALL.to_vec()]));
    let install = "apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 install /debs/dkms.deb /debs/a-dkms_1.0.deb \
                   /debs/b-dkms_1.0.deb linux-image-$NEW linux-headers-$NEW";
    let took = {
        let (machine, _) = bare();
        let line =
            format!("s=$(date +%s%N); {install} >/dev/null; echo $(( ($(date +%s%N) - s) / 1000000 ))");
        machine.must(&line).unwrap().lines().last().unwrap().parse::<u64>().unwrap()
    };
    let all: Vec<u64> = (1..=points).collect();
    let tried = if is_full() { all } else { taken(all, turn(), 16) };
    let passed = passed("apt_orders-killed");
    // How long it takes varies: a point is a part of that.
    let part = |point: &u64| format!("{point} of {points} parts");
    let try_it = |_: &(), point: u64| {
        let milliseconds = took * point / (points + 1);
        let (machine, _) = bare();
        let kill = format!("sleep {}.{:03}; kill -KILL -$run", milliseconds / 1000, milliseconds % 1000);
        let line = format!(
            "set -m; {install} >/tmp/said 2>&1 & run=$!; {kill} 2>/dev/null || :; wait $run || :; cat /tmp/said"
        );
        let killed = machine.must(&line).unwrap();
        let how = format!("killed after {milliseconds} ms of {took}");
        let said = machine.must(&format!("dpkg --configure -a && {install}")).unwrap();
        is_the_same(&together, &settled(&machine, &format!("{killed}\n{said}"), &how), &how);
        assert_eq!(machine.must("dpkg --audit").unwrap(), "", "{how}");
        passed.record(&part(&point), &())
    };
    share::all(passed.left(tried, part), || Ok(()), try_it).unwrap();
}

/// unattended-upgrades in minimal steps: a kernel and new versions of modules, each in a
/// run of dpkg of its own.
#[test]
fn in_minimal_steps_nothing_is_built_twice() {
    // Each step's packages, and how many builds there are in all: versions that are in use when a kernel
    // comes are built for it, and a new version for both kernels.
    let image = "linux-image-$NEW";
    let headers = "linux-headers-$NEW";
    let (a, b) = ("/debs/a-dkms_2.0.deb", "/debs/b-dkms_2.0.deb");
    let all = vec![([a, b, headers, image], 4), ([image, headers, a, b], 6), ([a, image, headers, b], 5)];
    let tried = if is_full() { all } else { taken(all, turn(), 3) };
    for (steps, builds) in tried {
        let (machine, [one, two]) = bare();
        machine.note_makes().unwrap();
        machine.install(&format!("/debs/dkms.deb linux-image-$OLD linux-headers-$OLD {one} {two}")).unwrap();
        for name in ["a", "b"] {
            Package::of(machine.ready(name, "2.0").unwrap()).pack(&machine.root).unwrap();
        }
        for noted in ["makes", "initramfs", "depmods"] {
            machine.noted(noted).unwrap();
        }
        let said = steps.map(|step| machine.install(step).unwrap()).concat();
        let states = machine.states().unwrap();
        let all =
            ["a/2.0, OLD", "a/2.0, NEW", "b/2.0, OLD", "b/2.0, NEW"].map(|one| format!("{one}: installed"));
        assert_eq!(states, all, "{steps:?}: {said}");
        assert_eq!(machine.makes().unwrap().0, builds, "{steps:?}: {said}");
        let images = machine.noted("initramfs").unwrap();
        assert!(
            images.iter().rfind(|line| line.starts_with("NEW")).unwrap().ends_with(": a b"),
            "{images:?}"
        );
    }
}

/// Nobody of ours is left to run depmod after the removal.
// guide 8
#[test]
fn a_module_leaves_with_dkms() {
    for remove in
        ["apt-get -y purge dkms", "apt-get -y remove a-dkms b-dkms dkms", "dpkg --purge b-dkms a-dkms dkms"]
    {
        let (machine, [a, b]) = bare();
        machine.install(&format!("linux-image-$NEW linux-headers-$NEW /debs/dkms.deb {a} {b}")).unwrap();
        // The kernel has a module of that name.
        machine
            .must(
                "cd /lib/modules/$NEW; mkdir -p kernel/own; cp updates/dkms/a.ko kernel/own/; depmod $NEW
                 grep -q updates/dkms/a.ko modules.dep",
            )
            .unwrap();
        let said = machine.must(remove).unwrap();
        let left = machine.must("cd /lib/modules/$NEW; modinfo -n -k $NEW a; ! grep updates modules.dep; find updates 2>/dev/null || :");
        assert_eq!(
            left.unwrap().replace(&machine.new, "NEW"),
            "/lib/modules/NEW/kernel/own/a.ko\n",
            "{remove}: {said}"
        );
    }
}
