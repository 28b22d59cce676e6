//! Snippets of maintainer scripts: `debian/PACKAGE.SCRIPT.debhelper`, as debhelper's `autoscript` writes it.

/// What runs when the package is configured.
pub const POSTINST: &str = include_str!("../files/postinst-dkms");
/// What runs before it goes.
pub const PRERM: &str = include_str!("../files/prerm-dkms");

/// A maintainer script that snippets are collected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Snippets run in the order they came.
    Postinst,
    /// Snippets run in reverse order: what came last goes first.
    Prerm,
}

impl Script {
    /// Both, in the order that they are written.
    pub const ALL: [Self; 2] = [Self::Prerm, Self::Postinst];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postinst => "postinst",
            Self::Prerm => "prerm",
        }
    }

    /// The snippet's file name.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{}-dkms", self.name())
    }

    /// Our snippet.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Postinst => POSTINST,
            Self::Prerm => PRERM,
        }
    }

    /// What was collected, with a snippet more: between debhelper's marker lines, the words in it replaced.
    #[must_use]
    pub fn with(self, collected: &str, snippet: &str, name: &str, version: &str) -> String {
        let snippet = snippet.replace("#MODULE_NAME#", name).replace("#MODULE_VERSION#", version);
        let added = format!(
            "# Automatically added by dh_dkms/{}\n{}\n# End automatically added section\n",
            env!("CARGO_PKG_VERSION"),
            snippet.trim_end_matches('\n')
        );
        match self {
            Self::Postinst => format!("{collected}{added}"),
            Self::Prerm => format!("{added}{collected}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_undone_in_reverse() {
        let text = "echo #MODULE_NAME# #MODULE_VERSION#\n";
        let marked = |words: &str| {
            format!(
                "# Automatically added by dh_dkms/{}\necho {words}\n# End automatically added section\n",
                env!("CARGO_PKG_VERSION")
            )
        };
        assert_eq!(Script::Postinst.with("old\n", text, "a", "1"), format!("old\n{}", marked("a 1")));
        assert_eq!(Script::Prerm.with("old\n", text, "a", "1"), format!("{}old\n", marked("a 1")));
    }

    #[test]
    fn the_snippets_say_which_module() {
        for script in Script::ALL {
            assert!(script.text().contains("#MODULE_NAME#") && script.text().contains("#MODULE_VERSION#"));
        }
    }
}
