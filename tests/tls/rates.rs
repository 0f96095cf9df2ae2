//! How many handshakes an address may begin: the last that is allowed, and the first that is not.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use skyring::limit::Network;
use skyring::net::{TcpListener, TcpStream};
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::tls::{self, HandshakeError, TlsConnectError};

use crate::support::both;

const AT: &str = "127.0.0.1:443";

struct Echo;

impl Agent for Echo {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        client.send(frame)
    }
}

/// Whether a client gets its echo, after these words in plain text.
async fn is_served(tls: &tls::Client, before: &str) -> bool {
    let stream = TcpStream::connect(AT).await.expect("it listens");
    stream.write(before).expect("open");
    match tls.wrap(stream, "localhost").await {
        Ok(stream) => {
            stream.write("hello\n").expect("open");
            &stream.read_exact(6).await.expect("answered")[..] == b"hello\n"
        }
        Err(TlsConnectError::Handshake { error: HandshakeError::Failed(_), .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn an_address_begins_so_many_handshakes_and_no_more_over_all_cores() {
    let (_, server, client) = both();
    let gate = Gate::line().tls(&server).agent(|_| Echo);
    let mut sim = Simulation::new(1);
    let config = Config::new().cores(3).tls_rate_per_ip(4);
    sim.start(Engine::new(config).gate(AT, gate)).expect("it starts");
    sim.run(async move {
        for n in 0..4 {
            assert!(is_served(&client, "").await, "{n}");
        }
        assert!(!is_served(&client, "").await, "the fifth at once");
        assert!(!is_served(&client, "").await, "nor the sixth");
        sleep(Duration::from_millis(251)).await;
        assert!(is_served(&client, "").await, "one came back");
        assert!(!is_served(&client, "").await, "one only");
    })
    .expect("it does not hang");
    let metrics = sim.metrics();
    // Both sides of five are counted, and the client's side of those that were reset.
    assert_eq!((metrics.tls_too_fast, metrics.tls_handshakes, metrics.tls_failed), (3, 10, 3));
    sim.stop().expect("nothing is left");
}

#[test]
fn each_client_of_a_proxy_counts_for_itself() {
    let (_, server, client) = both();
    let proxies: Vec<Network> = vec!["127.0.0.1".parse().expect("an address")];
    let gate = Gate::line().proxies(proxies).tls(&server).agent(|_| Echo);
    let mut sim = Simulation::new(1);
    let config = Config::new().cores(1).tls_rate_per_ip(1);
    sim.start(Engine::new(config).gate(AT, gate)).expect("it starts");
    sim.run(async move {
        let header = |n| format!("PROXY TCP4 203.0.113.{n} 198.51.100.1 4711 443\r\n");
        for n in 1..4 {
            assert!(is_served(&client, &header(n)).await, "{n}");
            assert!(!is_served(&client, &header(n)).await, "{n} again");
        }
    })
    .expect("it does not hang");
    assert_eq!(sim.metrics().tls_too_fast, 3);
    sim.stop().expect("nothing is left");
}

#[test]
fn who_accepts_a_stream_himself_hears_that_it_is_one_too_many() {
    let (_, server, client) = both();
    let mut sim = Simulation::new(1);
    let listening = Engine::new(Config::new().cores(1).tls_rate_per_ip(1));
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = heard.clone();
    sim.start(listening.setup(move |_| {
        let (listener, server, told) = (TcpListener::bind(AT)?, server.clone(), told.clone());
        spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let accepted = server.accept(stream).await.map(drop);
                told.lock().expect("whole").push(accepted.map_err(|error| error.to_string()));
            }
        });
        Ok(())
    }))
    .expect("it starts");
    sim.run(async move {
        let first = client.connect(AT).await;
        assert!(first.is_ok(), "{first:?}");
        assert!(client.connect(AT).await.is_err());
    })
    .expect("it does not hang");
    let heard = heard.lock().expect("whole").clone();
    assert_eq!(heard[0], Ok(()));
    let refused = heard[1].as_ref().expect_err("one too many");
    assert!(refused.starts_with("too many TLS handshakes from the peer's address"), "{refused}");
    sim.stop().expect("nothing is left");
}

/// Whose address the kernel does not tell any more counts for nobody, so nothing is calculated for him.
#[test]
fn who_has_reset_his_connection_begins_no_handshake() {
    let (_, server, _) = both();
    let (held, is_held) = sync_channel(1);
    let (go, gone) = sync_channel::<()>(1);
    let (tell, told) = sync_channel(1);
    let gone = Mutex::new(Some(gone));
    let config = Config::new().cores(1).pin(false).tls_rate_per_ip(1000);
    let engine = Engine::new(config).setup(move |_| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let gone = gone.lock().expect("whole").take().expect("one core");
        let (held, tell, server) = (held.clone(), tell.clone(), server.clone());
        spawn(async move {
            drop(listener.accept().await);
            let _ = held.send(());
            let _ = gone.recv(); // holds the core
            let stream = listener.accept().await.expect("it has come");
            let _ = tell.send(server.accept(stream).await.map(drop));
        });
        Ok(())
    });
    let handle = engine.start().expect("it starts");
    let at = handle.addresses()[0].inet().expect("an address");
    let _knock = std::net::TcpStream::connect(at).expect("it listens");
    is_held.recv().expect("told");
    let mut stream = std::net::TcpStream::connect(at).expect("it listens");
    stream.write_all(b"no TLS at all\r\n\r\n").expect("there is room");
    let reset = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, reset).expect("a socket");
    drop(stream);
    drop(go);
    let heard = told.recv_timeout(Duration::from_secs(20)).expect("it ends");
    assert!(matches!(heard, Err(HandshakeError::Ended)), "{heard:?}");
    handle.stop();
    handle.join().expect("clean");
}
