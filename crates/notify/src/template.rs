//! Texts for people, made of messages by templates (minijinja).
//!
//! A template is a file whose first line is the title and whose rest is the text. For a message of kind
//! `rollout.started` to a channel of kind `email` the first of these is taken, each looked for in the folder of
//! overrides before the built-in ones:
//!
//! ```text
//!   rollout.started.email.j2  ─►  rollout.started.j2  ─►  default.email.j2  ─►  default.j2
//! ```
//!
//! It sees `id`, `kind`, `subject`, `at` (RFC 3339) and `data`. Values are escaped for the channel; what stands in the
//! template itself is not, so that it can have Slack's marks. A template that fails while it is rendered never loses a
//! message: the data are sent as they are, and the log says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hotswap_core::{Timestamp, Violations};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Output, UndefinedBehavior, Value, context};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::message::{Letter, is_kind};

/// Steps that a template may take: enough for any text, and an end to a loop that has none.
const FUEL: u64 = 100_000;
/// The longest title and text, in characters.
const MAX_TITLE: usize = 150;
const MAX_TEXT: usize = 20_000;

/// How values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Plain text.
    Email,
    /// Slack's marks: `&`, `<` and `>` mean something, as in `<!channel>`.
    Slack,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Slack => "slack",
        }
    }

    fn escaped(self, text: &str) -> String {
        match self {
            Self::Email => text.to_owned(),
            Self::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        }
    }
}

/// A text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// One line.
    pub(crate) title: String,
    /// Lines.
    pub(crate) text: String,
    /// The template failed: why.
    pub(crate) fault: Option<String>,
}

/// All templates, in an environment for each way to escape.
#[derive(Debug)]
pub(crate) struct Templates {
    email: Environment<'static>,
    slack: Environment<'static>,
}

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("templates/", $name, ".j2")))),+]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "default",
    "rollout.approval_asked",
    "rollout.approval_reminder",
    "rollout.approvals_voided",
    "rollout.compared",
    "rollout.expired",
    "rollout.frozen",
    "rollout.gate_opened",
    "rollout.not_started",
    "rollout.paused",
    "rollout.promoted",
    "rollout.rejected",
    "rollout.rolled_back",
    "rollout.rollback_began",
    "rollout.rollback_stuck",
    "rollout.started",
];
/// What most of them end with.
const FACTS: (&str, &str) = ("facts", include_str!("templates/facts.j2"));

impl Templates {
    /// The built-in ones, and over them those of a folder: its files that end in `.j2`.
    ///
    /// # Errors
    /// A file that can't be read, has no such name or does not parse.
    pub(crate) fn load(folder: Option<&Path>) -> Result<Self, Violations> {
        let mut sources: BTreeMap<String, String> = BTreeMap::new();
        for (name, source) in BUILT_IN.iter().chain([&FACTS]) {
            sources.insert((*name).to_owned(), (*source).to_owned());
        }
        let mut v = Violations::new();
        if let Some(folder) = folder {
            overrides(folder, &mut sources, &mut v);
        }
        let this = Self {
            email: environment(Format::Email, &sources, &mut v),
            slack: environment(Format::Slack, &sources, &mut v),
        };
        if v.is_empty() { Ok(this) } else { Err(v) }
    }

    /// The text of a message.
    pub(crate) fn render(&self, format: Format, letter: &Letter) -> Text {
        let environment = match format {
            Format::Email => &self.email,
            Format::Slack => &self.slack,
        };
        match rendered(environment, format, letter) {
            Ok((title, text)) => {
                Text { title: line(&title), text: clean(text.trim(), MAX_TEXT), fault: None }
            }
            Err(error) => Text { fault: Some(told(&error)), ..plain(format, letter) },
        }
    }
}

