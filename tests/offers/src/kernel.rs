//! Which kernels can be had with headers and image.

use std::collections::BTreeMap;

use crate::record::{Record, is_complete, records};
use crate::version::compare;

/// Which kernels are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its flavour: `cloud-amd64`.
    pub flavour: &'a str,
    /// How its releases are numbered.
    pub numbers: Numbers<'a>,
}

/// How the releases of a line are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers<'a> {
    /// By an ABI, as Debian's own line of bookworm is: `6.1.0-57`.
    Abi,
    /// They begin so: `6.12.`.
    Begin(&'a str),
    /// In any way but a backport's.
    Any,
}

/// A kernel that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release: `6.1.0-57-cloud-amd64`.
    pub release: String,
    /// The package of its headers.
    pub headers: String,
    /// The package of its image: the signed one, if that can be had.
    pub image: String,
}

impl<'a> Line<'a> {
    /// Releases of any numbering.
    #[must_use]
    pub const fn any(flavour: &'a str) -> Self {
        Self { flavour, numbers: Numbers::Any }
    }

    /// Releases that are numbered by an ABI.
    #[must_use]
    pub const fn by_abi(flavour: &'a str) -> Self {
        Self { flavour, numbers: Numbers::Abi }
    }

    /// Releases that begin so.
    #[must_use]
    pub const fn beginning(flavour: &'a str, begin: &'a str) -> Self {
        Self { flavour, numbers: Numbers::Begin(begin) }
    }

    /// The numbers of a release of this line, `6.1.0-57` of `6.1.0-57-amd64`; none for another's.
    #[must_use]
    pub fn numbers_of<'r>(&self, release: &'r str) -> Option<&'r str> {
        let numbers = release.strip_suffix(self.flavour)?.strip_suffix('-')?;
        let (version, rest) = numbers.split_at(numbers.find(['-', '+']).unwrap_or(numbers.len()));
        // `linux-headers-6.12-amd64` is a metapackage. What ends in a letter is of another
        // flavour, `6.1.0-57-rt`.
        let is_release = version.split('.').count() >= 3
            && version.split('.').all(|part| part.parse::<u32>().is_ok())
            && numbers.ends_with(|last: char| last.is_ascii_digit())
            && !rest.contains("bpo");
        let fits = match self.numbers {
            Numbers::Abi => rest.strip_prefix('-').is_some_and(|abi| abi.parse::<u32>().is_ok()),
            Numbers::Begin(begin) => numbers.starts_with(begin),
            Numbers::Any => true,
        };
        (is_release && fits).then_some(numbers)
    }

    /// In words, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let numbers = match self.numbers {
            Numbers::Abi => "N.N.N-ABI".to_owned(),
            Numbers::Begin(begin) => format!("{begin}*"),
            Numbers::Any => "*".to_owned(),
        };
        format!("linux-headers-{numbers}-{0} with linux-image-{numbers}-{0}[-unsigned]", self.flavour)
    }
}

/// The kernels of a line that can be had with headers and image, the newest first, from the answer to
/// [`QUESTION`](crate::QUESTION).
#[must_use]
pub fn kernels(answer: &str, line: &Line<'_>) -> Vec<Kernel> {
    let all = records(answer);
    let mut found: Vec<(&str, Kernel)> = Vec::new();
    let offered = all.iter().filter(|(name, record)| !record.only_installed && is_complete(&all, name));
    for (headers, _) in offered {
        let Some(release) = headers.strip_prefix("linux-headers-") else { continue };
        let Some(numbers) = line.numbers_of(release) else { continue };
        if let Some(image) = image_of(&all, release) {
            let (release, headers) = (release.to_owned(), (*headers).to_owned());
            found.push((numbers, Kernel { release, headers, image }));
        }
    }
    found.sort_by(|(one, _), (other, _)| compare(other, one));
    found.into_iter().map(|(_, kernel)| kernel).collect()
}

/// The package of a kernel's image: the signed one, if it can be had, or that which is not signed.
#[must_use]
pub fn image(answer: &str, release: &str) -> Option<String> {
    image_of(&records(answer), release)
}

