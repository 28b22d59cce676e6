//! Bad input at every door: the right exit code, one clear error, the tree as before, and
//! an end within seconds.
//!
//! A table, a file a door: [`confs`], [`names`], [`links`], [`folders`], [`system`]. Each row runs in a fresh
//! root that has the source tree of `foo/1.0` in `/usr/src`, ready to be built without a compiler.

mod case;
mod confs;
mod folders;
mod links;
mod names;
mod system;

use case::{Case, pass};

#[test]
fn confs_that_are_none() {
    pass(&confs::unreadable());
}

#[test]
fn confs_that_misbehave() {
    pass(&confs::misbehaving());
}

#[test]
fn confs_that_lead_elsewhere() {
    pass(&confs::leading_elsewhere());
}

#[test]
fn names_on_the_command_line() {
    pass(&names::on_the_command_line());
}

#[test]
fn names_in_the_conf() {
    pass(&names::in_the_conf());
}

#[test]
fn names_in_archives() {
    pass(&names::in_archives());
}

#[test]
fn links_that_lead_nowhere() {
    pass(&links::cases());
}

#[test]
fn folders_that_can_not_be_used() {
    pass(&folders::cases());
}

#[test]
fn systems_that_lack_something() {
    pass(&system::cases());
}
