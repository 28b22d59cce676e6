//! A machine that changes from the original to ours and back, with modules added, built, installed and
//! originals archived: each reads what the other left, goes on from there, and at the end everything is as it
//! was in the beginning.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::capture::{Listing, capture};
use dkms_tests::kernels::Kernels;
use dkms_tests::ready;
use dkms_tests::root::{Output, Root};
use dkms_tests::say;
use dkms_tests::tool::Tool;
use dkms_tests::verdict::is_remembered;

/// A root with both tools and four sources.
struct Machine {
    root: Root,
    ours: Tool,
    theirs: Tool,
    /// As it was before any `dkms` ran.
    before: Listing,
}

/// The modules that the kernel came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KernelsOwn {
    /// None that concerns us.
    Nothing,
    /// An older `foo`, which is in the way of ours and has to come back.
    Foo,
}

impl Machine {
    fn new(oracle: Oracle, kernels_own: KernelsOwn) -> Self {
        let cache = Cache::open().unwrap();
        let kernels = Kernels::find().unwrap();
        let theirs = Tool::original(&cache, oracle).unwrap();
        let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
        let root = Root::new(&cache, &kernels, &[&theirs, &ours]).unwrap();
        for (name, version) in [("foo", "1.0"), ("foo", "2.0"), ("bar", "1.0"), ("baz", "1.0")] {
            ready::module(&root, name, version).unwrap().write_to(&root).unwrap();
        }
        if kernels_own == KernelsOwn::Foo {
            ready::module(&root, "foo", "0.5").unwrap();
            root.must(
                "cd /lib/modules/$K; mkdir -p kernel/drivers/misc; strip -g -o kernel/drivers/misc/foo.ko /srv/ready/$K/foo-0.5.ko
                 depmod $K",
            )
            .unwrap();
        }
        let before = capture(&root).unwrap();
        Self { root, ours, theirs, before }
    }

    fn ours(&mut self) -> &mut Self {
        self.root.switch_to(&self.ours);
        self
    }

    fn theirs(&mut self) -> &mut Self {
        self.root.switch_to(&self.theirs);
        self
    }

    /// Runs a command that has to succeed.
    fn must(&mut self, words: &str) -> Output {
        let output = self.root.dkms(words).unwrap();
        assert_eq!(output.code, 0, "`dkms {words}` failed:\n{}{}", output.stdout, output.stderr);
        output
    }

    fn listing(&self) -> Listing {
        capture(&self.root).unwrap()
    }

    /// What `status` says, which has to be the same from both, and to change nothing.
    fn status(&mut self) -> Vec<String> {
        let before = self.listing();
        // bookworm's uses an older word for the same.
        let theirs =
            self.theirs().must("status").stdout.replace("original_module exists", "Original modules exist");
        let ours = self.ours().must("status").stdout;
        assert_eq!(ours, theirs, "ours and the original see different states");
        assert_eq!(self.listing(), before, "`status` changed something");
        let kernels = self.root.kernels().clone();
        ours.lines().map(|line| line.replace(&kernels.second, "$K2").replace(&kernels.first, "$K")).collect()
    }

    /// What `dkms` installed is gone, what the kernel had is back; only depmod's indexes may be new.
    fn is_as_before(&mut self) {
        let mut now = self.listing();
        let mut before = self.before.clone();
        for listing in [&mut now, &mut before] {
            listing.retain(|path, _| {
                !path.rsplit('/').next().unwrap_or_default().starts_with("modules.") && !is_remembered(path)
            });
        }
        // The last line of a differing listing is what one wants to read first.
        let paths = |listing: &Listing| listing.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(&now), paths(&before));
        assert_eq!(now, before);
    }
}

/// Where the original is the last to uninstall what another archived: bookworm's drops such a module (also
/// one that trixie's archived: it knows no `.origin`), so there the kernel has none.
fn kernels_own(oracle: Oracle) -> KernelsOwn {
    match oracle {
        Oracle::Trixie => KernelsOwn::Foo,
        Oracle::Bookworm => KernelsOwn::Nothing,
    }
}

