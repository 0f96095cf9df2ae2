//! HTTP/1.1 messages by RFC 9112: bytes in, ranges and bytes out. No socket, no clock.
//!
//! ```text
//!   GET /rooms/7?last=5 HTTP/1.1\r\n     line:   method, target (path, query), version
//!   Host: example.org\r\n                fields: looked at once for framing, left where they lie
//!   \r\n                                 ─────── Head: places in the bytes, how the body is framed
//!   body                                 nothing, so many bytes, or chunks (Chunked)
//! ```
//!
//! What two recipients could take for two different messages is refused, not repaired: that is how
//! requests are smuggled past a proxy (RFC 9112, 11.2). Each refusal has its status and a sentence:
//! [`RequestError`].
//!
//! ```
//! use skyring::wire::http::{BodyLength, HeadLimits, Step, decode};
//!
//! let bytes = b"POST /rooms?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
//! let Step::Head(head) = decode(bytes, &mut 0, &HeadLimits::default())? else {
//!     panic!("the head is whole");
//! };
//! assert_eq!((head.method.of(bytes), head.path.of(bytes)), ("POST", "/rooms"));
//! assert_eq!(head.body, BodyLength::Bytes(2));
//! assert_eq!(&bytes[head.encoded..], b"hi");
//!
//! let smuggled = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n";
//! let error = decode(smuggled, &mut 0, &HeadLimits::default()).unwrap_err();
//! assert_eq!(error.status(), 400);
//! # Ok::<(), skyring::wire::http::RequestError>(())
//! ```

mod answer;
mod chunk;
mod date;
mod error;
mod fields;
mod head;
mod percent;
mod response;
mod target;
mod url;

pub use self::answer::{AnswerError, AnswerHead, AnswerLength, decode_answer};
pub use self::chunk::{Chunk, Chunked, chunk_head};
pub use self::date::{parse_date, write_date};
pub use self::error::RequestError;
pub use self::fields::{Fields, has_token, is_field_name, is_field_value};
pub use self::head::{BodyLength, Head, HeadLimits, Span, Step, Version, decode};
pub use self::percent::{decode_component, decode_path};
pub use self::response::{ResponseHead, reason, write_head};
pub use self::target::Form;
pub use self::url::{Url, UrlError};
