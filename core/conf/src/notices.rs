//! What is worth a warning in a conf that is valid: misspelt directives, deprecated ones, no modules.

use super::directive::Directive;
use super::ere::Ere;
use super::raw::RawConf;
use dkms_base::diagnose::exempt_hint;
use dkms_base::id::ModuleName;
use dkms_base::report::Event;

/// Warnings for `add`: also about names that look like a directive's.
#[must_use]
pub fn on_add(raw: &RawConf) -> Vec<Event> {
    let near = raw.other_names.iter().filter_map(|name| Some((name, near_miss(name)?)));
    let misspelt = near.map(|(name, meant)| {
        Event::warning(
            format!("`{}` sets `{name}`, which is not a directive", raw.file.display()),
            meant.map(|directive| format!("Did you mean `{directive}`?")),
        )
    });
    let complained = raw.complaints.iter().map(|said| {
        let command = said.strip_suffix(": command not found").and_then(|said| said.rsplit(": ").next());
        let is_directive = command.is_some_and(|command| command.parse::<Directive>().is_ok());
        let hint = is_directive.then(|| "An assignment has no blank before or after `=`".to_owned());
        Event::warning(format!("`{}`: {said}", raw.file.display()), hint)
    });
    complained.chain(misspelt).chain(of_author(raw)).collect()
}

/// Warnings where the conf of a module may mean something else than it would if root read it.
#[must_use]
pub fn on_unread(raw: &RawConf, name: &ModuleName) -> Vec<Event> {
    let file = raw.file.display();
    let unread = listed(&raw.unreadable).map(|named| {
        Event::warning(
            format!("`{file}` was read without {named}, which only root may read"),
            [UNREAD_HINT.to_owned()],
        )
    });
    let is_told = |line: &str| raw.unreadable.iter().any(|path| line.contains(&*path.to_string_lossy()));
    let refused = raw.refused.iter().filter(|refusal| !is_told(&refusal.line));
    let mut refused: Vec<String> = refused.map(ToString::to_string).collect();
    let refused = (!refused.is_empty()).then(|| {
        let first = refused.remove(0);
        refused.push(exempt_hint(name.as_str()));
        Event::warning(format!("`{file}` may have another meaning than for root: {first}"), refused)
    });
    unread.into_iter().chain(refused).collect()
}

/// What to do about files that a sandbox can't show.
pub const UNREAD_HINT: &str =
    "make it readable for all users (`chmod a+rX`), or name the module in `sandbox_exempt` in framework.conf";

/// The first few of a list of paths, quoted; `None` where it is empty.
#[must_use]
pub fn listed(paths: &[std::path::PathBuf]) -> Option<String> {
    const MOST: usize = 3;
    let names: Vec<String> = paths.iter().take(MOST).map(|path| format!("`{}`", path.display())).collect();
    let more = paths.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("{}{more}", names.join(", ")))
}

/// The warning about a conf of which nothing can be installed: to its author, and to who builds it.
#[must_use]
pub fn on_no_module(raw: &RawConf) -> Option<Event> {
    let names = [Directive::BuiltModuleName, Directive::DestModuleName, Directive::DestModuleLocation];
    names.iter().all(|directive| raw.all(*directive).next().is_none()).then(|| {
        let text = format!("`{}` names no modules: no file of it is installed", raw.file.display());
        Event::warning(text, ["Set `BUILT_MODULE_NAME[0]` and `DEST_MODULE_LOCATION[0]`".to_owned()])
    })
}

fn of_author(raw: &RawConf) -> Vec<Event> {
    let file = raw.file.display();
    let mut events = Vec::new();
    for (directive, hint) in DEPRECATED {
        if raw.all(*directive).any(|(_, value)| !value.is_empty()) {
            events.push(Event::warning(
                format!("`{file}` sets `{directive}`, which is deprecated"),
                [(*hint).to_owned()],
            ));
        }
    }
    if let Some(command) = super::resolve::clean(raw) {
        events.push(Event::warning(
            format!("`{file}` sets `CLEAN` to `{command}`, which is deprecated and never run"),
            ["Every build starts with a fresh copy of the source: remove it".to_owned()],
        ));
    }
    for (directive, index, value) in [
        Directive::MakeMatch,
        Directive::PatchMatch,
        Directive::BuildExclusiveKernel,
        Directive::BuildExclusiveArch,
    ]
    .into_iter()
    .flat_map(|directive| raw.all(directive).map(move |(index, value)| (directive, index, value)))
    {
        if let Err(error) = Ere::new(value) {
            events.push(Event::warning(
                format!("`{file}`: `{directive}[{index}]` matches nothing: {error}"),
                [],
            ));
        }
    }
    events
}

const DEPRECATED: &[(Directive, &str)] = &[
    (Directive::ObsoleteBy, "Use `BUILD_EXCLUSIVE_KERNEL_MAX`"),
    (Directive::ModulesConfObsoletes, "It is ignored: remove it"),
    (Directive::ModulesConfAliasType, "It is ignored: remove it"),
    (Directive::ModulesConfObsoleteOnly, "It is ignored: remove it"),
];

