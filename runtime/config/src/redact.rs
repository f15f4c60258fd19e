//! The configuration as it is in effect, fit to be shown: with every default, without secrets.

use serde_json::Value;

use crate::Loaded;
use crate::secret::REDACTED;

impl Loaded {
    /// The configuration as it is in effect, as JSON: every default filled in, every secret
    /// replaced. Secrets are the values of keys such as `api_key`, `password` or `hf_token`
    /// wherever they stand, and credentials in URLs.
    #[must_use]
    pub fn effective(&self) -> Value {
        let mut value = serde_json::to_value(&self.config).unwrap_or_default();
        redact(&mut value);
        let collections = value.get_mut("collections").and_then(Value::as_array_mut);
        for (written, collection) in collections
            .into_iter()
            .flatten()
            .zip(&self.config.collections)
        {
            // The legacy keys and the view that they became say the same; keep what was written.
            if let (Value::Object(object), true) = (written, collection.is_legacy()) {
                object.remove("views");
            }
        }
        value
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if is_secret(key) && !matches!(value, Value::Null | Value::Bool(_)) {
                    *value = REDACTED.into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => {
            if let Some(clean) = without_credentials(text) {
                *text = clean;
            }
        }
        _ => {}
    }
}

/// Whether what stands under `key` is for nobody's eyes.
pub(crate) fn is_secret(key: &str) -> bool {
    let key: String = key
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let marks = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "credential",
        "apikey",
        "accesskey",
        "privatekey",
    ];
    // The tokens that a model answers with are no secrets.
    let spoken = ["postoken", "negtoken"].contains(&key.as_str());
    marks.iter().any(|mark| key.contains(mark))
        || key == "authorization"
        || (key.ends_with("token") && !spoken)
}

/// The URL without its user, password and secret query parameters; `None` when it has none.
fn without_credentials(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let host = authority
        .rsplit_once('@')
        .map(|(_, host)| format!("{REDACTED}@{host}"));
    let query = tail.split_once('?').map(|(path, query)| {
        let parameters = query
            .split('&')
            .map(|parameter| match parameter.split_once('=') {
                Some((key, _)) if is_secret(key) => format!("{key}={REDACTED}"),
                _ => parameter.to_owned(),
            });
        format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"))
    });
    let clean = format!(
        "{scheme}://{}{}",
        host.as_deref().unwrap_or(authority),
        query.as_deref().unwrap_or(tail)
    );
    (clean != url).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_keys() {
        for key in [
            "api_key",
            "OPENAI-API-KEY",
            "password",
            "hf_token",
            "client_secret",
            "Authorization",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "cache_key_fields",
            "id_field",
            "pos_token",
            "neg_token",
            "max_doc_tokens",
            "name",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn urls_lose_their_credentials_and_nothing_else() {
        let clean = |url| without_credentials(url).unwrap_or_else(|| format!("unchanged {url}"));
        assert_eq!(
            clean("redis://me:p@ss@host:6379/0"),
            "redis://[redacted]@host:6379/0"
        );
        assert_eq!(
            clean("https://h/v1?a=1&api_key=x#f"),
            "https://h/v1?a=1&api_key=[redacted]"
        );
        assert_eq!(clean("https://h/~a@b?x=1"), "unchanged https://h/~a@b?x=1");
        assert_eq!(clean("a@b"), "unchanged a@b");
    }
}
