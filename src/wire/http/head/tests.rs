//! Heads at every cut and mutated, limits at their ends, and the corpus of smuggling attempts.

use super::super::chunk::{Chunk, Chunked};
use super::super::fields::Fields;
use super::*;

const CORPUS: &str = include_str!("../../../../tests/http/smuggling.txt");
/// What the server of the corpus takes for a body.
const BODY_BYTES_MAX: u64 = 1 << 20;

fn whole(bytes: &[u8]) -> Result<Step, RequestError> {
    decode(bytes, &mut 0, &HeadLimits::default())
}

fn head(text: &str) -> Head {
    match whole(text.as_bytes()) {
        Ok(Step::Head(head)) => head,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// The verdict when the bytes come as cut by `cuts`, which only grow.
fn fed(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Result<Step, RequestError> {
    let mut scanned = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        match decode(&bytes[..cut], &mut scanned, &HeadLimits::default())? {
            Step::Partial => {}
            head => return Ok(head),
        }
    }
    Ok(Step::Partial)
}

/// The statuses with which a server answers these bytes.
fn answers(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    loop {
        match answer(bytes) {
            Ok(Some((used, goes_on))) => {
                statuses.push(200);
                bytes = &bytes[used..];
                if !goes_on {
                    return statuses;
                }
            }
            Ok(None) => return statuses,
            Err(status) => {
                statuses.push(status);
                return statuses;
            }
        }
    }
}

/// How many bytes the first request has, and whether more may follow; or the status of its refusal. A
/// body that is cut is refused, a head that is cut is none.
fn answer(bytes: &[u8]) -> Result<Option<(usize, bool)>, u16> {
    const CUT: u16 = 400;
    let Step::Head(head) = whole(bytes).map_err(|error| error.status())? else { return Ok(None) };
    let mut at = head.encoded;
    match head.body {
        BodyLength::Bytes(len) if len > BODY_BYTES_MAX => {
            return Err(RequestError::BodyTooLong.status());
        }
        BodyLength::Bytes(len) => at += len as usize,
        BodyLength::Chunked => {
            let mut chunked = Chunked::new();
            loop {
                let chunk = chunked.decode(&bytes[at..]);
                let (used, chunk) = chunk.map_err(|error| error.status())?;
                at += used;
                match chunk {
                    Chunk::Done => break,
                    Chunk::Partial => return Err(CUT),
                    _ => {}
                }
            }
        }
    }
    if at <= bytes.len() { Ok(Some((at, head.keep_alive))) } else { Err(CUT) }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.bytes();
    while let Some(byte) = chars.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match chars.next().expect("an escape is whole") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let digits = [chars.next(), chars.next()].map(|digit| digit.expect("two digits"));
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("hexadecimal")
            }
            other => panic!("no escape: {}", other as char),
        });
    }
    bytes
}

fn corpus() -> impl Iterator<Item = (&'static str, Vec<u16>, Vec<u8>)> {
    CORPUS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut parts = line.splitn(3, " | ");
        let mut part = || parts.next().unwrap_or_else(|| panic!("three parts: {line}"));
        part();
        let statuses = part().split(',').map(|status| status.parse().expect("a number")).collect();
        (line, statuses, unescape(part()))
    })
}

#[test]
fn every_attempt_of_the_corpus_gets_its_answer() {
    let mut count = 0;
    for (line, statuses, bytes) in corpus() {
        assert_eq!(answers(&bytes), statuses, "{line}");
        count += 1;
    }
    assert!(count > 100, "the corpus was read");
}

#[test]
fn every_cut_of_the_corpus_gives_the_same_verdict() {
    for (line, _, bytes) in corpus() {
        let verdict = whole(&bytes);
        assert_eq!(fed(&bytes, 0..bytes.len()), verdict, "byte by byte: {line}");
        for cut in 0..bytes.len() {
            assert_eq!(fed(&bytes, [cut]), verdict, "cut at {cut}: {line}");
        }
    }
}

