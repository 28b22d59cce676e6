//! Who makes a kernel's initramfs in a transaction.

use std::collections::BTreeSet;

use dkms_base::id::Target;

/// Who makes a kernel's initramfs where an installed module asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Initramfs {
    /// The batch, at its end.
    Ours,
    /// Another hook that comes after us in this transaction.
    Others,
    /// For these kernels another hook that comes after us, for others the batch.
    OthersFor(BTreeSet<Target>),
}

impl Initramfs {
    /// Whether another hook that comes after us makes that of a kernel.
    #[must_use]
    pub fn is_others(&self, target: &Target) -> bool {
        match self {
            Self::Ours => false,
            Self::Others => true,
            Self::OthersFor(targets) => targets.contains(target),
        }
    }
}
