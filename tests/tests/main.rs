//! All end-to-end tests, in one program: it is linked once, and what waits in one file leaves the
//! processors to another.
//!
//! `cargo test -p dkms-tests doctor::` runs the tests of one file.

mod against_original;
mod apt_failures;
mod apt_images;
mod apt_kernels;
mod apt_many;
mod apt_orders;
mod apt_transactions;
mod apt_ways_back;
mod bad_input;
mod bake;
mod batch;
mod boot_counted;
mod boot_grub;
mod boot_guard;
mod boot_loaders;
mod boundaries;
mod build_cache;
mod bytes;
mod crash_matrix;
mod critical;
mod dh_dkms;
mod doctor;
mod exports;
mod farms;
mod faults;
mod field;
mod field_sources;
mod forecast;
mod foretold;
mod full_disk;
mod images;
mod interrupted;
mod loading;
mod locks;
mod messages;
mod own_packages;
mod packaging;
mod pacman;
mod prebuilt;
mod preflight;
mod races;
mod recovery;
mod rpm_systems;
mod sandbox;
mod secure_boot;
mod set_up;
mod signer;
mod surroundings;
mod take_over;
mod trial;
mod truth;
mod unfit;
mod verify;
