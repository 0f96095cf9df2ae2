//! Which compression both sides agree on (RFC 7692, 7.1).
//!
//! | parameter | asked by a client | answered by a server |
//! |---|---|---|
//! | `server_no_context_takeover` | the server is to forget after each message | it does |
//! | `client_no_context_takeover` | the client will forget | the client has to |
//! | `server_max_window_bits` | at most so much | so much, or less |
//! | `client_max_window_bits` | it can do with less, and with so much at most | it has to |
//!
//! Windows of 8 bits are declined: the compressor cannot keep to them. So is every offer with a
//! parameter that is unknown, repeated, or has a value that it must not have.

use std::fmt::Write;

/// The name of the extension.
pub(super) const DEFLATE: &str = "permessage-deflate";

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The server forgets after each message.
    pub server_no_context_takeover: bool,
    /// The client forgets after each message.
    pub client_no_context_takeover: bool,
    /// The server looks back so many bits: 9 to 15; in an answer to a client 8, too.
    pub server_max_window_bits: u8,
    /// The client looks back so many bits: 9 to 15.
    pub client_max_window_bits: u8,
}

/// What a side wants of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOffer {
    /// The server forgets after each message: it needs less memory, and compresses less.
    pub server_no_context_takeover: bool,
    /// The client forgets after each message.
    pub client_no_context_takeover: bool,
    /// The server looks back at most so many bits: 9 to 15.
    pub server_max_window_bits: u8,
    /// The client looks back at most so many bits: 9 to 15.
    pub client_max_window_bits: u8,
}

impl Default for DeflateOffer {
    /// Both remember, and look back 15 bits (32 KiB).
    fn default() -> DeflateOffer {
        DeflateOffer {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

/// The parameters of one offer or answer, as they were written.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` when one of them is unknown, repeated or has a bad value.
    fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Parameters> {
        let mut read = Parameters::default();
        for text in texts {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.trim(), Some(unquoted(value.trim())?)),
                None => (text.trim(), None),
            };
            let is_new = match (name, value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(bits)) => {
                    read.server_max_window_bits.replace(window_bits(bits)?).is_none()
                }
                ("client_max_window_bits", bits) => {
                    let bits = match bits {
                        Some(bits) => Some(window_bits(bits)?),
                        None => None,
                    };
                    read.client_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(read)
    }
}

/// A value without its quotes; `None` when they do not fit.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => (!value.contains('"')).then_some(value),
    }
}

/// 8 to 15, without a leading zero.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    ((8..=15).contains(&bits) && !value.starts_with(['0', '+'])).then_some(bits)
}

/// The extensions of a header field: names, and their parameters.
fn extensions(value: &str) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
    value.split(',').map(|extension| {
        let mut parts = extension.split(';');
        (parts.next().unwrap_or_default().trim(), parts)
    })
}

