//! A kernel's configuration, in both its formats: `.config` and `include/config/auto.conf`. Knows
//! nothing of where it is.

use std::collections::BTreeMap;

use super::KernelConfig;

impl KernelConfig {
    /// Reads the options of a configuration's text. What isn't set (`# CONFIG_X is not set`) is left out;
    /// `auto.conf` has strings without quotes since Linux 6.1, `.config` with.
    #[must_use]
    pub fn parse_options(text: &str) -> BTreeMap<String, String> {
        let option = |line: &str| {
            let (name, value) = line.split_once('=')?;
            name.starts_with("CONFIG_").then(|| (name.to_owned(), unquote(value.trim_end())))
        };
        text.lines().filter_map(option).collect()
    }
}

/// A value without its quotes; within them `\"` and `\\` are escapes.
fn unquote(value: &str) -> String {
    let inner = value.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest));
    let Some(inner) = inner else { return value.to_owned() };
    let (mut out, mut chars) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().unwrap_or('\\')),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_formats_give_the_same() {
        let dot_config = "#\n# Automatically generated\n#\nCONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14) 12.2.0\"\n\
             CONFIG_MODULES=y\nCONFIG_EXT4_FS=m\n# CONFIG_MODULE_SIG_FORCE is not set\nCONFIG_HZ=250\nCONFIG_EMPTY=\"\"\n\
             CONFIG_Q=\"a\\\"b\\\\c=d\"\r\n";
        let auto_conf = "CONFIG_CC_VERSION_TEXT=gcc-12 (Debian 12.2.0-14) 12.2.0\nCONFIG_MODULES=y\nCONFIG_EXT4_FS=m\n\
             CONFIG_HZ=250\nCONFIG_EMPTY=\nCONFIG_Q=a\"b\\c=d\n";
        let options = KernelConfig::parse_options(dot_config);
        assert_eq!(options, KernelConfig::parse_options(auto_conf));
        let config = KernelConfig { path: None, options };
        assert!(config.is_enabled("CONFIG_EXT4_FS") && config.is_enabled("CONFIG_MODULES"));
        assert!(!config.is_enabled("CONFIG_HZ") && !config.is_enabled("CONFIG_MODULE_SIG_FORCE"));
        assert_eq!(config.get("CONFIG_Q"), Some("a\"b\\c=d"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(CONFIG_[A-Z]{1,3}=[\"\\\\a-z]{0,6}\n|\\PC{0,10}\n){0,8}") {
            let options = KernelConfig::parse_options(&format!("{text}\nCONFIG_LAST=\"a\""));
            prop_assert_eq!(options.get("CONFIG_LAST").map(String::as_str), Some("a"));
            let is_said = |name: &String| name == "CONFIG_LAST" || text.contains(&format!("{name}="));
            prop_assert!(options.keys().all(is_said));
        }
    }
}
