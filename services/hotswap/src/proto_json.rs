//! Resources as text: exactly the API's proto JSON (field names as in the proto), with a `kind` in front, so
//! that what `get` prints `apply` takes.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    SerializeOptions,
};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;

use crate::exit::Failure;

static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(hotswap_api::FILE_DESCRIPTOR_SET).map_err(|e| e.to_string()));

/// The descriptor of a message, by its full name.
pub(crate) fn descriptor(full_name: &str) -> Result<MessageDescriptor, Failure> {
    let pool = POOL.as_ref().map_err(|e| Failure::other(format!("the built-in contract is damaged: {e}")))?;
    pool.get_message_by_name(full_name)
        .ok_or_else(|| Failure::other(format!("the built-in contract has no {full_name}")))
}

/// A resource as a document: `kind`, then its fields in the order of the proto.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    kind: &'static str,
    desc: MessageDescriptor,
    value: Value,
}

impl Document {
    /// The document of a message, whose full name in the contract is `full_name`.
    pub(crate) fn of<M: Message>(kind: &'static str, full_name: &str, message: &M) -> Result<Self, Failure> {
        Self::new(kind, &descriptor(full_name)?, message)
    }

    /// Its fields, as the proto's JSON has them.
    pub(crate) fn into_value(self) -> Value {
        self.value
    }

    fn new<M: Message>(kind: &'static str, desc: &MessageDescriptor, message: &M) -> Result<Self, Failure> {
        let mut dynamic = DynamicMessage::new(desc.clone());
        dynamic.transcode_from(message).map_err(Failure::other)?;
        let options = SerializeOptions::new().use_proto_field_name(true);
        let value = dynamic
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(Failure::other)?;
        Ok(Self { kind, desc: desc.clone(), value })
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind)?;
        for field in self.desc.fields() {
            if let Some(value) = self.value.get(field.name()) {
                map.serialize_entry(field.name(), &Ordered { value, field: &field })?;
            }
        }
        map.end()
    }
}

/// A value whose messages keep the order of the proto's fields; `serde_json` alone sorts them by name.
struct Ordered<'a> {
    value: &'a Value,
    field: &'a FieldDescriptor,
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(desc) = message_of(self.field) else {
            return self.value.serialize(serializer);
        };
        match self.value {
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for value in items {
                    seq.serialize_element(&Ordered { value, field: self.field })?;
                }
                seq.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for field in desc.fields() {
                    if let Some(value) = fields.get(field.name()) {
                        map.serialize_entry(field.name(), &Ordered { value, field: &field })?;
                    }
                }
                map.end()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.value.serialize(serializer)
            }
        }
    }
}

/// The message that a field holds, unless it is a map or a type with a JSON form of its own.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    if field.is_map() {
        return None;
    }
    match field.kind() {
        Kind::Message(desc) if !desc.full_name().starts_with("google.protobuf.") => Some(desc),
        _ => None,
    }
}

/// Reads a message from its JSON form; names in snake_case or camelCase.
///
/// # Errors
/// Every unknown field, or else the first value that does not fit, by its path.
pub(crate) fn read<M: Message + Default>(desc: &MessageDescriptor, value: &Value) -> Result<M, Failure> {
    let mut failure = Failure::usage("does not fit the contract");
    failure = unknown_fields(desc, value, "", failure);
    if failure.has_violations() {
        return Err(failure);
    }
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = match DynamicMessage::deserialize_with_options(desc.clone(), deserializer, &options) {
        Ok(dynamic) => dynamic,
        Err(error) => {
            let path = track.path().to_string();
            let path = if path == "." { String::new() } else { path };
            return Err(failure.violation(path, error.to_string()));
        }
    };
    dynamic.transcode_to().map_err(Failure::other)
}

