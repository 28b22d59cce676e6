//! Modules × kernels as a grid for a terminal: each kernel has a letter, each cell a state and a verdict.
//! Pure: plain data in, lines out; a line is parts of text, each with how it is painted.

use std::collections::BTreeMap;

use dkms_base::id::{ModuleId, Target};
use dkms_core::verify::Verdict;

/// Lines are no longer.
const WIDTH: usize = 80;
/// Blanks between columns.
const GAP: usize = 2;
/// The name of a module is cut to so many characters.
const NAME: usize = 34;

/// How a part of a line is painted (SGR), if at all.
pub type Part = (String, Option<&'static str>);

/// A kernel, and what is worth knowing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The kernel.
    pub target: Target,
    /// It runs now.
    pub is_running: bool,
    /// It is the newest, which most systems boot next.
    pub is_newest: bool,
}

/// The state of a module on a kernel, and whether the kernel will load it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The state, as `dkms status` names it.
    pub state: &'static str,
    /// The verdict, if there is one.
    pub verdict: Option<Verdict>,
}

/// The grid's lines: the kernels first, then a row for each module. Kernels that do not fit beside the others
/// get a block of their own.
#[must_use]
pub fn lines(columns: &[Column], cells: &BTreeMap<(ModuleId, Target), Cell>) -> Vec<Vec<Part>> {
    let mut modules: Vec<&ModuleId> = cells.keys().map(|(id, _)| id).collect();
    modules.dedup();
    let mut lines: Vec<Vec<Part>> =
        columns.iter().enumerate().map(|(place, column)| vec![plain(kernel(place, column))]).collect();
    let name_width = modules.iter().map(|id| id.to_string().chars().count()).max().unwrap_or(0).min(NAME);
    let text = |cell: &Cell| format!("{} {}", mark(cell.verdict).0, cell.state);
    let cell_width = cells.values().map(|cell| text(cell).chars().count()).max().unwrap_or(0);
    let in_a_block = (WIDTH.saturating_sub(name_width) / (cell_width + GAP)).max(1);
    for (block, columns) in columns.chunks(in_a_block).enumerate() {
        lines.push(Vec::new());
        let letters = (0..columns.len()).map(|place| letter(block * in_a_block + place));
        let head: String = letters.map(|letter| format!("  {letter:<cell_width$}")).collect();
        lines.push(vec![plain(format!("{:name_width$}{}", "", head.trim_end()))]);
        for id in &modules {
            let mut line = vec![plain(format!("{:name_width$}", cut(&id.to_string())))];
            for column in columns {
                let cell = cells.get(&((*id).clone(), column.target.clone()));
                let shown = cell.map(text).unwrap_or_else(|| "-".to_owned());
                let paint = cell.and_then(|cell| mark(cell.verdict).1);
                let blanks = " ".repeat(cell_width.saturating_sub(shown.chars().count()));
                line.extend([plain(" ".repeat(GAP)), (shown, paint), plain(blanks)]);
            }
            lines.push(line);
        }
    }
    lines
}

fn plain(text: String) -> Part {
    (text, None)
}

/// The sign of a verdict, and its colour.
fn mark(verdict: Option<Verdict>) -> (char, Option<&'static str>) {
    match verdict {
        Some(Verdict::Proven) => ('+', Some("32")),
        Some(Verdict::Unknown) => ('?', Some("33")),
        Some(Verdict::Refuted) => ('!', Some("1;31")),
        None => (' ', None),
    }
}

fn kernel(place: usize, Column { target, is_running, is_newest }: &Column) -> String {
    let remark = match (is_running, is_newest) {
        (true, true) => "  (running, newest)",
        (true, false) => "  (running)",
        (false, true) => "  (newest)",
        (false, false) => "",
    };
    format!("{}  {}/{}{remark}", letter(place), target.kernel, target.arch)
}

/// A, B, … Z, AA, AB, …
fn letter(place: usize) -> String {
    let last = char::from(b'A' + u8::try_from(place % 26).unwrap_or_default());
    match place / 26 {
        0 => last.to_string(),
        more => format!("{}{last}", letter(more - 1)),
    }
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        None => name.to_owned(),
        Some(_) => name.chars().take(NAME - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[Vec<Part>]) -> Vec<String> {
        let line = |parts: &Vec<Part>| parts.iter().map(|(text, _)| text.as_str()).collect::<String>();
        lines.iter().map(|parts| line(parts).trim_end().to_owned()).collect()
    }

    fn columns(count: usize) -> Vec<Column> {
        let column = |place: usize| Column {
            target: Target::parse(&format!("6.{place}.0-57-amd64"), "x86_64").unwrap(),
            is_running: place == 0,
            is_newest: place + 1 == count,
        };
        (0..count).map(column).collect()
    }

    fn cell(
        name: &str,
        column: &Column,
        state: &'static str,
        verdict: Verdict,
    ) -> ((ModuleId, Target), Cell) {
        let id = ModuleId::parse(name, "1.0").unwrap();
        ((id, column.target.clone()), Cell { state, verdict: Some(verdict) })
    }

    #[test]
    fn states_and_verdicts_are_seen_at_once() {
        let columns = columns(2);
        let cells = [
            cell("nvidia", &columns[0], "installed", Verdict::Proven),
            cell("nvidia", &columns[1], "installed", Verdict::Refuted),
            cell("zfs", &columns[0], "built", Verdict::Unknown),
        ];
        let lines = lines(&columns, &cells.into());
        assert_eq!(
            text(&lines),
            [
                "A  6.0.0-57-amd64/x86_64  (running)",
                "B  6.1.0-57-amd64/x86_64  (newest)",
                "",
                "            A            B",
                "nvidia/1.0  + installed  ! installed",
                "zfs/1.0     ? built      -",
            ]
        );
        assert_eq!(lines[4][5], ("! installed".to_owned(), Some("1;31")));
    }

    #[test]
    fn many_kernels_stand_in_blocks_and_no_line_is_too_long() {
        let columns = columns(30);
        let long = "a-very-long-name-of-a-module-that-nobody-types";
        let cells = columns.iter().map(|column| cell(long, column, "installed", Verdict::Proven)).collect();
        let lines = text(&lines(&columns, &cells));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines.iter().any(|line| line.trim_start().starts_with("AB")), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("+ installed")).count(), 10);
    }
}
