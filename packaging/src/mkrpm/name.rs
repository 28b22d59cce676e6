//! rpm's rules: names, versions, releases, times. Touches nothing.

use dkms_base::host::clock;
use dkms_base::id::ModuleVersion;

use crate::error::PackageError;

/// Times in rpm packages end in 2106.
pub(crate) fn seconds(date: u64) -> u32 {
    u32::try_from(date).unwrap_or(u32::MAX)
}

/// The time of an entry in a changelog, which has days only: rpm takes noon.
pub(super) fn noon(date: u32) -> u32 {
    const DAY: u32 = 24 * 60 * 60;
    let noon = date - date % DAY + DAY / 2;
    // Not after the package itself.
    if noon > date { noon.saturating_sub(DAY) } else { noon }
}

/// That day, as a changelog has it.
pub(super) fn day(date: u32) -> String {
    let text = clock::rfc2822(noon(date).into());
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let mut next = || words.next().unwrap_or_default();
    let (weekday, day, month, year) = (next(), next(), next(), next());
    format!("{weekday} {month} {day} {year}")
}

/// Whether a text can be part of a package's name, and of its scripts.
pub(super) fn check_plain(text: &str) -> Result<(), PackageError> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)) {
        return Ok(());
    }
    let why = "has other characters than letters, digits, `.`, `_`, `+` and `-`";
    Err(PackageError::RpmName { text: text.to_owned(), why })
}

/// Epoch and version by rpm's rules. A hyphen can't be in one: `_` parts the same numbers when
/// versions are compared.
pub(super) fn version(version: &ModuleVersion) -> Result<(Option<u32>, String), PackageError> {
    let text = version.as_str();
    let refuse = |why| Err(PackageError::RpmName { text: text.to_owned(), why });
    let (epoch, version) = match text.split_once(':') {
        None => (None, text),
        Some((epoch, version)) => match epoch.parse() {
            Ok(epoch) => (Some(epoch), version),
            Err(_) => return refuse("has an epoch that is no number"),
        },
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+~^".contains(c);
    let version = version.replace('-', "_");
    if version.is_empty() || !version.chars().all(is_plain) {
        return refuse("has other characters than letters, digits, `.`, `_`, `+`, `-`, `~` and `^`");
    }
    Ok((epoch, version))
}

/// A `MODULE_LICENSE` in SPDX's words; include/linux/license.h says what each means.
pub(super) fn spdx(license: &str) -> &str {
    match license {
        "GPL" | "GPL v2" => "GPL-2.0-only",
        "GPL and additional rights" => "GPL-2.0-or-later",
        "Dual BSD/GPL" => "(GPL-2.0-only OR BSD-3-Clause)",
        "Dual MIT/GPL" => "(GPL-2.0-only OR MIT)",
        "Dual MPL/GPL" => "(GPL-2.0-only OR MPL-1.1)",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpm_cannot_have_is_refused() {
        assert!(check_plain("6.1.0-47-amd64+rt").is_ok());
        assert!(check_plain("6.1$(id)").is_err() && check_plain("a;b").is_err());
        let of = |text: &str| version(&ModuleVersion::new(text).unwrap());
        assert_eq!(of("2:1.0-rc~1").unwrap(), (Some(2), "1.0_rc~1".to_owned()));
        assert!(of("x:1").is_err() && of("1#0").is_err() && of("1:").is_err());
    }

    #[test]
    fn a_change_is_of_a_day() {
        assert_eq!((noon(0), day(0)), (0, "Thu Jan 01 1970".to_owned()));
        assert_eq!((noon(86_400 * 3), day(86_400 * 3)), (86_400 * 5 / 2, "Sat Jan 03 1970".to_owned()));
    }

    #[test]
    fn licences_are_told_in_the_words_of_spdx() {
        assert_eq!(spdx("GPL v2"), "GPL-2.0-only");
        assert_eq!(spdx("Proprietary"), "Proprietary");
    }
}
