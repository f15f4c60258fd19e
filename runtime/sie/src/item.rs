//! What is encoded or scored.

use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::options::Key;

/// Something to encode, to score, or to score against. Metadata is read over: no answer depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is called in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What else it brings; only that it does is kept.
    #[serde(skip)]
    pub media: Option<Media>,
}

/// A kind of content that is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Images,
    /// A recording.
    Audio,
    /// A film.
    Video,
    /// A file.
    Document,
}

impl Media {
    /// The item's field that holds it.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item to be a map such as {\"text\": \"...\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Item, A::Error> {
        let mut item = Item::default();
        while let Some(key) = fields.next_key::<Key<'de>>()? {
            let media = match key.name() {
                "id" => {
                    item.id = fields.next_value()?;
                    continue;
                }
                "text" => {
                    item.text = fields.next_value()?;
                    continue;
                }
                "images" => Media::Images,
                "audio" => Media::Audio,
                "video" => Media::Video,
                "document" => Media::Document,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if fields.next_value::<Something>()?.0 {
                item.media = item.media.or(Some(media));
            }
        }
        Ok(item)
    }
}

/// Whether there is anything: not null, and no empty list.
struct Something(bool);

impl<'de> Deserialize<'de> for Something {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(SomethingVisitor)
    }
}

struct SomethingVisitor;

impl<'de> Visitor<'de> for SomethingVisitor {
    type Value = Something;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("media to be a map or a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Something, A::Error> {
        let mut any = false;
        while entries.next_element::<IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(Something(any))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Something, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Something(true))
    }
}
