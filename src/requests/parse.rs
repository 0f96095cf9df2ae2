//! A request, read in place: the command, and the data as they came.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::refusal::BadRequest;
use crate::error::Result;

/// What is told of a mistake is cut there: it may hold what the client sent, however long.
const WHY_BYTES_MAX: usize = 200;

/// A request of a client.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) cmd: Cow<'a, str>,
    pub(super) data: Data<'a>,
}

/// The data of a request, not read yet: JSON where it was received, or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a>(Option<&'a RawValue>);

impl<'a> Data<'a> {
    /// The data as a `T`, which may borrow from them. Missing data are `null`.
    ///
    /// Objects and arrays within each other go 127 deep; beyond, they are refused unless `T`
    /// ignores them.
    ///
    /// # Errors
    /// [`BadRequest::NoData`], [`BadRequest::BadData`] as a [`Refusal`](super::Refusal): return it,
    /// and the client reads what is wrong.
    pub fn read<T: Deserialize<'a>>(self) -> Result<T> {
        match self.0 {
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| BadRequest::BadData(text(&error)).into()),
            None => serde_json::from_str("null").map_err(|_| BadRequest::NoData.into()),
        }
    }

    /// The JSON as it came; `null` for nothing.
    pub fn json(self) -> &'a str {
        self.0.map_or("null", RawValue::get)
    }
}

/// Reads what surrounds the data, and finds where they end.
pub(super) fn parse(bytes: &[u8]) -> Result<Request<'_>, BadRequest> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => BadRequest::Malformed(text(&error)),
        Category::Syntax | Category::Eof | Category::Io => {
            BadRequest::NotJson(cut(error.to_string()))
        }
    })
}

/// What serde says without the place, which counts from the beginning of the data.
fn text(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.rfind(" at line ") {
        text.truncate(at);
    }
    cut(text)
}

fn cut(mut text: String) -> String {
    if text.len() > WHY_BYTES_MAX {
        let end = (0..=WHY_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.expect("0 is one"));
        text.push_str("...");
    }
    text
}

impl<'de: 'a, 'a> Deserialize<'de> for Request<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

/// A visitor instead of a derived one, which would take an array for an object.
struct Object;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Cmd,
    Data,
    #[serde(other)]
    Other,
}

/// The text of `cmd`, borrowed unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name)
    }
}

struct Name;

impl<'de> Visitor<'de> for Name {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"cmd\" as a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(text.to_owned().into()))
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Request<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"cmd\" and \"data\"")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Request<'de>, M::Error> {
        let (mut cmd, mut data) = (None, None);
        while let Some(key) = map.next_key()? {
            match key {
                Key::Cmd if cmd.is_some() => return Err(M::Error::duplicate_field("cmd")),
                Key::Cmd => cmd = Some(map.next_value::<Text<'de>>()?.0),
                Key::Data if data.is_some() => return Err(M::Error::duplicate_field("data")),
                Key::Data => data = Some(map.next_value::<&'de RawValue>()?),
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let cmd = cmd.ok_or_else(|| M::Error::missing_field("cmd"))?;
        Ok(Request { cmd, data: Data(data) })
    }
}
