//! What a command is about: "routes", "routes shop", "routes/shop pools/shop".

use crate::exit::Failure;
use crate::resource::ResourceKind;

/// What the words of a command line name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// All of a kind.
    All(ResourceKind),
    /// Some, by their full names.
    Some(Vec<(ResourceKind, String)>),
}

impl Target {
    /// From `TYPE`, `TYPE NAME…` or `TYPE/NAME…`.
    pub(super) fn parse(words: &[String]) -> Result<Self, Failure> {
        let Some((first, rest)) = words.split_first() else {
            return Err(Failure::usage("name a type, as routes, pools or certificates"));
        };
        if first.contains('/') {
            return words.iter().map(|word| full(word)).collect::<Result<_, _>>().map(Self::Some);
        }
        let (kind, collection) = collection(first)?;
        if rest.is_empty() {
            return Ok(Self::All(kind));
        }
        let name = |word: &String| match word.split_once('/') {
            None => Ok((kind, format!("{collection}/{word}"))),
            Some(_) => Err(Failure::usage(format!("\"{word}\" behind \"{first}\": give the name alone"))),
        };
        rest.iter().map(name).collect::<Result<_, _>>().map(Self::Some)
    }

    /// As `parse`, for commands that must name what they are about.
    pub(super) fn parse_named(words: &[String]) -> Result<Vec<(ResourceKind, String)>, Failure> {
        match Self::parse(words)? {
            Self::Some(names) => Ok(names),
            Self::All(_) => Err(Failure::usage(format!("which one? Give a name, as {}/NAME", words[0]))),
        }
    }
}

fn full(word: &str) -> Result<(ResourceKind, String), Failure> {
    let Some((head, id)) = word.split_once('/') else {
        return Err(Failure::usage(format!("\"{word}\": give it as TYPE/NAME, like those before it")));
    };
    let (kind, collection) = collection(head)?;
    Ok((kind, format!("{collection}/{id}")))
}

fn collection(word: &str) -> Result<(ResourceKind, &'static str), Failure> {
    match word.to_ascii_lowercase().as_str() {
        "route" | "routes" => Ok((ResourceKind::Route, "routes")),
        "pool" | "pools" => Ok((ResourceKind::Pool, "pools")),
        "certificate" | "certificates" => Ok((ResourceKind::Certificate, "certificates")),
        _ => Err(Failure::usage(format!("unknown type \"{word}\"; use routes, pools or certificates"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Target, Failure> {
        Target::parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_taken_behind_the_type_or_a_slash() {
        let shop = (ResourceKind::Route, "routes/shop".to_owned());
        let pool = (ResourceKind::Pool, "pools/a".to_owned());
        assert_eq!(parse(&["routes"]).ok(), Some(Target::All(ResourceKind::Route)));
        assert_eq!(parse(&["route", "shop"]).ok(), Some(Target::Some(vec![shop.clone()])));
        assert_eq!(parse(&["routes/shop", "pool/a"]).ok(), Some(Target::Some(vec![shop, pool])));
    }

    #[test]
    fn mixed_forms_and_unknown_types_are_refused() {
        for words in [&["routes", "routes/a"][..], &["routes/a", "b"], &["tables"], &["tables/a"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
