//! Lengths, spread of `impl`s, and module maps in the documentation.

use std::collections::{BTreeMap, BTreeSet};

use syn::{spanned::Spanned, visit::Visit};

use super::{
    assert_none,
    sources::{self, Module},
};

/// Production lines of a file.
const LONGEST_FILE: usize = 600;

/// Lines of a function from its signature to its last brace.
const LONGEST_FUNCTION: usize = 60;

/// Files that inherent `impl`s of one type may stand in.
const MOST_FILES_OF_A_TYPE: usize = 4;

/// Flat tables, which read best in one piece.
const TABLES: [&str; 0] = [];

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for module in sources::all() {
        let lines = module.production_lines().count();
        if lines > LONGEST_FILE && !TABLES.contains(&module.file.as_str()) {
            long.push(format!("{}: {lines} lines", module.file));
        }
    }
    assert_none(&format!("more than {LONGEST_FILE} lines"), &long);
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for module in &sources::all() {
        let mut finder = Functions {
            module,
            long: &mut long,
        };
        for item in module.items() {
            finder.visit_item(item);
        }
    }
    assert_none(&format!("more than {LONGEST_FUNCTION} lines"), &long);
}

struct Functions<'a> {
    module: &'a Module,
    long: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn check(&mut self, name: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - name.span().start().line + 1;
        if lines > LONGEST_FUNCTION {
            let line = name.span().start().line;
            let (file, name) = (&self.module.file, &name.ident);
            self.long
                .push(format!("{file}:{line}: {name} has {lines} lines"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !sources::is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }
}

#[test]
fn the_impls_of_a_type_stand_in_few_files() {
    let mut files: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    for module in &sources::all() {
        for item in module.items() {
            let syn::Item::Impl(item) = item else {
                continue;
            };
            let syn::Type::Path(of) = &*item.self_ty else {
                continue;
            };
            let Some(name) = of.path.segments.last().filter(|_| item.trait_.is_none()) else {
                continue;
            };
            // A type of the same name in another folder is another type.
            let folder = module.path.first().cloned().unwrap_or_default();
            let key = (module.package, format!("{folder}::{}", name.ident));
            files.entry(key).or_default().insert(module.file.clone());
        }
    }
    let spread: Vec<_> = files
        .iter()
        .filter(|(_, files)| files.len() > MOST_FILES_OF_A_TYPE)
        .map(|((package, name), files)| format!("{package} {name}: {files:?}"))
        .collect();
    assert_none(
        &format!("in more than {MOST_FILES_OF_A_TYPE} files"),
        &spread,
    );
}

#[test]
fn module_maps_list_every_module_once() {
    let mut wrong = Vec::new();
    for module in &sources::all() {
        let mapped = map_of(module);
        let is_root = module.path.is_empty() && module.children.len() > 1;
        if mapped.is_empty() {
            if is_root {
                wrong.push(format!(
                    "{}: a package's root needs a module map",
                    module.file
                ));
            }
            continue;
        }
        for child in &module.children {
            let times = mapped.iter().filter(|name| *name == child).count();
            if times != 1 {
                wrong.push(format!(
                    "{}: `{child}` stands {times} times in the map",
                    module.file
                ));
            }
        }
        for name in mapped.iter().filter(|name| !module.children.contains(name)) {
            wrong.push(format!(
                "{}: the map names `{name}`, which is no module",
                module.file
            ));
        }
    }
    assert_none("module maps and `mod` lines differ", &wrong);
}

/// The names in the first column of the table headed `module` in a module's documentation.
fn map_of(module: &Module) -> Vec<String> {
    let rows = module
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"));
    let mut names = Vec::new();
    let mut inside = false;
    for row in rows.map(str::trim) {
        let Some(cells) = row.strip_prefix('|') else {
            inside = false;
            continue;
        };
        let first = cells.split('|').next().unwrap_or_default().trim();
        if first == "module" {
            inside = true;
        } else if inside && !first.starts_with('-') {
            let cells = first.split('`').skip(1).step_by(2);
            names.extend(cells.map(|name| name.trim_start_matches("mod@").to_owned()));
        }
    }
    names
}
