//! The life cycle of out-of-tree kernel modules: add, build, install, and back.
//!
//! The request ([`plan::Request`]) and what is on disk ([`tree::Snapshot`]) give a plan ([`plan::Plan`]):
//! plain data, each step with its reason; the [`engine`] runs it.
//!
//! - Reading: [`tree`], [`verify`]
//! - Deciding, without input or output: [`event`], [`plan`]
//! - Doing: [`engine`], [`build`], [`bundles`], [`install`]
//! - Telling: [`status`], [`doctor`], [`critical`], [`matrix`], [`forecast`]
//! - Images: [`bake`]

use dkms_base::host;
use dkms_base::{exit, id, layout, report, version};
use dkms_conf::{self as conf, script};
use dkms_kernel::{self as kernel, modfile};
use dkms_signing::{self as sign, trust};

pub mod bake;
pub mod boot;
pub mod build;
pub mod bundles;
pub mod critical;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod forecast;
pub mod install;
pub mod matrix;
pub mod plan;
pub mod status;
pub mod tree;
pub mod verify;
