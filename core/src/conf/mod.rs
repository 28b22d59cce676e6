//! dkms.conf and framework.conf: two readers with one result, validation, and the typed result.
//!
//! - [`mod@module`]: what a dkms.conf means for one kernel ([`ModuleConf`])
//! - [`mod@settings`]: framework.conf ([`Settings`])

pub mod module;
pub mod settings;

pub use module::ModuleConf;
pub use settings::Settings;
