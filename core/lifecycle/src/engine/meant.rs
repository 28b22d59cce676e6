//! Which kernel was probably meant by one that is not there. Pure.

use crate::conf::notices::distance;
use crate::id::KernelRelease;

/// So many slips at most.
const SLIPS: usize = 2;

/// The kernel that a slip has made this one of. One with another number is another kernel, and no slip.
pub(super) fn kernel<'k>(typed: &KernelRelease, there: &'k [KernelRelease]) -> Option<&'k KernelRelease> {
    let typed = typed.as_str();
    let near = there.iter().filter(|kernel| {
        let kernel = kernel.as_str();
        numbers(kernel).eq(numbers(typed)) || letters(kernel).eq(letters(typed))
    });
    let near = near.map(|kernel| (distance(typed, kernel.as_str()), kernel));
    near.filter(|(far, _)| *far <= SLIPS).min_by_key(|(far, _)| *far).map(|(_, kernel)| kernel)
}

/// The parts of a release that are numbers.
fn numbers(release: &str) -> impl Iterator<Item = &str> {
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    release.split(['.', '-', '+', '_']).filter(is_number).filter(|part| !part.is_empty())
}

/// A release without what separates its parts.
fn letters(release: &str) -> impl Iterator<Item = char> {
    release.chars().filter(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_no_other_kernel() {
        let there = ["6.1.0-48-amd64", "6.1.0-57-cloud-amd64"].map(|name| KernelRelease::new(name).unwrap());
        for (typed, meant) in [
            ("6.1.0-57-cloud-amd6", Some("6.1.0-57-cloud-amd64")),
            ("6.1.0-48-adm64", Some("6.1.0-48-amd64")),
            ("6.10-48-amd64", Some("6.1.0-48-amd64")),
            ("6.1.0-47-amd64", None),
            ("6.1.0-8-amd64", None),
            ("6.1.0-57-amd64", None),
            ("7.2", None),
        ] {
            let found = kernel(&KernelRelease::new(typed).unwrap(), &there);
            assert_eq!(found.map(KernelRelease::as_str), meant, "{typed}");
        }
    }
}
