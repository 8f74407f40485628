//! The paths that a piece of Rust mentions, read from its tokens: comments and strings don't count, and code
//! inside macros does.

use std::path::Path;

use proc_macro2::{Delimiter, LineColumn, Spacing, TokenStream, TokenTree};

/// A path in the code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// Where it begins; lines count from 1.
    pub(super) line: usize,
    /// Its segments, as written. A leaf of a `use` tree has those of its trunk in front.
    pub(super) path: Vec<String>,
}

/// All paths in the tokens. A single name is a path too.
pub(super) fn mentions(tokens: TokenStream) -> Vec<Mention> {
    let mut found = Vec::new();
    walk(tokens, &[], &mut found);
    found
}

/// Reads one group; `trunk` is the path in front of a `use` tree's braces.
fn walk(tokens: TokenStream, trunk: &[String], found: &mut Vec<Mention>) {
    let mut path = Segments::new(trunk);
    let mut before = Before::Other;
    for token in tokens {
        before = match token {
            TokenTree::Ident(ident) => {
                if before != Before::Separator {
                    path = path.end(trunk, found);
                }
                // What follows a dot is a field or a method, and names no crate or module.
                path.skip |= before == Before::Dot;
                path.push(ident.to_string(), ident.span().start().line);
                Before::Name(ident.span().end())
            }
            TokenTree::Punct(punct) => match (punct.as_char(), before) {
                (':', Before::FirstColon) => Before::Separator,
                (':', _) if punct.spacing() == Spacing::Joint => {
                    // `use ::a` begins a path where `a::b` goes on with one; only the space tells.
                    if before != Before::Name(punct.span().start()) {
                        path = path.end(trunk, found);
                    }
                    Before::FirstColon
                }
                ('.', Before::Dot) => Before::Other,
                ('.', _) => Before::Dot,
                _ => Before::Other,
            },
            TokenTree::Group(group) => {
                let is_tree = before == Before::Separator && group.delimiter() == Delimiter::Brace;
                let trunk_of_group = if is_tree { path.take() } else { Vec::new() };
                path = path.end(trunk, found);
                walk(group.stream(), &trunk_of_group, found);
                Before::Other
            }
            TokenTree::Literal(_) => Before::Other,
        };
    }
    path.end(trunk, found);
}

/// What stood in front of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A name, which ended here.
    Name(LineColumn),
    /// The first half of a separator.
    FirstColon,
    /// `::`
    Separator,
    /// One dot; two are a range.
    Dot,
    Other,
}

/// The path being read.
struct Segments {
    segments: Vec<String>,
    /// Where it began; none as long as there is only the trunk.
    line: Option<usize>,
    /// Names no crate or module.
    skip: bool,
}

impl Segments {
    fn new(trunk: &[String]) -> Self {
        Self { segments: trunk.to_vec(), line: None, skip: false }
    }

    fn push(&mut self, segment: String, line: usize) {
        self.line.get_or_insert(line);
        self.segments.push(segment);
    }

    /// The path so far, as the trunk of others and no longer one of its own.
    fn take(&mut self) -> Vec<String> {
        self.line = None;
        std::mem::take(&mut self.segments)
    }

    /// Keeps the path if there is one, and begins the next.
    fn end(self, trunk: &[String], found: &mut Vec<Mention>) -> Self {
        if let Some(line) = self.line.filter(|_| !self.skip) {
            found.push(Mention { line, path: self.segments });
        }
        Self::new(trunk)
    }
}

/// The module that a file of `src/` holds.
pub(super) fn module_of(within: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        within.with_extension("").iter().map(|s| s.to_string_lossy().into_owned()).collect();
    module.pop_if(|last| last == "mod");
    module
}

/// The path with `self` and `super` written out from `crate`. Modules within the file are not followed, so a
/// `super` in one of them counts as one of the file's.
pub(super) fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let mut from: Vec<String> = ["crate".to_owned()].into_iter().chain(module.iter().cloned()).collect();
    match path.first().map(String::as_str) {
        Some("self" | "super") => {
            let mut rest = path;
            while let Some((first, tail)) = rest.split_first() {
                match first.as_str() {
                    "super" if from.len() > 1 => drop(from.pop()),
                    "super" | "self" => {}
                    _ => break,
                }
                rest = tail;
            }
            from.extend(rest.iter().cloned());
            from
        }
        _ => path.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn paths(text: &str) -> Vec<String> {
        mentions(TokenStream::from_str(text).expect("is Rust"))
            .into_iter()
            .map(|m| m.path.join("::"))
            .collect()
    }

    #[test]
    fn a_use_tree_has_a_path_for_each_leaf() {
        assert_eq!(
            paths("use a::{b::{C, D as E}, f, g::*};"),
            ["use", "a::b::C", "a::b::D", "a::b::as", "a::b::E", "a::f", "a::g"]
        );
    }

    #[test]
    fn a_type_after_one_colon_begins_a_path_of_its_own() {
        assert_eq!(paths("a: b::C, ..d::E"), ["a", "b::C", "d::E"]);
    }

    #[test]
    fn a_path_from_the_root_of_names_is_read() {
        assert_eq!(paths("use ::a::b;"), ["use", "a::b"]);
        assert_eq!(paths("f(x: ::a::b)"), ["f", "x", "a::b"]);
    }

    #[test]
    fn a_field_is_no_path() {
        assert_eq!(paths("x.tokio.spawn(y::z)"), ["x", "y::z"]);
    }

    #[test]
    fn supers_are_resolved_from_the_files_module() {
        let module = module_of(Path::new("rpc/watch/feed.rs"));
        let own = |s: &str| s.split("::").map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(module, own("rpc::watch::feed"));
        assert_eq!(module_of(Path::new("rpc/watch/mod.rs")), own("rpc::watch"));
        assert_eq!(resolve(&own("super::x"), &module), own("crate::rpc::watch::x"));
        assert_eq!(resolve(&own("super::super::super::x"), &module), own("crate::x"));
        assert_eq!(resolve(&own("self::x"), &module), own("crate::rpc::watch::feed::x"));
        assert_eq!(resolve(&own("tonic::x"), &module), own("tonic::x"));
    }
}
