//! Documents that `apply` takes: files, folders or standard input; streams of YAML or JSON. Everything is
//! read and checked before anything is written.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hotswap_api::route::v1::{Certificate, Pool, Route};
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::exit::Failure;
use crate::proto_json::{descriptor, read};
use crate::resource::Resource;

/// What was read, in its order.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) routes: Vec<Route>,
}

/// Where a document stands.
#[derive(Clone, Debug)]
struct Place {
    file: String,
    /// Counted from 1.
    document: usize,
    /// Counted from 1; 0: not known.
    line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        if self.line > 0 { write!(f, " (line {})", self.line) } else { Ok(()) }
    }
}

/// Reads all sources.
///
/// # Errors
/// Every fault of every document, so that they can be mended at once.
pub(crate) fn load(sources: &[PathBuf], recursive: bool) -> Result<Manifest, Vec<Failure>> {
    let mut documents = Vec::new();
    let mut failures = Vec::new();
    for source in sources {
        for found in read_source(source, recursive) {
            match found {
                Ok(found) => documents.extend(found),
                Err(failure) => failures.push(failure),
            }
        }
    }
    let mut reader = Reader::default();
    for (place, value) in documents {
        if let Err(failure) = reader.take(&place, value) {
            failures.push(failure.about(&place));
        }
    }
    if failures.is_empty() && reader.seen.is_empty() {
        failures.push(Failure::usage("there is no document to apply"));
    }
    if failures.is_empty() { Ok(reader.manifest) } else { Err(failures) }
}

/// The messages of one kind in a file, or from standard input where it is "-".
///
/// # Errors
/// The first document that is of another kind, or does not fit the contract.
pub(crate) fn messages<M: prost::Message + Default>(
    file: &Path,
    kind: &str,
    message: &str,
) -> Result<Vec<M>, Failure> {
    let found = if file == Path::new("-") { read_stdin()? } else { read_file(file)? };
    let mut messages = Vec::new();
    for (place, mut value) in found {
        let given = value.as_object_mut().and_then(|fields| fields.remove("kind"));
        match given.as_ref().and_then(Value::as_str) {
            None => {}
            Some(given) if given == kind => {}
            Some(other) => {
                return Err(Failure::usage(format!("kind \"{other}\" is not {kind}")).about(&place));
            }
        }
        messages.push(read(&descriptor(message)?, &value).map_err(|failure| failure.about(&place))?);
    }
    Ok(messages)
}

/// The documents of a file.
type Found = Result<Vec<(Place, Value)>, Failure>;

/// Each file of a source on its own, so that one that can't be read does not hide the faults of the others.
fn read_source(source: &Path, recursive: bool) -> Vec<Found> {
    if source == Path::new("-") {
        return vec![read_stdin()];
    }
    match files(source, recursive) {
        Ok(files) => files.iter().map(|file| read_file(file)).collect(),
        Err(failure) => vec![Err(failure)],
    }
}

fn read_stdin() -> Found {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|e| Failure::usage(format!("can't read standard input: {e}")))?;
    parse("standard input", &text)
}

fn read_file(file: &Path) -> Found {
    let text = std::fs::read_to_string(file).map_err(|e| unreadable(file, &e))?;
    parse(&file.display().to_string(), &text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("can't read {}: {error}", path.display()))
}

/// The file itself, or the YAML and JSON files in a folder, sorted; hidden ones are left out. Folders in it are
/// read where that is asked for.
fn files(source: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    if !source.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![source.to_owned()];
    let mut skipped = false;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e))? {
            let entry = entry.map_err(|e| unreadable(&folder, &e))?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // A link to a folder is not followed: it could lead back.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                skipped |= !recursive;
                folders.extend(recursive.then_some(path));
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        let failure = Failure::usage(format!("{} holds no .yaml, .yml or .json file", source.display()));
        return Err(if skipped { failure.hint("-R reads the folders in it, too") } else { failure });
    }
    Ok(found)
}

/// Splits a text into documents. An array at the top holds one document an item.
fn parse(file: &str, text: &str) -> Found {
    let bad = |e: &dyn fmt::Display| {
        let why = e.to_string();
        // The reader goes on with advice to programmers.
        let why = why.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        Failure::usage(format!("{file}: {why}"))
    };
    let start = text.trim_start();
    let mut values = Vec::new();
    if start.starts_with(['{', '[']) {
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            values.push((0, value.map_err(|e| bad(&e))?));
        }
    } else {
        let options = serde_saphyr::options! {
            // Limits against hostile documents; these are the user's own, and there may be 100,000.
            budget: None,
            emit_comments: false,
            with_snippet: false,
        };
        let spanned: Vec<Spanned<Value>> =
            serde_saphyr::from_str_multiple_with_options(text, options).map_err(|e| bad(&e))?;
        for value in spanned {
            values.push((value.referenced.line(), value.value));
        }
    }
    let flat = values.into_iter().flat_map(|(line, value)| match value {
        Value::Array(items) => items.into_iter().map(|item| (line, item)).collect(),
        value => vec![(line, value)],
    });
    let place = |(i, (line, value))| (Place { file: file.to_owned(), document: i + 1, line }, value);
    Ok(flat.filter(|(_, value)| !value.is_null()).enumerate().map(place).collect())
}

/// Turns documents into resources, and finds a name that stands twice.
#[derive(Default)]
struct Reader {
    manifest: Manifest,
    seen: HashMap<String, Place>,
}

impl Reader {
    fn take(&mut self, place: &Place, mut value: Value) -> Result<(), Failure> {
        let Some(fields) = value.as_object_mut() else {
            return Err(Failure::usage("is not a map of fields"));
        };
        let kind = fields.remove("kind");
        match kind.as_ref().and_then(Value::as_str) {
            Some(<Route as Resource>::KIND) => {
                let route = self.resource(place, &value)?;
                self.manifest.routes.push(route);
            }
            Some(<Pool as Resource>::KIND) => {
                let pool = self.resource(place, &value)?;
                self.manifest.pools.push(pool);
            }
            Some(<Certificate as Resource>::KIND) => {
                let certificate = self.resource(place, &value)?;
                self.manifest.certificates.push(certificate);
            }
            Some(other) => {
                let why = format!("kind \"{other}\" is unknown; use Route, Pool or Certificate");
                return Err(Failure::usage(why));
            }
            None => {
                let why = "has no kind; use `kind: Route`, `kind: Pool` or `kind: Certificate`";
                return Err(Failure::usage(why));
            }
        }
        Ok(())
    }

    fn resource<R: Resource>(&mut self, place: &Place, value: &Value) -> Result<R, Failure> {
        let resource: R = read(&descriptor(R::MESSAGE)?, value)?;
        if resource.name().is_empty() {
            let form = format!("is required, as \"{}/ID\"", R::COLLECTION);
            return Err(Failure::usage("does not fit the contract").violation("name", form));
        }
        if let Some(first) = self.seen.insert(resource.name().to_owned(), place.clone()) {
            return Err(Failure::usage(format!("{} stands twice; first in {first}", resource.name())));
        }
        Ok(resource)
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
