//! Bodies made shorter for peers that take gzip (RFC 9110, 8.4 and 12.5.3).

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::request::Request;
use super::response::{Content, Response};
use crate::memory::chain::Payload;
use crate::reactor::blocking::blocking;

/// Longer bodies are compressed off the reactor: this much takes about a tenth of a millisecond.
const IN_PLACE_BYTES_MAX: usize = 8 * 1024;
/// Longer bodies go as they are.
const BYTES_MAX: usize = 8 << 20;

/// Whether the peer takes gzip: named, or by `*`, and not with weight 0.
pub(super) fn is_accepted(request: &Request) -> bool {
    request.header("accept-encoding").is_some_and(takes_gzip)
}

fn takes_gzip(list: &str) -> bool {
    let mut any = false;
    for part in list.split(',') {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let is_refused = words.any(|word| {
            let weight = word.strip_prefix("q=").or_else(|| word.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
        });
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return !is_refused;
        }
        any |= name == "*" && !is_refused;
    }
    any
}

fn is_compressible(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim();
    name.starts_with("text/")
        || name.ends_with("+json")
        || name.ends_with("+xml")
        || matches!(
            name,
            "application/json" | "application/javascript" | "application/xml" | "application/wasm"
        )
}

/// The same answer, shorter, when that is worth it.
pub(super) async fn compress(mut response: Response, bytes_min: usize) -> Response {
    let says = |name: &str| crate::wire::http::Fields::new(&response.fields).value(name).is_some();
    let is_plain = response.status == 200 && !says("content-encoding") && !says("content-range");
    let Content::Whole(body) = &response.content else { return response };
    let len = body.len();
    if !is_plain || !is_compressible(response.content_type) || len < bytes_min || len > BYTES_MAX {
        return response;
    }
    let short = if len <= IN_PLACE_BYTES_MAX {
        gzip(body.as_ref())
    } else {
        let whole = match body {
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Frame(frame) => frame.clone().into_bytes(),
            Payload::Slice(slice) => Bytes::copy_from_slice(slice),
        };
        blocking(move || gzip(&whole)).await.ok().flatten()
    };
    response.fields.extend_from_slice(b"vary: accept-encoding\r\n");
    if let Some(short) = short.filter(|short| short.len() < len) {
        weaken_tag(&mut response.fields);
        response.fields.extend_from_slice(b"content-encoding: gzip\r\n");
        response.content = Content::Whole(short.into());
    }
    response
}

/// Other bytes have another tag, unless it is a weak one (RFC 9110, 8.8.1).
fn weaken_tag(fields: &mut Vec<u8>) {
    const TAG: &[u8] = b"etag: \"";
    let found = fields.windows(TAG.len()).position(|part| part.eq_ignore_ascii_case(TAG));
    if let Some(at) = found {
        let quote = at + TAG.len() - 1;
        fields.splice(quote..quote, *b"W/");
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_when_it_is_named_and_not_refused() {
        for yes in ["gzip", "deflate, gzip;q=0.5", "*", "br, *;q=0.1", "GZIP", "gzip ; q=1"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "identity"] {
            assert!(!takes_gzip(no), "{no}");
        }
    }
}
