//! Lists of signatures as EFI has them in `db` and as shim has them in its variables (UEFI 2.10, 32.4.1): the
//! certificates in them. Pure; whatever isn't a whole list ends the reading, and what came before counts.

/// `EFI_CERT_X509_GUID`, a5c059a1-94e4-4aa7-87b5-ab155c2bf072, as it is stored.
const X509: [u8; 16] =
    [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];

/// Kind, and the sizes of the list, of its header and of each signature.
const HEAD: usize = 28;
/// Whose a signature is.
const OWNER: usize = 16;

/// The certificates (DER) in a variable's value; hashes and other kinds are passed over.
#[must_use]
pub fn certificates(mut value: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((list, rest)) = next_list(value) {
        found.extend(list);
        value = rest;
    }
    found
}

/// The certificates of the first list, and what follows it; `None` where no whole list is left.
fn next_list(value: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let number = |at: usize| {
        let bytes: [u8; 4] = value.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let (whole, header, each) = (number(16)?, number(20)?, number(24)?);
    let list = value.get(..whole)?;
    let signatures = list.get(HEAD.checked_add(header)?..)?;
    let is_x509 = list.starts_with(&X509) && each > OWNER;
    let certificates = match is_x509 {
        true => signatures.chunks_exact(each).map(|one| trimmed(&one[OWNER..])).collect(),
        false => Vec::new(),
    };
    Some((certificates, &value[whole..]))
}

/// A certificate without what may fill its place up: it says its length itself.
fn trimmed(der: &[u8]) -> &[u8] {
    let length = match *der {
        [0x30, short @ 0..=0x7f, ..] => 2 + usize::from(short),
        [0x30, 0x81, a, ..] => 3 + usize::from(a),
        [0x30, 0x82, a, b, ..] => 4 + usize::from(u16::from_be_bytes([a, b])),
        _ => der.len(),
    };
    der.get(..length).unwrap_or(der)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A list with one signature.
    pub(in crate::trust) fn list(kind: [u8; 16], header: &[u8], data: &[u8]) -> Vec<u8> {
        let size = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let each = OWNER + data.len();
        let head = [&kind[..], &size(HEAD + header.len() + each), &size(header.len()), &size(each)].concat();
        [&head[..], header, &[7; OWNER], data].concat()
    }

    pub(in crate::trust) fn x509(der: &[u8]) -> Vec<u8> {
        list(X509, &[], der)
    }

    #[test]
    fn certificates_are_found_among_hashes() {
        let long = [&[0x30, 0x82, 0x01, 0x00][..], &[1; 256]].concat();
        let value =
            [x509(&[0x30, 1, 5]), list([1; 16], &[9; 3], &[0; 32]), list(X509, &[9; 5], &long)].concat();
        assert_eq!(certificates(&value), [&[0x30, 1, 5][..], &long]);
        assert_eq!(certificates(&x509(&[0x30, 1, 5, 0, 0])), [[0x30, 1, 5]], "what fills up is left out");
    }

    #[test]
    fn two_in_one_list() {
        let mut value = x509(&[0x30, 1, 5]);
        value.extend([7; OWNER]);
        value.extend([0x30, 1, 6]);
        let whole = u32::try_from(value.len()).unwrap();
        value[16..20].copy_from_slice(&whole.to_le_bytes());
        assert_eq!(certificates(&value), [[0x30, 1, 5], [0x30, 1, 6]]);
    }

    #[test]
    fn sizes_that_cannot_be_end_it() {
        let good = x509(&[0x30, 1, 5]);
        for (at, size) in
            [(16, 0), (16, 27), (16, u32::MAX), (20, u32::MAX), (24, 0), (24, 16), (24, u32::MAX)]
        {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&size.to_le_bytes());
            assert_eq!(certificates(&bad), Vec::<&[u8]>::new(), "{at} {size}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let value = [x509(&[0x30, 1, 5]), bytes].concat();
            let found = certificates(&value);
            prop_assert_eq!(found[0], [0x30, 1, 5]);
            prop_assert!(found.concat().len() <= value.len());
        }

        #[test]
        fn a_cut_value_gives_the_lists_before_the_cut(count in 1_usize..5, cut in 0_usize..200, fill: u8) {
            let one = x509(&[0x30, 2, fill, 5]);
            let value = one.repeat(count);
            let end = cut.min(value.len());
            let found = certificates(&value[..end]);
            prop_assert_eq!(found.len(), end / one.len());
            prop_assert!(found.iter().all(|der| *der == [0x30, 2, fill, 5]));
        }

        #[test]
        fn a_changed_byte_is_no_panic(at in 0_usize..96, byte: u8) {
            let mut value = x509(&[0x30, 2, 1, 5]).repeat(2);
            let at = at % value.len();
            value[at] = byte;
            let found = certificates(&value);
            prop_assert!(found.len() <= value.len());
        }
    }
}
