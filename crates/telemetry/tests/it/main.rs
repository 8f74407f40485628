//! The telemetry of a process. What can be started once stands in one test.

use hotswap_telemetry::{LogFormat, LogOptions, Process, TraceOptions, start};

#[test]
fn a_log_starts_once_and_not_with_what_does_not_parse() {
    let log = |filter: &str| LogOptions { format: LogFormat::Json, filter: filter.to_owned() };
    let process = Process { service: "test", version: "0", instance: "a".to_owned() };
    let nowhere = TraceOptions::default();
    let error = start(&log("info,=loud"), &nowhere, &process).expect_err("no filter").to_string();
    assert!(error.starts_with("cannot use the log filter \"info,=loud\": "), "{error}");
    for endpoint in ["127.0.0.1:4317", "unix:/run/otlp", "http://", "ftp://a"] {
        let there = TraceOptions { otlp_endpoint: Some(endpoint.to_owned()), ..TraceOptions::default() };
        let error = start(&log("warn"), &there, &process).expect_err("no address").to_string();
        assert!(error.starts_with("--otlp-endpoint must be a URL"), "{endpoint}: {error}");
    }
    start(&log("warn"), &nowhere, &process).expect("the first");
    let error = start(&log("warn"), &nowhere, &process).expect_err("the second").to_string();
    assert!(error.starts_with("cannot start the log: "), "{error}");
}

#[test]
fn a_form_of_the_log_has_a_name() {
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert_eq!("xml".parse::<LogFormat>(), Err("unknown log format \"xml\"; use text or json".into()));
}
