//! The trailer that the kernel wants behind a signed module: signature, twelve bytes of lengths, a magic
//! line. Reads only; making one is a signer's work.

/// The last bytes of a signed module.
pub const MAGIC: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature` of the kernel.
const INFO_LENGTH: usize = 12;

/// What a trailer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInfo {
    /// The kind of signature; 2 is PKCS#7, the only one that kernels make since 4.3.
    pub id_type: u8,
    /// The digest, where the signature names one that we know: `sha256`.
    pub hash: Option<&'static str>,
    /// Length of the signer's name (0 with PKCS#7, which has it inside).
    pub signer_length: usize,
    /// Length of the key's id (0 with PKCS#7).
    pub key_id_length: usize,
    /// Length of the signature itself.
    pub signature_length: usize,
}

impl SignatureInfo {
    /// The length of all that was appended.
    fn appended(&self) -> usize {
        self.signature_length + self.signer_length + self.key_id_length + INFO_LENGTH + MAGIC.len()
    }
}

/// The trailer of a module's (unpacked) bytes; `None` where there is none, or a broken one.
#[must_use]
pub fn signature_of(bytes: &[u8]) -> Option<SignatureInfo> {
    let (before, info) = bytes.strip_suffix(MAGIC)?.split_last_chunk::<INFO_LENGTH>()?;
    let [_, _, id_type, signer, key_id, _, _, _, length @ ..] = *info;
    let signature_length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let begin = before.len().checked_sub(signature_length)?;
    let found = SignatureInfo {
        id_type,
        hash: digest_of(&before[begin..]),
        signer_length: signer.into(),
        key_id_length: key_id.into(),
        signature_length,
    };
    (found.appended() <= bytes.len()).then_some(found)
}

/// A module's bytes as they were before they were signed.
#[must_use]
pub fn without_signature(bytes: &[u8]) -> &[u8] {
    signature_of(bytes).map_or(bytes, |signature| &bytes[..bytes.len() - signature.appended()])
}

/// The digest that a PKCS#7 message names first, by its object identifier in DER.
fn digest_of(message: &[u8]) -> Option<&'static str> {
    const SHA2: [u8; 10] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    const SHA1: [u8; 7] = [0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
    let at = message.windows(SHA2.len()).position(|window| window == SHA2);
    match at.and_then(|at| message.get(at + SHA2.len())) {
        Some(1) => Some("sha256"),
        Some(2) => Some("sha384"),
        Some(3) => Some("sha512"),
        Some(4) => Some("sha224"),
        Some(8) => Some("sha3-256"),
        Some(9) => Some("sha3-384"),
        Some(10) => Some("sha3-512"),
        Some(_) => None,
        None => message.windows(SHA1.len()).any(|window| window == SHA1).then_some("sha1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signed(module: &[u8], signature: &[u8]) -> Vec<u8> {
        let length = u32::try_from(signature.len()).unwrap().to_be_bytes();
        [module, signature, &[0, 0, 2, 0, 0, 0, 0, 0], &length, MAGIC].concat()
    }

    #[test]
    fn a_trailer_is_found_and_taken_away() {
        let oid = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05];
        let bytes = signed(b"module", &oid);
        let info = signature_of(&bytes).unwrap();
        assert_eq!((info.id_type, info.hash, info.signature_length), (2, Some("sha512"), 12));
        assert_eq!(without_signature(&bytes), b"module");
        assert_eq!(without_signature(b"module"), b"module");
    }

    #[test]
    fn lengths_beyond_the_file_are_no_trailer() {
        let whole = signed(b"module", b"signature");
        assert!(signature_of(&whole[7..]).is_none());
        assert!(signature_of(MAGIC).is_none());
        let mut huge = whole;
        let at = huge.len() - MAGIC.len() - 4;
        huge[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(signature_of(&huge).is_none());
        assert_eq!(without_signature(&huge).len(), huge.len());
    }

    proptest! {
        #[test]
        fn what_was_appended_is_what_is_taken_away(
            module in proptest::collection::vec(any::<u8>(), 0..60),
            signature in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = signed(&module, &signature);
            prop_assert_eq!(without_signature(&bytes), module.as_slice());
        }

        #[test]
        fn any_trailer_is_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            bytes.extend(MAGIC);
            prop_assert!(without_signature(&bytes).len() <= bytes.len());
        }
    }
}
