//! What templates make of messages.

use serde_json::json;

use super::*;
use crate::message::Message;

fn letter(kind: &str, data: serde_json::Value) -> Letter {
    let message = Message::new("rollouts/1/2", kind, "routes/checkout", Timestamp(0), data).expect("valid");
    Letter { id: "00000000-0000-7000-8000-000000000001".into(), message }
}

fn with(files: &[(&str, &str)]) -> Result<Templates, Violations> {
    let dir = tempfile::tempdir().expect("dir");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("writes");
    }
    Templates::load(Some(dir.path()))
}

fn data() -> serde_json::Value {
    json!({ "rollout": "rollouts/1", "reason": "errors rose", "by": "ann", "level": 1, "until": "noon" })
}

#[test]
fn every_built_in_template_renders_with_all_data_and_with_none() {
    let templates = Templates::load(None).expect("parse");
    for (name, _) in BUILT_IN {
        for format in [Format::Email, Format::Slack] {
            for data in [data(), json!({})] {
                let text = templates.render(format, &letter(name, data));
                assert_eq!(text.fault, None, "{name}");
                assert!(text.title.contains("routes/checkout"), "{name}: {}", text.title);
                assert!(text.text.contains("When: 1970-01-01T00:00:00Z"), "{name}: {}", text.text);
            }
        }
    }
}

#[test]
fn an_unknown_kind_is_told_in_the_words_of_its_data() {
    let text = Templates::load(None)
        .expect("parse")
        .render(Format::Email, &letter("config.changed", json!({ "words": "limits.max is 5" })));
    assert_eq!(text.title, "routes/checkout: config.changed");
    assert!(text.text.starts_with("limits.max is 5\n"), "{}", text.text);
}

#[test]
fn slack_gets_no_marks_and_no_mentions_from_values() {
    let data = json!({ "reason": "<!channel> & <https://evil.example|click>" });
    let letter = letter("rollout.paused", data);
    let templates = Templates::load(None).expect("parse");
    let text = templates.render(Format::Slack, &letter).text;
    assert!(text.contains("&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;"), "{text}");
    let text = templates.render(Format::Email, &letter).text;
    assert!(text.contains("<!channel> & <https"), "a mail is plain text: {text}");
}

#[test]
fn marks_of_a_template_and_of_its_macros_stay_and_are_not_escaped_twice() {
    let source = "*{{ subject }}*\n{% macro bold(x) %}*{{ x }}*{% endmacro %}{{ bold(data.reason) }}";
    let templates = with(&[("rollout.paused.slack.j2", source)]).expect("parse");
    let text = templates.render(Format::Slack, &letter("rollout.paused", json!({ "reason": "a<b" })));
    assert_eq!((text.title.as_str(), text.text.as_str()), ("*routes/checkout*", "*a&lt;b*"));
}

#[test]
fn an_override_wins_and_the_one_of_the_format_wins_over_it() {
    let files =
        [("rollout.paused.j2", "all\nx"), ("rollout.paused.email.j2", "mail\nx"), ("notes.txt", "{{")];
    let templates = with(&files).expect("parse");
    let title = |format| templates.render(format, &letter("rollout.paused", json!({}))).title;
    assert_eq!((title(Format::Email), title(Format::Slack)), ("mail".into(), "all".into()));
}

#[test]
fn a_template_that_fails_gives_the_data_and_the_reason() {
    let looping = "t\n{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}";
    for source in ["{{ data.rollout.nothing.here }}\nx", looping, "t\n{{ 1 / 'a' }}", "t\n{{ data.nothing }}"]
    {
        let templates = with(&[("rollout.paused.j2", source)]).expect("parse");
        let text = templates.render(Format::Slack, &letter("rollout.paused", json!({ "reason": "a<b" })));
        assert!(text.fault.is_some(), "{source}");
        assert_eq!(text.title, "HotSwap: rollout.paused routes/checkout");
        assert!(text.text.contains("\"reason\": \"a&lt;b\""), "{}", text.text);
    }
}

#[test]
fn a_template_that_does_not_parse_is_told_with_its_name_and_line() {
    let faults =
        with(&[("rollout.paused.j2", "t\n{% if %}"), ("Bad Name.j2", "x")]).expect_err("does not parse");
    let told = faults.to_string();
    assert!(told.contains("rollout.paused#text") && told.contains("line 1"), "{told}");
    assert!(told.contains("Bad Name.j2: its name is no kind"), "{told}");
}

#[test]
fn a_title_is_one_line_whatever_the_values() {
    let templates = with(&[("a.j2", "{{ data.x }}\ntext")]).expect("parse");
    let text =
        templates.render(Format::Email, &letter("a", json!({ "x": "one\r\nBcc: b@example.com\u{1b}[2J" })));
    assert_eq!(text.title, "one Bcc: b@example.com[2J");
    let text = templates.render(Format::Email, &letter("a", json!({ "x": "é".repeat(500) })));
    assert_eq!(text.title.chars().count(), MAX_TITLE);
}

#[test]
fn what_is_cut_off_ends_with_no_half_entity() {
    assert_eq!(clean("abc&amp;def", 6), "abc…");
    assert_eq!(clean("abc&amp;def", 11), "abc&amp;def");
    assert_eq!(clean("a & b and more", 10), "a & b and…");
}
