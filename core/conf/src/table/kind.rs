//! What a setting may be, and what its values mean.

use crate::prebuilt_place::{PrebuiltPlace, is_proxy};

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`, in the words that people use for them; empty is `no`.
    Flag,
    /// One of these words, in any case.
    Words(&'static [&'static str]),
    /// As [`Words`](Self::Words); a yes or no stands for one of them.
    Switch {
        /// The words.
        words: &'static [&'static str],
        /// The one that a yes means.
        yes: &'static str,
        /// The one that a no means.
        no: &'static str,
    },
    /// A number from 0 to a limit.
    Number(u64),
    /// A number of bytes, with a unit or without.
    Size,
    /// An absolute path.
    Path,
    /// An absolute path, or a PKCS#11 URI.
    Key,
    /// Names of modules, separated by blanks.
    Modules,
    /// Names of environment variables, separated by blanks, each with a `*` at its end or without.
    Names,
    /// Places of prebuilt modules, separated by blanks.
    Places,
    /// The address of a proxy.
    Proxy,
    /// A name of a user, or a number.
    User,
    /// Free text: options and commands.
    Text,
}

impl Kind {
    /// What a value means, as the table writes it; `None`: nothing, the setting can't have it.
    #[must_use]
    pub fn normal(self, value: &str) -> Option<String> {
        let word = value.trim();
        match self {
            Self::Flag => yes_or_no(word).map(|yes| if yes { "yes" } else { "no" }.to_owned()),
            Self::Words(words) => one_of(words, word),
            Self::Switch { words, yes, no } => one_of(words, word).or_else(|| {
                let is_yes = yes_or_no(word)?;
                Some(if is_yes { yes } else { no }.to_owned())
            }),
            Self::Number(limit) => {
                word.parse::<u64>().ok().filter(|number| *number <= limit).map(|number| number.to_string())
            }
            Self::Size => size(word).map(|bytes| bytes.to_string()),
            Self::Path => value.starts_with('/').then(|| value.to_owned()),
            Self::Key => (value.starts_with('/') || value.starts_with("pkcs11:")).then(|| value.to_owned()),
            Self::Modules => {
                let plain = |name: &str| dkms_base::id::ModuleName::new(name).is_ok();
                value.split_whitespace().all(plain).then(|| value.to_owned())
            }
            Self::Names => {
                let plain = |name: &str| {
                    let name = name.strip_suffix('*').unwrap_or(name);
                    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                };
                value.split_whitespace().all(plain).then(|| value.to_owned())
            }
            Self::Places => {
                let is_place = |word: &str| PrebuiltPlace::parse(word).is_some();
                value.split_whitespace().all(is_place).then(|| value.to_owned())
            }
            Self::Proxy => is_proxy(word).then(|| word.to_owned()),
            Self::User => {
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
                (word.starts_with(|c: char| c.is_alphanumeric() || c == '_') && word.chars().all(plain))
                    .then(|| word.to_owned())
            }
            Self::Text => Some(value.to_owned()),
        }
    }

    /// What it may be, for people.
    #[must_use]
    pub fn allowed(self) -> String {
        let list =
            |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Flag => "`yes` or `no`".to_owned(),
            Self::Words(words) | Self::Switch { words, .. } => format!("one of {}", list(words)),
            Self::Number(limit) => format!("a number from 0 to {limit}"),
            Self::Size => "a size such as `500M` or `2G`".to_owned(),
            Self::Path => "a path that begins with `/`".to_owned(),
            Self::Key => "a path that begins with `/`, or a `pkcs11:` URI".to_owned(),
            Self::Modules => "a list of module names".to_owned(),
            Self::Names => "a list of names of environment variables".to_owned(),
            Self::Places => {
                "a list of `file:/FOLDER`, `https://HOST/FOLDER` and `oci:REGISTRY/REPOSITORY:TAG`".to_owned()
            }
            Self::Proxy => "`http://HOST:PORT`".to_owned(),
            Self::User => "a user's name or number".to_owned(),
            Self::Text => "a text".to_owned(),
        }
    }
}

/// People write `1`, `true`, `yes`, and leave empty what isn't to be.
fn yes_or_no(word: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|one| word.eq_ignore_ascii_case(one));
    if is(&["1", "yes", "y", "true", "on"]) {
        Some(true)
    } else if is(&["", "0", "no", "n", "false", "off"]) {
        Some(false)
    } else {
        None
    }
}

fn one_of(words: &[&str], word: &str) -> Option<String> {
    words.iter().find(|one| word.eq_ignore_ascii_case(one)).map(|one| (*one).to_owned())
}

/// A size in bytes: `4096`, `500M`, `2G`, in powers of 1024.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::Kind::{Flag, Key, Modules, Number, Path, Size, Switch, User, Words};

    #[test]
    fn words_are_taken_in_any_case_and_nothing_near_them() {
        let fail = Words(&["report", "fail"]);
        assert_eq!(fail.normal("FAIL").as_deref(), Some("fail"));
        assert_eq!([fail.normal("fails"), fail.normal(""), fail.normal("yes")], [None, None, None]);
        let sign = Switch { words: &["true", "false", "not_in_chroot"], yes: "true", no: "false" };
        let normal = |text| sign.normal(text);
        assert_eq!([normal("Yes"), normal("off")], [Some("true".to_owned()), Some("false".to_owned())]);
        assert_eq!([normal("auto"), Flag.normal("maybe"), Path.normal("usr/src")], [None, None, None]);
        assert_eq!([Number(9).normal("10"), Number(9).normal("-1"), Size.normal("much")], [None, None, None]);
        assert_eq!([Modules.normal("a ../b"), User.normal("no body"), Key.normal("key")], [None, None, None]);
    }
}
