//! What a `debian/control` says of the package that we make: of the source, or of a template.

use std::path::Path;

use debian_control::lossless::{Control, Relations};

use super::fields::{self, Fields};
use crate::error::PackageError;

/// Fields that are taken over as they are.
const KEPT: [&str; 5] = ["Maintainer", "Section", "Priority", "Homepage", "Description"];

/// Takes the fields for `package` from the text of a `debian/control` into `ours`: those of the whole
/// source, then those of the package, where it is in there. Relations are added to ours; variables of
/// debhelper mean nothing here.
///
/// # Errors
/// [`PackageError::Control`] where it is no control file.
pub fn take_over(ours: &mut Fields, text: &str, path: &Path, package: &str) -> Result<(), PackageError> {
    let refuse = |why: String| PackageError::Control { path: path.to_owned(), why };
    let (control, errors) =
        Control::read_relaxed(text.as_bytes()).map_err(|error| refuse(error.to_string()))?;
    if let Some(why) = errors.into_iter().next() {
        return Err(refuse(why));
    }
    let is_meant = |name: Option<String>| name.as_deref() == Some(package);
    let source = control.source();
    let binary = control.binaries().find(|binary| is_meant(binary.name()));
    let paragraphs = [
        source.as_ref().map(debian_control::lossless::Source::as_deb822),
        binary.as_ref().map(debian_control::lossless::Binary::as_deb822),
    ];
    for (field, value) in paragraphs.into_iter().flatten().flat_map(|paragraph| paragraph.items()) {
        // Of the source package's relations only those to build by, which aren't the package's.
        if KEPT.contains(&field.as_str()) {
            ours.set(&field, value.trim());
        } else if fields::is_relation(&field) && !field.starts_with("Build-") {
            add_relations(ours, &field, &value).map_err(|why| refuse(format!("`{field}`: {why}")))?;
        }
    }
    Ok(())
}

/// Adds relations to a field, without those that are there, and without variables.
///
/// # Errors
/// Why they are none.
pub fn add_relations(fields: &mut Fields, field: &str, text: &str) -> Result<(), String> {
    let (relations, errors) = Relations::parse_relaxed(text, true);
    if let Some(why) = errors.into_iter().next() {
        return Err(why);
    }
    let mut all: Vec<String> =
        fields.get(field).into_iter().flat_map(|ours| ours.split(", ")).map(str::to_owned).collect();
    for entry in relations.entries() {
        let relation = entry.to_string();
        let relation = relation.trim();
        if relation.is_empty() || relation.contains("${") {
            continue;
        }
        // `dkms` adds nothing to `dkms (>= 3)`.
        let is_implied =
            all.iter().any(|known| known == relation || known.split(' ').next() == Some(relation));
        if !is_implied {
            all.push(relation.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    if !all.is_empty() {
        fields.set(field, all.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str = "\
# a comment
Source: foo
Maintainer: Ann <ann@debian.org>
Section: kernel
Build-Depends: debhelper-compat (= 13)
Homepage: https://foo.org

Package: foo-utils
Description: other

Package: foo-dkms
Section: contrib/kernel
Depends: ${misc:Depends}, dkms, libc6-dev | libc-dev,
 bc
Recommends: foo-utils
Description: module
 longer
 .
 text
";

    #[test]
    fn what_the_source_says_is_taken_over() {
        let mut ours = Fields::default();
        ours.set("Depends", "dkms (>= 3)");
        take_over(&mut ours, CONTROL, Path::new("c"), "foo-dkms").unwrap();
        ours.check().unwrap();
        assert_eq!(ours.get("Depends"), Some("dkms (>= 3), libc6-dev | libc-dev, bc"));
        assert_eq!(ours.get("Section"), Some("contrib/kernel"));
        assert_eq!(ours.get("Recommends"), Some("foo-utils"));
        assert_eq!(ours.get("Build-Depends"), None);
        assert!(ours.to_text().ends_with("Description: module\n longer\n .\n text\n"), "{}", ours.to_text());
        let mut other = Fields::default();
        take_over(&mut other, CONTROL, Path::new("c"), "bar-dkms").unwrap();
        assert_eq!((other.get("Maintainer"), other.get("Description")), (Some("Ann <ann@debian.org>"), None));
    }
}
