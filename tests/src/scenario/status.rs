//! What `dkms status` says, as lines; and its JSON document as the same lines, so that the
//! two can be compared.

use serde_json::Value;

use crate::root::Output;

/// The lines, and how it ended where that is no success.
#[must_use]
pub(super) fn lines(output: &Output) -> Vec<String> {
    ended(output, output.stdout.lines().map(str::to_owned).collect())
}

/// The lines that a document stands for, and how it ended; something else than a document is
/// a line that says so.
#[must_use]
pub(super) fn of_document(output: &Output) -> Vec<String> {
    let lines = match output.stdout.as_str() {
        "" if output.code != 0 => Vec::new(),
        text => read(text).unwrap_or_else(|| vec![format!("(no document: {text:?})")]),
    };
    ended(output, lines)
}

fn ended(output: &Output, mut lines: Vec<String>) -> Vec<String> {
    if output.code != 0 {
        lines.push(format!("(exit code {})", output.code));
    }
    lines
}

fn read(text: &str) -> Option<Vec<String>> {
    let document: Value = serde_json::from_str(text).ok()?;
    document.get("version")?.as_u64()?;
    document.get("modules")?.as_array()?.iter().map(line).collect()
}

fn line(module: &Value) -> Option<String> {
    let word = |name: &str| module.get(name)?.as_str();
    let (name, version, state) = (word("module")?, word("version")?, word("state")?);
    let remarks: Option<String> = REMARKS
        .iter()
        .map(|(name, text)| {
            let is_so = module.get(name)?.as_bool()?;
            Some(if is_so { format!(" ({text})") } else { String::new() })
        })
        .collect();
    let remarks = remarks?;
    Some(match (word("kernel"), word("arch")) {
        (Some(kernel), Some(arch)) if state == "installed-weak" => {
            format!("{name}, {version}, {kernel}, {arch}: {state} from {}", word("built_for")?)
        }
        (Some(kernel), Some(arch)) => format!("{name}/{version}, {kernel}, {arch}: {state}{remarks}"),
        _ => format!("{name}/{version}: {state}{remarks}"),
    })
}

/// The remarks, by their names in the document and as the lines have them, in the lines' order.
const REMARKS: [(&str, &str); 3] = [
    ("original_modules_exist", "Original modules exist"),
    ("built_modules_missing", "Built modules are missing in the kernel modules folder"),
    ("built_and_installed_differ", "Differences between built and installed modules"),
];

#[cfg(test)]
mod tests {
    use super::{of_document, read};
    use crate::root::Output;

    #[test]
    fn a_document_is_read_as_lines() {
        let module = |state: &str, kernel: &str, originals: bool| {
            format!(
                r#"{{"module":"foo","version":"1.0","state":"{state}","kernel":{kernel},"arch":{kernel},"built_for":{kernel},
                "original_modules_exist":{originals},"built_modules_missing":false,"built_and_installed_differ":false}}"#
            )
        };
        let modules = [module("added", "null", false), module("installed", "\"k\"", true)].join(",");
        let lines = read(&format!(r#"{{"version":1,"modules":[{modules}]}}"#)).unwrap();
        assert_eq!(lines, ["foo/1.0: added", "foo/1.0, k, k: installed (Original modules exist)"]);
        assert_eq!(read("foo/1.0: added\n"), None);
        assert_eq!(read(r#"{"version":1,"modules":[{"module":"foo"}]}"#), None);
    }

    #[test]
    fn only_a_failure_may_be_without_a_document() {
        let output = |code| Output { code, stdout: String::new(), stderr: String::new() };
        assert_eq!(of_document(&output(4)), ["(exit code 4)"]);
        assert_eq!(of_document(&output(0)), ["(no document: \"\")"]);
    }
}
