//! Every package's production files, parsed.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A package and the file its modules start from.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// Relative to the repository.
    pub(crate) root: &'static str,
}

/// All packages with production code, and the harness.
pub(crate) const PACKAGES: [Package; 10] = [
    Package {
        name: "weir",
        root: "proxy/src/lib.rs",
    },
    Package {
        name: "weir-program",
        root: "proxy/program/src/lib.rs",
    },
    Package {
        name: "weir-demo",
        root: "proxy/demo/src/lib.rs",
    },
    Package {
        name: "weir-pressure",
        root: "proxy/pressure/src/lib.rs",
    },
    Package {
        name: "weir-extension",
        root: "extension/src/main.rs",
    },
    Package {
        name: "weir-shim",
        root: "shim/src/lib.rs",
    },
    Package {
        name: "weir-benches",
        root: "benches/src/main.rs",
    },
    Package {
        name: "weir-kit",
        root: "tests/kit/src/lib.rs",
    },
    Package {
        name: "weir-tests",
        root: "tests/src/lib.rs",
    },
    Package {
        name: "weir-lab",
        root: "tests/lab/src/lib.rs",
    },
];

/// One module that is not a test.
pub(crate) struct Module {
    pub(crate) package: &'static str,
    /// `["relay", "attempt"]`; empty for the root.
    pub(crate) path: Vec<String>,
    /// Relative to the repository.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) ast: syn::File,
    /// Child modules in files of their own, as declared.
    pub(crate) children: Vec<String>,
}

impl Module {
    /// `relay::attempt`; `crate` for the root.
    pub(crate) fn name(&self) -> String {
        if self.path.is_empty() {
            "crate".to_owned()
        } else {
            self.path.join("::")
        }
    }

    /// The items that are not only for tests.
    pub(crate) fn items(&self) -> impl Iterator<Item = &syn::Item> {
        self.ast
            .items
            .iter()
            .filter(|item| !is_test(attributes(item)))
    }

    /// Lines up to the unit tests in the same file.
    pub(crate) fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = self.text.split("\n#[cfg(test)]\nmod tests {").next();
        (1..).zip(whole.unwrap_or_default().lines())
    }
}

/// The repository's folder.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every module of every package.
pub(crate) fn all() -> Vec<Module> {
    let mut modules = Vec::new();
    for package in &PACKAGES {
        let before = modules.len();
        read(
            package.name,
            &repository().join(package.root),
            Vec::new(),
            &mut modules,
        );
        assert!(modules.len() > before, "{} was not found", package.root);
    }
    assert!(
        modules.len() > 200,
        "only {} modules were found",
        modules.len()
    );
    modules
}

fn read(package: &'static str, file: &Path, path: Vec<String>, into: &mut Vec<Module>) {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let ast = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut children: Vec<String> = Vec::new();
    for child in ast.items.iter().filter_map(declared) {
        // The library's root declares its private modules once more, public for the tests.
        if !children.contains(&child) {
            children.push(child);
        }
    }
    let folder = match path.last() {
        None => file.parent().unwrap().to_owned(),
        Some(_) => file.with_extension(""),
    };
    for child in &children {
        let mut inner = path.clone();
        inner.push(child.clone());
        read(
            package,
            &folder.join(child).with_extension("rs"),
            inner,
            into,
        );
    }
    let file = file
        .strip_prefix(repository())
        .unwrap()
        .display()
        .to_string();
    into.push(Module {
        package,
        path,
        file,
        text,
        ast,
        children,
    });
}

/// The name of a module in a file of its own that is not only for tests.
fn declared(item: &syn::Item) -> Option<String> {
    match item {
        syn::Item::Mod(module) if module.content.is_none() && !is_test(&module.attrs) => {
            Some(module.ident.to_string())
        }
        _ => None,
    }
}

/// Whether an item is compiled for tests alone.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let words = list.tokens.to_string();
        list.path.is_ident("cfg") && (words == "test" || words.starts_with("all (test"))
    })
}

/// The attributes of the items that can be only for tests.
pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        _ => &[],
    }
}
