//! The environment as the process found it: read once, handed on as data.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Environment variables by name. Those whose name or value is no UTF-8 are left out: no conf and no build can mean them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where it is read, once")]
    pub fn of_this_process() -> Self {
        let text = |s: OsString| s.into_string().ok();
        Self(std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect())
    }

    /// The value of a variable, also where it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get_filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// All variables, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