/// Scripts that people expect, and which don't exist.
const NO_SUCH_SCRIPTS: &[(&str, Option<Directive>)] = &[
    ("PRE_ADD", None),
    ("PRE_REMOVE", Some(Directive::PostRemove)),
    ("PRE_UNINSTALL", Some(Directive::PostRemove)),
    ("POST_UNINSTALL", Some(Directive::PostRemove)),
];

/// Whether a name looks like a directive's, and like whose.
fn near_miss(name: &str) -> Option<Option<Directive>> {
    if let Some((_, meant)) = NO_SUCH_SCRIPTS.iter().find(|(script, _)| *script == name) {
        return Some(*meant);
    }
    // Options of a kernel configuration, sourced by ten thousands: none of them is meant for us.
    if name.starts_with("CONFIG_") {
        return None;
    }
    // Short names (`MAKE`, `CLEAN`) have too many innocent neighbours (`CMAKE`).
    let close = |directive: &Directive| {
        let text = directive.as_str();
        name.len() > 7 && name.len().abs_diff(text.len()) <= 2 && distance(name, text) <= 2
    };
    Directive::ALL
        .iter()
        .copied()
        .filter(close)
        .min_by_key(|directive| distance(name, directive.as_str()))
        .map(Some)
}

/// How many letters must be put in, taken out or exchanged; two neighbours that are swapped count as one.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let cost = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = cost.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swapped: usize = before[j - 2];
                least = least.min(swapped + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_that_are_swapped_are_one_slip() {
        for (word, name, far) in [
            ("buidl", "build", 1),
            ("bulid", "build", 1),
            ("build", "build", 0),
            ("buid", "build", 1),
            ("", "add", 3),
            ("ca", "abc", 3),
            ("remvoe", "remove", 1),
        ] {
            assert_eq!((distance(word, name), distance(name, word)), (far, far), "{word}");
        }
    }

    #[test]
    fn near_misses_are_seen_and_helpers_are_not() {
        assert_eq!(near_miss("BUILD_MODULE_NAME"), Some(Some(Directive::BuiltModuleName)));
        assert_eq!(near_miss("PRE_REMOVE"), Some(Some(Directive::PostRemove)));
        assert_eq!(near_miss("DEST_MODULE_LOCATON"), Some(Some(Directive::DestModuleLocation)));
        assert_eq!(near_miss("PRE_ADD"), Some(None));
        for helper in ["KVER", "CMAKE", "DRV_VERSION", "MODULE_NAME", "SRCDIR", "PACKAGE"] {
            assert_eq!(near_miss(helper), None, "{helper}");
        }
    }

    #[test]
    fn what_a_sandbox_refused_to_a_conf_is_told() {
        let mut raw = RawConf { file: "/usr/src/a-1/dkms.conf".into(), ..RawConf::default() };
        let name = ModuleName::new("a").unwrap();
        assert_eq!(on_unread(&raw, &name), []);
        raw.refused = dkms_base::diagnose::refusals_in("/dev/mem: No such file or directory\n");
        let [Event::Warning { text, hints }] = &on_unread(&raw, &name)[..] else { panic!() };
        assert!(text.contains("`/usr/src/a-1/dkms.conf`") && text.contains("/dev/mem"), "{text}");
        assert!(hints[0].contains("sandbox_exempt"), "{hints:?}");
        raw.unreadable.push("/dev/mem".into());
        assert_eq!(on_unread(&raw, &name).len(), 1, "one refusal is reported once");
    }

    #[test]
    fn what_bash_says_of_a_line_is_told_to_its_author() {
        let mut raw = RawConf { file: "/usr/src/a-1/dkms.conf".into(), ..RawConf::default() };
        raw.set(Directive::BuiltModuleName, 0, "a");
        raw.complaints =
            vec!["line 5: AUTOINSTALL: command not found".into(), "line 6: lsb: command not found".into()];
        let [Event::Warning { text, hints }, Event::Warning { hints: other, .. }] = &on_add(&raw)[..] else {
            panic!()
        };
        assert_eq!(text, "`/usr/src/a-1/dkms.conf`: line 5: AUTOINSTALL: command not found");
        assert!(hints[0].contains("no blank") && other.is_empty(), "{hints:?} {other:?}");
    }

    #[test]
    fn each_warning_names_its_file() {
        let mut raw = RawConf { file: "/usr/src/a-1/dkms.conf".into(), ..RawConf::default() };
        raw.set(Directive::Clean, 0, "make clean");
        raw.set(Directive::ObsoleteBy, 0, "6.1");
        raw.set(Directive::PatchMatch, 3, "^(6");
        raw.set(Directive::BuiltModuleName, 0, "a");
        raw.other_names.insert("PAKAGE_NAME".to_owned());
        let events = on_add(&raw);
        assert_eq!(events.len(), 4, "{events:?}");
        for event in events {
            let Event::Warning { text, .. } = event else { panic!() };
            assert!(text.contains("`/usr/src/a-1/dkms.conf`"), "{text}");
        }
        raw.set(Directive::Clean, 0, "/bin/true");
        assert_eq!(of_author(&raw).len(), 2);
    }
}
