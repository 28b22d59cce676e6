//! A plan as a table for people. Pure: a plan in, lines out.

use dkms_core::plan::{Action, Plan, Step};

const HEAD: [&str; 6] = ["", "STEP", "MODULE", "KERNEL", "AFTER", "WHY"];

/// The steps of a plan, a line each below a head; nothing for an empty plan.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<String> {
    if plan.is_empty() {
        return Vec::new();
    }
    let head = HEAD.map(str::to_owned);
    let rows = plan.steps.iter().enumerate().map(|(place, step)| row(place, step));
    lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// Columns as wide as their widest cell, two blanks between them; a column without any content is left out.
fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let is_filled = |column: usize| rows.iter().skip(1).any(|row| !row[column].is_empty());
    let columns: Vec<(usize, usize)> =
        (0..N).filter(|column| is_filled(*column)).map(|column| (column, width(column))).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<_> = columns
            .iter()
            .map(|(column, width)| format!("{:<width$}", row[*column], width = *width))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(place: usize, step: &Step) -> [String; 6] {
    let mut waits: Vec<usize> = step.waits_for().map(|id| id.0 + 1).collect();
    waits.sort_unstable();
    waits.dedup();
    let why = match &step.action {
        Action::Refuse(refusal) => refusal.to_string(),
        _ => step.why.clone(),
    };
    [
        (place + 1).to_string(),
        verb(&step.action),
        step.action.module().map(ToString::to_string).unwrap_or_default(),
        step.action.target().map(|target| format!("{}/{}", target.kernel, target.arch)).unwrap_or_default(),
        numbers(&waits),
        why,
    ]
}

fn verb(action: &Action) -> String {
    match action {
        Action::SweepKernel { .. } => "remove empty folders".to_owned(),
        Action::PostTransaction { .. } => "post_transaction".to_owned(),
        Action::Refuse(_) => "fail".to_owned(),
        Action::Add { source: Some(_), .. } => "copy and add".to_owned(),
        other => other.to_string().split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// `1-3, 5` for 1, 2, 3, 5.
fn numbers(sorted: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in sorted {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *number => *end = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let shown = runs.into_iter().map(|(start, end)| match end - start {
        0 => start.to_string(),
        1 => format!("{start}, {end}"),
        _ => format!("{start}-{end}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::id::{ModuleId, Target};
    use dkms_core::plan::{Refusal, StepId};

    fn step(action: Action, why: &str, needs: &[usize], after: &[usize]) -> Step {
        let ids = |list: &[usize]| list.iter().copied().map(StepId).collect();
        Step { action, why: why.to_owned(), needs: ids(needs), after: ids(after), lands: Vec::new() }
    }

    #[test]
    fn a_plan_is_a_table() {
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let target = Target::parse("6.1.0-9-amd64", "x86_64").unwrap();
        let steps = vec![
            step(Action::Add { id: id.clone(), source: None }, "it was requested", &[], &[]),
            step(Action::Build { id: id.clone(), target: target.clone() }, "it is not built yet", &[0], &[]),
            step(
                Action::Install { id: id.clone(), target: target.clone() },
                "it is not installed yet",
                &[1],
                &[],
            ),
            step(Action::Depmod { target: target.clone() }, "its modules change", &[], &[2]),
            step(Action::Refuse(Refusal::NotInTree { id }), "", &[], &[]),
            step(
                Action::PostTransaction { targets: vec![target] },
                "framework.conf asks for it",
                &[],
                &[0, 1, 2, 3],
            ),
        ];
        insta::assert_snapshot!(of_plan(&Plan { steps, remarks: Vec::new() }).join("\n"), @r"
           STEP              MODULE   KERNEL                AFTER  WHY
        1  add               foo/1.0                               it was requested
        2  build             foo/1.0  6.1.0-9-amd64/x86_64  1      it is not built yet
        3  install           foo/1.0  6.1.0-9-amd64/x86_64  2      it is not installed yet
        4  depmod                     6.1.0-9-amd64/x86_64  3      its modules change
        5  fail              foo/1.0                               module `foo/1.0` is not in the dkms tree
        6  post_transaction                                 1-4    framework.conf asks for it
        ");
        assert!(of_plan(&Plan { steps: Vec::new(), remarks: Vec::new() }).is_empty());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(numbers(&[1, 2, 3, 5, 7, 8]), "1-3, 5, 7, 8");
        assert_eq!(numbers(&[]), "");
    }
}
