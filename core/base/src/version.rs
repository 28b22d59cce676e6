//! Comparing versions: of modules, of kernels, in `BUILD_EXCLUSIVE_KERNEL_MIN` and `_MAX`.
//!
//! Runs of digits compare as numbers of any length, everything else byte by byte; `~` sorts before
//! everything, even before the end; a string that is a prefix of the other comes first. This is a total
//! order on all strings.

use std::cmp::Ordering;

/// Compares two versions.
///
/// ```
/// use std::cmp::Ordering;
///
/// use dkms_base::version::compare;
///
/// assert_eq!(compare("6.1.0-9", "6.1.0-10"), Ordering::Less);
/// assert_eq!(compare("1.0~rc1", "1.0"), Ordering::Less);
/// ```
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (m, rest_a) = split_number(a);
                let (n, rest_b) = split_number(b);
                let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
            (x, y) => {
                let order = weight(x).cmp(&weight(y));
                if order != Ordering::Equal {
                    return order;
                }
                if x.is_none() {
                    return Ordering::Equal;
                }
                (a, b) = (&a[1..], &b[1..]);
            }
        }
    }
}

/// `~` before the end, the end before every other byte.
fn weight(byte: Option<&u8>) -> i16 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(&other) => i16::from(other) + 1,
    }
}

/// The number in front without its leading zeros, and what follows it.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let zeros = text[..end].iter().take_while(|c| **c == b'0').count();
    (&text[zeros..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn documented_examples() {
        let ascending = [
            ["3.5", "3.5-rc2", "3.6.18"],
            ["4.11.999", "4.12", "4.12-rc1"],
            ["6.14.0-999", "6.14.0-1011", "6.14.1"],
            ["2.0~beta", "2.0", "2.0.1"],
        ];
        for [a, b, c] in ascending {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, c), Ordering::Less, "{b} {c}");
            assert_eq!(compare(c, a), Ordering::Greater, "{c} {a}");
        }
        assert_eq!(compare("007", "7"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn is_a_total_order(a in "[0-9a.~-]{0,8}", b in "[0-9a.~-]{0,8}", c in "[0-9a.~-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
