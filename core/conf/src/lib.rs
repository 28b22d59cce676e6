//! dkms.conf and framework.conf: two readers with one result, validation, and the typed result.
//!
//! - `reader`: which files make a conf, and through which tier each is read ([`Reader`] → [`RawConf`])
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
pub mod kernel_inputs;
pub mod mentioned;
mod special;
mod syntax;

pub mod confined;
mod directive;
pub mod ere;
mod error;
pub mod framework;
pub mod keys;
pub mod module;
pub mod notices;
mod prebuilt_place;
mod raw;
mod reader;
pub mod resolve;
pub mod script;
pub mod second_pass;
pub mod settings;
pub mod table;
pub mod trust;

pub use directive::Directive;
pub use error::ConfError;
pub use module::ModuleConf;
pub use prebuilt_place::{PrebuiltPlace, RemotePlace, Secret};
pub use raw::{RawConf, Tier};
pub use reader::{ConfSource, Reader, Variables};
pub use resolve::{Check, InvalidConf, Problem, leniently, resolve};
pub use settings::Settings;

/// What the static reader, alone, makes of a conf's text: for those who throw any at it. `None`: bash would
/// have to read it.
#[must_use]
pub fn examine(text: &str) -> Option<RawConf> {
    let environment = dkms_base::host::Environment::default();
    let own = [("kernelver", "6.1.0-9-amd64"), ("arch", "x86_64"), ("module", "foo")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given = found::Given { variables: &own, environment: &environment, processors: Some(4) };
    let wanted = Directive::ALL.iter().map(|directive| directive.as_str()).collect::<Vec<_>>();
    let found = syntax::run(&[&syntax::parse(text).ok()?], &given, &wanted).ok()?;
    let mut raw = reader::raw_of(found, Tier::Static, &mut std::collections::BTreeMap::new());
    second_pass::examine(&mut raw, &given).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Shortest repeated text that costs the most: all of it ends soon.
    #[test]
    fn a_conf_that_is_made_to_take_long_is_bashs() {
        let long = |text: &str| format!("A={}\n{}", "a".repeat(4000), text.repeat(60_000 / text.len()));
        for text in [
            long("B=${A//a*a*a*b/x}\n"),
            long("B=${A%%*a*a*b}\n"),
            long("B=${A##*a*a*b}\n"),
            long("A+=b\n"),
            long("A=$A$A\n"),
            format!("{}{}", "A+=(x)\n".repeat(8000), "B=${#A[@]}\n".repeat(6000)),
            "A=x\n".repeat(250_000),
            format!("A=({})", "x ".repeat(500_000)),
            "[ x == y ] && A=x\n".repeat(7000),
        ] {
            let begin = Instant::now();
            let _ = examine(&text);
            let took = begin.elapsed();
            // Without its budget it would take minutes and more.
            assert!(took < Duration::from_secs(30), "{took:?}: {:?}", &text[text.len() - 40..]);
        }
        assert!(examine(&long("B=${A//a*a*a*b/x}\n")).is_none());
        assert!(examine("A=6.1.0-9-amd64\nB=${A//-/.}${A%%-*}").is_some());
    }
}
