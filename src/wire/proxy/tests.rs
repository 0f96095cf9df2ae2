use super::v1::LINE_BYTES_MAX;
use super::v2::{SIGNATURE, crc32c};
use super::*;

fn header(bytes: &[u8]) -> Header {
    match decode(bytes) {
        Ok(Step::Header(header)) => header,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

fn stream(source: &str, destination: &str) -> Origin {
    let read = |text: &str| text.parse().expect("an address with a port");
    Origin::Stream { source: read(source), destination: read(destination) }
}

/// A header of version 2 with this announced length.
fn v2_announcing(command: u8, family: u8, len: u16, rest: &[u8]) -> Vec<u8> {
    [&SIGNATURE[..], &[command, family], &len.to_be_bytes(), rest].concat()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    v2_announcing(command, family, u16::try_from(rest.len()).expect("short"), rest)
}

const INET: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];

fn inet6() -> Vec<u8> {
    let source: std::net::Ipv6Addr = "2001:db8::1".parse().expect("an address");
    let destination: std::net::Ipv6Addr = "2001:db8::2".parse().expect("an address");
    [&source.octets()[..], &destination.octets(), &[0, 0, 0xff, 0xff]].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

/// With a checksum field between two others.
fn summed() -> Vec<u8> {
    let fields = [field(4, b"xy"), field(3, &[0; 4]), field(5, b"an id")].concat();
    let mut bytes = v2(0x21, 0x11, &[INET, &fields].concat());
    let sum = crc32c([&bytes, &[], &[]]).to_be_bytes();
    let at = 16 + 12 + 5 + 3;
    bytes[at..at + 4].copy_from_slice(&sum);
    bytes
}

fn valid() -> Vec<(Vec<u8>, Origin)> {
    let inet = stream("192.0.2.1:56324", "198.51.100.1:443");
    let Origin::Stream { source, destination } = inet else { unreachable!() };
    let text = |line: &str| line.as_bytes().to_vec();
    let six = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {six} {six} 65535 65535\r\n");
    assert_eq!(longest.len(), LINE_BYTES_MAX, "as the specification reckons");
    vec![
        (text("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), inet),
        (
            text("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"),
            stream("255.255.255.255:65535", "0.0.0.0:0"),
        ),
        (text("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n"), stream("[2001:db8::1]:1", "[::1]:2")),
        (text("PROXY TCP6 ::ffff:10.0.0.1 :: 1 2\r\n"), stream("[::ffff:10.0.0.1]:1", "[::]:2")),
        (
            text(&format!("PROXY TCP6 {six} {six} 65535 65535\r\n")),
            stream(&format!("[{six}]:65535"), &format!("[{six}]:65535")),
        ),
        (text("PROXY UNKNOWN\r\n"), Origin::Unknown),
        (text("PROXY UNKNOWN  what \x01 ever\r\n"), Origin::Unknown),
        (text(&longest), Origin::Unknown),
        (v2(0x21, 0x11, INET), inet),
        (v2(0x21, 0x12, INET), Origin::Datagram { source, destination }),
        (v2(0x21, 0x21, &inet6()), stream("[2001:db8::1]:0", "[2001:db8::2]:65535")),
        (v2(0x21, 0x31, &[b'/'; 216]), Origin::Unknown),
        (v2(0x21, 0x32, &[b'/'; 216]), Origin::Unknown),
        (v2(0x21, 0x00, b""), Origin::Unknown),
        (v2(0x21, 0x00, b"any thing"), Origin::Unknown),
        (v2(0x21, 0x10, b""), Origin::Unknown),
        (v2(0x20, 0x00, b""), Origin::Local),
        (v2(0x20, 0xff, b"is ignored, the family too"), Origin::Local),
        (v2(0x21, 0x11, &[INET, &field(1, b"h2"), &field(4, b"")].concat()), inet),
        (summed(), inet),
    ]
}

#[test]
fn every_header_reads_whole_whatever_follows() {
    for (bytes, origin) in valid() {
        let whole = Header { origin, encoded: bytes.len() };
        assert_eq!(header(&bytes), whole);
        for rest in [&b"\0"[..], b"\r\n", b"PROXY TCP4", &[0xff; 5000]] {
            assert_eq!(header(&[&bytes[..], rest].concat()), whole);
        }
    }
}

#[test]
fn every_cut_of_a_header_asks_for_more_and_never_for_too_much() {
    for (bytes, _) in valid() {
        for cut in 0..bytes.len() {
            let Ok(Step::Partial { needed }) = decode(&bytes[..cut]) else {
                panic!("{} of {}", cut, bytes.escape_ascii());
            };
            assert!(needed > cut && needed <= bytes.len(), "{needed} after {cut}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\0\x05hello", b"\x16\x03\x01", b"proxy "] {
        assert_eq!(decode(&bytes[..1]), Err(ProxyError::Missing));
    }
    for start in [&b"PROXY "[..], SIGNATURE] {
        for at in 1..start.len() {
            let mut bytes = start[..=at].to_vec();
            assert!(matches!(decode(&bytes), Ok(Step::Partial { .. })));
            bytes[at] ^= 0x20;
            assert_eq!(decode(&bytes), Err(ProxyError::Missing), "byte {at}");
        }
    }
}

#[test]
fn a_line_is_exactly_what_the_grammar_says() {
    let lines = [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 00 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2a\r\n",
        "PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::2 1 2\r\n",
        "PROXY TCP6 ::12345 ::2 1 2\r\n",
        "PROXY TCP6 1::2::3 ::2 1 2\r\n",
        "PROXY TCP6 [::1] ::2 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        "PROXY TCP4 1.2.3.4\r5.6.7.8 1 2\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN a\rb\r\n",
        "PROXY \n",
        "PROXY TCP4 1.2.3.4 5.6.7.\u{0663} 1 2\r\n",
    ];
    for line in lines {
        assert_eq!(decode(line.as_bytes()), Err(ProxyError::Malformed), "{line:?}");
        // However it was cut, and with the same answer once it is given.
        let answers = (0..line.len()).map(|cut| decode(&line.as_bytes()[..cut]));
        let mut refused = answers.skip_while(|answer| matches!(answer, Ok(Step::Partial { .. })));
        assert!(refused.all(|answer| answer == Err(ProxyError::Malformed)), "{line:?}");
    }
    assert_eq!(decode(b"PROXY UNKNOWN \xff\xfe\r\n").map(|_| ()), Ok(()), "ignored");
    assert_eq!(decode(b"PROXY TCP4 \xff 5.6.7.8 1 2\r\n"), Err(ProxyError::Malformed));
}

#[test]
fn a_line_of_107_bytes_passes_and_one_more_is_refused() {
    let line = |bytes: usize| {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(bytes - 2, b'x');
        [&line[..], b"\r\n"].concat()
    };
    assert_eq!(header(&line(107)).encoded, 107);
    let long = line(108);
    assert_eq!(decode(&long), Err(ProxyError::LineTooLong));
    assert_eq!(decode(&long[..107]), Err(ProxyError::LineTooLong), "before it ends");
    assert!(matches!(decode(&long[..106]), Ok(Step::Partial { needed: 107 })));
}

#[test]
fn versions_commands_and_families_that_do_not_exist_are_refused_at_once() {
    for byte in 0..=255u8 {
        let bytes = [&SIGNATURE[..], &[byte]].concat();
        let expected = match (byte >> 4, byte & 15) {
            (2, 0 | 1) => Ok(Step::Partial { needed: 16 }),
            (2, command) => Err(ProxyError::Command(command)),
            (version, _) => Err(ProxyError::Version(version)),
        };
        assert_eq!(decode(&bytes), expected);
        let relayed = [&SIGNATURE[..], &[0x21, byte]].concat();
        let expected = match byte >> 4 <= 3 && byte & 15 <= 2 {
            true => Ok(Step::Partial { needed: 16 }),
            false => Err(ProxyError::Family(byte)),
        };
        assert_eq!(decode(&relayed), expected, "family {byte:#x}");
    }
}

#[test]
fn a_length_has_room_for_the_addresses_and_not_for_more_than_the_cap() {
    for (family, len) in [(0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216), (0x32, 216)]
    {
        let announced = |len: u16| decode(&v2_announcing(0x21, family, len, b""));
        let needed = 16 + usize::from(len);
        assert_eq!(announced(len), Ok(Step::Partial { needed }));
        let refused = Err(ProxyError::TooShort { len: usize::from(len) - 1 });
        assert_eq!(announced(len - 1), refused);
        assert!(matches!(announced(0), Err(ProxyError::TooShort { len: 0 })));
    }
    let max = (HEADER_BYTES_MAX - 16) as u16;
    for command in [0x20, 0x21] {
        let announced = |len| decode(&v2_announcing(command, 0, len, b""));
        assert_eq!(announced(max), Ok(Step::Partial { needed: HEADER_BYTES_MAX }));
        let len = HEADER_BYTES_MAX + 1;
        assert_eq!(announced(max + 1), Err(ProxyError::TooLong { len }));
        assert_eq!(announced(u16::MAX), Err(ProxyError::TooLong { len: 16 + 65535 }));
    }
    let padded = [INET, &field(4, &vec![0; usize::from(max) - 12 - 3])].concat();
    assert_eq!(header(&v2(0x21, 0x11, &padded)).encoded, HEADER_BYTES_MAX);
}

#[test]
fn fields_end_where_the_header_ends() {
    let with = |fields: &[u8]| decode(&v2(0x21, 0x11, &[INET, fields].concat()));
    assert!(with(&field(0xea, &[1; 300])).is_ok());
    for (fields, kind) in [
        (&[7u8][..], 7),
        (&[7, 0], 7),
        (&[7, 0, 1], 7),
        (&[7, 0, 2, 0], 7),
        (&[7, 0xff, 0xff, 0], 7),
        (&[4, 0, 0, 9], 9),
        (&[3, 0, 3, 0, 0, 0], 3),
        (&[3, 0, 5, 0, 0, 0, 0, 0], 3),
    ] {
        assert_eq!(with(fields), Err(ProxyError::Field(kind)), "{fields:?}");
    }
}

#[test]
fn a_checksum_covers_every_bit_of_the_header() {
    assert_eq!(crc32c([b"1234", b"", b"56789"]), 0xe306_9283, "the check value of CRC-32C");
    assert_eq!(crc32c([&[0; 32], b"", b""]), 0x8a91_36aa, "RFC 3720, B.4");
    let whole = summed();
    // Behind the command and the family, which say themselves what is wrong; not the length.
    for at in 16..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let expected = |error| matches!(error, ProxyError::Checksum | ProxyError::Field(_));
            let is_type = at == 16 + 12 + 5; // of the checksum itself: then there is none
            assert!(is_type || decode(&bytes).is_err_and(expected), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn noise_never_panics_and_is_never_asked_beyond_the_cap() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let valid = valid();
    for round in 0..200_000 {
        let (bytes, _) = &valid[next() as usize % valid.len()];
        let mut bytes = bytes.clone();
        for _ in 0..=next() % 3 {
            let at = next() as usize % bytes.len();
            bytes[at] = next() as u8;
        }
        bytes.truncate(next() as usize % (bytes.len() + 1));
        match decode(&bytes) {
            Ok(Step::Header(header)) => assert!(header.encoded <= bytes.len(), "round {round}"),
            Ok(Step::Partial { needed }) => {
                assert!(needed > bytes.len() && needed <= HEADER_BYTES_MAX, "round {round}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
