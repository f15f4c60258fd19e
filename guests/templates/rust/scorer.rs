//! A scorer: one score per text. This one counts which share of the query's words a text has.

wit_bindgen::generate!({ path: "wit", world: "scorer" });

use std::collections::BTreeSet;

use exports::routir::extension::manifest::{Guest as Manifest, Info};

struct Extension;

impl Manifest for Extension {
    fn describe() -> Info {
        Info {
            name: "my-extension".into(),
            version: "0.1.0".into(),
            description: "the share of the query's words that a text has".into(),
            params: Some(Vec::new()),
        }
    }
}

impl Guest for Extension {
    fn score(query: String, texts: Vec<String>, _params: Params) -> Result<Vec<f64>, Error> {
        let wanted = words(&query);
        let share = |text: &String| {
            let shared = words(text).intersection(&wanted).count();
            shared as f64 / wanted.len().max(1) as f64
        };
        Ok(texts.iter().map(share).collect())
    }
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

export!(Extension);
