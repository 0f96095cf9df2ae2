use super::super::fields::Fields;
use super::*;

fn decode(bytes: &[u8]) -> Result<Option<AnswerHead>, AnswerError> {
    decode_answer(bytes, &mut 0, &HeadLimits::default(), false)
}

fn whole(text: &str) -> AnswerHead {
    decode(text.as_bytes()).expect("valid").expect("whole")
}

fn refused(text: &str) -> AnswerError {
    decode(text.as_bytes()).expect_err("malformed")
}

/// Fed in pieces, as a connection feeds it.
fn fed(pieces: &[&[u8]]) -> Result<Option<AnswerHead>, AnswerError> {
    let (mut bytes, mut scanned) = (Vec::new(), 0);
    for piece in pieces {
        bytes.extend_from_slice(piece);
        let found = decode_answer(&bytes, &mut scanned, &HeadLimits::default(), false)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

const WIRES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n",
    b"HTTP/1.0 302 Found\r\nLocation: /x\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 204\r\n\r\n",
];

#[test]
fn every_cut_gives_the_same_head() {
    for wire in WIRES {
        let expected = decode(wire).expect("valid").expect("whole");
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(fed(&pieces).expect("valid"), Some(expected));
            }
        }
        for end in 0..expected.encoded {
            assert_eq!(fed(&[&wire[..end]]), Ok(None), "cut at {end}");
        }
    }
}

#[test]
fn every_cut_of_a_changed_head_ends_the_same_way() {
    for wire in WIRES {
        for at in 0..wire.len() {
            for change in [0, b'\n', b'\r', b' ', b':', b',', b'9', 0xff] {
                let mut changed = wire.to_vec();
                changed[at] = change;
                let whole = decode(&changed);
                for cut in 0..=changed.len() {
                    let cut = fed(&[&changed[..cut], &changed[cut..]]);
                    assert_eq!(cut.is_err(), whole.is_err(), "{}", changed.escape_ascii());
                    if whole.is_ok() {
                        assert_eq!(cut, whole);
                    }
                }
            }
        }
    }
}

#[test]
fn a_body_is_framed_as_rfc_9112_has_it() {
    let body =
        |status: &str, fields: &str| whole(&format!("HTTP/1.1 {status}\r\n{fields}\r\n")).body;
    assert_eq!(body("200 OK", "Content-Length: 7\r\n"), AnswerLength::Bytes(7));
    assert_eq!(body("200 OK", "transfer-encoding: Chunked\r\n"), AnswerLength::Chunked);
    assert_eq!(body("200 OK", ""), AnswerLength::UntilEnd);
    for status in ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"] {
        assert_eq!(body(status, "Content-Length: 7\r\n"), AnswerLength::Bytes(0));
        assert_eq!(body(status, ""), AnswerLength::Bytes(0));
    }
    let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    let head = decode_answer(wire, &mut 0, &HeadLimits::default(), true);
    assert_eq!(head.expect("valid").expect("whole").body, AnswerLength::Bytes(0));
}

#[test]
fn what_two_readers_could_read_as_two_messages_is_refused() {
    let with = |fields: &str| refused(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
    let cases: &[(&str, AnswerError)] = &[
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", AnswerError::LengthAndCoding),
        ("Content-Length: 1\r\nContent-Length: 1", AnswerError::LengthTwice),
        ("Content-Length: 1\r\nContent-Length: 2", AnswerError::LengthTwice),
        ("Content-Length: 1, 1", AnswerError::BadLength),
        ("Content-Length: +1", AnswerError::BadLength),
        ("Content-Length: -1", AnswerError::BadLength),
        ("Content-Length: 0x1", AnswerError::BadLength),
        ("Content-Length:", AnswerError::BadLength),
        ("Content-Length: 99999999999999999999", AnswerError::BadLength),
        ("Transfer-Encoding: gzip, chunked", AnswerError::UnknownCoding),
        ("Transfer-Encoding: chunked, gzip", AnswerError::BadCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", AnswerError::BadCoding),
        ("Transfer-Encoding: identity", AnswerError::BadCoding),
        ("Transfer-Encoding: \u{b}chunked", AnswerError::BadFieldValue),
        ("Content-Length : 1", AnswerError::BadFieldName),
        ("A: b\r\n c", AnswerError::BadFieldName),
        ("A: b\rc: d", AnswerError::BadFieldValue),
        ("A: b\nC: d", AnswerError::BareLineFeed),
        ("A\0: b", AnswerError::BadFieldName),
        (": b", AnswerError::BadFieldName),
    ];
    for (fields, error) in cases {
        let found = with(fields);
        let is_same = found == *error
            || matches!((found, *error), (AnswerError::BareReturn, AnswerError::BadFieldValue));
        assert!(is_same, "{fields:?}: {found:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), AnswerError::CodingInOldVersion);
}

#[test]
fn what_is_no_answer_of_http_1_is_refused_at_its_first_bytes() {
    for (text, error) in [
        ("SSH-2.0", AnswerError::BadStatusLine),
        ("\x15\x03\x01", AnswerError::BadStatusLine),
        ("http/1.1 200 OK", AnswerError::BadStatusLine),
        ("\r\n", AnswerError::BadStatusLine),
        ("HTTP/2 200 OK\r\n\r\n", AnswerError::UnsupportedVersion),
        ("HTTP/1.2 200 OK\r\n\r\n", AnswerError::UnsupportedVersion),
        ("HTTP/1.1 99 OK\r\n\r\n", AnswerError::BadStatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", AnswerError::BadStatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", AnswerError::BadStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", AnswerError::BadStatusLine),
        ("HTTP/1.1 abc OK\r\n\r\n", AnswerError::BadStatusLine),
    ] {
        assert_eq!(refused(text), error, "{text:?}");
    }
}

#[test]
fn a_connection_is_kept_by_the_rules_of_its_version() {
    let keeps = |version: &str, fields: &str| {
        whole(&format!("HTTP/{version} 200 OK\r\n{fields}\r\n")).keep_alive
    };
    assert!(keeps("1.1", "") && keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "") && !keeps("1.1", "connection: x, CLOSE\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn the_last_allowed_head_passes_and_the_next_is_refused() {
    let limits = HeadLimits { head_bytes_max: 60, fields_max: 2, ..HeadLimits::default() };
    let decode = |text: &str| decode_answer(text.as_bytes(), &mut 0, &limits, false);
    let long = |len: usize| {
        let rest = "HTTP/1.1 200 OK\r\na: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(len - rest))
    };
    assert!(decode(&long(60)).expect("allowed").is_some());
    assert_eq!(decode(&long(61)), Err(AnswerError::HeadTooLong));
    assert_eq!(decode(&long(61)[..59]), Ok(None));
    assert_eq!(decode(&long(61)[..60]), Err(AnswerError::HeadTooLong));
    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\r\n".repeat(count));
    assert!(decode(&many(2)).expect("allowed").is_some());
    assert_eq!(decode(&many(3)), Err(AnswerError::TooManyFields));
}

#[test]
fn fields_lie_where_they_came() {
    let wire = "HTTP/1.1 200 OK\r\nA: 1\r\nb:2\r\n\r\nrest";
    let head = whole(wire);
    let fields: Vec<_> = Fields::new(head.fields.bytes(wire.as_bytes())).collect();
    assert_eq!(fields, [("A", &b"1"[..]), ("b", &b"2"[..])]);
    let bare = "HTTP/1.1 200 OK\r\n\r\n";
    assert!(whole(bare).fields.bytes(bare.as_bytes()).is_empty());
}
