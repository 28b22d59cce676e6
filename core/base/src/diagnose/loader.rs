//! Lines by which the dynamic linker, a shell or make says that a program is there and can't be run.

/// Why a program can't be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unrunnable<'a> {
    /// A shared library is not there.
    Lacks {
        /// The program.
        program: &'a str,
        /// The library.
        library: &'a str,
    },
    /// A shared library is older than the one that it was built with.
    IsNewer {
        /// The program.
        program: &'a str,
        /// The version that it needs.
        version: &'a str,
    },
    /// It is for another kind of machine.
    IsOther {
        /// The program.
        program: &'a str,
    },
}

/// What a line says of a program that can't be run.
pub(super) fn unrunnable(line: &str) -> Option<Unrunnable<'_>> {
    lacks(line).or_else(|| is_newer(line)).or_else(|| is_other(line))
}

/// As glibc and musl say it.
fn lacks(line: &str) -> Option<Unrunnable<'_>> {
    if let Some((program, rest)) = line.split_once(": error while loading shared libraries: ") {
        let (library, why) = rest.split_once(": ")?;
        return why
            .starts_with("cannot open shared object file")
            .then_some(Unrunnable::Lacks { program, library });
    }
    let (library, rest) = line.strip_prefix("Error loading shared library ")?.split_once(": ")?;
    let program = rest.split_once("(needed by ")?.1.strip_suffix(')')?;
    Some(Unrunnable::Lacks { program, library })
}

/// ``PROGRAM: LIBRARY: version `GLIBC_2.38' not found (required by WHO)``.
fn is_newer(line: &str) -> Option<Unrunnable<'_>> {
    let (head, rest) = line.split_once(": version `")?;
    let (version, _) = rest.split_once("' not found (required by ")?;
    let program = head.split_once(": ")?.0;
    Some(Unrunnable::IsNewer { program, version })
}

/// `WHO: PROGRAM: Exec format error`, which bash begins with `cannot execute binary file`.
fn is_other(line: &str) -> Option<Unrunnable<'_>> {
    let head = line.strip_suffix(": Exec format error")?;
    let head = head.strip_suffix(": cannot execute binary file").unwrap_or(head);
    let program = head.rsplit(": ").next()?;
    (!program.is_empty()).then_some(Unrunnable::IsOther { program })
}
