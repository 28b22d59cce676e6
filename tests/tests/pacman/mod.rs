//! pacman's transactions, with a real pacman and packages made by makepkg: each becomes one batch.
//!
//! - [`whole`]: install, upgrade, remove, reinstall, downgrade
//! - [`trouble`]: modules that fail, are not for a kernel, would be missing; a full disk, a kill
//! - [`foreseen`]: what the next upgrade brings
//! - [`field`]: packages that are made otherwise than Arch makes them
//! - [`input`]: what the helper receives; what it costs
//! - [`libalpm`]: the helper with each libalpm, and without any library at all
//! - [`ours`]: our own package

mod field;
mod foreseen;
mod input;
mod libalpm;
mod ours;
mod trouble;
mod whole;

use dkms_tests::pacman::{Pacman, World};
use dkms_tests::root::{Output, User};
use dkms_tests::tool::Tool;

fn dkms() -> Tool {
    Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))
}

fn helper() -> Tool {
    Tool { name: "pacman", ..Tool::ours(env!("CARGO_BIN_EXE_hooks-pacman-under-test")) }
}

fn world(pacman: Pacman) -> World {
    World::new(pacman, &dkms(), &helper()).expect("tests run as root, and setup has what they need")
}

/// Runs pacman, which has to succeed; what it said.
fn pacman(world: &World, words: &str) -> String {
    let Output { code, stdout, .. } = world.pacman(words).expect("it runs");
    assert_eq!(code, 0, "pacman {words}: {stdout}");
    stdout
}

fn must(world: &World, line: &str) -> String {
    world.root.must(line).expect("the command succeeds")
}

/// The helper with these words, and that on standard input: its exit code and what it said.
fn helper_with(world: &World, words: &str, input: &str) -> (i32, String) {
    world.root.write("/srv/input", input, 0o644).expect("the root can be written to");
    let line = format!("/usr/lib/dkms/hooks-pacman {words} </srv/input 2>&1");
    let output = world.root.shell(&line, User::Root, "/").expect("it runs");
    (output.code, output.stdout)
}

/// What `dkms status` says, a line each, sorted.
fn status(world: &World) -> Vec<String> {
    let mut lines: Vec<String> = world.status().expect("it succeeds").lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The lines of `dkms status` where these modules are installed on these kernels, and nothing else is.
fn installed(modules: &[&str], kernels: &[&str]) -> Vec<String> {
    let on = |module: &&str| {
        let line = |kernel: &&str| format!("{module}, {kernel}, x86_64: installed");
        kernels.iter().map(line).collect::<Vec<_>>()
    };
    let mut lines: Vec<String> = modules.iter().flat_map(on).collect();
    lines.sort();
    lines
}

/// The kernels that depmod ran for since the last call.
fn depmods(world: &World) -> Vec<String> {
    world.depmods().expect("it succeeds")
}

fn sorted(kernels: &[&str]) -> Vec<String> {
    let mut kernels: Vec<String> = kernels.iter().map(|kernel| (*kernel).to_owned()).collect();
    kernels.sort();
    kernels
}

fn builds(world: &World) -> String {
    world.builds().expect("it succeeds")
}

/// The modules that modprobe knew when mkinitcpio's turn came.
fn at_90(world: &World) -> String {
    let found = must(world, "cat /srv/at-90 2>/dev/null || true; rm -f /srv/at-90");
    let names = found.split_whitespace().filter_map(|path| path.strip_prefix("updates/dkms/"));
    names.filter_map(|name| name.split('.').next()).collect::<Vec<_>>().join(" ")
}

/// Everything that we have left anywhere, but for what is remembered of builds.
fn left(world: &World) -> String {
    must(
        world,
        "find /var/lib/dkms -mindepth 1 -not -path '*/.state*'
         find /lib/modules /usr/src -path '*dkms*'
         ls /var/lib/dkms/.state/pacman.json /var/lib/dkms/.state/journal/* /var/lib/dkms/.state/owed/* 2>/dev/null || true",
    )
}
