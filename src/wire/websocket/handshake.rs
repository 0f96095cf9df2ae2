//! The handshake (RFC 6455, 4): a request of HTTP that asks to go on as a WebSocket, and its answer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::extension::{Agreement, DeflateOffer};
use crate::wire::http::{Fields, has_token};

/// What a server puts behind the key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Header fields that the answer to a client may have.
const ANSWER_FIELDS_MAX: usize = 64;

/// The answer to a key: what `Sec-WebSocket-Accept` has to be.
///
/// ```
/// use skyring::wire::websocket::accept_key;
/// assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It is another request of HTTP.
    NotAnUpgrade,
    /// It is no GET.
    NotGet,
    /// The version is another one than 13: the answer says so.
    Version,
    /// The key is missing, repeated, or no 16 bytes of base64.
    BadKey,
    /// The page that asks comes from elsewhere.
    BadOrigin,
}

impl HandshakeError {
    /// The status of the answer. 426 goes with the fields `Upgrade` and `Sec-WebSocket-Version`.
    pub fn status(self) -> u16 {
        match self {
            HandshakeError::NotAnUpgrade | HandshakeError::Version => 426,
            HandshakeError::NotGet => 405,
            HandshakeError::BadKey => 400,
            HandshakeError::BadOrigin => 403,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandshakeError::NotAnUpgrade => "Only WebSocket is spoken here.",
            HandshakeError::NotGet => "A handshake of WebSocket is a GET.",
            HandshakeError::Version => "Only version 13 of WebSocket is spoken here.",
            HandshakeError::BadKey => "The Sec-WebSocket-Key is no 16 bytes of base64.",
            HandshakeError::BadOrigin => "Pages of this origin are not served.",
        })
    }
}

impl std::error::Error for HandshakeError {}

/// What a client asks for, in the head of its request.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    fields: Fields<'a>,
    key: &'a str,
}

/// Reads what a client asks for. That the request is one of HTTP/1.1 with `Connection: upgrade` is
/// for the caller to see.
///
/// # Errors
/// [`HandshakeError`].
pub fn read_offer<'a>(method: &str, fields: Fields<'a>) -> Result<Offer<'a>, HandshakeError> {
    let mut asked = fields.clone().filter(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
    if !asked.any(|(_, value)| has_token(value, "websocket")) {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if method != "GET" {
        return Err(HandshakeError::NotGet);
    }
    if only(&fields, "sec-websocket-version") != Some("13") {
        return Err(HandshakeError::Version);
    }
    let key = only(&fields, "sec-websocket-key").filter(|key| is_key(key));
    let key = key.ok_or(HandshakeError::BadKey)?;
    Ok(Offer { fields, key })
}

/// The value of a field that must not be repeated.
fn only<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a str> {
    let mut values = texts(fields, name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// The values of the fields of this name.
fn texts<'a>(fields: &Fields<'a>, name: &str) -> impl Iterator<Item = &'a str> {
    let of_name = move |(known, value): (&str, &'a [u8])| {
        known.eq_ignore_ascii_case(name).then(|| std::str::from_utf8(value).ok())?
    };
    fields.clone().filter_map(of_name)
}

/// Whether it is 16 bytes of base64. The four bits that its last character has too many may be set: some
/// clients make up characters, and nobody decodes them.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

impl<'a> Offer<'a> {
    /// What `Sec-WebSocket-Accept` has to be.
    pub fn accept_key(&self) -> String {
        accept_key(self.key)
    }

    /// The origin of the page that asks; browsers tell it.
    pub fn origin(&self) -> Option<&'a str> {
        only(&self.fields, "origin")
    }

    /// Whether it comes from a page of one of these origins, in whatever case, or from no page.
    pub fn is_from(&self, origins: &[impl AsRef<str>]) -> bool {
        let mut known = texts(&self.fields, "origin");
        known.all(|origin| origins.iter().any(|one| one.as_ref().eq_ignore_ascii_case(origin)))
    }

    /// The subprotocols that the client speaks, those that it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> {
        let lists = texts(&self.fields, "sec-websocket-protocol");
        lists.flat_map(|list| list.split(',').map(str::trim)).filter(|name| !name.is_empty())
    }

    /// The first subprotocol of the client's that is among these.
    pub fn choose_protocol<'b>(&self, known: &'b [impl AsRef<str>]) -> Option<&'b str> {
        let find = |asked: &str| known.iter().map(AsRef::as_ref).find(|one| *one == asked);
        self.protocols().find_map(find)
    }

    /// The compression that both can do.
    pub fn choose_deflate(&self, ours: &DeflateOffer) -> Option<Agreement> {
        ours.choose(texts(&self.fields, "sec-websocket-extensions"))
    }
}

