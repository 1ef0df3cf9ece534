//! Finds every path, function and attribute of a Rust file by its syntax, so that comments and texts do not count.
//!
//! Macro bodies have no syntax of their own; in them, names joined by `::` are taken for paths.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A path with its line: `["crate", "store", "Store"]`, or `["sqlx", "query"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

impl Named {
    /// Whether it is `prefix` or something inside it.
    pub(super) fn is_in(&self, prefix: &str) -> bool {
        let mut own = self.path.iter();
        prefix.split("::").all(|part| own.next().is_some_and(|segment| segment == part))
    }

    /// As it would be written.
    pub(super) fn shown(&self) -> String {
        self.path.join("::")
    }
}

/// A function with a body.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    /// From its signature to its closing brace.
    pub(super) lines: usize,
}

/// Collects while it walks.
pub(super) struct Collector {
    module: Vec<String>,
    imports: BTreeMap<String, Vec<String>>,
    named: Vec<Named>,
    pub(super) functions: Vec<Function>,
    pub(super) allows: Vec<usize>,
    pub(super) test_lines: Vec<(usize, usize)>,
    /// Modules in files of their own that are compiled for tests only: their name, or `file.rs` if they name one.
    pub(super) test_modules: Vec<String>,
}

impl Collector {
    /// A collector for the file of `module`.
    pub(super) fn new(module: Vec<String>) -> Self {
        Self {
            module,
            imports: BTreeMap::new(),
            named: Vec::new(),
            functions: Vec::new(),
            allows: Vec::new(),
            test_lines: Vec::new(),
            test_modules: Vec::new(),
        }
    }

    /// Every path, with the first name replaced by what it was imported as.
    pub(super) fn resolved(self) -> Vec<Named> {
        let Self { named, imports, .. } = self;
        let resolve = |Named { line, path }: Named| {
            let import = path.first().and_then(|first| imports.get(first));
            let path = match import {
                Some(full) => full.iter().chain(&path[1..]).cloned().collect(),
                None => path,
            };
            Named { line, path }
        };
        named.into_iter().map(resolve).collect()
    }

    /// `super`, `self` and the crate's own name become paths from the crate.
    fn absolute(&self, mut path: Vec<String>) -> Vec<String> {
        let mut here = self.module.clone();
        let mut relative = false;
        while let Some(first) = path.first().map(String::as_str) {
            match first {
                "super" => _ = here.pop(),
                "self" if !relative => {}
                "winback" if self.module.is_empty() && !relative => {
                    path[0] = "crate".to_owned();
                    return path;
                }
                _ => break,
            }
            relative = true;
            path.remove(0);
        }
        if relative { ["crate".to_owned()].into_iter().chain(here).chain(path).collect() } else { path }
    }

    fn name(&mut self, line: usize, path: Vec<String>) {
        let path = self.absolute(path);
        self.named.push(Named { line, path });
    }

    fn import(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
        let (path, alias, line) = match tree {
            syn::UseTree::Path(inner) => return self.import(&with(&inner.ident), &inner.tree),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.import(before, item));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                (before.to_vec(), before.last().cloned(), name.ident.span())
            }
            syn::UseTree::Name(name) => (with(&name.ident), Some(name.ident.to_string()), name.ident.span()),
            syn::UseTree::Rename(name) => {
                (with(&name.ident), Some(name.rename.to_string()), name.ident.span())
            }
            syn::UseTree::Glob(glob) => (before.to_vec(), None, glob.span()),
        };
        let path = self.absolute(path);
        if let Some(alias) = alias.filter(|_| path.len() > 1) {
            self.imports.insert(alias, path.clone());
        }
        self.named.push(Named { line: line.start().line, path });
    }

    /// Paths and `#[allow]` in the body of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons, mut hash) = (0, 0, false);
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(line, &mut path);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.flush(line, &mut path);
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.flush(line, &mut path);
                    colons = 0;
                    if hash && group.stream().to_string().starts_with("allow") {
                        self.allows.push(group.span().start().line);
                    }
                    self.tokens(group.stream());
                }
            }
            hash = matches!(&token, TokenTree::Punct(punct) if matches!(punct.as_char(), '#' | '!'));
        }
        self.flush(line, &mut path);
    }

    fn flush(&mut self, line: usize, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.name(line, path);
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        let name = signature.ident.to_string();
        self.functions.push(Function { name, line: first, lines: last + 1 - first });
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(path.span().start().line, names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    fn visit_item(&mut self, item: &'ast syn::Item) {
        if attributes(item).iter().any(is_cfg_test) {
            self.test_lines.push((item.span().start().line, item.span().end().line));
            if let syn::Item::Mod(module @ syn::ItemMod { content: None, .. }) = item {
                let file = module.attrs.iter().find_map(file_named);
                self.test_modules.push(file.unwrap_or_else(|| module.ident.to_string()));
            }
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let path = attribute.path();
        let hidden = || {
            let list = attribute.meta.require_list().ok();
            list.is_some_and(|list| list.tokens.to_string().contains("allow"))
        };
        if path.is_ident("allow") || (path.is_ident("cfg_attr") && hidden()) {
            self.allows.push(attribute.span().start().line);
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let list = attribute.meta.require_list().ok();
    list.is_some_and(|list| list.path.is_ident("cfg") && list.tokens.to_string() == "test")
}

/// `#[path = "file.rs"]`
fn file_named(attribute: &syn::Attribute) -> Option<String> {
    let pair = attribute.meta.require_name_value().ok().filter(|pair| pair.path.is_ident("path"))?;
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) => Some(name.value()),
        _ => None,
    }
}
