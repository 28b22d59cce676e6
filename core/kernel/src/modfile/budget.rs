//! How much of what a module file says of itself is kept in memory: names of symbols, dependencies and
//! aliases come from the user who built it, and a small file may name a lot.

/// A symbol's name has fewer bytes, its NUL included: `KSYM_NAME_LEN` of the kernel.
pub(super) const NAME_LIMIT: usize = 512;
/// Neither `.modinfo` nor names of sections or of exported symbols reach it.
pub(super) const SECTION_LIMIT: u64 = 16 << 20;
/// What all names of a module may take together.
const TOGETHER: usize = 32 << 20;
/// What a name takes besides its bytes.
const EACH: usize = 64;

/// What is left for the names of one module.
#[derive(Debug)]
pub struct Budget(usize);

/// A module has more names than any real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more names of symbols, dependencies and aliases than any module")]
pub struct TooManyNames;

impl Default for Budget {
    fn default() -> Self {
        Self(TOGETHER)
    }
}

impl Budget {
    /// Counts a name, before it is kept.
    pub(super) fn take(&mut self, name: &[u8]) -> Result<(), TooManyNames> {
        self.0 = self.0.checked_sub(name.len().saturating_add(EACH)).ok_or(TooManyNames)?;
        Ok(())
    }
}
