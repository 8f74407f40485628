//! `hotswap context`.

use std::io::Read as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::{Context as Args, ContextAction, ContextSet, Unset};
use crate::contexts::{self, Context, Contexts};
use crate::exit::{Exit, Failure};
use crate::output::{self, Show};
use crate::secret::{Secret, Token};
use crate::style::{Cell, Tone};

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = contexts::path()?;
    let mut contexts = Contexts::load(&path)?;
    match &args.action {
        ContextAction::List { output } => {
            let rows: Vec<_> =
                contexts.names().map(|name| Row::of(&contexts, name)).collect::<Result<_, _>>()?;
            output::many(&rows, output.view_with(None), 0)
        }
        ContextAction::Current => match contexts.current() {
            Some(name) => output::line(name),
            None => Err(Failure::new(Exit::NotFound, "no context is current")
                .hint("`hotswap context use NAME` makes one current")),
        },
        ContextAction::Use { name } => {
            contexts.select(name)?;
            contexts.save(&path)?;
            output::line(&format!("{name} is current"))
        }
        ContextAction::Set(set) => {
            let changed = changed(contexts.get(&set.name).ok(), set)?;
            let new = contexts.put(&set.name, changed)?;
            if set.r#use {
                contexts.select(&set.name)?;
            }
            contexts.save(&path)?;
            let is_current = contexts.current() == Some(set.name.as_str());
            let current = if is_current { ", and is current" } else { "" };
            output::line(&format!("{} {}{current}", set.name, if new { "created" } else { "changed" }))
        }
        ContextAction::Delete { name } => {
            let was_current = contexts.remove(name)?;
            contexts.save(&path)?;
            let current = if was_current { "; no context is current now" } else { "" };
            output::line(&format!("{name} deleted{current}"))
        }
    }
}

/// The context with what the command line changes in it.
fn changed(before: Option<&Context>, set: &ContextSet) -> Result<Context, Failure> {
    let mut context = before.cloned().unwrap_or_default();
    if let Some(server) = &set.server {
        context.server.clone_from(server);
    } else if before.is_none() {
        return Err(Failure::usage(format!("--server is needed: there is no context \"{}\" yet", set.name)));
    }
    for unset in &set.unset {
        match unset {
            Unset::Token => (context.token, context.token_file, context.token_command) = (None, None, None),
            Unset::CaFile => context.ca_file = None,
            Unset::ClientCert => (context.client_cert, context.client_key) = (None, None),
            Unset::TlsName => context.tls_name = None,
            Unset::Output => context.output = None,
        }
    }
    let token = if set.store_token { Some(from_stdin()?) } else { None };
    if token.is_some() || set.token_file.is_some() || set.token_command.is_some() {
        context.token = token;
        context.token_file = set.token_file.as_ref().map(absolute).transpose()?;
        context.token_command.clone_from(&set.token_command);
    }
    let files = [
        (&set.ca_file, &mut context.ca_file),
        (&set.client_cert, &mut context.client_cert),
        (&set.client_key, &mut context.client_key),
    ];
    for (given, kept) in files {
        if let Some(file) = given {
            *kept = Some(absolute(file)?);
        }
    }
    if set.tls_name.is_some() {
        context.tls_name.clone_from(&set.tls_name);
    }
    context.output = set.output.or(context.output);
    Ok(context)
}

/// A path that means the same from every folder.
fn absolute(file: &PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))
}

fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Failure::usage(format!("can't read standard input: {e}")))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::usage("--store-token takes the token from standard input, which is empty"));
    }
    Ok(Secret::new(token.to_owned()))
}

/// A context as it is shown: without its token.
struct Row<'a> {
    name: &'a str,
    current: bool,
    context: &'a Context,
}

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    name: &'a str,
    current: bool,
    token_stored: bool,
    #[serde(flatten)]
    context: Context,
}

impl<'a> Row<'a> {
    fn of(contexts: &'a Contexts, name: &'a str) -> Result<Self, Failure> {
        let current = contexts.current() == Some(name);
        Ok(Self { name, current, context: contexts.get(name)? })
    }
}

impl Show for Row<'_> {
    const COLUMNS: &'static [&'static str] = &["CURRENT", "NAME", "SERVER", "TOKEN"];
    const WIDE: &'static [&'static str] = &["CA", "CERTIFICATE", "OUTPUT"];

    fn called(&self) -> String {
        self.name.to_owned()
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let token = match self.context.token() {
            None => "-".to_owned(),
            Some(Token::Text(_)) => "stored here".to_owned(),
            Some(Token::File(file)) => file.display().to_string(),
            Some(Token::Command(command)) => format!("command: {command}"),
        };
        let current = if self.current { Cell::toned("*", Tone::Good) } else { "".into() };
        let mut row = vec![current, self.name.into(), self.context.server.as_str().into(), token.into()];
        if wide {
            let path = |p: &Option<PathBuf>| p.as_ref().map_or("-".to_owned(), |p| p.display().to_string());
            let output = self.context.output.map_or("-".to_owned(), |o| format!("{o:?}").to_lowercase());
            row.extend(
                [path(&self.context.ca_file), path(&self.context.client_cert), output].map(Cell::from),
            );
        }
        row
    }

    fn document(&self) -> Result<impl Serialize, Failure> {
        let context = Context { token: None, ..self.context.clone() };
        let token_stored = self.context.token.is_some();
        Ok(Shown { kind: "Context", name: self.name, current: self.current, token_stored, context })
    }
}
