//! DKMS tarballs: what `mktarball` writes and `ldtarball` reads. Pure Rust, streaming, and on guard: an
//! archive comes from anywhere and is read by root.
//!
//! Reading: [`compression`] finds the format by its magic; `entries` takes the tar format apart; `name` and
//! `inventory` judge every entry before it is written, without touching the disk; `stream` puts these in
//! order, `signature` reads who signed it, and `unpack` writes into a private folder; `contents` says what it
//! is; `manifest` compares hashes; `read` puts these in order, and `publish` moves what was staged to its
//! place; `repack` makes an archive of it again. [`deb`] lists the files of a Debian package. Writing:
//! [`mod@write`], `built` and `pack`, held to the same inventory, so that whatever we write we also take.

mod built;
pub mod compression;
mod contents;
pub mod deb;
mod entries;
mod error;
mod inventory;
mod limits;
mod manifest;
mod name;
mod pack;
mod publish;
mod read;
mod repack;
mod signature;
mod source_digest;
mod stream;
mod unpack;
pub mod write;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod roundtrip_tests;

pub use built::built_modules;
pub use error::{ArchiveError, Fault};
pub use limits::Limits;
pub use manifest::SignedBy;
pub use publish::{Existing, publish_build, publish_builds, publish_source};
pub use read::{Kind, Staged, StagedBuild, stage};
pub use repack::{About, Sign};
pub use signature::{SignedManifest, Statement};
pub use source_digest::source_digest;
pub use write::{Contents, TarballSpec, write};
