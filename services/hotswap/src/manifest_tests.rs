use std::fs;

use super::*;

const STREAM: &str = "\
# A pool and a route.
kind: Pool
name: pools/a
backends:
  - address: 127.0.0.1:9001
---
kind: Route
name: routes/a
matches: [{ path: { prefix: / } }]
forward: { pool: pools/a, timeouts: { totalMs: 500 } }
";

fn from_text(text: &str) -> Result<Manifest, Vec<Failure>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.yaml");
    fs::write(&file, text).expect("written");
    load(&[file], false)
}

fn complaint(text: &str) -> String {
    let failures = from_text(text).expect_err("refused");
    let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_yaml_stream_holds_pools_and_routes() {
    let manifest = from_text(STREAM).expect("fits");
    assert_eq!(manifest.pools[0].backends[0].address, "127.0.0.1:9001");
    assert_eq!(manifest.routes[0].name, "routes/a");
}

#[test]
fn json_may_be_an_object_an_array_or_a_stream() {
    let route = r#"{"kind":"Route","name":"routes/NAME"}"#;
    let (a, b) = (route.replace("NAME", "a"), route.replace("NAME", "b"));
    for text in [format!("{a}\n{b}"), format!("[{a},{b}]"), format!(" [{a}] {b}")] {
        let manifest = from_text(&text).expect("fits");
        let names: Vec<_> = manifest.routes.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["routes/a", "routes/b"]);
    }
}

#[test]
fn every_faulty_document_is_named_with_its_line_and_fields() {
    let text = format!("{STREAM}---\nkind: Route\nname: routes/b\nhost: [a]\n---\nkind: Rout\n---\n- 7\n");
    let said = complaint(&text);
    assert!(
        said.contains("m.yaml, document 3 (line 12): does not fit the contract\n  host: no such"),
        "{said}"
    );
    assert!(
        said.contains("document 4 (line 16): kind \"Rout\" is unknown; use Route, Pool or Certificate"),
        "{said}"
    );
    assert!(said.contains("document 5 (line 18): is not a map of fields"), "{said}");
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let said = complaint(&format!("{STREAM}---\n{STREAM}"));
    assert!(said.contains("document 3 (line 13): pools/a stands twice; first in "), "{said}");
    assert!(said.contains("m.yaml, document 1 (line 2)"), "{said}");
}

#[test]
fn a_document_without_a_name_or_without_a_kind_is_refused() {
    assert!(complaint("kind: Route\n").contains("\n  name: is required, as \"routes/ID\""));
    assert!(complaint("name: routes/a\n").contains("has no kind"));
    assert!(complaint("# nothing\n").contains("there is no document to apply"));
}

#[test]
fn yaml_that_cannot_be_read_is_told_with_its_line() {
    let said = complaint("kind: Route\nname: [\n");
    assert!(said.contains("m.yaml: ") && said.contains("line "), "{said}");
}

#[test]
fn a_folder_is_read_in_the_order_of_its_names_without_hidden_files() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("b")).expect("made");
    for (file, id) in [("b/z.yml", "z"), ("a.json", "a"), (".hidden.yaml", "h"), ("notes.txt", "n")] {
        let text = format!("{{\"kind\": \"Route\", \"name\": \"routes/{id}\"}}");
        fs::write(folder.path().join(file), text).expect("written");
    }
    let read = |recursive| {
        let manifest = load(&[folder.path().to_owned()], recursive).expect("fits");
        manifest.routes.into_iter().map(|r| r.name).collect::<Vec<_>>()
    };
    assert_eq!(read(false), ["routes/a"]);
    assert_eq!(read(true), ["routes/a", "routes/z"]);
    fs::remove_file(folder.path().join("a.json")).expect("removed");
    let said = load(&[folder.path().to_owned()], false).expect_err("refused")[0].to_string();
    assert!(said.ends_with("\n  hint: -R reads the folders in it, too"), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_faults_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.yaml"), b"\xff\xfe").expect("written");
    fs::write(folder.path().join("b.yaml"), "kind: Pool\nname: pools/a\nname: pools/b\n").expect("written");
    fs::write(folder.path().join("c.yaml"), "kind: Rout\n").expect("written");
    let failures = load(&[folder.path().to_owned()], false).expect_err("refused");
    let said: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[1].ends_with("b.yaml: duplicate mapping key: name at line 3, column 1"), "{said:#?}");
}
