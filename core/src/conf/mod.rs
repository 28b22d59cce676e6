//! dkms.conf and framework.conf: two readers with one result, validation, and the typed result.
//!
//! - [`mod@reader`]: which files make a conf, and through which tier each is read ([`Reader`] → [`RawConf`])
//! - `syntax`: tier 1, static; `bash`: tier 2, the real one; `second_pass`: values are expanded twice
//! - [`mod@resolve`]: what a [`RawConf`] means for one kernel, with all errors at once ([`ModuleConf`])
//! - [`mod@notices`]: what is worth a warning
//! - [`mod@framework`]: framework.conf as [`Settings`]; [`mod@table`]: every setting with its kind,
//!   default and sentence
//! - [`mod@keys`]: where signing keys lie, for signing and for hiding
//! - [`mod@confined`]: the sandbox of what goes through bash
//! - [`mod@trust`]: what root reads should be root's
//! - [`mod@ere`]: the regular expressions of `…_MATCH` and `BUILD_EXCLUSIVE_…`

mod bash;
mod exempt;
mod file;
mod found;
pub(crate) mod kernel_inputs;
mod special;
mod syntax;

pub mod confined;
pub mod directive;
pub mod ere;
pub mod error;
pub mod framework;
pub mod keys;
pub mod module;
pub mod notices;
pub mod raw;
pub mod reader;
pub mod resolve;
pub mod second_pass;
pub mod settings;
pub mod table;
pub mod trust;

pub use directive::Directive;
pub use error::ConfError;
pub use module::ModuleConf;
pub use raw::{RawConf, Tier};
pub use reader::{ConfSource, Reader, Variables};
pub use resolve::{Check, InvalidConf, Problem, leniently, resolve};
pub use settings::Settings;
