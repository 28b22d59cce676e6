//! Packages with the tools that read them, each in a root of its own, so that the machine's dpkg and
//! rpm never hear of them.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod bad_input;
mod common;
mod debs;
mod disks;
mod extensions;
mod farms;
mod gates;
mod places;
mod real;
mod repositories;
mod rpm_sources;
mod rpm_systems;
mod rpms;
mod served;
mod signed;
mod systems;
mod tarballs;
mod trees;
