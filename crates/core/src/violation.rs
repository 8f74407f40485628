//! Faults of an input, gathered so that a caller sees all of them at once.

use std::fmt;

/// One fault: where, and what must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field from the request, as "route.matches[0].path.regex".
    pub field: String,
    /// What is wrong and what would be right, for people.
    pub message: String,
}

/// The faults of one input. Empty: there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// No faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One fault.
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut v = Self::new();
        v.add(field, message);
        v
    }

    /// Adds a fault.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation { field: field.into(), message: message.into() });
    }

    /// Takes the value out of a result, or notes its error as a fault of `field`.
    pub fn take<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }

    /// Adds the faults of a part, each field under `prefix`.
    pub fn nest(&mut self, prefix: &str, inner: Violations) {
        for v in inner.0 {
            let field = match (prefix.is_empty(), v.field.is_empty()) {
                (true, _) => v.field,
                (false, true) => prefix.to_owned(),
                (false, false) if v.field.starts_with('[') => format!("{prefix}{}", v.field),
                (false, false) => format!("{prefix}.{}", v.field),
            };
            self.0.push(Violation { field, message: v.message });
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    /// `Ok` where there is none.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, v) in self.0.iter().enumerate() {
            let sep = if i == 0 { "" } else { "; " };
            write!(f, "{sep}{}: {}", v.field, v.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_fields_get_their_path() {
        let mut inner = Violations::one("regex", "bad");
        inner.add("", "as a whole");
        inner.add("[1].name", "taken");
        let mut outer = Violations::new();
        outer.nest("path", inner);
        let fields: Vec<_> = outer.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["path.regex", "path", "path[1].name"]);
    }
}
