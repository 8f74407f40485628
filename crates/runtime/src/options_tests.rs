use clap::{Args, Parser, Subcommand, ValueEnum};

use super::*;

/// Cargo sets this variable for the tests of a package; its value is known at build time.
const SET: &str = "CARGO_PKG_NAME";

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    test_port: u16,
    #[arg(long, default_value = "a")]
    test_name: String,
    #[arg(long, env = SET, default_value = "default")]
    from_env: String,
    #[arg(long)]
    on: bool,
    #[arg(long, value_enum, default_value_t = Shade::Light)]
    shade: Shade,
    #[arg(long)]
    many: Vec<u8>,
    #[arg(long)]
    needed: String,
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shade {
    Light,
    Dark,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(Verbose),
    Gateway(Verbose),
}

#[derive(Args, Debug)]
struct Verbose {
    #[arg(long, default_value = "info")]
    log: String,
}

/// The options from a file, with `needed` in it, and from flags.
fn parsed(file: &str, flags: &[&str]) -> Result<Options, StartError> {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("x.toml");
    std::fs::write(&path, format!("needed = \"n\"\n{file}")).expect("write");
    let mut args = vec![OsString::from("test"), "--config".into(), path.into()];
    args.extend(flags.iter().map(OsString::from));
    parse(args)
}

fn refused(file: &str) -> String {
    let error = parsed(file, &[]).expect_err(file).to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    let (_, after) = error.split_once("x.toml: ").expect("names the file");
    after.to_owned()
}

fn log_of(options: Options) -> String {
    match options.command.expect("a command") {
        Verb::Up(v) | Verb::Gateway(v) => v.log,
    }
}

#[test]
fn a_flag_stands_before_the_file_and_the_file_before_the_default() {
    let options = parsed("test-port = 2\n", &[]).expect("parses");
    assert_eq!((options.test_port, options.test_name.as_str()), (2, "a"));
    assert!(options.config.is_some());
    assert_eq!(options.needed, "n", "what is required may come from the file");
    assert_eq!(parsed("test_port = 2\n", &["--test-port", "3"]).expect("parses").test_port, 3);
}

#[test]
fn a_variable_stands_between_flag_and_file() {
    let set = std::env::var(SET).expect("cargo sets it");
    assert_eq!(parsed("from-env = \"file\"\n", &[]).expect("parses").from_env, set);
    let flags = ["--from-env", "flag"];
    assert_eq!(parsed("from-env = \"file\"\n", &flags).expect("parses").from_env, "flag");
}

#[test]
fn switches_choices_and_lists_can_stand_in_the_file() {
    let options = parsed("on = true\nshade = \"dark\"\nmany = [1, 2]\n", &[]).expect("parses");
    assert_eq!((options.on, options.shade, options.many), (true, Shade::Dark, vec![1, 2]));
    assert!(!parsed("on = false\n", &[]).expect("parses").on);
    assert!(parsed("on = false\n", &["--on"]).expect("parses").on);
}

#[test]
fn a_key_counts_for_every_command_and_one_in_a_table_for_that_command() {
    let file = "log = \"warn\"\n[gateway]\nlog = \"debug\"\n";
    assert_eq!(log_of(parsed(file, &["up"]).expect("parses")), "warn");
    assert_eq!(log_of(parsed(file, &["gateway"]).expect("parses")), "debug");
    assert_eq!(log_of(parsed(file, &["gateway", "--log", "off"]).expect("parses")), "off");
}

#[test]
fn an_unknown_key_is_named() {
    assert_eq!(refused("prot = 2\n"), "prot is no option");
    assert_eq!(refused("config = \"y.toml\"\n"), "config is no option");
    assert_eq!(refused("[gatway]\nlog = \"off\"\n"), "[gatway] is no command");
    assert_eq!(refused("[gateway]\ntest-port = 2\n"), "[gateway] test-port is no option");
}

#[test]
fn a_value_that_an_option_does_not_take_is_named_with_its_key() {
    let error = refused("test-port = 70000\n");
    assert!(error.starts_with("test-port cannot be 70000: "), "{error}");
    assert_eq!(refused("shade = \"grey\"\n"), "shade cannot be grey: use light, dark");
    assert_eq!(refused("on = 1\n"), "on must be true or false");
    assert_eq!(refused("test-port = [1, 2]\n"), "test-port takes one value");
    assert_eq!(refused("many = [[1]]\n"), "many must be a text, number, boolean, or a list of these");
}

#[test]
fn a_file_that_is_broken_or_not_there_is_named() {
    let error = parsed("= 2\n", &[]).expect_err("broken").to_string();
    assert!(error.starts_with("cannot use ") && error.contains("x.toml: "), "{error}");
    let error = parse::<Options>(vec!["test".into(), "--config=/none/x.toml".into()]).expect_err("none");
    assert!(error.to_string().starts_with("cannot use /none/x.toml: "), "{error}");
}
