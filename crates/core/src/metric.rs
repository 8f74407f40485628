//! Metrics as they are declared: what a process counts, and on which page of the documentation it stands.

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, until the process begins anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many values lie below each of some bounds.
    Histogram,
}

impl MetricKind {
    /// Its word in Prometheus' text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label, and what bounds its values: nobody who calls may choose how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelDef {
    /// Its name.
    pub name: &'static str,
    /// Its values: all of them, or where they come from.
    pub values: &'static str,
}

/// A metric that a process shows. Each is declared once, as a constant of the crate that counts, which builds it from
/// there and lists it for the page `docs/reference/metrics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDef {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What it is measured in, as "seconds" or "calls".
    pub unit: &'static str,
    /// What tells its series apart.
    pub labels: &'static [LabelDef],
    /// What it means: a sentence.
    pub meaning: &'static str,
}

impl MetricDef {
    /// Something that is counted.
    pub const fn counter(name: &'static str, unit: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, unit, labels: &[], meaning }
    }

    /// Something that is looked at.
    pub const fn gauge(name: &'static str, unit: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, unit, labels: &[], meaning }
    }

    /// Something that is measured each time, in seconds.
    pub const fn seconds(name: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: MetricKind::Histogram, unit: "seconds", labels: &[], meaning }
    }

    /// The same with labels.
    pub const fn by(self, labels: &'static [LabelDef]) -> Self {
        Self { labels, ..self }
    }

    /// The names of its labels.
    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }

    /// What is wrong with the declaration by the rules of Prometheus and of this project; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        let snake = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let sentence = |text: &str| text.ends_with('.') && !text.contains(['|', '\n']) && text.len() > 8;
        let what = if !snake(self.name) {
            "its name is not in snake case"
        } else if (self.kind == MetricKind::Counter) != self.name.ends_with("_total") {
            "a counter, and nothing else, ends with _total"
        } else if (self.unit == "seconds") != self.name.trim_end_matches("_total").ends_with("_seconds") {
            "a time is in seconds, and its name says so"
        } else if self.unit.is_empty() || !sentence(self.meaning) {
            "it has no unit, or its meaning is no sentence"
        } else if self.labels.iter().any(|label| !snake(label.name) || label.values.is_empty()) {
            "a label has no good name, or nothing bounds it"
        } else {
            return None;
        };
        Some(format!("{}: {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_against_the_rules_is_told() {
        let good = MetricDef::counter("a_calls_total", "calls", "Calls that came.");
        assert_eq!(good.fault(), None);
        assert_eq!(MetricDef::seconds("a_duration_seconds", "How long it took.").fault(), None);
        for bad in [
            MetricDef { name: "a_calls", ..good },
            MetricDef { name: "aCalls_total", ..good },
            MetricDef { unit: "seconds", ..good },
            MetricDef { meaning: "Calls", ..good },
            MetricDef::seconds("a_duration_ms", "How long it took."),
            good.by(&[LabelDef { name: "who", values: "" }]),
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
        }
    }
}
