//! Spec files, read.

use std::path::Path;

use proptest::prelude::*;

use super::macros::Macros;
use super::spec::{Care, Phase, Script, Spec, Tag};

fn read(text: &str, care: Care) -> Result<Spec, String> {
    let mut macros = Macros::new();
    for (name, meaning) in [("module_name", "foo"), ("version", "1.0")] {
        macros.define(name, meaning);
    }
    Spec::read(text, Path::new("x.spec"), macros, care).map_err(|error| error.to_string())
}

const WHOLE: &str = "\
# a comment: not a tag
%{?!module_name: %{error: no %%module_name}}
%{?!lib: %define lib %{_prefix}/lib}
%global both %{lib}\\
/x
Name: %{module_name}-dkms
Version: 9
License: %{?license}%{!?license:MIT}
Summary: Module %{name} in %{version}
Requires(post): dkms >= 3, kmod
%if 0%{?fedora} >= 30 && 1
URL: https://fedora
%else
URL: https://other
%endif
%ifarch x86_64
Vendor: nobody
%endif

%description
More of %{name}.

100%%

%package -n other
Summary: other

%description -n other
no

%prep
%setup -q -n %{module_name}-src

%post
%{lib}/dkms/run %{module_name} ${x%%.*}
exit 0

%post -n other
no

%preun -p /bin/bash
echo %{both}

%files
%changelog
";

#[test]
fn a_spec_is_read_as_rpm_reads_it() {
    let spec = read(WHOLE, Care::Whole).unwrap();
    for (name, value) in [
        ("name", "foo-dkms"),
        ("license", "MIT"),
        ("summary", "Module foo-dkms in 1.0"),
        ("url", "https://other"),
    ] {
        assert_eq!(spec.tag(name), Some(value));
    }
    assert_eq!(spec.tag("vendor"), None);
    let requires =
        Tag { name: "requires".into(), qualifier: Some("post".into()), value: "dkms >= 3, kmod".into() };
    assert!(spec.tags.contains(&requires));
    assert_eq!(spec.description.as_deref(), Some("More of foo-dkms.\n\n100%"));
    assert_eq!(spec.folder.as_deref(), Some("foo-src"));
    assert_eq!(
        spec.scripts,
        [
            Script {
                phase: Phase::Post,
                program: vec![],
                text: "/usr/lib/dkms/run foo ${x%.*}\nexit 0".into()
            },
            Script {
                phase: Phase::Preun,
                program: vec!["/bin/bash".into()],
                text: "echo /usr/lib\n/x".into()
            },
        ]
    );
}

#[test]
fn what_is_not_understood_is_told_with_its_line() {
    for (text, why) in [
        ("Name: a\nLicense: %(id)\n", "line 2"),
        ("%if %{x}\n%endif\n", "line 1"),
        ("%if 1\n", "`%endif`"),
        ("%endif\n", "no `%if`"),
        ("%else\n", "no `%if`"),
        ("%include a.inc\n", "another file"),
        ("%post -f a.sh\n", "another file"),
        ("%post -p <lua>\n", "no program"),
        ("nonsense\n", "neither"),
        ("%{?!license: %{error: say a licence}}\n", "say a licence"),
    ] {
        let error = read(text, Care::Whole).unwrap_err();
        assert!(error.contains(why) && error.contains("x.spec"), "{text}: {error}");
    }
}

#[test]
fn for_rpmbuild_most_is_enough() {
    let text = "Name: a\nVersion: 2\nSource0: %{name}-%{version}.tar.xz\n%if %{x}\nSource1: a\n%else\nPatch1: b\n%endif\nLicense: %(id)\n%post\n%{x}\n";
    let spec = read(text, Care::Most).unwrap();
    assert_eq!((spec.tag("source0"), spec.tag("license")), (Some("a-2.tar.xz"), None));
    assert_eq!((spec.tag("source1"), spec.tag("patch1")), (Some("a"), Some("b")));
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "(%if|%else|%endif|%post|%define |%\\{|\\}|a: |\n| |é|%|-p|-n|\\\\){0,30}") {
        // What is understood whole is read the same with less care.
        match read(&text, Care::Whole) {
            Ok(spec) => prop_assert_eq!(read(&text, Care::Most), Ok(spec)),
            Err(error) => prop_assert!(error.contains("x.spec"), "{}", error),
        }
    }
}
