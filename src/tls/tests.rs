//! Handshakes and records over bytes, cut and changed in every way.

use std::ops::Range;

use rcgen::{CertificateParams, KeyPair};

use super::client::begin;
use super::{Client, Pem, Server, Version};
use crate::memory::chain::Chain;
use crate::net::connection::{Fault, Filter, Opened};
use crate::net::handshake::{Handshake, Step};

/// Both sides, of one version.
struct World {
    server: Server,
    client: Client,
}

impl World {
    fn new(version: Version) -> World {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed").pem();
        let pair = (Pem::bytes(certificate.as_str()), Pem::bytes(key.serialize_pem()));
        let server = Server::builder().certificate(pair.0.clone(), pair.1);
        let client = Client::builder().ca(pair.0).resumption(false);
        let only13 = version == Version::Tls13;
        let (server, client) = match only13 {
            true => (server.oldest(version).build(), client.oldest(version).build()),
            false => (server.newest(version).build(), client.build()),
        };
        World { server: server.expect("a server"), client: client.expect("a client") }
    }

    fn sides(&self) -> [Box<dyn Handshake>; 2] {
        let config = self.client.made().expect("its authority was given");
        let client = begin(config, "localhost").expect("a name");
        [client, self.server.greet().begin().expect("a configuration")]
    }

    /// Speaks a handshake in which `change` sees, and may change, all that a side says; whether it
    /// was done, with the filters of both sides.
    fn shake(&self, mut change: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>) -> Option<[Shaken; 2]> {
        let mut sides = self.sides();
        let mut done: [Option<Shaken>; 2] = [None, None];
        let mut waiting: [Vec<Vec<u8>>; 2] = [vec![Vec::new()], Vec::new()];
        for turn in 0..20 {
            let me = turn % 2;
            for piece in std::mem::take(&mut waiting[me]) {
                if let Some(shaken) = &mut done[me] {
                    shaken.rest.extend(piece); // spoken behind the end
                    continue;
                }
                let mut reply = Vec::new();
                match sides[me].advance(&piece, &mut reply) {
                    Ok(Step::More) => {}
                    Ok(Step::Done { filter, rest, .. }) => done[me] = Some(Shaken { filter, rest }),
                    Err(why) => {
                        assert!(!why.to_string().is_empty());
                        return None;
                    }
                }
                if !reply.is_empty() {
                    waiting[1 - me].extend(change(me, reply));
                }
            }
        }
        let [client, server] = done;
        Some([client?, server?])
    }

    fn shaken(&self) -> [Shaken; 2] {
        self.shake(|_, said| vec![said]).expect("it is done")
    }
}

/// A side whose handshake is done.
struct Shaken {
    filter: Box<dyn Filter>,
    rest: Vec<u8>,
}

impl Shaken {
    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let (mut chain, mut sealed) = (Chain::default(), Chain::default());
        chain.push(plain.into());
        self.filter.seal(&chain, &mut sealed).expect("the key is fresh");
        sealed.slices().flatten().copied().collect()
    }

    fn end(&mut self) -> Vec<u8> {
        let mut sealed = Chain::default();
        self.filter.seal_end(&mut sealed);
        sealed.slices().flatten().copied().collect()
    }

    /// What is in it, and whether the peer has ended.
    fn open(&mut self, wire: &[u8]) -> Result<(Vec<u8>, bool), (Vec<u8>, Fault)> {
        let mut block = [std::mem::take(&mut self.rest), wire.to_vec()].concat();
        let mut opened = Opened::default();
        let result = self.filter.open(&mut block, &mut opened);
        let is_end = opened.is_end;
        let plain = opened.join(&block);
        result.map(|()| (plain.clone(), is_end)).map_err(|fault| (plain, fault))
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// The records of some output: where each lies.
fn records(wire: &[u8]) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut found = Vec::new();
    while at < wire.len() {
        let end = at + 5 + usize::from(u16::from_be_bytes([wire[at + 3], wire[at + 4]]));
        found.push(at..end);
        at = end;
    }
    found
}

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

