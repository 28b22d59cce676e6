//! A paragraph of a control file: fields in order, checked by the rules that dpkg has for them.

use std::str::FromStr;

use debian_control::lossless::{Control, Relations};

use crate::error::PackageError;

/// Fields that name other packages.
const RELATIONS: [&str; 12] = [
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Build-Depends",
    "Build-Depends-Indep",
    "Build-Conflicts",
];

/// Whether a field names other packages.
#[must_use]
pub fn is_relation(field: &str) -> bool {
    RELATIONS.contains(&field)
}

/// Fields with their values; a value's further lines are as people write them, without the blank before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Sets a field: where it is, or at the end, but before the description.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *old = value;
            return;
        }
        let end = self.0.iter().position(|(known, _)| known == "Description").unwrap_or(self.0.len());
        self.0.insert(end, (name.to_owned(), value));
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As a control file has it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let mut lines = value.lines();
            let first = lines.next().unwrap_or_default();
            text.push_str(format!("{name}: {first}").trim_end());
            text.push('\n');
            for line in lines {
                let line = if line.trim().is_empty() { "." } else { line.trim_end() };
                text.push_str(&format!(" {line}\n"));
            }
        }
        text
    }

    /// Whether dpkg would take it: each value in one piece, each relation well-formed, and what is written
    /// read back as it was meant.
    ///
    /// # Errors
    /// [`PackageError::Field`].
    pub fn check(&self) -> Result<(), PackageError> {
        for (name, value) in &self.0 {
            let refuse = |why: &str| Err(PackageError::Field { field: name.clone(), why: why.to_owned() });
            if value.trim().is_empty() {
                return refuse("it is empty");
            }
            if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
                return refuse("it has a control character");
            }
            if is_relation(name)
                && let Err(why) = Relations::from_str(value)
            {
                return refuse(why.trim());
            }
        }
        let (read, errors) = Control::read_relaxed(self.to_text().as_bytes())
            .map_err(|error| PackageError::Field { field: "Package".to_owned(), why: error.to_string() })?;
        if let Some(why) = errors.first() {
            return Err(PackageError::Field { field: "Package".to_owned(), why: why.clone() });
        }
        let count = read.as_deb822().paragraphs().count();
        let paragraph = read.as_deb822().paragraphs().next();
        for (name, value) in &self.0 {
            let first = |text: &str| text.trim_start().lines().next().unwrap_or_default().trim().to_owned();
            let back = paragraph.as_ref().and_then(|paragraph| paragraph.get(name)).unwrap_or_default();
            if count != 1 || first(&back) != first(value) {
                return Err(PackageError::Field {
                    field: name.clone(),
                    why: "it is not read back as it was meant".to_owned(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.set(name, *value);
        }
        fields
    }

    #[test]
    fn a_paragraph_is_written_as_dpkg_reads_it() {
        let fields = fields(&[
            ("Package", "foo-dkms"),
            ("Description", "short\nlonger\n\n  more"),
            ("Depends", "dkms (>= 3), a | b"),
        ]);
        fields.check().unwrap();
        assert_eq!(
            fields.to_text(),
            "Package: foo-dkms\nDepends: dkms (>= 3), a | b\nDescription: short\n longer\n .\n   more\n"
        );
    }

    #[test]
    fn what_dpkg_would_not_take_is_refused() {
        for (name, value) in [
            ("Depends", "dkms (>> "),
            ("Depends", "${misc:Depends}"),
            ("Section", "a\u{7}b"),
            ("Maintainer", ""),
        ] {
            let error = fields(&[("Package", "foo"), (name, value)]).check().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