fn from_the_original_to_ours_and_back(oracle: Oracle) {
    let mut machine = Machine::new(oracle, kernels_own(oracle));
    machine.theirs().must("install foo/1.0 -k $K");
    machine.must("build bar/1.0 -k $K2");
    machine.must("add baz/1.0");
    let left_by_them = machine.listing();
    let archived = left_by_them.keys().any(|path| path.ends_with("/foo.ko.origin"));
    let one =
        format!("foo/1.0, $K, x86_64: installed{}", if archived { " (Original modules exist)" } else { "" });
    assert_eq!(machine.status(), ["bar/1.0, $K2, x86_64: built", "baz/1.0: added", one.as_str()]);

    // What is so stays so.
    machine.ours().must("install foo/1.0 -k $K");
    machine.must("build bar/1.0 -k $K2");
    assert_eq!(machine.listing(), left_by_them);

    // Ours goes on: up with one, down and up again with another, another version over the first.
    machine.must("install bar/1.0 -k $K2");
    machine.must("uninstall foo/1.0 -k $K");
    machine.must("install foo/1.0 -k $K");
    machine.must("install foo/2.0 -k $K");
    machine.must("build baz/1.0 -k $K");
    let states = machine.status();
    assert!(states.contains(&"bar/1.0, $K2, x86_64: installed".to_owned()), "{states:?}");
    assert!(states.iter().any(|line| line.starts_with("foo/2.0, $K, x86_64: installed")), "{states:?}");

    // And hands it back.
    machine.theirs().must("install baz/1.0 -k $K");
    machine.must("uninstall foo/2.0 -k $K");
    machine.must("remove foo/1.0 --all");
    machine.must("remove foo/2.0 --all");
    machine.must("remove bar/1.0 --all");
    assert_eq!(machine.status(), ["baz/1.0, $K, x86_64: installed"]);
    machine.theirs().must("remove baz/1.0 --all");
    machine.is_as_before();
}

fn from_ours_to_the_original_and_back(oracle: Oracle) {
    let mut machine = Machine::new(oracle, KernelsOwn::Foo);
    machine.ours().must("install foo/1.0 -k $K");
    machine.must("build bar/1.0 -k $K2");
    machine.must("add baz/1.0");
    assert_eq!(
        machine.status(),
        [
            "bar/1.0, $K2, x86_64: built",
            "baz/1.0: added",
            "foo/1.0, $K, x86_64: installed (Original modules exist)"
        ]
    );

    machine.theirs().must("install foo/1.0 -k $K");
    machine.must("install bar/1.0 -k $K2");
    machine.must("install foo/2.0 -k $K");
    machine.must("build baz/1.0 -k $K");
    machine.status();

    machine.ours().must("install baz/1.0 -k $K");
    machine.must("uninstall foo/2.0 -k $K");
    machine.must("remove foo/1.0 --all");
    machine.must("remove foo/2.0 --all");
    machine.must("remove bar/1.0 --all");
    assert_eq!(machine.status(), ["baz/1.0, $K, x86_64: installed"]);
    machine.ours().must("remove baz/1.0 --all");
    machine.is_as_before();
}

/// Built by the original, taken out wholly by ours; and the other way.
fn each_undoes_the_other(oracle: Oracle) {
    for ours_first in [true, false] {
        let kernels_own = if ours_first { kernels_own(oracle) } else { KernelsOwn::Foo };
        let mut machine = Machine::new(oracle, kernels_own);
        let first = if ours_first { machine.ours() } else { machine.theirs() };
        first.must("install foo/1.0 -k $K");
        first.must("install bar/1.0 -k $K -k $K2");
        let second = if ours_first { machine.theirs() } else { machine.ours() };
        second.must("remove foo/1.0 --all");
        second.must("remove bar/1.0 --all");
        say(&format!("{}: ours first: {ours_first}", oracle.suite()));
        machine.is_as_before();
    }
}

#[test]
fn bookworm_to_ours_and_back() {
    from_the_original_to_ours_and_back(Oracle::Bookworm);
}

#[test]
fn trixie_to_ours_and_back() {
    from_the_original_to_ours_and_back(Oracle::Trixie);
}

#[test]
fn ours_to_bookworm_and_back() {
    from_ours_to_the_original_and_back(Oracle::Bookworm);
}

#[test]
fn ours_to_trixie_and_back() {
    from_ours_to_the_original_and_back(Oracle::Trixie);
}

#[test]
fn each_undoes_what_the_other_did() {
    Oracle::ALL.into_iter().for_each(each_undoes_the_other);
}
