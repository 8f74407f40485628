//! The log of a process. Everything stands in one test, since a process starts its log once.

use hotswap_telemetry::{LogFormat, LogOptions, init_logging};

#[test]
fn a_log_starts_once_and_not_with_a_filter_that_does_not_parse() {
    let options = |filter: &str| LogOptions { format: LogFormat::Json, filter: filter.to_owned() };
    let error = init_logging(&options("info,=loud")).expect_err("no filter");
    assert!(error.starts_with("cannot use the log filter \"info,=loud\": "), "{error}");
    init_logging(&options("warn")).expect("the first");
    let error = init_logging(&options("warn")).expect_err("the second");
    assert!(error.starts_with("cannot start the log: "), "{error}");
}

#[test]
fn a_form_of_the_log_has_a_name() {
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert_eq!("xml".parse::<LogFormat>(), Err("unknown log format \"xml\"; use text or json".into()));
}