#[test]
fn a_handshake_is_done_at_every_cut() {
    for version in VERSIONS {
        let world = World::new(version);
        let mut lens = [0, 0];
        world.shake(|me, said| {
            lens[me] = said.len().max(lens[me]);
            vec![said]
        });
        for me in [0, 1] {
            for cut in 0..=lens[me] {
                let shaken = world.shake(|side, said| match side == me && cut <= said.len() {
                    true => vec![said[..cut].to_vec(), said[cut..].to_vec()],
                    false => vec![said],
                });
                assert!(shaken.is_some(), "{version}, side {me}, cut at {cut}");
            }
        }
        let by_bytes = world.shake(|_, said| said.iter().map(|byte| vec![*byte]).collect());
        let [mut client, mut server] = by_bytes.expect("byte by byte");
        let wire = client.seal(b"hello");
        assert_eq!(server.open(&wire).expect("opened"), (b"hello".to_vec(), false));
    }
}

#[test]
fn a_changed_handshake_is_refused_or_agrees() {
    for version in VERSIONS {
        let world = World::new(version);
        for me in [0, 1] {
            // Each byte of what a side says first, and each of what it says next.
            for message in [0, 1] {
                let mut len = usize::MAX;
                let mut at = 0;
                while at < len {
                    let mut said_so_far = 0;
                    let shaken = world.shake(|side, mut said| {
                        if side == me && said_so_far == message {
                            // Signatures are a byte longer or shorter each time.
                            len = said.len();
                            said.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (at % 8));
                        }
                        said_so_far += usize::from(side == me);
                        vec![said]
                    });
                    if len == usize::MAX {
                        break; // it says no more
                    }
                    if let Some([mut client, mut server]) = shaken {
                        let wire = client.seal(b"hello");
                        assert_eq!(server.open(&wire).expect("opened").0, b"hello");
                    }
                    at += if len > 600 { 7 } else { 1 };
                }
            }
        }
    }
}

#[test]
fn garbage_is_refused_in_words_or_waited_for() {
    let world = World::new(Version::Tls13);
    let mut seed = 1_u64;
    for len in 0..600 {
        let mut garbage = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u8
        };
        let mut bytes: Vec<u8> = (0..len).map(|_| garbage()).collect();
        if len % 3 == 0 && len >= 3 {
            bytes[..3].copy_from_slice(&[22, 3, 1]);
        }
        for side in world.sides().iter_mut() {
            let mut reply = Vec::new();
            let _ = side.advance(&bytes, &mut reply);
        }
    }
    let [_, mut server] = world.sides();
    let refused = server.advance(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut Vec::new());
    let why = refused.err().expect("no TLS").to_string();
    assert!(why.contains("speaks no TLS") && why.contains("http://"), "{why}");
}

#[test]
fn a_handshake_without_end_is_refused() {
    let world = World::new(Version::Tls13);
    let [_, mut server] = world.sides();
    // A client's first message of 16 MiB, in records of 16 KiB.
    let mut sent = 0;
    let mut first = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    first.resize(5 + 0x4000, 0);
    let mut result = server.advance(&first, &mut Vec::new());
    let record = [&[22, 3, 1, 0x40, 0][..], &vec![0; 0x4000]].concat();
    while result.is_ok() {
        sent += record.len();
        assert!(sent < 1 << 20, "it is refused in time");
        result = server.advance(&record, &mut Vec::new());
    }
}

#[test]
fn records_are_opened_at_every_cut() {
    for version in VERSIONS {
        let world = World::new(version);
        let plain = [pattern(40), pattern(300), pattern(1)];
        for at in 0.. {
            let [mut client, mut server] = world.shaken();
            let wire: Vec<u8> = plain.iter().flat_map(|piece| client.seal(piece)).collect();
            let wire = [wire, client.end()].concat();
            if at > wire.len() {
                break;
            }
            let (mut got, _) = server.open(&wire[..at]).expect("opened");
            let (rest, is_end) = server.open(&wire[at..]).expect("opened");
            got.extend(rest);
            assert_eq!(got, plain.concat(), "{version}, cut at {at}");
            assert!(is_end || at == wire.len());
        }
    }
}

