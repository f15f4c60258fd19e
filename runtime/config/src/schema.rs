//! The JSON schema of the file, made from the types. It is also what a file is validated against,
//! so it cannot say one thing and the server do another.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use crate::{Config, ExtensionConfig};

/// The form of a name that can stand in a pipeline, as a regular expression.
pub(crate) const NAME: &str = "^[A-Za-z][A-Za-z0-9_-]*$";

/// The same in words.
pub(crate) const NAME_FORM: &str = "a name is a letter, then letters, digits, `_` or `-`";

/// The engine of services that are extensions.
pub(crate) const EXTENSION: &str = "Extension";

/// The JSON schema (draft 2020-12) of the configuration file. Where this server takes a value in
/// another form too, such as a number in a string, the schema gives the proper one.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(unwrap_lines))
        .into_generator();
    // Nothing refers to it but the condition below.
    generator.subschema_for::<ExtensionConfig>();
    generator.into_root_schema_for::<Config>().to_value()
}

/// The `config` of a service is its engine's own business, but for extensions, which this room
/// knows.
pub(crate) fn config_of_extension(service: &mut Schema) {
    let extension = json!({"properties": {"engine": {"const": EXTENSION}}, "required": ["engine"]});
    service.insert("if".to_owned(), extension);
    let config = json!({"properties": {"config": {"$ref": "#/$defs/ExtensionConfig"}}});
    service.insert("then".to_owned(), config);
}

/// Descriptions come from source code, whose line ends mean nothing to a reader.
pub(crate) fn unwrap_lines(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs = text
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}