fn image_of(all: &BTreeMap<&str, Record<'_>>, release: &str) -> Option<String> {
    let names = [format!("linux-image-{release}"), format!("linux-image-{release}-unsigned")];
    let is_offered = |name: &str| all.get(name).is_some_and(|record| !record.only_installed);
    names.into_iter().find(|name| is_offered(name) && is_complete(all, name))
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Line, image, kernels};

    /// A record for each line: name, version, and what it depends on.
    fn answer(lines: &[&str]) -> String {
        let record = |line: &&str| {
            let mut words = line.splitn(3, ' ');
            let mut next = || words.next().unwrap_or_default();
            format!(
                "Package: {}\nVersion: {}\nDepends: {}\nDescription: of a test\n more of it\n\n",
                next(),
                next(),
                next()
            )
        };
        lines.iter().map(record).collect()
    }

    /// Headers with what they share.
    fn headers(abi: u32, version: &str) -> Vec<String> {
        let mut lines = vec![format!("linux-headers-6.1.0-{abi}-common {version}")];
        for flavour in ["amd64", "cloud-amd64", "rt-amd64"] {
            lines.push(format!(
                "linux-headers-6.1.0-{abi}-{flavour} {version} linux-headers-6.1.0-{abi}-common (= {version}), \
                 linux-kbuild-6.1 (>= {version}), linux-compiler-gcc-12-x86"
            ));
        }
        lines
    }

    fn archive(with_headers: &[(u32, &str)], others: &[&str]) -> String {
        let mut lines: Vec<String> =
            with_headers.iter().flat_map(|(abi, version)| headers(*abi, version)).collect();
        lines.extend(others.iter().map(|line| (*line).to_owned()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        answer(&lines)
    }

    const SHARED: [&str; 2] = ["linux-kbuild-6.1 6.1.192-3", "linux-compiler-gcc-12-x86 6.1.192-3"];

    /// The images of flavour `cloud-amd64` that are chosen, the newest first.
    fn chosen(answer: &str) -> Vec<String> {
        kernels(answer, &Line::by_abi("cloud-amd64")).into_iter().map(|kernel| kernel.image).collect()
    }

    #[test]
    fn the_signed_image_may_be_days_away() {
        let images = [
            "linux-image-6.1.0-57-cloud-amd64-unsigned 6.1.192-3 kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool",
            "linux-image-6.1.0-56-cloud-amd64-unsigned 6.1.192-2",
            "linux-image-6.1.0-56-cloud-amd64 6.1.192-2",
            "linux-image-6.1.0-9-cloud-amd64 6.1.9-1",
            "linux-base 4.9",
        ];
        let archive = archive(
            &[(9, "6.1.9-1"), (57, "6.1.192-3"), (56, "6.1.192-2")],
            &[&images[..], &SHARED[..]].concat(),
        );
        let found = kernels(&archive, &Line::by_abi("cloud-amd64"));
        assert_eq!(
            found[0],
            Kernel {
                release: "6.1.0-57-cloud-amd64".to_owned(),
                headers: "linux-headers-6.1.0-57-cloud-amd64".to_owned(),
                image: "linux-image-6.1.0-57-cloud-amd64-unsigned".to_owned(),
            }
        );
        assert_eq!(
            chosen(&archive)[1..],
            ["linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-9-cloud-amd64"]
        );
        assert_eq!(kernels(&archive, &Line::by_abi("amd64")), [], "no image of this flavour");
        assert_eq!(image(&archive, "6.1.0-58-cloud-amd64"), None);
    }

    #[test]
    fn images_newer_than_any_headers_are_passed_over() {
        let images =
            ["linux-image-6.1.0-58-cloud-amd64 6.1.193-1", "linux-image-6.1.0-57-cloud-amd64 6.1.192-3"];
        let archive = archive(&[(57, "6.1.192-3")], &[&images[..], &SHARED[..]].concat());
        assert_eq!(chosen(&archive), ["linux-image-6.1.0-57-cloud-amd64"]);
    }

    #[test]
    fn headers_whose_dependencies_cannot_be_had_are_passed_over() {
        let images =
            ["linux-image-6.1.0-57-cloud-amd64 6.1.192-3", "linux-image-6.1.0-50-cloud-amd64 6.1.176-1"];
        // kbuild is from the older point release.
        let old = ["linux-kbuild-6.1 6.1.176-1", "linux-compiler-gcc-12-x86 6.1.176-1"];
        let both = [(57, "6.1.192-3"), (50, "6.1.176-1")];
        assert_eq!(
            chosen(&archive(&both, &[&images[..], &old[..]].concat())),
            ["linux-image-6.1.0-50-cloud-amd64"]
        );
        // The common part is of another version; one that is missing is the same.
        let whole = archive(&both, &[&images[..], &SHARED[..]].concat());
        assert_eq!(chosen(&whole).len(), 2);
        let other = whole.replace(
            "headers-6.1.0-57-common\nVersion: 6.1.192-3",
            "headers-6.1.0-57-common\nVersion: 6.1.192-4",
        );
        assert_eq!(chosen(&other), ["linux-image-6.1.0-50-cloud-amd64"]);
        let gone = whole.replace("Package: linux-headers-6.1.0-57-common\n", "Package: linux-other\n");
        assert_eq!(chosen(&gone), ["linux-image-6.1.0-50-cloud-amd64"]);
    }

    #[test]
    fn without_the_security_suite_the_release_does() {
        let images =
            ["linux-image-6.1.0-50-cloud-amd64 6.1.176-1", "linux-image-6.1.0-47-cloud-amd64 6.1.170-1"];
        let old = ["linux-kbuild-6.1 6.1.176-1", "linux-compiler-gcc-12-x86 6.1.176-1"];
        let archive = archive(&[(50, "6.1.176-1"), (47, "6.1.170-1")], &[&images[..], &old[..]].concat());
        assert_eq!(
            chosen(&archive),
            ["linux-image-6.1.0-50-cloud-amd64", "linux-image-6.1.0-47-cloud-amd64"]
        );
        assert_eq!(kernels(&archive, &Line::beginning("cloud-amd64", "6.12.")), []);
    }

    #[test]
    fn what_is_installed_can_be_depended_on_but_not_fetched() {
        let images = ["linux-image-6.1.0-50-cloud-amd64 6.1.176-1"];
        let apt = archive(&[(50, "6.1.176-1")], &images);
        assert_eq!(chosen(&apt), Vec::<String>::new(), "nothing is known of kbuild");
        let installed = |package: &str| {
            format!("\nPackage: {package}\nVersion: 6.1.192-3\nDepends: \nOnly-Installed: installed\n")
        };
        let names = [
            "linux-kbuild-6.1",
            "linux-compiler-gcc-12-x86",
            "linux-headers-6.1.0-57-cloud-amd64",
            "linux-image-6.1.0-57-cloud-amd64",
        ];
        let both = apt + &names.map(installed).concat();
        assert_eq!(chosen(&both), ["linux-image-6.1.0-50-cloud-amd64"]);
    }

    #[test]
    fn nothing_is_chosen_from_nothing() {
        for text in [
            "",
            "\n\n",
            "N: Unable to locate package linux-image\n",
            "Package: linux-headers-6.1.0-57-cloud-amd64\n",
        ] {
            assert_eq!(kernels(text, &Line::any("cloud-amd64")), [], "{text}");
        }
        assert_eq!(
            Line::by_abi("cloud-amd64").describe(),
            "linux-headers-N.N.N-ABI-cloud-amd64 with linux-image-N.N.N-ABI-cloud-amd64[-unsigned]"
        );
    }

    #[test]
    fn lines_are_told_apart_by_numbers_and_flavour() {
        for (release, flavour, any, by_abi, of_6_12) in [
            ("6.1.0-57-amd64", "amd64", true, true, false),
            ("6.1.0-57-cloud-amd64", "amd64", false, false, false),
            ("6.1.0-57-cloud-amd64", "cloud-amd64", true, true, false),
            ("6.1.0-57-rt-amd64", "amd64", false, false, false),
            ("6.12.117+deb12-cloud-amd64", "cloud-amd64", true, false, true),
            ("6.12.117+deb12-rt-amd64", "rt-amd64", true, false, true),
            // A metapackage, a backport, what flavours share.
            ("6.12-cloud-amd64", "cloud-amd64", false, false, false),
            ("6.12.9+bpo-amd64", "amd64", false, false, false),
            ("6.12.9+bpo12-amd64", "amd64", false, false, false),
            ("6.1.0-57-common", "amd64", false, false, false),
        ] {
            let fits = |line: Line<'_>| line.numbers_of(release).is_some();
            let found = (
                fits(Line::any(flavour)),
                fits(Line::by_abi(flavour)),
                fits(Line::beginning(flavour, "6.12.")),
            );
            assert_eq!(found, (any, by_abi, of_6_12), "{release} as {flavour}");
        }
    }

    #[test]
    fn headers_may_depend_on_their_image_and_on_each_other() {
        let archive = answer(&[
            "linux-headers-6.12.57+deb13-cloud-amd64 6.12.57-1 linux-image-6.12.57+deb13-cloud-amd64 (= 6.12.57-1) | \
             linux-image-6.12.57+deb13-cloud-amd64-unsigned (= 6.12.57-1), linux-kbuild-6.12.57+deb13",
            "linux-image-6.12.57+deb13-cloud-amd64-unsigned 6.12.57-1 linux-headers-6.12.57+deb13-cloud-amd64",
            "linux-kbuild-6.12.57+deb13 6.12.57-1",
        ]);
        let found = kernels(&archive, &Line::any("cloud-amd64"));
        assert_eq!(found[0].image, "linux-image-6.12.57+deb13-cloud-amd64-unsigned");
    }
}