impl DeflateOffer {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        let is_window = |bits| (9..=15).contains(&bits);
        let both = is_window(self.server_max_window_bits) && is_window(self.client_max_window_bits);
        (!both).then_some("a window has 9 to 15 bits")
    }

    /// A server's choice among what a client offers in the values of its header fields, in the
    /// client's order; `None` when nothing of it fits.
    ///
    /// ```
    /// use skyring::wire::websocket::DeflateOffer;
    ///
    /// let server = DeflateOffer::default();
    /// let offer = "permessage-deflate; server_max_window_bits=10; client_max_window_bits";
    /// let agreed = server.choose([offer].into_iter()).expect("it fits");
    /// assert_eq!((agreed.server_max_window_bits, agreed.client_max_window_bits), (10, 15));
    /// assert_eq!(agreed.answer(), "permessage-deflate; server_max_window_bits=10");
    /// assert_eq!(server.choose(["permessage-deflate; server_max_window_bits=8"].into_iter()), None);
    /// ```
    pub fn choose<'a>(&self, values: impl Iterator<Item = &'a str>) -> Option<Agreement> {
        values.flat_map(extensions).filter(|(name, _)| *name == DEFLATE).find_map(|(_, texts)| {
            let asked = Parameters::read(texts)?;
            let server_bits = asked.server_max_window_bits.unwrap_or(15);
            let client_bits = match asked.client_max_window_bits {
                Some(hint) => hint.unwrap_or(15).min(self.client_max_window_bits),
                None => 15, // it knows no other
            };
            if server_bits == 8 || client_bits == 8 {
                return None;
            }
            Some(Agreement {
                server_no_context_takeover: self.server_no_context_takeover
                    || asked.server_no_context_takeover,
                client_no_context_takeover: self.client_no_context_takeover
                    || asked.client_no_context_takeover,
                server_max_window_bits: server_bits.min(self.server_max_window_bits),
                client_max_window_bits: client_bits,
            })
        })
    }

    /// What a client offers.
    pub fn offer(&self) -> String {
        let plain = Agreement {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self.client_max_window_bits,
        };
        let mut text = plain.answer();
        if self.client_max_window_bits == 15 {
            text.push_str("; client_max_window_bits");
        }
        text
    }

    /// What a server has made of this offer, by the value of its header field.
    ///
    /// # Errors
    /// A sentence: it answers what was not offered, or what this side cannot keep to.
    pub fn accept(&self, value: &str) -> Result<Agreement, &'static str> {
        let mut all = extensions(value);
        let (Some((DEFLATE, texts)), None) = (all.next(), all.next()) else {
            return Err("the server answers with an extension that was not offered");
        };
        let Some(said) = Parameters::read(texts) else {
            return Err("the server answers with malformed parameters of permessage-deflate");
        };
        let server_bits = said.server_max_window_bits.unwrap_or(15);
        if server_bits > self.server_max_window_bits
            || self.server_no_context_takeover && !said.server_no_context_takeover
        {
            return Err("the server does not keep to the offer of permessage-deflate");
        }
        let client_bits = match said.client_max_window_bits {
            None => 15,
            Some(Some(bits @ 9..)) => bits,
            Some(_) => return Err("the server wants a window that the compressor cannot keep to"),
        };
        Ok(Agreement {
            server_no_context_takeover: said.server_no_context_takeover,
            client_no_context_takeover: said.client_no_context_takeover
                || self.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits.min(self.client_max_window_bits),
        })
    }
}

impl Agreement {
    /// What a server answers.
    pub fn answer(&self) -> String {
        let mut text = DEFLATE.to_owned();
        if self.server_no_context_takeover {
            text.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            text.push_str("; client_no_context_takeover");
        }
        if self.server_max_window_bits < 15 {
            let _ = write!(text, "; server_max_window_bits={}", self.server_max_window_bits);
        }
        if self.client_max_window_bits < 15 {
            let _ = write!(text, "; client_max_window_bits={}", self.client_max_window_bits);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(offer: &str) -> Option<String> {
        DeflateOffer::default().choose([offer].into_iter()).map(|agreed| agreed.answer())
    }

    #[test]
    fn an_offer_that_is_malformed_is_declined_and_the_next_one_looked_at() {
        let declined = [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate;",
        ];
        for offer in declined {
            assert_eq!(choose(offer), None, "{offer}");
            let second = format!("{offer}, permessage-deflate");
            assert_eq!(choose(&second).as_deref(), Some("permessage-deflate"), "{second}");
        }
    }

    #[test]
    fn every_parameter_is_answered_as_it_was_asked() {
        let same = [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=9",
        ];
        for offer in same {
            assert_eq!(choose(offer).as_deref(), Some(offer));
        }
        let quoted = "permessage-deflate; server_max_window_bits=\"12\"";
        assert_eq!(
            choose(quoted).as_deref(),
            Some("permessage-deflate; server_max_window_bits=12")
        );
        let small = DeflateOffer { client_max_window_bits: 10, ..DeflateOffer::default() };
        let agreed = small.choose(["permessage-deflate"].into_iter()).expect("it fits");
        assert_eq!(agreed.client_max_window_bits, 15, "the client cannot be told");
    }

    #[test]
    fn an_answer_beyond_the_offer_is_refused() {
        let ours = DeflateOffer {
            server_no_context_takeover: true,
            server_max_window_bits: 10,
            ..DeflateOffer::default()
        };
        let good = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
        assert!(ours.accept(good).is_ok());
        let less = "permessage-deflate; server_no_context_takeover; server_max_window_bits=8; \
                    client_max_window_bits=9; client_no_context_takeover";
        assert_eq!(ours.accept(less).map(|agreed| agreed.client_max_window_bits), Ok(9));
        let refused = [
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits=8",
            "something",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10, another",
        ];
        for answer in refused {
            assert!(ours.accept(answer).is_err(), "{answer}");
        }
    }
}
