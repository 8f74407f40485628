//! Options: a flag before a `HOTSWAP_*` variable, before a key in `hotswap.toml`, before the default.
//!
//! The file becomes clap's defaults, so that one declaration of an option serves all four and `--help` shows
//! what is in force.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::StartError;

const DEFAULT_FILE: &str = "hotswap.toml";

/// Parses `args` (with the program's name first), and the file that `--config FILE` or `HOTSWAP_CONFIG` names,
/// or `hotswap.toml` where that is in the working folder. `T` declares `--config` for its help.
///
/// # Errors
/// [`StartError::Option`] for a file that can't be read, and for a key in it that is no option.
pub fn parse<T: CommandFactory + FromArgMatches>(args: Vec<OsString>) -> Result<T, StartError> {
    let named = config_flag(&args).or_else(|| std::env::var_os("HOTSWAP_CONFIG").map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let mut command = T::command();
    if named.is_some() || path.exists() {
        let table = read(&path)?;
        command = with_defaults(command, &table, &path)?;
    }
    let matches: ArgMatches = command.get_matches_from(args);
    T::from_arg_matches(&matches).map_err(|e| StartError::Option(e.to_string()))
}

fn config_flag(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter();
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

fn with_defaults(mut command: Command, table: &Table, path: &Path) -> Result<Command, StartError> {
    for (key, value) in table {
        let id = key.replace('-', "_");
        let text = match value {
            Value::String(s) => s.clone(),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
            Value::Array(_) | Value::Table(_) => {
                let why = format!("{}: {key} must be a text, number or boolean", path.display());
                return Err(StartError::Option(why));
            }
        };
        let mut known = false;
        command = set_default(command, &id, &text, &mut known);
        if !known {
            return Err(StartError::Option(format!("{}: {key} is no option", path.display())));
        }
    }
    Ok(command)
}

/// Sets the default of the option `id` wherever it is declared, subcommands included.
fn set_default(mut command: Command, id: &str, value: &str, known: &mut bool) -> Command {
    let here = command.get_arguments().any(|a| a.get_id() == id && a.get_long().is_some());
    if here {
        *known = true;
        let value = value.to_owned();
        command = command.mut_arg(id, |arg| arg.default_value(value).required(false));
    }
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| set_default(sub, id, value, known));
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, env = "HOTSWAP_TEST_PORT_7Q", default_value_t = 1)]
        test_port: u16,
        #[arg(long, default_value = "a")]
        test_name: String,
    }

    fn parsed(file: &str, flags: &[&str]) -> Result<Options, StartError> {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x.toml");
        std::fs::write(&path, file).expect("write");
        let mut args = vec![OsString::from("test"), "--config".into(), path.into()];
        args.extend(flags.iter().map(OsString::from));
        parse(args)
    }

    #[test]
    fn a_flag_stands_before_the_file_and_the_file_before_the_default() {
        let options = parsed("test-port = 2\n", &[]).expect("parses");
        assert_eq!((options.test_port, options.test_name.as_str()), (2, "a"));
        assert!(options.config.is_some());
        assert_eq!(parsed("test_port = 2\n", &["--test-port", "3"]).expect("parses").test_port, 3);
    }

    #[test]
    fn an_unknown_key_and_a_broken_file_are_named() {
        let error = parsed("prot = 2\n", &[]).expect_err("unknown").to_string();
        assert!(error.ends_with("x.toml: prot is no option"), "{error}");
        let error = parsed("= 2\n", &[]).expect_err("broken").to_string();
        assert!(error.contains("cannot use"), "{error}");
    }
}
