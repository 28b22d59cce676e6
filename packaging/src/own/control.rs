//! `packaging/debian/control` as the fields of a finished package: variables replaced, the
//! source's fields taken over.

use std::path::Path;

use debian_control::lossless::{Binary, Control, Source};

use crate::debian::fields::{self, Fields};
use crate::error::PackageError;

/// Fields of the source's paragraph that each package has too.
const FROM_SOURCE: [&str; 4] = ["Maintainer", "Section", "Priority", "Homepage"];

/// What variables stand for.
#[derive(Debug, Clone, Copy)]
pub struct Meanings<'a> {
    /// `${binary:Version}`.
    pub version: &'a str,
    /// `${shlibs:Depends}`.
    pub libraries: &'a str,
    /// The architecture of what is built.
    pub architecture: &'a str,
}

/// The fields of `package` in the text of a `debian/control`, whose file errors name.
///
/// # Errors
/// [`PackageError::Control`] where it isn't there.
pub fn fields(
    text: &str,
    file: &Path,
    package: &str,
    meanings: Meanings<'_>,
) -> Result<Fields, PackageError> {
    let refuse = |why: String| PackageError::Control { path: file.to_owned(), why };
    let (control, errors) =
        Control::read_relaxed(text.as_bytes()).map_err(|error| refuse(error.to_string()))?;
    if let Some(why) = errors.into_iter().next() {
        return Err(refuse(why));
    }
    let source = control.source().ok_or_else(|| refuse("it has no source".to_owned()))?;
    let binary = control.binaries().find(|binary| binary.name().as_deref() == Some(package));
    let binary = binary.ok_or_else(|| refuse(format!("it has no package `{package}`")))?;
    let mut fields = Fields::default();
    fields.set("Package", package);
    if let Some(name) = source.name().filter(|name| name != package) {
        fields.set("Source", name);
    }
    fields.set("Version", meanings.version);
    fields.set("Architecture", meanings.architecture);
    for (name, value) in Source::as_deb822(&source).items() {
        if FROM_SOURCE.contains(&name.as_str()) {
            fields.set(&name, value.trim());
        }
    }
    for (name, value) in Binary::as_deb822(&binary).items() {
        if name == "Package" || name == "Architecture" {
            continue;
        }
        let value =
            if fields::is_relation(&name) { relations(&value, meanings) } else { value.trim().to_owned() };
        if !value.is_empty() {
            fields.set(&name, value);
        }
    }
    Ok(fields)
}

/// Relations on one line, variables replaced; those that mean nothing here are left out.
fn relations(text: &str, meanings: Meanings<'_>) -> String {
    let text = text
        .replace("${shlibs:Depends}", meanings.libraries)
        .replace("${binary:Version}", meanings.version)
        .replace("${source:Version}", meanings.version);
    let all = text.split(',').map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    all.filter(|one| !one.is_empty() && !one.contains("${")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_becomes_a_packages_fields() {
        let text = "Source: dkms\nMaintainer: A <a@b.org>\nSection: kernel\nBuild-Depends: x\n\n\
                    Package: dh-dkms\nArchitecture: any\nDepends: ${misc:Depends},\n ${shlibs:Depends}, perl\n\
                    Provides: p (= ${binary:Version})\nDescription: short\n long\n";
        let meanings = Meanings { version: "4", libraries: "libc6 (>= 2), libgcc-s1", architecture: "amd64" };
        let fields = fields(text, Path::new("c"), "dh-dkms", meanings).unwrap();
        assert_eq!(
            fields.to_text(),
            "Package: dh-dkms\nSource: dkms\nVersion: 4\nArchitecture: amd64\nMaintainer: A <a@b.org>\nSection: kernel\n\
             Depends: libc6 (>= 2), libgcc-s1, perl\nProvides: p (= 4)\nDescription: short\n long\n"
        );
    }
}
