//! What a package says of others: `Requires: a >= 1, b`, read from and written to spec files.

use rpm::{Dependency, DependencyFlags, PackageBuilder};

/// A tag that names other packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Requires,
    Provides,
    Conflicts,
    Obsoletes,
    Recommends,
    Suggests,
    Supplements,
    Enhances,
}

impl Relation {
    const ALL: [(&'static str, Self); 8] = [
        ("Requires", Self::Requires),
        ("Provides", Self::Provides),
        ("Conflicts", Self::Conflicts),
        ("Obsoletes", Self::Obsoletes),
        ("Recommends", Self::Recommends),
        ("Suggests", Self::Suggests),
        ("Supplements", Self::Supplements),
        ("Enhances", Self::Enhances),
    ];

    /// The relation that a tag, in small letters, means.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag)).map(|(_, relation)| *relation)
    }

    fn tag(self) -> &'static str {
        Self::ALL.iter().find(|(_, relation)| *relation == self).map_or("", |(name, _)| name)
    }

    /// Puts a relation into a package.
    pub(crate) fn add(self, builder: &mut PackageBuilder, dependency: Dependency) {
        match self {
            Self::Requires => builder.requires(dependency),
            Self::Provides => builder.provides(dependency),
            Self::Conflicts => builder.conflicts(dependency),
            Self::Obsoletes => builder.obsoletes(dependency),
            Self::Recommends => builder.recommends(dependency),
            Self::Suggests => builder.suggests(dependency),
            Self::Supplements => builder.supplements(dependency),
            Self::Enhances => builder.enhances(dependency),
        };
    }

    /// As a spec file has it.
    pub(crate) fn to_line(self, dependency: &Dependency) -> String {
        let moments: Vec<&str> = MOMENTS
            .iter()
            .filter(|(_, flag)| dependency.flags.contains(*flag))
            .map(|(name, _)| *name)
            .collect();
        let qualifier = if moments.is_empty() { String::new() } else { format!("({})", moments.join(",")) };
        let sign = dependency.flags.comparator_str();
        let version = if sign.is_empty() { String::new() } else { format!(" {sign} {}", dependency.version) };
        format!("{}{qualifier}: {}{version}\n", self.tag(), dependency.name).replace('%', "%%")
    }
}

/// For `Requires(post)`: when it is needed.
const MOMENTS: [(&str, DependencyFlags); 6] = [
    ("pre", DependencyFlags::SCRIPT_PRE),
    ("post", DependencyFlags::SCRIPT_POST),
    ("preun", DependencyFlags::SCRIPT_PREUN),
    ("postun", DependencyFlags::SCRIPT_POSTUN),
    ("pretrans", DependencyFlags::PRETRANS),
    ("posttrans", DependencyFlags::POSTTRANS),
];

/// The relations of a tag's value.
///
/// # Errors
/// Why they are none.
pub(crate) fn parse(value: &str, qualifier: Option<&str>) -> Result<Vec<Dependency>, String> {
    let mut moments = DependencyFlags::ANY;
    for word in qualifier.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match MOMENTS.iter().find(|(name, _)| *name == word) {
            Some((_, flag)) => moments |= *flag,
            // Hints for an order, a pseudo-moment: nothing that a package has to say.
            None if ["meta", "interp", "missingok", "contains", "hint"].contains(&word) => {}
            None => return Err(format!("`{word}` is no time at which a package is needed")),
        }
    }
    let mut found = Vec::new();
    let mut words = words(value)?.into_iter().peekable();
    while let Some(name) = words.next() {
        if sign(&name).is_some() {
            return Err(format!("`{name}` has no name before it"));
        }
        let flags = words.peek().and_then(|word| sign(word));
        let version = match flags {
            None => String::new(),
            Some(_) => {
                words.next();
                words
                    .next()
                    .filter(|word| sign(word).is_none())
                    .ok_or(format!("`{name}` lacks its version"))?
            }
        };
        found.push(Dependency { name, flags: flags.unwrap_or(DependencyFlags::ANY) | moments, version });
    }
    Ok(found)
}

fn sign(word: &str) -> Option<DependencyFlags> {
    Some(match word {
        "=" | "==" => DependencyFlags::EQUAL,
        ">=" | "=>" => DependencyFlags::GE,
        "<=" | "=<" => DependencyFlags::LE,
        ">" => DependencyFlags::GREATER,
        "<" => DependencyFlags::LESS,
        _ => return None,
    })
}

/// Words between blanks and commas; what begins with `(` is one up to its `)`.
fn words(value: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = value.trim_start_matches([' ', '\t', '\n', ',']);
    while !rest.is_empty() {
        let end = if rest.starts_with('(') {
            let mut depth = 0_i32;
            let end = rest.char_indices().find_map(|(at, c)| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                (depth == 0).then_some(at + 1)
            });
            end.ok_or_else(|| format!("`{rest}` lacks a `)`"))?
        } else {
            rest.find([' ', '\t', '\n', ',']).unwrap_or(rest.len())
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches([' ', '\t', '\n', ',']);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_and_written() {
        let lines = |value: &str, qualifier| -> String {
            let found = parse(value, qualifier).unwrap();
            found.iter().map(|dependency| Relation::Requires.to_line(dependency)).collect()
        };
        assert_eq!(
            lines("a >= 1:2-3, b (c if d(x))  e", None),
            "Requires: a >= 1:2-3\nRequires: b\nRequires: (c if d(x))\nRequires: e\n"
        );
        assert_eq!(lines("a", Some("post, preun")), "Requires(post,preun): a\n");
        for (value, qualifier) in [("a >=", None), (">= 1", None), ("(a", None), ("a", Some("noon"))] {
            assert!(parse(value, qualifier).is_err(), "{value}");
        }
    }
}
