//! The variables while a conf is evaluated.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::ast::{Assignment, Command, Element, Script, Value};
use super::{Certain, arith, needs_bash};
use crate::found::{Found, Given};

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Scalar(String),
    Array(BTreeMap<usize, String>),
}

impl Variable {
    /// The element at an index; a scalar is its own element 0.
    pub(super) fn at(&self, index: usize) -> Option<&str> {
        match self {
            Self::Scalar(value) => (index == 0).then_some(value),
            Self::Array(values) => values.get(&index).map(String::as_str),
        }
    }

    /// All elements in order.
    pub(super) fn all(&self) -> Vec<&str> {
        match self {
            Self::Scalar(value) => vec![value],
            Self::Array(values) => values.values().map(String::as_str).collect(),
        }
    }

    fn into_array(self) -> BTreeMap<usize, String> {
        match self {
            Self::Scalar(value) => BTreeMap::from([(0, value)]),
            Self::Array(values) => values,
        }
    }
}

/// What is set, over what was given.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    set: HashMap<String, Variable>,
    given: &'a Given<'a>,
    /// Names whose values may differ on another kernel.
    of_kernel: HashSet<String>,
    /// What was expanded since this was taken may.
    touched: Cell<bool>,
    /// A decision was made by such a value: all may.
    decided: Cell<bool>,
    /// How many bytes were expanded.
    spent: usize,
}

/// The variables of ours whose values differ between kernels.
const OF_KERNEL: [&str; 4] = ["kernelver", "arch", "kernel_source_dir", "kernel_config"];

/// More than any conf expands to: values can grow tenfold a line, and only bash has a limit of memory.
const BUDGET: usize = 16 << 20;

impl<'a> Scope<'a> {
    /// A scope in which nothing was set yet.
    pub(crate) fn new(given: &'a Given<'a>) -> Self {
        let (touched, decided) = (Cell::default(), Cell::default());
        Self { set: HashMap::new(), given, of_kernel: HashSet::new(), touched, decided, spent: 0 }
    }

    /// The value that was set for a name may differ on another kernel.
    pub(crate) fn differs(&mut self, name: &str) {
        self.of_kernel.insert(name.to_owned());
    }

    /// Whether something that was expanded since this was asked may differ on another kernel.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.take() || self.decided.get()
    }

    /// The value that was expanded last decides whether, or to what, the next one is expanded.
    pub(super) fn decide(&self) {
        self.decided.set(self.decided.get() || self.touched.get());
    }

    /// Counts what is expanded.
    ///
    /// # Errors
    /// [`NeedsBash`](super::NeedsBash) where it is too much.
    pub(super) fn spend(&mut self, bytes: usize) -> Certain<()> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > BUDGET { needs_bash("values that grow too large") } else { Ok(()) }
    }

    /// What `nproc` would print, if we know.
    pub(super) fn processors(&self) -> Option<usize> {
        self.given.processors
    }

    /// A variable's elements, if it is set.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&Variable) -> T) -> Option<T> {
        if self.of_kernel.contains(name) || OF_KERNEL.contains(&name) && !self.set.contains_key(name) {
            self.touched.set(true);
        }
        if let Some(variable) = self.set.get(name) {
            return Some(look(variable));
        }
        self.given.value(name).map(|value| look(&Variable::Scalar(value.to_owned())))
    }

    /// The value of `$name`.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.with(name, |variable| variable.at(0).map(str::to_owned)).flatten()
    }

    /// `name=value`: of an array, its first element.
    pub(crate) fn assign(&mut self, name: &str, value: String) {
        // Within an expression: `$((x++))`.
        if self.touched.get() {
            self.differs(name);
        }
        match self.set.get_mut(name) {
            Some(Variable::Array(values)) => drop(values.insert(0, value)),
            _ => drop(self.set.insert(name.to_owned(), Variable::Scalar(value))),
        }
    }

    /// `name[index]=value`.
    pub(crate) fn assign_at(&mut self, name: &str, index: usize, value: String) {
        let mut values = self.as_array(name);
        values.insert(index, value);
        self.set.insert(name.to_owned(), Variable::Array(values));
    }

    fn as_array(&mut self, name: &str) -> BTreeMap<usize, String> {
        let own = self.set.remove(name);
        own.or_else(|| self.with(name, Variable::clone)).map(Variable::into_array).unwrap_or_default()
    }

    /// Runs a whole file.
    ///
    /// # Errors
    /// [`NeedsBash`](super::NeedsBash); then what was set so far means nothing.
    pub(super) fn run(&mut self, script: &Script) -> Certain<()> {
        for Command { test, assignment } in &script.0 {
            let holds = test.as_ref().map_or(Ok(true), |test| self.holds(test))?;
            self.decide();
            if holds {
                self.perform(assignment)?;
            }
            if self.take_touched() {
                self.differs(&assignment.name);
            }
        }
        Ok(())
    }

    fn perform(&mut self, assignment: &Assignment) -> Certain<()> {
        let Assignment { name, index, append, value } = assignment;
        match (value, index) {
            (Value::Scalar(word), None) => {
                let value = self.text(word)?;
                let before = if *append { self.value(name).unwrap_or_default() } else { String::new() };
                self.spend(before.len())?;
                self.assign(name, before + &value);
            }
            (Value::Scalar(word), Some(index)) => {
                let value = self.text(word)?;
                let index = arith::index(self, index)?;
                let before =
                    append.then(|| self.with(name, |variable| variable.at(index).map(str::to_owned)));
                let before = before.flatten().flatten().unwrap_or_default();
                self.assign_at(name, index, before + &value);
            }
            (Value::Array(elements), _) => {
                let added = self.elements(elements)?;
                let mut values = if *append { self.as_array(name) } else { BTreeMap::new() };
                let mut next = values.last_key_value().map_or(0, |(last, _)| last + 1);
                for (index, value) in added {
                    let index = index.unwrap_or(next);
                    if index > MOST {
                        return needs_bash("a huge index");
                    }
                    values.insert(index, value);
                    next = index + 1;
                }
                self.set.insert(name.clone(), Variable::Array(values));
            }
        }
        Ok(())
    }

    fn elements(&mut self, elements: &[Element]) -> Certain<Vec<(Option<usize>, String)>> {
        elements.iter().map(|element| Ok((element.index, self.element_text(&element.word)?))).collect()
    }

    /// What was set of `wanted`, and of `DKMS_DIRECTIVE…`; and all names.
    pub(crate) fn found(self, wanted: &[&str]) -> Found {
        let mut found = Found { decided: self.decided.get(), of_kernel: self.of_kernel, ..Found::default() };
        for (name, variable) in self.set {
            if self.given.value(&name).is_none() {
                found.names.insert(name.clone());
            }
            if wanted.contains(&name.as_str()) || name.starts_with("DKMS_DIRECTIVE") {
                found.values.insert(name, variable.into_array());
            }
        }
        found.values.retain(|_, values| !values.is_empty());
        found
    }
}

/// Arrays that reach further are bash's business.
pub(super) const MOST: usize = 1 << 20;
