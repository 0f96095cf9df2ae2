//! Answers that no server should give: refused, whole and at every cut, and never taken for another.

use std::time::Duration;

use skyring::http::{AnswerError, Client, ClientError, ClientLimits};

use crate::support::{Act, BASE, Script, alone, failure, ok, say};

/// What is sent, and what the client says of it.
const CASES: &[(&str, &str)] = &[
    ("SSH-2.0-x\r\n", "no answer of HTTP"),
    ("\x15\x03\x01\x00\x02\x02\x46", "TLS"),
    ("HTTP/2 200 OK\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0"),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "both",
    ),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "more than one"),
    ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", "plain number"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "only chunked"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", "chunked, once"),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 has no"),
    ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "LF alone"),
    ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "malformed"),
    ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "malformed"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "size of a chunk"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "does not end where"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n", "trailer"),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "nobody has asked for"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "before the end of the body"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "before the end of the body",
    ),
    ("HTTP/1.1 200 OK\r\nContent-Len", "without a whole answer"),
    ("", "without a whole answer"),
    #[cfg(feature = "gzip")]
    ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", "no gzip"),
    #[cfg(feature = "gzip")]
    ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x5b", "no gzip"),
];

#[test]
fn every_one_is_an_error_that_says_why() {
    for (wire, why) in CASES {
        for pause in [None, Some(Duration::from_millis(1))] {
            alone(async move {
                let script = {
                    let bytes = wire.as_bytes().to_vec();
                    match pause {
                        None => vec![Act::SayAndClose(bytes)],
                        Some(pause) => vec![Act::Drip(bytes, pause), Act::Reset],
                    }
                };
                let limits = ClientLimits {
                    head_time: Duration::from_secs(1),
                    body_time: Duration::from_secs(1),
                    ..ClientLimits::default()
                };
                let error = failure(script, limits).await?;
                // Dripped, the connection stays: what is only cut times out.
                let is_cut = matches!(error, ClientError::TimedOut { .. }) && pause.is_some();
                assert!(is_cut || error.to_string().contains(why), "{wire:?}: {error}");
                Ok(())
            });
        }
    }
}

#[test]
fn interim_answers_are_passed_over_up_to_a_bound() {
    alone(async {
        let interim = |count| "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(count);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        let script = Script::start(80, vec![say(&(interim(15) + answer)), say(&interim(16))])?;
        let client = Client::new();
        assert_eq!(client.get(BASE).await?.text().await?, "a");
        let error = client.get(BASE).await.expect_err("too many");
        assert!(matches!(error, ClientError::Malformed(AnswerError::TooManyInterim)), "{error}");
        assert_eq!(script.connections.get(), 1);
        Ok(())
    });
}

#[test]
fn the_longest_head_and_body_pass_and_one_byte_more_is_refused() {
    alone(async {
        let limits = {
            let mut limits = ClientLimits { body_bytes_max: 10, ..ClientLimits::default() };
            limits.head.head_bytes_max = 100;
            limits
        };
        let head = |len: usize| {
            let rest = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \r\n\r\n".len();
            let filler = "x".repeat(len - rest);
            say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: {filler}\r\n\r\n"))
        };
        let chunked = |len: usize| {
            let body = "x".repeat(len);
            say(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n"
            ))
        };
        let until_end = |len: usize| {
            Act::SayAndClose(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(len)).into())
        };
        let body = |len: usize| ok(&"x".repeat(len));
        let acts = vec![
            head(100),
            head(101),
            body(10),
            body(11),
            chunked(10),
            chunked(11),
            until_end(10),
            until_end(11),
        ];
        let _script = Script::start(80, acts)?;
        let client = Client::with(limits);
        let ask = async || client.get(BASE).await?.bytes().await;
        assert_eq!(ask().await?.len(), 0);
        let error = ask().await.expect_err("too long");
        assert!(matches!(error, ClientError::Malformed(AnswerError::HeadTooLong)), "{error}");
        for _ in 0..3 {
            assert_eq!(ask().await?.len(), 10);
            let error = ask().await.expect_err("too long");
            assert!(matches!(error, ClientError::BodyTooLong { max: 10 }), "{error}");
        }
        Ok(())
    });
}

#[cfg(feature = "gzip")]
#[test]
fn a_packed_bomb_is_refused_at_the_limit() {
    use std::io::Write;
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..3).for_each(|_| encoder.write_all(&zeros).expect("memory"));
        encoder.finish().expect("memory")
    };
    alone(async move {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            packed.len()
        );
        let wire = [head.as_bytes(), &packed].concat();
        let _script = Script::start(80, vec![Act::Say(wire.clone()), Act::Say(wire)])?;
        let client = Client::new();
        let mut response = client.get(BASE).body_bytes_max(1 << 18).await?;
        let mut unpacked = 0;
        let error = loop {
            match response.body().read().await {
                Ok(Some(piece)) => {
                    assert!(piece.len() <= 16 * 1024, "a little at once");
                    unpacked += piece.len();
                }
                Ok(None) => panic!("it was over the limit"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ClientError::BodyTooLong { .. }), "{error}");
        assert_eq!(unpacked, 1 << 18);
        let mut whole = client.get(BASE).body_bytes_max(3 << 20).await?;
        assert_eq!(whole.bytes().await?.len(), 3 << 20);
        Ok(())
    });
}

/// Garbage by seed: an error or an answer, never a panic or a hang.
#[test]
fn changed_answers_never_hang_or_panic() {
    let wire = "HTTP/1.1 200 OK\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n\
                2\r\nde\r\n0\r\nX-Sum: 9\r\n\r\n";
    alone(async move {
        let acts: Vec<Act> = (0..400)
            .map(|_| {
                let mut bytes = wire.as_bytes().to_vec();
                for _ in 0..=skyring::random() % 3 {
                    let at = skyring::random() as usize % bytes.len();
                    bytes[at] = skyring::random() as u8;
                }
                Act::SayAndClose(bytes)
            })
            .collect();
        let script = Script::start(80, acts)?;
        let client = Client::new();
        let (mut good, mut bad) = (0, 0);
        while script.heads.borrow().len() < 400 {
            match client.get(BASE).await {
                Ok(mut response) => match response.bytes().await {
                    Ok(_) => good += 1,
                    Err(_) => bad += 1,
                },
                Err(_) => bad += 1,
            }
        }
        assert!(good > 20 && bad > 100, "{good} and {bad}");
        Ok(())
    });
}
