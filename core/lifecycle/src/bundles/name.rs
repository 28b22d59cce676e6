//! What the name of a tarball says of its content: `M-V-kernelK-A.dkms.tar.gz`, as `mktarball` calls them.
//! Only a hint of where to look; the signed manifest inside decides.

use crate::id::{ModuleId, Target};

/// Whether a file holds a module for a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Its name says so.
    Yes,
    /// Its name does not say.
    Maybe,
    /// Its name says that it doesn't.
    No,
}

/// What a file name says.
pub(super) fn hint(file: &str, id: &ModuleId, target: &Target) -> Hint {
    let rest = file.strip_prefix(&id.dir_name());
    let Some((kernels, _)) = rest.and_then(|rest| rest.split_once(".dkms.tar")) else { return Hint::No };
    let ours = format!("-kernel{}-{}", target.kernel, target.arch);
    let names_ours = kernels.match_indices(&ours).any(|(at, _)| {
        let after = &kernels[at + ours.len()..];
        after.is_empty() || after.starts_with("-kernel")
    });
    match () {
        () if names_ours && kernels.starts_with("-kernel") => Hint::Yes,
        () if names_ours => Hint::Maybe,
        () if kernels.contains("-kernel") || kernels == "-source-only" => Hint::No,
        () if kernels.is_empty() || kernels.starts_with('-') => Hint::Maybe,
        () => Hint::No,
    }
}

/// Whether a server may name a file so: as `mktarball` names one, without anything that a path or a terminal
/// takes for more than a letter.
pub(super) fn is_of_bundle(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+~_.-:@,=".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    begins && name.len() <= 255 && name.contains(".dkms.tar") && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_kernels_it_is_for() {
        let (id, target) =
            (ModuleId::parse("foo", "1.0").unwrap(), Target::parse("6.1.0-9-amd64", "x86_64").unwrap());
        let of = |file: &str| hint(file, &id, &target);
        for file in [
            "foo-1.0-kernel6.1.0-9-amd64-x86_64.dkms.tar.gz",
            "foo-1.0-kernel5.10-x86_64-kernel6.1.0-9-amd64-x86_64.dkms.tar.xz",
            "foo-1.0-kernel6.1.0-9-amd64-x86_64-kernel6.2-x86_64.dkms.tar",
        ] {
            assert_eq!(of(file), Hint::Yes, "{file}");
        }
        for file in ["foo-1.0-manykernels.dkms.tar.gz", "foo-1.0.dkms.tar", "foo-1.0-prod.dkms.tar.zst"] {
            assert_eq!(of(file), Hint::Maybe, "{file}");
        }
        for file in [
            "foo-1.0-kernel6.1.0-9-amd64-x86_64.tar.gz",
            "foo-1.0-kernel6.1.0-9-amd64-aarch64.dkms.tar.gz",
            "foo-1.0-kernel6.1.0-9-amd64-x86_64v2.dkms.tar.gz",
            "foo-1.0.1-kernel6.1.0-9-amd64-x86_64.dkms.tar.gz.tmp",
            "foo-1.0-source-only.dkms.tar.gz",
            "bar-1.0-kernel6.1.0-9-amd64-x86_64.dkms.tar.gz",
            "foo-1.01.dkms.tar.gz",
            "",
        ] {
            assert_ne!(of(file), Hint::Yes, "{file}");
        }
        assert_eq!(of("foo-1.01.dkms.tar.gz"), Hint::No);
    }
}