/// Adds a violation for each choice of which more than one is taken.
fn too_many_of_one(
    desc: &MessageDescriptor,
    fields: &serde_json::Map<String, Value>,
    path: &str,
    mut failure: Failure,
) -> Failure {
    for choice in desc.oneofs() {
        let is_given = |key: &str| fields.get(key).is_some_and(|value| !value.is_null());
        let names = |given: bool| {
            let of = choice.fields().filter(|f| !given || is_given(f.name()) || is_given(f.json_name()));
            of.map(|f| f.name().to_owned()).collect::<Vec<_>>()
        };
        let taken = names(true);
        if taken.len() > 1 {
            let (all, taken) = (names(false).join(", "), taken.join(" and "));
            failure = failure.violation(path, format!("takes one of {all}; here are {taken}"));
        }
    }
    failure
}

/// Adds a violation for each field that the contract does not have, and each choice that is no choice.
fn unknown_fields(desc: &MessageDescriptor, value: &Value, path: &str, mut failure: Failure) -> Failure {
    let Value::Object(fields) = value else { return failure };
    failure = too_many_of_one(desc, fields, path, failure);
    for (key, value) in fields {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(field) = desc.get_field_by_json_name(key).or_else(|| desc.get_field_by_name(key)) else {
            let known: Vec<_> = desc.fields().map(|f| f.name().to_owned()).collect();
            failure = failure.violation(path, format!("no such field; there are {}", known.join(", ")));
            continue;
        };
        let Some(inner) = message_of(&field) else { continue };
        if let Value::Array(items) = value {
            for (i, item) in items.iter().enumerate() {
                failure = unknown_fields(&inner, item, &format!("{path}[{i}]"), failure);
            }
        } else {
            failure = unknown_fields(&inner, value, &path, failure);
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::{Route, RouteMatch, route};
    use serde_json::json;

    use super::*;

    fn desc() -> MessageDescriptor {
        descriptor("hotswap.route.v1.Route").expect("in the contract")
    }

    #[test]
    fn both_spellings_of_a_field_are_read() {
        for key in ["display_name", "displayName"] {
            let route: Route = read(&desc(), &json!({ "name": "routes/a", key: "A" })).expect("fits");
            assert_eq!(route.display_name, "A");
        }
    }

    #[test]
    fn every_unknown_field_is_named_by_its_path() {
        let value = json!({ "host": [], "matches": [{}, { "path": { "suffix": "/" } }] });
        let text = read::<Route>(&desc(), &value).expect_err("refused").to_string();
        assert!(text.contains("\n  host: no such field; there are name, display_name"), "{text}");
        assert!(
            text.contains("\n  matches[1].path.suffix: no such field; there are exact, prefix"),
            "{text}"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_by_its_path() {
        let value = json!({ "matches": [{ "methods": ["GET", 7] }] });
        let text = read::<Route>(&desc(), &value).expect_err("refused").to_string();
        assert!(text.contains("\n  matches[0].methods[1]: invalid type: integer `7`"), "{text}");
        let value = json!({ "forward": { "pool": "pools/a" }, "redirect": {} });
        let text = read::<Route>(&desc(), &value).expect_err("refused").to_string();
        assert!(
            text.contains("\n  (whole): takes one of forward, redirect; here are forward and redirect"),
            "{text}"
        );
    }

    #[test]
    fn a_document_keeps_the_order_of_the_proto_and_reads_back() {
        let route = Route {
            name: "routes/a".into(),
            labels: [("z".into(), "1".into()), ("b".into(), "2".into())].into(),
            matches: vec![RouteMatch { methods: vec!["GET".into()], ..RouteMatch::default() }],
            revision: 7,
            create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            action: Some(route::Action::Redirect(hotswap_api::route::v1::Redirect {
                status: 301,
                ..Default::default()
            })),
            ..Route::default()
        };
        let text = serde_json::to_string(&Document::new("Route", &desc(), &route).expect("fits"));
        let text = text.expect("serializes");
        assert_eq!(
            text,
            r#"{"kind":"Route","name":"routes/a","labels":{"b":"2","z":"1"},"matches":[{"methods":["GET"]}],"#
                .to_owned()
                + r#""redirect":{"status":301},"revision":"7","create_time":"1970-01-01T00:00:01Z"}"#
        );
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        value.as_object_mut().expect("object").remove("kind");
        assert_eq!(read::<Route>(&desc(), &value).expect("fits"), route);
    }
}