#[test]
fn a_mutated_head_is_a_head_or_an_error() {
    let seed = b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX: y\r\n\r\nhi";
    for at in 0..seed.len() {
        for byte in 0..=255 {
            let mut bytes = seed.to_vec();
            bytes[at] = byte;
            let _ = answers(&bytes);
            bytes.insert(at, byte);
            let _ = answers(&bytes);
            bytes.remove(at);
            bytes.remove(at);
            if let Ok(Step::Head(head)) = whole(&bytes) {
                assert!(head.encoded <= bytes.len());
                let spans = [head.method, head.target, head.path, head.query, head.host];
                assert!(spans.iter().all(|span| usize::from(span.end) <= head.encoded));
            }
        }
    }
}

#[test]
fn the_parts_lie_where_they_came() {
    let text = "\r\nPUT http://b:1/x/y?z=1 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\
                Connection: x, UPGRADE\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    let (found, bytes) = (head(text), text.as_bytes());
    assert_eq!(found.encoded, text.len());
    assert_eq!(found.method.of(bytes), "PUT");
    assert_eq!(found.target.of(bytes), "http://b:1/x/y?z=1");
    assert_eq!((found.path.of(bytes), found.query.of(bytes)), ("/x/y", "z=1"));
    assert_eq!(found.host.of(bytes), "b:1", "the target's, not the field's");
    assert_eq!((found.form, found.body), (Form::Absolute, BodyLength::Bytes(3)));
    assert!(found.keep_alive && found.expects_continue && found.upgrade);
    let fields = Fields::new(found.fields.bytes(bytes));
    assert_eq!(fields.clone().count(), 5);
    assert_eq!(fields.value("content-length"), Some(&b"3"[..]));
    let bare = head("GET / HTTP/1.0\r\n\r\n");
    assert!(bare.fields.is_empty() && bare.host.is_empty() && !bare.keep_alive);
}

#[test]
fn the_last_allowed_head_passes_and_the_next_is_refused() {
    let limits = HeadLimits {
        head_bytes_max: 120,
        target_bytes_max: 20,
        fields_max: 3,
        method_bytes_max: 5,
    };
    let verdict = |text: &str| decode(text.as_bytes(), &mut 0, &limits);
    let is_whole = |text: &str| matches!(verdict(text), Ok(Step::Head(_)));
    let fields =
        |pad: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(pad));
    let spare = 120 - fields(0).len();
    assert!(is_whole(&fields(spare)));
    assert_eq!(verdict(&fields(spare + 1)), Err(RequestError::HeadTooLong));
    assert_eq!(verdict(&fields(spare + 1)[..119]), Ok(Step::Partial));
    assert_eq!(verdict(&fields(spare + 1)[..120]), Err(RequestError::HeadTooLong));
    let target = |pad: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(pad));
    assert!(is_whole(&target(19)));
    assert_eq!(verdict(&target(20)), Err(RequestError::TargetTooLong));
    assert_eq!(verdict(&target(20)[..25]), Err(RequestError::TargetTooLong), "before its end");
    assert_eq!(verdict(&target(2000)), Err(RequestError::TargetTooLong));
    assert!(is_whole("ABCDE / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(verdict("ABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(RequestError::MethodTooLong));
    assert_eq!(verdict("ABCDEF"), Err(RequestError::MethodTooLong), "before its end");
    let many =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a:\r\n".repeat(count));
    assert!(is_whole(&many(2)));
    assert_eq!(verdict(&many(3)), Err(RequestError::TooManyFields));
    assert!(is_whole(&format!("\r\n{}", target(1))), "an empty line");
    assert_eq!(verdict("\r\n\r\n"), Err(RequestError::BadRequestLine), "two of them");
}

#[test]
fn a_lone_line_feed_is_refused_at_each_line() {
    for text in [
        "GET / HTTP/1.1\r\nhost: a\r\nx: \r\ny:  b c \r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nx: y\r\n\r\n",
    ] {
        assert!(matches!(whole(text.as_bytes()), Ok(Step::Head(_))), "{text:?}");
        for (at, _) in text.match_indices("\r\n") {
            let mut bare = text.to_owned();
            bare.remove(at);
            let verdict = whole(bare.as_bytes());
            assert_eq!(verdict, Err(RequestError::BareLineFeed), "{bare:?}");
        }
    }
}
