//! How a manual page is written: sections in roff, from plain text with `literals`.

/// A page in the making.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Begins with what is rendered already.
    #[must_use]
    pub fn begin(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Begins a section.
    pub fn section(&mut self, name: &str) {
        self.0.push_str(&format!(".SH {name}\n"));
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.0.push_str(&format!(".PP\n{}\n", marked(text)));
    }

    /// Something, and what it is.
    pub fn item(&mut self, name: &str, text: &str) {
        self.0.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), marked(text)));
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

/// With `literals` bold.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let text: String = parts
        .map(|(index, part)| match index % 2 {
            0 => escaped(part),
            _ => format!("\\fB{}\\fR", escaped(part)),
        })
        .collect();
    // A line that begins with one of these is a command.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace("\n.", "\n\\&.").replace("\n'", "\n\\&'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_bold_and_nothing_is_a_command() {
        assert_eq!(marked("use `--all` here"), "use \\fB\\-\\-all\\fR here");
        assert_eq!(marked(".ko\n.x \\"), "\\&.ko\n\\&.x \\e");
    }
}