/// A client's request.
#[derive(Clone, Copy, Debug)]
pub struct RequestPlan<'a> {
    /// Host, and the port unless it is 80.
    pub host: &'a str,
    /// Path and query, from the slash on.
    pub target: &'a str,
    /// 16 random bytes.
    pub nonce: [u8; 16],
    /// Subprotocols, those liked best first.
    pub protocols: &'a [String],
    /// The compression that is offered.
    pub deflate: Option<DeflateOffer>,
    /// Further fields, checked, each with its CR LF.
    pub fields: &'a [u8],
}

impl RequestPlan<'_> {
    /// The key: the random bytes as text.
    pub fn key(&self) -> String {
        STANDARD.encode(self.nonce)
    }

    /// The request. Host, target and names of protocols are checked by the caller.
    pub fn write(&self) -> Vec<u8> {
        let RequestPlan { host, target, .. } = self;
        let key = self.key();
        let mut text = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
        );
        if !self.protocols.is_empty() {
            text += &format!("sec-websocket-protocol: {}\r\n", self.protocols.join(", "));
        }
        if let Some(deflate) = self.deflate {
            text += &format!("sec-websocket-extensions: {}\r\n", deflate.offer());
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.fields);
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// Checks the head of a server's answer, which ends with its empty line.
    ///
    /// # Errors
    /// A status that is not 101, or what is wrong with the answer.
    pub fn check(&self, head: &[u8]) -> Result<Answer, BadAnswer> {
        let mut room = [httparse::EMPTY_HEADER; ANSWER_FIELDS_MAX];
        let mut response = httparse::Response::new(&mut room);
        let parsed = response.parse(head);
        let (Ok(httparse::Status::Complete(_)), Some(status)) = (parsed, response.code) else {
            return Err(BadAnswer::Malformed);
        };
        if status != 101 {
            return Err(BadAnswer::Status(status));
        }
        let start = memchr::memchr(b'\n', head).map_or(0, |at| at + 1);
        let fields = Fields::new(&head[start..]);
        let has = |name, token| texts(&fields, name).any(|list| has_token(list.as_bytes(), token));
        if !has("upgrade", "websocket") || !has("connection", "upgrade") {
            return Err(BadAnswer::NoUpgrade);
        }
        if only(&fields, "sec-websocket-accept") != Some(&accept_key(&self.key())) {
            return Err(BadAnswer::BadAccept);
        }
        let mut protocols = texts(&fields, "sec-websocket-protocol");
        let protocol = match (protocols.next(), protocols.next()) {
            (None, _) => None,
            (Some(one), None) if self.protocols.iter().any(|asked| asked == one) => {
                Some(one.to_owned())
            }
            _ => return Err(BadAnswer::Protocol),
        };
        let deflate = match (self.deflate, texts(&fields, "sec-websocket-extensions").next()) {
            (_, None) => None,
            (None, Some(_)) => return Err(BadAnswer::Extension("none was offered")),
            (Some(ours), Some(_)) => {
                let all: Vec<&str> = texts(&fields, "sec-websocket-extensions").collect();
                Some(ours.accept(&all.join(", ")).map_err(BadAnswer::Extension)?)
            }
        };
        Ok(Answer { protocol, deflate })
    }
}

/// What a server has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The subprotocol, if one was chosen.
    pub protocol: Option<String>,
    /// The compression, if any.
    pub deflate: Option<Agreement>,
}

/// Why a server's answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAnswer {
    /// It refuses, or leads elsewhere.
    Status(u16),
    /// It is no answer of HTTP/1.1.
    Malformed,
    /// It has the status, and not the fields that go with it.
    NoUpgrade,
    /// It does not know the key: something between has answered from a store.
    BadAccept,
    /// It speaks a subprotocol that was not asked for.
    Protocol,
    /// It uses an extension that was not offered, or not like this.
    Extension(&'static str),
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadAnswer::Status(status) => {
                write!(f, "the server does not go on as a WebSocket: it answers {status}")
            }
            BadAnswer::Malformed => f.write_str("the server's answer is no HTTP/1.1"),
            BadAnswer::NoUpgrade => f.write_str(
                "the server's answer lacks `Upgrade: websocket` or `Connection: upgrade`",
            ),
            BadAnswer::BadAccept => {
                f.write_str("the server's Sec-WebSocket-Accept does not answer the key")
            }
            BadAnswer::Protocol => {
                f.write_str("the server speaks a subprotocol that was not asked for")
            }
            BadAnswer::Extension(why) => write!(f, "the server's extension is refused: {why}"),
        }
    }
}

impl std::error::Error for BadAnswer {}

#[cfg(test)]
mod tests;