/// Adds the files of a folder.
fn overrides(folder: &Path, sources: &mut BTreeMap<String, String>, v: &mut Violations) {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) => return v.add("templates", format!("{}: {error}", folder.display())),
    };
    for path in files.flatten().map(|file| file.path()) {
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".j2"));
        let Some(name) = name else { continue };
        if !is_kind(name) {
            v.add("templates", format!("{}: its name is no kind", path.display()));
        } else if let Some(source) = v.take("templates", fs::read_to_string(&path)) {
            sources.insert(name.to_owned(), source);
        }
    }
}

/// Compiles all: each as its title and its text, but for what others include.
fn environment(
    format: Format,
    sources: &BTreeMap<String, String>,
    v: &mut Violations,
) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    // Not "none": what a macro gives would be escaped once more.
    environment.set_auto_escape_callback(move |_| AutoEscape::Custom(format.as_str().into()));
    environment.set_formatter(move |out, _, value| write(format, out, value));
    for (name, source) in sources {
        let parts = if name == FACTS.0 {
            vec![(name.clone(), source.clone())]
        } else {
            let (title, text) = source.split_once('\n').unwrap_or((source, ""));
            vec![(format!("{name}#title"), title.to_owned()), (format!("{name}#text"), text.to_owned())]
        };
        for (name, source) in parts {
            if let Err(error) = environment.add_template_owned(name, source) {
                v.add(format!("templates[{}]", error.name().unwrap_or_default()), told(&error));
            }
        }
    }
    environment
}

/// Writes a value, escaped where that was not done before.
fn write(format: Format, out: &mut Output<'_>, value: &Value) -> Result<(), minijinja::Error> {
    let text = value.to_string();
    let text = if value.is_safe() { text } else { format.escaped(&text) };
    Ok(out.write_str(&text)?)
}

fn rendered(
    environment: &Environment<'_>,
    format: Format,
    letter: &Letter,
) -> Result<(String, String), minijinja::Error> {
    let (kind, format) = (letter.message.kind(), format.as_str());
    let names = [format!("{kind}.{format}"), kind.to_owned(), format!("default.{format}")];
    let there = |name: &String| environment.get_template(&format!("{name}#title")).is_ok();
    let name = names.into_iter().find(there).unwrap_or_else(|| "default".to_owned());
    let context = context! {
        id => letter.id.as_str(),
        kind => kind,
        subject => letter.message.subject(),
        at => moment(letter.message.at()),
        data => Value::from(Serde(letter.message.data())),
    };
    let title = environment.get_template(&format!("{name}#title"))?.render(&context)?;
    let text = environment.get_template(&format!("{name}#text"))?.render(&context)?;
    Ok((title, text))
}

/// The data as they are.
fn plain(format: Format, letter: &Letter) -> Text {
    let message = &letter.message;
    let data = serde_json::to_string_pretty(message.data()).unwrap_or_default();
    let text = format!("{} {}\n\n{data}", moment(message.at()), message.subject());
    let title = format!("HotSwap: {} {}", message.kind(), message.subject());
    Text { title: line(&format.escaped(&title)), text: clean(&format.escaped(&text), MAX_TEXT), fault: None }
}

/// An error of a template, with where it is.
fn told(error: &minijinja::Error) -> String {
    match (error.name(), error.line()) {
        (Some(name), Some(line)) => format!("{error} (line {line} of {name})"),
        _ => error.to_string(),
    }
}

/// A moment as people and programs read it.
pub(crate) fn moment(at: Timestamp) -> String {
    let nanos = i128::from(at.0) * 1_000;
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    moment.and_then(|m| m.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} µs", at.0))
}

/// One line without control characters.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    clean(&words.join(" "), MAX_TITLE)
}

/// Without control characters but line feeds and tabs, and not too long.
fn clean(text: &str, max: usize) -> String {
    let good = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let mut out: String = text.chars().filter(good).take(max + 1).collect();
    if out.chars().count() > max {
        out = out.chars().take(max.saturating_sub(1)).collect();
        // Half an entity means nothing.
        if let Some(at) = out.rfind('&').filter(|at| out.len() - at < 6 && !out[*at..].contains(';')) {
            out.truncate(at);
        }
        out.push('…');
    }
    out
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
