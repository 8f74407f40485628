//! What an answer of `/api/v1/query` means.

use std::collections::BTreeMap;

use hotswap_core::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{QueryError, Sample};

/// The longest text of a server that goes into an error, in characters.
const MAX_TEXT: usize = 300;

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Json,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

/// Reads an answer.
pub(crate) fn read(status: u16, body: &[u8]) -> Result<Sample, QueryError> {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    match answer {
        Some(answer) if answer.status == "error" => Err(refused(status, &answer)),
        Some(Answer { data: Some(data), warnings, status: told, .. })
            if status == 200 && told == "success" =>
        {
            number(data, warnings)
        }
        _ if status == 200 => Err(QueryError::malformed(format!("it begins {:?}", start(body)))),
        _ => Err(QueryError::Http { status, message: start(body) }),
    }
}

/// What an error of the server's own means.
fn refused(status: u16, answer: &Answer) -> QueryError {
    let message = short(&answer.error);
    match answer.error_type.as_str() {
        "bad_data" => QueryError::BadQuery { message },
        "execution" => QueryError::CannotAnswer { message },
        _ => {
            QueryError::Http { status, message: format!("{} {message}", answer.error_type).trim().to_owned() }
        }
    }
}

fn number(data: Data, warnings: Vec<String>) -> Result<Sample, QueryError> {
    let warnings: Vec<String> = warnings.iter().map(|w| short(w)).collect();
    let odd = |_| QueryError::malformed(format!("a {} of another shape", short(&data.kind)));
    match data.kind.as_str() {
        "scalar" => {
            let value: (f64, String) = serde_json::from_value(data.result).map_err(odd)?;
            sample(value, BTreeMap::new(), warnings)
        }
        "vector" => {
            let mut series: Vec<Series> = serde_json::from_value(data.result).map_err(odd)?;
            match (series.pop(), series.len()) {
                (None, _) => Err(QueryError::NoData { warnings }),
                (Some(Series { metric, value: Some(value) }), 0) => sample(value, metric, warnings),
                (Some(Series { value: None, .. }), 0) => {
                    Err(QueryError::WrongKind { kind: "native histogram".to_owned() })
                }
                (Some(_), others) => Err(QueryError::ManySeries { series: others + 1 }),
            }
        }
        kind => Err(QueryError::WrongKind { kind: short(kind) }),
    }
}

fn sample(
    (at, text): (f64, String),
    labels: BTreeMap<String, String>,
    warnings: Vec<String>,
) -> Result<Sample, QueryError> {
    // Prometheus writes NaN, +Inf and -Inf, which all parse.
    let value: f64 = text.parse().map_err(|_| QueryError::NotANumber { text: short(&text) })?;
    if value.is_nan() {
        return Err(QueryError::Nan);
    }
    Ok(Sample { value, at: Timestamp((at * 1e6).round() as i64), labels, warnings })
}

/// How an answer begins.
fn start(body: &[u8]) -> String {
    short(&String::from_utf8_lossy(body.get(..MAX_TEXT * 4).unwrap_or(body)))
}

/// A text in one line, and not too long.
fn short(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(result: &str) -> Result<Sample, QueryError> {
        read(
            200,
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":{result}}}}}"#)
                .as_bytes(),
        )
    }

    #[test]
    fn a_warning_stays_with_the_number_and_with_its_absence() {
        let with = |result: &str| {
            let text = format!(
                r#"{{"status":"success","warnings":["a store did not answer"],"data":{{"resultType":"vector","result":{result}}}}}"#
            );
            read(200, text.as_bytes())
        };
        let warnings = vec!["a store did not answer".to_owned()];
        let sample = with(r#"[{"metric":{"job":"a"},"value":[1.5,"2"]}]"#).expect("a number");
        assert_eq!((sample.value, sample.at, &sample.warnings), (2.0, Timestamp(1_500_000), &warnings));
        assert_eq!(with("[]"), Err(QueryError::NoData { warnings }));
    }

    #[test]
    fn what_is_no_number_is_told_apart() {
        let value = |text: &str| vector(&format!(r#"[{{"metric":{{}},"value":[1,"{text}"]}}]"#));
        assert_eq!(value("NaN"), Err(QueryError::Nan));
        assert_eq!(value("many"), Err(QueryError::NotANumber { text: "many".into() }));
        assert!(value("+Inf").is_ok_and(|s| s.value == f64::INFINITY));
        let histogram = r#"[{"metric":{},"histogram":[1,{"count":"3","sum":"1","buckets":[]}]}]"#;
        assert_eq!(vector(histogram), Err(QueryError::WrongKind { kind: "native histogram".into() }));
        let two = r#"[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}]"#;
        assert_eq!(vector(two), Err(QueryError::ManySeries { series: 2 }));
    }

    #[test]
    fn what_is_no_prometheus_is_not_taken_for_one() {
        for body in ["", "<html>welcome</html>", "{}", r#"{"status":"success"}"#, "[1,2]", "null"] {
            assert!(matches!(read(200, body.as_bytes()), Err(QueryError::Malformed { .. })), "{body}");
        }
        assert!(matches!(vector(r#"{"a":1}"#), Err(QueryError::Malformed { .. })));
        let page = format!("<html>\r\n{}</html>", "x".repeat(10_000));
        let Err(QueryError::Http { status: 502, message }) = read(502, page.as_bytes()) else {
            panic!("an error")
        };
        assert!(message.chars().count() == MAX_TEXT && message.starts_with("<html> xxx"), "{message}");
    }

    #[test]
    fn a_server_that_gives_up_is_not_a_bad_query() {
        let body = br#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
        let error = read(503, body).expect_err("an error");
        assert_eq!(error, QueryError::Http { status: 503, message: "timeout query timed out".into() });
        assert!(error.may_pass());
        let body = br#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
        let error = read(422, body).expect_err("an error");
        assert!(matches!(error, QueryError::CannotAnswer { .. }) && !error.may_pass());
    }
}
