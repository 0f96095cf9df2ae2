//! Why a request is refused, each with its status and a sentence for whoever sent it.

use std::fmt;

macro_rules! refusals {
    ($($(#[doc = $section:literal])+ $name:ident = $status:literal $sentence:literal,)+) => {
        /// Why a request is refused. It is answered with [`status`](RequestError::status) and its
        /// sentence, and the connection closes: where the next request would begin is unknown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RequestError { $($(#[doc = $section])+ $name,)+ }

        impl RequestError {
            /// The status that tells the peer.
            pub fn status(self) -> u16 {
                match self { $(RequestError::$name => $status,)+ }
            }

            /// What is wrong, in a sentence.
            pub fn sentence(self) -> &'static str {
                match self { $(RequestError::$name => $sentence,)+ }
            }

            /// Every one of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [RequestError] = &[$(RequestError::$name,)+];
        }
    };
}

refusals! {
    /// RFC 6585, section 5.
    HeadTooLong = 431 "The head of the request is too long.",
    /// RFC 6585, section 5.
    TooManyFields = 431 "The request has too many header fields.",
    /// RFC 9110, 15.5.15.
    TargetTooLong = 414 "The target of the request is too long.",
    /// RFC 9112, section 3.
    MethodTooLong = 501 "No method has such a long name.",
    /// RFC 9112, section 3.
    BadRequestLine = 400 "The first line is no request: write METHOD /target HTTP/1.1.",
    /// RFC 9112, 3.2.
    BadTarget = 400 "The target of the request is malformed.",
    /// RFC 9112, 2.3.
    BadVersion = 400 "The version of the request is malformed.",
    /// RFC 9110, 15.6.6.
    UnsupportedVersion = 505 "This server speaks HTTP/1.1 and HTTP/1.0.",
    /// RFC 9112, 5.1.
    BadFieldName = 400 "The name of a header field is malformed.",
    /// RFC 9112, 5.1.
    SpaceBeforeColon = 400 "There is whitespace between a field's name and its colon.",
    /// RFC 9112, 5.2.
    FoldedField = 400 "A header field is folded over several lines.",
    /// RFC 9110, 5.5.
    BadFieldValue = 400 "The value of a header field is malformed.",
    /// RFC 9112, 2.2.
    BareLineFeed = 400 "A line ends with LF alone: lines end with CR LF.",
    /// RFC 9112, 2.2.
    BareReturn = 400 "There is a CR without an LF behind it.",
    /// RFC 9112, 3.2.
    HostMissing = 400 "The request has no Host field.",
    /// RFC 9112, 3.2.
    HostTwice = 400 "The request has more than one Host field.",
    /// RFC 9112, 3.2.
    BadHost = 400 "The Host field is malformed.",
    /// RFC 9110, 8.6.
    BadLength = 400 "The Content-Length is no plain number.",
    /// RFC 9112, 6.3.
    LengthTwice = 400 "The request has more than one Content-Length.",
    /// RFC 9112, 6.1.
    LengthAndCoding = 400 "The request has both a Content-Length and a Transfer-Encoding.",
    /// RFC 9112, 6.3.
    BadCoding = 400 "The Transfer-Encoding does not end with chunked, once.",
    /// RFC 9112, 6.1.
    UnknownCoding = 501 "Of transfer codings this server knows only chunked.",
    /// RFC 9112, 6.1.
    CodingInOldVersion = 400 "HTTP/1.0 has no Transfer-Encoding.",
    /// RFC 9110, 10.1.1.
    UnknownExpectation = 417 "Of expectations this server knows only 100-continue.",
    /// RFC 9110, 8.3.
    ContentTypeTwice = 400 "The request has more than one Content-Type.",
    /// RFC 9112, section 8.
    BodyCut = 400 "The connection ended before the body of the request did.",
    /// RFC 9110, 15.5.14.
    BodyTooLong = 413 "The body of the request is too long.",
    /// RFC 9112, 7.1.
    BadChunkSize = 400 "The size of a chunk is no plain hexadecimal number.",
    /// RFC 9112, 7.1.1.
    BadChunkExtension = 400 "The extension of a chunk is malformed or too long.",
    /// RFC 9112, 7.1.
    BadChunkEnd = 400 "A chunk does not end where its size says.",
    /// RFC 9112, 7.1.2.
    BadTrailer = 400 "A trailer field is malformed.",
    /// RFC 6585, section 5.
    TrailersTooLong = 431 "The trailer fields are too long.",
    /// RFC 9110, 15.5.9.
    TooSlow = 408 "The request did not come in time.",
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for RequestError {}
