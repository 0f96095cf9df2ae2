//! A request as it is sent: the same at each try, changed by redirections.

use super::error::{ClientError, RedirectError};
use crate::http::response::Writing;
use crate::memory::chain::Payload;
use crate::wire::http::{AnswerHead, Fields, Url};

/// Whom we say we are, unless the user says otherwise.
const AGENT: &str = concat!("user-agent: skyring/", env!("CARGO_PKG_VERSION"), "\r\n");
/// Bytes that a head usually takes.
const ROOM_BYTES: usize = 256;

/// What is asked.
pub(super) struct Call {
    pub(super) method: String,
    pub(super) url: Url,
    /// Checked, each with its CR LF.
    pub(super) fields: Vec<u8>,
    pub(super) body: Body,
    /// The server is asked before the body is sent.
    pub(super) expects: bool,
}

/// The body of a request.
pub(super) enum Body {
    None,
    Whole(Payload<'static>),
    /// Of so many bytes, if that is known. It can be sent once.
    Stream(Option<Writing>, Option<u64>),
}

impl Call {
    /// Whether it may be sent again without harm when it is unknown what became of it (RFC 9110,
    /// 9.2.2), and can be.
    pub(super) fn is_repeatable(&self) -> bool {
        let is_idempotent =
            matches!(&*self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
        is_idempotent && !matches!(self.body, Body::Stream(..))
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(super) fn says(&self, name: &str) -> bool {
        Fields::new(&self.fields).value(name).is_some()
    }

    /// Whether a packed answer was asked for by us, who unpack it. A part of one cannot be.
    pub(super) fn unpacks(&self) -> bool {
        cfg!(feature = "gzip") && !self.says("accept-encoding") && !self.says("range")
    }

    /// The head of the request.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(ROOM_BYTES + self.fields.len());
        let mut add = |parts: &[&str]| {
            parts.iter().for_each(|part| head.extend_from_slice(part.as_bytes()));
        };
        add(&[&self.method, " ", self.url.target(), " HTTP/1.1\r\n"]);
        if !self.says("host") {
            add(&["host: ", &self.url.authority(), "\r\n"]);
        }
        if !self.says("user-agent") {
            add(&[AGENT]);
        }
        if self.unpacks() {
            add(&["accept-encoding: gzip\r\n"]);
        }
        match &self.body {
            Body::Whole(body) => add(&["content-length: ", &body.len().to_string(), "\r\n"]),
            Body::Stream(_, Some(len)) => add(&["content-length: ", &len.to_string(), "\r\n"]),
            Body::Stream(_, None) => add(&["transfer-encoding: chunked\r\n"]),
            // Methods that are about a body say that there is none (RFC 9110, 8.6).
            Body::None if matches!(&*self.method, "POST" | "PUT" | "PATCH") => {
                add(&["content-length: 0\r\n"]);
            }
            Body::None => {}
        }
        if self.expects && !matches!(self.body, Body::None) {
            add(&["expect: 100-continue\r\n"]);
        }
        head.extend_from_slice(&self.fields);
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Changes into what a redirection asks for (RFC 9110, 15.4). `false`: it is none.
    pub(super) fn redirect(
        &mut self,
        head: &AnswerHead,
        location: Option<&[u8]>,
    ) -> Result<bool, ClientError> {
        let Some(location) = location.filter(|_| matches!(head.status, 301..=303 | 307 | 308))
        else {
            return Ok(false);
        };
        let location = String::from_utf8_lossy(location);
        let url = self.url.join(&location).map_err(RedirectError::Location)?;
        if self.url.is_secure() && !url.is_secure() {
            return Err(RedirectError::Insecure.into());
        }
        // Everybody changes POST to GET, as browsers did before there was a rule.
        let becomes_get = match head.status {
            303 => !self.is_head(),
            301 | 302 => self.method == "POST",
            _ => false,
        };
        if becomes_get {
            "GET".clone_into(&mut self.method);
            self.body = Body::None;
            self.drop_fields(|name| name.to_ascii_lowercase().starts_with("content-"));
        } else if matches!(self.body, Body::Stream(..)) {
            return Err(RedirectError::BodyIsGone.into());
        }
        if !self.url.is_same_origin(&url) {
            const OF_THE_ORIGIN: [&str; 4] =
                ["authorization", "cookie", "proxy-authorization", "host"];
            self.drop_fields(|name| {
                OF_THE_ORIGIN.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
            });
        }
        self.url = url;
        Ok(true)
    }

    pub(super) fn drop_fields(&mut self, is_dropped: impl Fn(&str) -> bool) {
        let mut kept = Vec::with_capacity(self.fields.len());
        for (name, value) in Fields::new(&self.fields).filter(|(name, _)| !is_dropped(name)) {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                kept.extend_from_slice(part);
            }
        }
        self.fields = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{HeadLimits, decode_answer};

    fn call(method: &str, url: &str, fields: &str, body: Body) -> Call {
        Call {
            method: method.into(),
            url: Url::parse(url).expect("a URL"),
            fields: fields.as_bytes().to_vec(),
            body,
            expects: false,
        }
    }

    fn redirected(call: &mut Call, status: u16, location: &str) -> Result<bool, ClientError> {
        let wire = format!("HTTP/1.1 {status} x\r\n\r\n");
        let head = decode_answer(wire.as_bytes(), &mut 0, &HeadLimits::default(), false);
        call.redirect(&head.expect("valid").expect("whole"), Some(location.as_bytes()))
    }

    fn body() -> Body {
        Body::Whole("body".into())
    }

    #[test]
    fn a_head_says_what_the_user_does_not() {
        let head = |call: &Call| String::from_utf8(call.head()).expect("text");
        let get = head(&call("GET", "http://a:81/x?y", "accept: z\r\n", Body::None));
        let gzip = if cfg!(feature = "gzip") { "accept-encoding: gzip\r\n" } else { "" };
        let expected = format!("GET /x?y HTTP/1.1\r\nhost: a:81\r\n{AGENT}{gzip}accept: z\r\n\r\n");
        assert_eq!(get, expected);
        let own = "Host: b\r\nUser-Agent: c\r\nAccept-Encoding: br\r\n";
        let post = head(&call("POST", "http://a", own, body()));
        assert_eq!(post, format!("POST / HTTP/1.1\r\ncontent-length: 4\r\n{own}\r\n"));
        let part = head(&call("GET", "http://a", "Range: bytes=0-1\r\n", Body::None));
        assert!(!part.contains("gzip"), "a part of what is packed cannot be unpacked");
        assert!(head(&call("PUT", "http://a", "", Body::None)).contains("content-length: 0\r\n"));
        assert!(!head(&call("DELETE", "http://a", "", Body::None)).contains("content-length"));
    }

    #[test]
    fn a_redirection_changes_the_method_as_rfc_9110_has_it() {
        for (method, status, then, keeps_body) in [
            ("POST", 301, "GET", false),
            ("POST", 302, "GET", false),
            ("POST", 303, "GET", false),
            ("POST", 307, "POST", true),
            ("POST", 308, "POST", true),
            ("PUT", 301, "PUT", true),
            ("PUT", 302, "PUT", true),
            ("PUT", 303, "GET", false),
            ("HEAD", 303, "HEAD", true),
            ("GET", 302, "GET", true),
        ] {
            let mut call = call(method, "http://a/b", "content-type: x\r\nd: e\r\n", body());
            assert!(redirected(&mut call, status, "c").expect("followed"));
            assert_eq!((&*call.method, call.url.target()), (then, "/c"), "{method} {status}");
            assert_eq!(matches!(call.body, Body::Whole(_)), keeps_body, "{method} {status}");
            assert_eq!(call.says("content-type"), keeps_body);
            assert!(call.says("d"));
        }
        for status in [200, 300, 304, 305, 306, 404] {
            let mut call = call("GET", "http://a/", "", Body::None);
            assert!(!redirected(&mut call, status, "c").expect("no redirection"));
        }
    }

    #[test]
    fn what_is_secret_stays_with_its_origin() {
        let secret = "Authorization: x\r\nCookie: y\r\nHost: z\r\nA: b\r\n";
        let mut near = call("GET", "http://a/", secret, Body::None);
        assert!(redirected(&mut near, 302, "/elsewhere").expect("followed"));
        assert!(near.says("authorization") && near.says("cookie"));
        for far in ["http://b/", "http://a:81/", "https://a/"] {
            let mut call = call("GET", "http://a/", secret, Body::None);
            assert!(redirected(&mut call, 302, far).expect("followed"));
            assert_eq!(call.fields, b"A: b\r\n", "{far}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        let fails = |url: &str, status, location: &str, body: Body| match redirected(
            &mut call("PUT", url, "", body),
            status,
            location,
        ) {
            Err(ClientError::Redirect(error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(fails("https://a", 302, "http://a", Body::None), RedirectError::Insecure);
        assert_eq!(
            fails("http://a", 307, "/", Body::Stream(None, None)),
            RedirectError::BodyIsGone
        );
        let located = |location: &str| fails("http://a", 302, location, Body::None);
        for location in ["ftp://a", "http://u@b/", "http://", "/\u{1}"] {
            assert!(matches!(located(location), RedirectError::Location(_)), "{location}");
        }
    }
}