#[test]
fn both_directions_carry_every_size() {
    for version in VERSIONS {
        let [mut client, mut server] = World::new(version).shaken();
        // What the server says behind its handshake (tickets) is opened, and brings nothing.
        assert_eq!(client.open(&[]).expect("opened"), (Vec::new(), false));
        for len in [1, 2, 1023, 1024, 1025, 16_383, 16_384, 16_385, 40_000] {
            let plain = pattern(len);
            let wire = client.seal(&plain);
            assert_eq!(records(&wire).len(), len.div_ceil(1 << 14));
            assert_eq!(server.open(&wire).expect("opened").0, plain);
            let wire = server.seal(&plain);
            assert_eq!(client.open(&wire).expect("opened").0, plain);
        }
        assert!(client.seal(b"").is_empty(), "nothing makes no record");
    }
}

#[test]
fn a_changed_record_ends_the_connection_with_an_alert() {
    for version in VERSIONS {
        let world = World::new(version);
        let mut len = usize::MAX;
        let mut at = 0;
        while at < len {
            let [mut client, mut server] = world.shaken();
            let mut wire =
                [client.seal(b"first"), client.seal(b"second"), client.seal(b"third")].concat();
            let second = records(&wire)[1].clone();
            len = second.len();
            wire[second.start + at] ^= 1 << (at % 8);
            match server.open(&wire) {
                Err((plain, _)) => {
                    assert_eq!(plain, b"first", "{version}, byte {at}");
                    let alert = server.seal(b"");
                    let (_, fault) = client.open(&alert).expect_err("it is told, and told why");
                    assert!(matches!(fault, Fault::Filter(_)));
                }
                // A longer one: more is waited for, and nothing comes of it.
                Ok((plain, _)) if (3..5).contains(&at) => assert_eq!(plain, b"first"),
                // The version is not looked at (RFC 8446, 5.1).
                Ok((plain, _)) => {
                    assert!(at == 2 && version == Version::Tls13, "{version}, byte {at}");
                    assert_eq!(plain, b"firstsecondthird");
                }
            }
            at += 1;
        }
    }
}

#[test]
fn records_in_another_order_or_twice_are_refused() {
    for version in VERSIONS {
        let world = World::new(version);
        for order in [&[1, 0][..], &[0, 0], &[0, 2, 1], &[0, 1, 2, 1]] {
            let [mut client, mut server] = world.shaken();
            let wire: Vec<Vec<u8>> = (0..3).map(|n| client.seal(&[n; 10])).collect();
            let shuffled: Vec<u8> = order.iter().flat_map(|n| wire[*n].clone()).collect();
            assert!(server.open(&shuffled).is_err(), "{order:?}");
        }
    }
}

#[test]
fn the_longest_header_is_waited_for_and_the_next_refused() {
    let [_, mut server] = World::new(Version::Tls12).shaken();
    let longest = 16_384 + 2048_u16;
    let [a, b] = longest.to_be_bytes();
    assert!(server.open(&[23, 3, 3, a, b]).is_ok());
    let [_, mut server] = World::new(Version::Tls12).shaken();
    let [a, b] = (longest + 1).to_be_bytes();
    assert!(server.open(&[23, 3, 3, a, b]).is_err());
}

#[test]
fn nothing_is_opened_behind_the_end() {
    let [mut client, mut server] = World::new(Version::Tls13).shaken();
    let wire = [client.seal(b"last words"), client.end(), client.end()].concat();
    let more = [wire.clone(), b"garbage that is no TLS at all".to_vec()].concat();
    assert_eq!(server.open(&more).expect("opened"), (b"last words".to_vec(), true));
    assert_eq!(records(&wire).len(), 2, "the end is said once");
}
