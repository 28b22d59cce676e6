//! What a module's own code can't do to the system it is built on, and what is reported
//! where an isolation layer is missing.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod attempt;
mod bombs;
mod degraded;
mod entrances;
mod escapes;
mod images;
mod inputs;
mod limits;
mod links;
mod outsiders;
mod settings;
mod strangers;
