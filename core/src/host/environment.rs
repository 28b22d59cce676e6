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

    /// Without what is nobody's business but ours: passwords, and ways to whoever keeps them. By name, since nothing else
    /// tells.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !is_secret(name));
        Self(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// All variables, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// Whether a variable of this name is likely to hold a secret, or to lead to one.
fn is_secret(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "KBUILD_SIGN_PIN",
        "CREDENTIALS_DIRECTORY",
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GPG_AGENT_INFO",
        "DBUS_SESSION_BUS_ADDRESS",
        "XDG_RUNTIME_DIR",
        "XAUTHORITY",
        "AWS_ACCESS_KEY_ID",
    ];
    const ENDS: [&str; 9] = [
        "_PIN",
        "_TOKEN",
        "_PASSWORD",
        "_PASSWD",
        "_PASSPHRASE",
        "_SECRET",
        "_SECRET_KEY",
        "_ACCESS_KEY",
        "_CREDENTIALS",
    ];
    let name = name.to_ascii_uppercase();
    NAMES.contains(&name.as_str())
        || ENDS.iter().any(|end| name.ends_with(end) || name == end.trim_start_matches('_'))
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        let names = [
            "KBUILD_SIGN_PIN",
            "github_token",
            "PASSWORD",
            "DB_PASSWD",
            "SSH_AUTH_SOCK",
            "PATH",
            "PIN_COUNT",
        ];
        let environment: Environment = names.into_iter().map(|name| (name, "x")).collect();
        let kept = environment.without_secrets();
        assert_eq!(kept.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["PATH", "PIN_COUNT"]);
    }
}
