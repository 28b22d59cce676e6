//! The make command of a build: pure text, nothing runs here.

use std::path::Path;

use crate::host::process::quote;
use crate::id::KernelRelease;

/// What the command is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct MakeCommand<'a> {
    /// `MAKE`, where the conf has one.
    pub(super) make: Option<&'a str>,
    /// For which kernel.
    pub(super) kernel: &'a KernelRelease,
    /// Its headers.
    pub(super) headers: &'a Path,
    /// Where the build runs.
    pub(super) build_dir: &'a Path,
    /// `-jN`; 0 for `-j`.
    pub(super) jobs: Option<u32>,
    /// Built by clang.
    pub(super) clang: bool,
}

impl MakeCommand<'_> {
    /// The line for the shell.
    ///
    /// What begins with the letters `make` gets the jobs and `KERNELRELEASE` right behind them, whatever
    /// follows. `LLVM=1` is in the environment; it is appended too where the line is one command, since a
    /// make variable given on the line wins over a Makefile's own.
    pub(super) fn line(&self) -> String {
        let path = |path: &Path| quote(&path.to_string_lossy());
        let make = match self.make.filter(|make| !make.trim().is_empty()) {
            Some(make) => make.to_owned(),
            None => format!("make -C {} M={}", path(self.headers), path(self.build_dir)),
        };
        let mut line = match make.strip_prefix("make") {
            Some(rest) => {
                let jobs = match self.jobs {
                    None => String::new(),
                    Some(0) => " -j".to_owned(),
                    Some(jobs) => format!(" -j{jobs}"),
                };
                format!("make{jobs} KERNELRELEASE={}{rest}", quote(self.kernel.as_str()))
            }
            None => make,
        };
        if self.clang && is_one_command(&line) {
            line.push_str(" LLVM=1");
        }
        line
    }
}

/// How many jobs a conf's make command asks for itself (`-jN`); 0 where it sets no limit, or one that only
/// its shell knows; `None` where it leaves that to us.
#[must_use]
pub fn jobs_of_its_own(make: &str) -> Option<u32> {
    let mut words = make.split_whitespace().peekable();
    let mut jobs = None;
    while let Some(word) = words.next() {
        let of_word = word.strip_prefix("-j").or_else(|| word.strip_prefix("--jobs"));
        let Some(number) = of_word.map(|rest| rest.trim_start_matches('=')) else { continue };
        let number = match number {
            "" => words.next_if(|next| next.parse::<u32>().is_ok()).unwrap_or_default(),
            number => number,
        };
        jobs = Some(number.parse().unwrap_or(0));
    }
    jobs
}

/// Whether a shell line is a single simple command, so that words appended to it are that
/// command's arguments.
fn is_one_command(line: &str) -> bool {
    let mut quoted_by = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quoted_by, c) {
            (None | Some('"'), '\\') => drop(characters.next()),
            (None, '\'' | '"') => quoted_by = Some(c),
            (Some(quote), _) if c == quote => quoted_by = None,
            (None, ';' | '&' | '|' | '\n' | '#' | '(' | ')' | '{' | '}' | '`') => return false,
            _ => {}
        }
    }
    quoted_by.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(make: Option<&str>, jobs: Option<u32>, clang: bool) -> String {
        let kernel = KernelRelease::new("6.1.0-56-amd64").unwrap();
        let (headers, build_dir) =
            (Path::new("/lib/modules/K/build"), Path::new("/var/lib/dkms/foo/1.0/build"));
        MakeCommand { make, kernel: &kernel, headers, build_dir, jobs, clang }.line()
    }

    #[test]
    fn lines_are_those_of_the_original() {
        let release = "KERNELRELEASE=6.1.0-56-amd64";
        assert_eq!(
            line(None, Some(2), false),
            format!("make -j2 {release} -C /lib/modules/K/build M=/var/lib/dkms/foo/1.0/build")
        );
        assert_eq!(line(Some("make"), Some(0), false), format!("make -j {release}"));
        assert_eq!(line(Some("make; true"), None, false), format!("make {release}; true"));
        assert_eq!(line(Some("makefoo bar"), Some(1), false), format!("make -j1 {release}foo bar"));
        assert_eq!(line(Some("'make' all"), Some(2), false), "'make' all");
        assert_eq!(line(Some(" make all"), Some(2), false), " make all");
    }

    #[test]
    fn jobs_of_a_conf_are_seen() {
        for (make, jobs) in [
            ("make all", None),
            ("make -j8 all", Some(8)),
            ("'make' -j 4 KERNELRELEASE=6.1", Some(4)),
            ("make --jobs=3", Some(3)),
            ("make -j all", Some(0)),
            ("make -j$(nproc) all", Some(0)),
            ("make -j1 && make -j2", Some(2)),
        ] {
            assert_eq!(jobs_of_its_own(make), jobs, "{make}");
        }
    }

    #[test]
    fn llvm_is_appended_to_a_single_command_only() {
        for make in
            ["'make' all", "./build.sh \"a;b\"", r"./b a\;b", "./b >log x=${y}".split('$').next().unwrap()]
        {
            assert_eq!(line(Some(make), None, true), format!("{make} LLVM=1"));
        }
        for make in ["./a && ./b", "./a; ./b", "./a | tee x", "./a\n./b", "./a # why", "(cd x; ./a)"] {
            assert_eq!(line(Some(make), None, true), make);
        }
    }
}
