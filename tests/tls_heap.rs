//! What encrypted connections hold and allocate.
#![cfg(feature = "tls")]

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::{Echo, Server, config, connect, deadline, eventually, pattern, u16_frame};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use skyring::prelude::*;
use skyring::tls;

/// The most that an idle connection may hold after an echo, its agent and its keys included.
const IDLE_BYTES_MAX: i64 = 4096;
/// A peer that stops in the middle of a record, the longest there is.
const PARTIAL_BYTES_MAX: i64 = IDLE_BYTES_MAX + 18 * 1024;
/// A peer that stops in the middle of its handshake.
const HALF_BYTES_MAX: i64 = 8192;

/// What lives is counted for the whole process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server, and what its peers need.
fn start() -> (Server, Arc<ClientConfig>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
    let pem = params.self_signed(&key).expect("signed").pem();
    let pair = (tls::Pem::bytes(pem.as_str()), tls::Pem::bytes(key.serialize_pem()));
    let tls = tls::Server::from_pem_files(pair.0, pair.1).expect("a server");
    let gate = Gate::framed(LengthPrefix::U16).tls(&tls).agent(|_| Echo);
    let engine = Engine::new(config())
        .setup(|_| {
            heap::count_this_thread();
            Ok(())
        })
        .gate("127.0.0.1:0", gate);
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    roots.add(certificate).expect("an authority");
    let mut client =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    (Server::of(engine), Arc::new(client))
}

fn peer(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(config.clone(), name).expect("a configuration");
    StreamOwned::new(connection, connect(address))
}

/// Sends a frame and reads it back.
fn exchange(stream: &mut (impl Read + Write), len: usize) {
    let frame = u16_frame(&pattern(len, len));
    stream.write_all(&frame).expect("written");
    let mut answer = vec![0; frame.len()];
    stream.read_exact(&mut answer).expect("answered");
    assert!(answer == frame, "the answer differs");
}

#[test]
fn idle_connections_hold_their_keys_and_little_else() {
    deadline(|| {
        let _turn = alone();
        let (server, config) = start();
        // Of a peer only its socket is kept: what lives is the server's.
        let idle = |count: usize| -> Vec<TcpStream> {
            let connected = (0..count).map(|_| {
                let mut peer = peer(server.address, &config);
                exchange(&mut peer, 64);
                peer.sock.try_clone().expect("cloned")
            });
            connected.collect()
        };
        let first = idle(300); // has the tables grow
        let before = heap::live();
        let second = idle(300);
        let each = (heap::live() - before) / 300;
        println!("{each} bytes for each idle connection");
        assert!(each < IDLE_BYTES_MAX, "{each} bytes for each idle connection");
        let before = heap::live();
        let received = server.metrics().bytes_received + 300 * (5 + 0x4000);
        for mut socket in &second {
            socket.write_all(&[23, 3, 3, 0x40, 0x11]).expect("written");
            socket.write_all(&[0; 0x4000]).expect("written");
        }
        eventually("all of it has come", || server.metrics().bytes_received == received);
        let each = (heap::live() - before) / 300;
        println!("{each} bytes for each peer within a record");
        assert!(each < PARTIAL_BYTES_MAX, "{each} bytes for each peer within a record");
        drop((first, second));
        server.settle();
        server.stop();
    });
}

#[test]
fn half_handshakes_hold_what_their_peers_have_sent() {
    deadline(|| {
        let _turn = alone();
        let (server, _) = start();
        let half = |count: usize| -> Vec<TcpStream> {
            let sockets = (0..count).map(|_| {
                let mut socket = connect(server.address);
                socket.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).expect("written");
                socket.write_all(&[0; 400]).expect("written");
                socket
            });
            sockets.collect()
        };
        let first = half(300);
        let before = heap::live();
        let second = half(300);
        let bytes = 600 * 411;
        eventually("all of it has come", || server.metrics().bytes_received == bytes);
        let each = (heap::live() - before) / 300;
        println!("{each} bytes for each half handshake");
        assert!(each < HALF_BYTES_MAX, "{each} bytes for each half handshake");
        drop((first, second));
        server.settle();
        server.stop();
    });
}

#[test]
fn a_steady_echo_allocates_nothing() {
    const FRAMES: u64 = 20_000;
    deadline(|| {
        let _turn = alone();
        let (server, config) = start();
        let mut peer = peer(server.address, &config);
        (0..1000).for_each(|_| exchange(&mut peer, 64));
        let before = (heap::calls(), server.metrics());
        (0..FRAMES).for_each(|_| exchange(&mut peer, 64));
        let (calls, metrics) = (heap::calls() - before.0, server.metrics());
        assert_eq!(metrics.frames - before.1.frames, FRAMES);
        println!("{calls} calls for memory for {FRAMES} frames");
        assert!(calls <= 20, "{calls} calls for memory for {FRAMES} frames");
        server.stop();
    });
}
