//! Real apt in real roots: dkms, a kernel, its headers, and two modules of which one needs the other, in any
//! order, one by one or together: the end is the same.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use dkms_tests::apt::{Machine, Package};
use dkms_tests::capture::{Listing, capture};
use dkms_tests::fixture::Module;
use dkms_tests::share;
use dkms_tests::tier::is_full;

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

/// The machine in which these steps have been taken, each a run of apt.
fn after(steps: &[Vec<Item>]) -> (Machine, String) {
    let machine = Machine::bare(DKMS).unwrap();
    // B's package doesn't depend on A's: only their modules do.
    let a = Package::of(Module::new("a", "1.0")).pack(&machine.root).unwrap();
    let b = Package::of(Module::new("b", "1.0").with("BUILD_DEPENDS[0]=\"a\"")).pack(&machine.root).unwrap();
    machine
        .root
        .write("/etc/dkms/framework.conf.d/unsigned.conf", "try_sign_modules=\"false\"\n", 0o644)
        .unwrap();
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
    let states = machine.states().unwrap();
    assert_eq!(states, ["a/1.0, NEW: installed", "b/1.0, NEW: installed"], "{steps:?}\n{said}");
    assert_eq!(machine.must("find /var/lib/dkms/.state/pending -type f").unwrap(), "", "{steps:?}\n{said}");
    assert_eq!(machine.must("modinfo -k $NEW -F name a b").unwrap(), "a\nb\n", "{steps:?}\n{said}");
    let mut listing = capture(&machine.root).unwrap();
    listing.retain(|path, _| !path.contains("/var/lib/dkms/mok."));
    listing
}

#[test]
fn all_orders_end_in_the_same_state() {
    let together = end(&[ALL.to_vec()]);
    let orders = orders();
    assert_eq!(orders.len(), 40);
    // The later a module's dependency, headers and kernel come, the more has to be made up for.
    let sampled = [
        vec![Dkms, B, A, Image, Headers],
        vec![Image, Dkms, B, Headers, A],
        vec![Headers, Dkms, A, B, Image],
    ];
    assert!(sampled.iter().all(|order| orders.contains(order)));
    let tried = if is_full() { orders } else { sampled.to_vec() };
    let try_it = |_: &(), order: Vec<Item>| {
        let steps: Vec<Vec<Item>> = order.iter().map(|item| vec![*item]).collect();
        let one_by_one = end(&steps);
        let differs: Vec<_> =
            together.iter().filter(|(path, node)| one_by_one.get(*path) != Some(*node)).collect();
        let more: Vec<_> = one_by_one.keys().filter(|path| !together.contains_key(*path)).collect();
        assert!(differs.is_empty() && more.is_empty(), "{order:?}: {differs:#?} {more:#?}");
        Ok(())
    };
    let ended = share::all(tried.clone(), || Ok(()), try_it).unwrap();
    assert_eq!(ended.len(), tried.len());
}
