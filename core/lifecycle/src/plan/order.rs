//! Dependencies first: the order in which modules can be built, and cycles by their path.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ModuleName;

/// Modules in an order that builds each after what it depends on, and those that never can be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Can be built, in this order; by name where nothing else decides.
    pub sorted: Vec<ModuleName>,
    /// Are part of a circle, or depend on one: each with the circle it meets, its first
    /// name again at its end.
    pub cyclic: BTreeMap<ModuleName, Vec<ModuleName>>,
}

impl Order {
    /// What can be built, in rows: each module depends on none of its own row or of a later one. By name
    /// within a row.
    #[must_use]
    pub fn rows(&self, depends: &BTreeMap<ModuleName, Vec<ModuleName>>) -> Vec<BTreeSet<ModuleName>> {
        let mut row_of: BTreeMap<&ModuleName, usize> = BTreeMap::new();
        let mut rows: Vec<BTreeSet<ModuleName>> = Vec::new();
        for name in &self.sorted {
            let above = depends.get(name).into_iter().flatten().filter_map(|other| row_of.get(other));
            let row = above.max().map_or(0, |row| row + 1);
            row_of.insert(name, row);
            if rows.len() == row {
                rows.push(BTreeSet::new());
            }
            rows[row].insert(name.clone());
        }
        rows
    }
}

/// Sorts modules by what each depends on; names that are no key of `depends` are no concern of ours.
#[must_use]
pub fn sort(depends: &BTreeMap<ModuleName, Vec<ModuleName>>) -> Order {
    let mut order = Order::default();
    let mut visited = BTreeSet::new();
    for name in depends.keys() {
        visit(name, depends, &mut Vec::new(), &mut visited, &mut order);
    }
    order
}

fn visit(
    name: &ModuleName,
    depends: &BTreeMap<ModuleName, Vec<ModuleName>>,
    path: &mut Vec<ModuleName>,
    visited: &mut BTreeSet<ModuleName>,
    order: &mut Order,
) -> Option<Vec<ModuleName>> {
    let above = depends.get(name)?;
    if let Some(start) = path.iter().position(|seen| seen == name) {
        let mut circle = path[start..].to_vec();
        circle.push(name.clone());
        return Some(circle);
    }
    if visited.contains(name) {
        return order.cyclic.get(name).cloned();
    }
    path.push(name.clone());
    let circles: Vec<_> =
        above.iter().filter_map(|other| visit(other, depends, path, visited, order)).collect();
    path.pop();
    visited.insert(name.clone());
    match circles.into_iter().next() {
        Some(circle) => {
            order.cyclic.insert(name.clone(), circle.clone());
            Some(circle)
        }
        None => {
            order.sorted.push(name.clone());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(lines: &[(&str, &[&str])]) -> BTreeMap<ModuleName, Vec<ModuleName>> {
        let name = |text: &str| ModuleName::new(text).unwrap();
        lines.iter().map(|(a, b)| (name(a), b.iter().map(|text| name(text)).collect())).collect()
    }

    fn shown(names: &[ModuleName]) -> String {
        names.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_chain_is_built_from_its_end() {
        let order = sort(&graph(&[("a", &["b"]), ("b", &["c", "unknown"]), ("c", &[]), ("d", &[])]));
        assert_eq!(shown(&order.sorted), "c b a d");
        assert!(order.cyclic.is_empty());
    }

    #[test]
    fn what_depends_on_nothing_of_its_row_can_be_built_at_once() {
        let graph = graph(&[
            ("a", &["d"]),
            ("b", &["c", "unknown"]),
            ("c", &["d"]),
            ("d", &[]),
            ("e", &[]),
            ("x", &["x"]),
        ]);
        let rows = sort(&graph).rows(&graph);
        let shown: Vec<_> =
            rows.iter().map(|row| row.iter().map(ModuleName::as_str).collect::<String>()).collect();
        assert_eq!(shown, ["de", "ac", "b"]);
    }

    #[test]
    fn a_circle_is_named_by_its_path_and_the_rest_goes_on() {
        let order =
            sort(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[]), ("e", &["a", "d"])]));
        assert_eq!(shown(&order.sorted), "d");
        assert_eq!(order.cyclic.len(), 4);
        let name = |text: &str| ModuleName::new(text).unwrap();
        assert_eq!(shown(&order.cyclic[&name("e")]), "b c b");
        assert_eq!(shown(&order.cyclic[&name("c")]), "b c b");
    }

    proptest! {
        #[test]
        fn every_module_is_sorted_or_cyclic(edges in proptest::collection::vec((0_u8..8, 0_u8..8), 0..20)) {
            let name = |n: u8| ModuleName::new(format!("m{n}")).unwrap();
            let mut depends: BTreeMap<_, Vec<_>> = (0..8).map(|n| (name(n), Vec::new())).collect();
            for (a, b) in edges {
                depends.get_mut(&name(a)).unwrap().push(name(b));
            }
            let order = sort(&depends);
            prop_assert_eq!(order.sorted.len() + order.cyclic.len(), 8);
            for (place, module) in order.sorted.iter().enumerate() {
                for needed in &depends[module] {
                    prop_assert!(order.sorted[..place].contains(needed));
                }
            }
            for (module, circle) in &order.cyclic {
                prop_assert_eq!(circle.first(), circle.last());
                prop_assert!(circle.windows(2).all(|pair| depends[&pair[0]].contains(&pair[1])));
                prop_assert!(!order.sorted.contains(module));
            }
        }
    }
}
