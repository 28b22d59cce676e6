//! rpm's transactions, with real rpm and dnf in roots of their own: each becomes one batch.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod ahead;
mod field;
mod foreseen;
mod leaving;
mod nasty;
mod own_rpm;
mod transactions;
mod zypper;

use dkms_tests::rpm::{Package, Suite, World};

/// Our program, beside which the others are.
const PROGRAM: &str = env!("CARGO_BIN_EXE_dkms-under-test");

/// A root whose repository has these modules' packages.
fn world(suite: Suite, packages: &[Package<'_>]) -> World {
    let world = World::new(suite, PROGRAM).unwrap();
    packages.iter().for_each(|package| world.add(package).unwrap());
    world.index().unwrap();
    world
}

/// dnf succeeds; what it said.
fn dnf(world: &World, words: &str) -> String {
    let output = world.dnf(words).unwrap();
    assert_eq!(output.code, 0, "dnf {words}:\n{}", output.stdout);
    world.short(&output.stdout)
}

/// A line succeeds; what it said on both streams.
fn run(world: &World, line: &str) -> String {
    let output = world.shell(line).unwrap();
    assert_eq!(output.code, 0, "{line}:\n{}", output.stdout);
    world.short(&output.stdout)
}

/// What `dkms status` says, with `K1` and `K2`.
fn status(world: &World) -> String {
    world.status().unwrap().join("\n").replace(", x86_64", "")
}

/// One more line for each thing that was built: `build MODULE for KERNEL` is printed for it.
fn batches(said: &str) -> usize {
    said.matches("dkms: building ").count()
}

/// The last lines are our summary; dnf 5 draws its last line once more, and has a last word that
/// nobody can take from it.
fn ends_with_summary(said: &str) -> bool {
    let is_dnfs = |line: &str| {
        line.is_empty()
            || line.starts_with(['[', '>'])
            || line.starts_with("Warning: skipped OpenPGP")
            || line == "Complete!"
    };
    let last = said.lines().map(str::trim).rfind(|line| !is_dnfs(line));
    last.is_some_and(|line| line.starts_with("dkms: "))
}
