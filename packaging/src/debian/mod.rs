//! Debian packages of a module: `mkdeb` wraps its source, `mkbmdeb` what was built from it, `mkdsc` makes a
//! source package of the wrapper.
//!
//! - [`name`]: Debian's rules for names, versions and architectures; [`fields`]: control files
//! - [`upstream`]: what the source, or an administrator's template, says of the package;
//!   [`template`]: where that lies
//! - [`gate`]: what follows a kernel's metapackage
//! - [`docs`]: changelog and copyright; [`module`]: what they are all made of

pub mod docs;
pub mod fields;
pub mod gate;
pub mod mkbmdeb;
pub mod mkdeb;
pub mod mkdsc;
pub mod module;
pub mod name;
pub mod template;
pub mod upstream;

pub use module::Module;
pub(crate) use module::{NOBODY, built};
