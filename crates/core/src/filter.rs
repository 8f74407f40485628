//! The subset of AIP-160 that List methods take: comparisons joined by AND.
//!
//! ```text
//! filter     = comparison { "AND" comparison }
//! comparison = field ( "=" | "!=" | ":" | "<" | "<=" | ">" | ">=" ) value
//! value      = word | '"' text with \" and \\ '"'
//! ```
//! No kept Rust library parses AIP-160; the subset is small enough to stand here.

use crate::Violations;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Contains the text; of a list or map, has an element that does. `*` as the value: is there.
    Has,
    /// Before; only of fields that have an order, as the others below.
    Less,
    /// Before or equal.
    LessOrEqual,
    /// Behind.
    Greater,
    /// Behind or equal.
    GreaterOrEqual,
}

impl Operator {
    fn orders(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field, as "labels.team".
    pub field: String,
    /// The operator.
    pub operator: Operator,
    /// The value, unquoted.
    pub value: String,
}

impl Comparison {
    /// Whether one of a field's values satisfies the condition; `NotEqual` wants none equal. Texts are ordered by
    /// their bytes.
    pub fn holds<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        let mut values = values.into_iter();
        match self.operator {
            Operator::Equal => values.any(|v| v == self.value),
            Operator::NotEqual => values.all(|v| v != self.value),
            Operator::Has if self.value == "*" => values.next().is_some(),
            Operator::Has => values.any(|v| v.contains(&self.value)),
            Operator::Less => values.any(|v| v < self.value.as_str()),
            Operator::LessOrEqual => values.any(|v| v <= self.value.as_str()),
            Operator::Greater => values.any(|v| v > self.value.as_str()),
            Operator::GreaterOrEqual => values.any(|v| v >= self.value.as_str()),
        }
    }
}

/// Conditions that must all hold. None: everything passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Comparison>);

impl Filter {
    /// Parses `text`. `fields` are the names allowed; one that ends in ".*" allows any key below it. Faults
    /// are of the field `filter`.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Self, Violations> {
        Self::parse_ordered(text, fields, &[])
    }

    /// The same; those fields that `ordered` names too may be compared with `<`, `<=`, `>` and `>=`.
    pub fn parse_ordered(text: &str, fields: &[&str], ordered: &[&str]) -> Result<Self, Violations> {
        let fault = |message: String| Violations::one("filter", message);
        let mut rest = text.trim();
        let mut comparisons = Vec::new();
        while !rest.is_empty() {
            if !comparisons.is_empty() {
                rest = rest
                    .strip_prefix("AND")
                    .filter(|r| r.starts_with(char::is_whitespace))
                    .ok_or_else(|| fault(format!("expected AND at \"{}\"", head(rest))))?
                    .trim_start();
            }
            let (comparison, left) = comparison(rest).map_err(fault)?;
            if !fields.iter().any(|f| allows(f, &comparison.field)) {
                let message = format!("unknown field \"{}\"; use {}", comparison.field, fields.join(", "));
                return Err(fault(message));
            }
            if comparison.operator.orders() && !ordered.contains(&comparison.field.as_str()) {
                return Err(fault(format!("\"{}\" has no order; use =, != or :", comparison.field)));
            }
            comparisons.push(comparison);
            rest = left.trim_start();
        }
        Ok(Self(comparisons))
    }

    /// Whether every condition holds, as `test` finds.
    pub fn all(&self, test: impl FnMut(&Comparison) -> bool) -> bool {
        self.0.iter().all(test)
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn allows(allowed: &str, field: &str) -> bool {
    match allowed.strip_suffix('*') {
        Some(stem) => field.len() > stem.len() && field.starts_with(stem),
        None => allowed == field,
    }
}

fn head(rest: &str) -> String {
    rest.chars().take(20).collect()
}

/// The longer ones first.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    (":", Operator::Has),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

fn comparison(text: &str) -> Result<(Comparison, &str), String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')));
    let (field, rest) = text.split_at(end.unwrap_or(text.len()));
    if field.is_empty() {
        return Err(format!("expected a field at \"{}\"", head(text)));
    }
    let rest = rest.trim_start();
    let (operator, rest) = OPERATORS
        .into_iter()
        .find_map(|(sign, op)| rest.strip_prefix(sign).map(|r| (op, r.trim_start())))
        .ok_or_else(|| format!("expected =, != or : behind \"{field}\""))?;
    let (value, rest) = value(rest)?;
    Ok((Comparison { field: field.to_owned(), operator, value }, rest))
}

fn value(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return if word.is_empty() {
            Err("expected a value at the end".into())
        } else {
            Ok((word.into(), rest))
        };
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                _ => return Err("a backslash must stand before a quote or a backslash".into()),
            },
            c => out.push(c),
        }
    }
    Err("a quoted value has no closing quote".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["name", "labels.*"];

    #[test]
    fn comparisons_are_joined_by_and() {
        let filter = Filter::parse(r#"labels.team = "a \"b\"" AND name:shop"#, FIELDS).expect("valid");
        let mut seen = Vec::new();
        assert!(filter.all(|c| {
            seen.push((c.field.clone(), c.operator, c.value.clone()));
            true
        }));
        assert_eq!(
            seen,
            [
                ("labels.team".to_owned(), Operator::Equal, "a \"b\"".to_owned()),
                ("name".to_owned(), Operator::Has, "shop".to_owned())
            ]
        );
    }

    #[test]
    fn faults_name_what_was_expected() {
        for (text, part) in [
            ("color = x", "unknown field"),
            ("name", "expected =, != or :"),
            ("name =", "expected a value"),
            ("name = \"x", "no closing quote"),
            ("name = x name = y", "expected AND"),
            ("= x", "expected a field"),
            ("labels. = x", "unknown field"),
        ] {
            let error = Filter::parse(text, FIELDS).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn only_fields_with_an_order_are_ordered() {
        let filter =
            Filter::parse_ordered("time >= 2026 AND name=x", &["name", "time"], &["time"]).expect("valid");
        assert!(filter.all(|c| c.holds([if c.field == "time" { "2027" } else { "x" }])));
        assert!(!filter.all(|c| c.holds([if c.field == "time" { "2025" } else { "x" }])));
        let error = Filter::parse("name < x", FIELDS).expect_err("no order").to_string();
        assert!(error.contains("has no order"), "{error}");
    }

    #[test]
    fn not_equal_wants_no_equal_value() {
        let c = Comparison { field: "hosts".into(), operator: Operator::NotEqual, value: "a".into() };
        assert!(c.holds(["b", "c"]));
        assert!(!c.holds(["b", "a"]));
        assert!(c.holds([]));
    }
}
