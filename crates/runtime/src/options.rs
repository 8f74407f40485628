//! Options: a flag before a `HOTSWAP_*` variable, before a key in `hotswap.toml`, before the default.
//!
//! The file becomes clap's defaults, so that one declaration of an option serves all four and `--help` shows
//! what is in force. A key is the flag without its dashes (`data-dir`, or `data_dir`). It counts for every command
//! that has the option; in a table named like a command it counts for that command, before the same key above:
//!
//! ```toml
//! log = "info"
//! [gateway]
//! log = "warn"
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::StartError;

const DEFAULT_FILE: &str = "hotswap.toml";
/// Names the file, so it can't stand in it.
const CONFIG: &str = "config";

/// Parses `args` (with the program's name first), and the file that `--config FILE` or `HOTSWAP_CONFIG` names,
/// or `hotswap.toml` where that is in the working folder. `T` declares `--config` for its help. A bad command
/// line ends the process with clap's words.
///
/// # Errors
/// [`StartError::Option`] for a file that can't be read, for a key in it that is no option, and for a value that
/// the option does not take; each names the file, and the key.
pub fn parse<T: CommandFactory + FromArgMatches>(args: Vec<OsString>) -> Result<T, StartError> {
    let from_env = || std::env::var_os("HOTSWAP_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    let named = config_flag(&args).or_else(from_env);
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let mut command = T::command();
    if named.is_some() || path.exists() {
        let table = read(&path)?;
        command = with_defaults(command, &table)
            .map_err(|why| StartError::Option(format!("{}: {why}", path.display())))?;
    }
    let matches: ArgMatches = command.get_matches_from(args);
    T::from_arg_matches(&matches).map_err(|e| StartError::Option(e.to_string()))
}

fn config_flag(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().take_while(|a| *a != "--");
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(value) = text.strip_prefix("--config=") {
            return Some(value.into());
        }
    }
    None
}

fn read(path: &Path) -> Result<Table, StartError> {
    let failed = |why: String| StartError::Option(format!("cannot use {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    text.parse::<Table>().map_err(|e| failed(e.message().to_owned()))
}

/// The command with the file's values as defaults: first what counts for every command, then the tables.
fn with_defaults(mut command: Command, table: &Table) -> Result<Command, String> {
    for (key, value) in table.iter().filter(|(_, v)| !v.is_table()) {
        let (id, values) = (key.replace('-', "_"), texts(key, value)?);
        let mut known = false;
        command = set_default(command, &id, &values, &mut known)?;
        if !known {
            return Err(format!("{key} is no option"));
        }
    }
    for (name, value) in table {
        let Value::Table(inner) = value else { continue };
        let Some(sub) = command.find_subcommand(name).cloned() else {
            return Err(format!("[{name}] is no command"));
        };
        let sub = with_defaults(sub, inner).map_err(|why| format!("[{name}] {why}"))?;
        command = command.mut_subcommand(name, |_| sub);
    }
    Ok(command)
}

/// What would stand on the command line.
fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            Ok(vec![value.to_string()])
        }
        Value::Array(items) if items.iter().any(|v| v.is_array() || v.is_table()) => {
            Err(format!("{key} must be a text, number, boolean, or a list of these"))
        }
        Value::Array(items) => {
            items.iter().map(|v| texts(key, v)).collect::<Result<Vec<_>, _>>().map(|v| v.concat())
        }
        Value::Table(_) => Err(format!("{key} must not be a table")),
    }
}

/// Sets the default of the option `id` wherever it is declared, subcommands included.
fn set_default(
    mut command: Command,
    id: &str,
    values: &[String],
    known: &mut bool,
) -> Result<Command, String> {
    let here = command.get_arguments().find(|a| a.get_id() == id && a.get_long().is_some() && id != CONFIG);
    if let Some(arg) = here {
        *known = true;
        check(arg, values).map_err(|why| format!("{} {why}", id.replace('_', "-")))?;
        let values = values.to_vec();
        command = command.mut_arg(id, |arg| arg.default_values(values).required(false));
    }
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        let Some(sub) = command.find_subcommand(&name).cloned() else { continue };
        let sub = set_default(sub, id, values, known)?;
        command = command.mut_subcommand(name, |_| sub);
    }
    Ok(command)
}

/// Asks the option's own parser, since clap's complaint about a default would not name the file.
fn check(arg: &Arg, values: &[String]) -> Result<(), String> {
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse);
    if is_flag {
        return match values {
            [one] if one == "true" || one == "false" => Ok(()),
            _ => Err("must be true or false".into()),
        };
    }
    let takes_many = matches!(arg.get_action(), ArgAction::Append)
        || arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    if values.len() != 1 && !takes_many {
        return Err("takes one value".into());
    }
    let probe =
        Arg::new("v").long("v").action(ArgAction::Append).value_parser(arg.get_value_parser().clone());
    let probe = Command::new("probe").no_binary_name(true).arg(probe);
    let asked = probe.try_get_matches_from(values.iter().map(|v| format!("--v={v}")));
    asked.map(drop).map_err(|error| format!("cannot be {}: {}", values.join(", "), complaint(&error)))
}

fn complaint(error: &clap::Error) -> String {
    if let Some(cause) = std::error::Error::source(error) {
        return cause.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => format!("use {}", valid.join(", ")),
        _ => "the option does not take this value".into(),
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
