//! Which module names which.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use super::sources::{Module, is_test};

/// A module of the same package that a module names.
pub(crate) struct Import {
    /// The path below the crate as it is written, with `self` and `super` resolved.
    pub(crate) path: Vec<String>,
}

/// Everything that a module names of its own package, in `use` items and in paths.
pub(crate) fn of(module: &Module) -> Vec<Import> {
    let mut finder = Finder {
        here: &module.path,
        found: BTreeSet::new(),
    };
    for item in module.items() {
        finder.visit_item(item);
    }
    let found = finder.found.into_iter();
    found.map(|path| Import { path }).collect()
}

/// The names that a module re-exports from its children: name → path of the child.
pub(crate) fn re_exports(module: &Module) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    for item in module.items() {
        let syn::Item::Use(item) = item else { continue };
        let mut paths = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut paths);
        for written in paths {
            let Some(path) = resolve(&written, &module.path, &module.children) else {
                continue;
            };
            if let Some(name) = path.last().filter(|_| path.len() > module.path.len() + 1) {
                names.insert(name.clone(), path[..path.len() - 1].to_vec());
            }
        }
    }
    names
}

struct Finder<'a> {
    here: &'a [String],
    found: BTreeSet<Vec<String>>,
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut paths = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut paths);
        let resolved = paths
            .iter()
            .filter_map(|path| resolve(path, self.here, &[]));
        self.found.extend(resolved);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if written.len() > 1 {
            self.found.extend(resolve(&written, self.here, &[]));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }
}

fn flatten(tree: &syn::UseTree, before: &mut Vec<String>, into: &mut Vec<Vec<String>>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, into);
            before.pop();
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, into);
            }
        }
        syn::UseTree::Name(name) => {
            let mut path = before.clone();
            if name.ident != "self" {
                path.push(name.ident.to_string());
            }
            into.push(path);
        }
        syn::UseTree::Rename(name) => {
            let mut path = before.clone();
            path.push(name.ident.to_string());
            into.push(path);
        }
        syn::UseTree::Glob(_) => into.push(before.clone()),
    }
}

/// The path below the crate; `None` for another crate's.
fn resolve(written: &[String], here: &[String], children: &[String]) -> Option<Vec<String>> {
    let (first, rest) = written.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([here, rest].concat()),
        "super" => {
            let mut base = here.to_vec();
            base.pop();
            let mut rest = rest;
            while let Some((first, tail)) = rest.split_first().filter(|(f, _)| *f == "super") {
                let _ = first;
                base.pop();
                rest = tail;
            }
            Some([&base, rest].concat())
        }
        name if children.iter().any(|child| child == name) => Some([here, written].concat()),
        _ => None,
    }
}
