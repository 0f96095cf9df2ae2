//! Limits of clients that move to another core: everything goes along, and nothing counts twice.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use skyring::prelude::*;
use skyring::{Frames, GateBuilder, service};

use crate::common::{Server, config, deadline, eventually, is_ended, read_u16, u16_frame};

/// Echoes what the clients that it is given send.
struct Echoes;

impl Service for Echoes {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        _: &Context<Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            client.send(frame)?;
        }
        Ok(())
    }
}

/// Echoes itself, until a client says `move`: then it goes to the next core.
struct Mover {
    core: usize,
    echoes: Arc<Mutex<Vec<Address<()>>>>,
}

impl Service for Mover {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
        client.open();
        Ok(())
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        _: &Context<Self>,
    ) -> Result<()> {
        while let Some(frame) = frames.next().await {
            if &frame[..] == b"move" {
                let echoes = self.echoes.lock().expect("no panic under it").clone();
                let next = echoes.iter().find(|echo| echo.id().core() != self.core);
                client.forward(*next.expect("both cores have started"))?;
                break;
            }
            client.send(frame)?;
        }
        Ok(())
    }
}

fn start(config: Config, gate: impl Fn(GateBuilder) -> GateBuilder) -> Server {
    let echoes = Arc::new(Mutex::new(Vec::new()));
    let spawned = echoes.clone();
    let make = move |core: &skyring::Core| Mover { core: core.index, echoes: echoes.clone() };
    let gate = gate(Gate::framed(LengthPrefix::U16)).service(make);
    let engine = Engine::new(config.cores(2)).setup(move |_| {
        let echo = service::spawn(Echoes)?;
        spawned.lock().expect("no panic under it").push(echo);
        Ok(())
    });
    Server::of(engine.gate("127.0.0.1:0", gate))
}

fn says(stream: &mut TcpStream, text: &[u8]) -> bool {
    stream.write_all(&u16_frame(text)).is_ok()
        && read_u16(stream).is_ok_and(|answer| answer == text)
}

#[test]
fn places_and_quotas_go_along_and_come_home() {
    deadline(|| {
        let config = config().connections_per_ip_max(6);
        let server = start(config, |gate| gate.clients_max(4));
        for round in 1..=5 {
            let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
            for client in &mut clients {
                assert!(says(client, b"here"), "round {round}");
                client.write_all(&u16_frame(b"move")).expect("written");
                assert!(says(client, b"there"), "round {round}");
            }
            assert_eq!(server.metrics().clients_sent, 4 * round);
            assert_eq!(server.handle.connections(), 4, "counted once each");
            assert!(is_ended(&mut server.connect()), "the gate is as full as before");
            eventually("counted", || server.metrics().refused_by_gate == round);
            drop(clients);
            eventually("all have gone", || server.handle.connections() == 0);
        }
        assert_eq!(server.metrics().refused_per_ip, 0);
        server.settle();
        server.stop();
    });
}

#[test]
fn a_rate_goes_along() {
    deadline(|| {
        let server = start(config().rate(1).burst(6), |gate| gate);
        let mut client = server.connect();
        assert!(says(&mut client, b"1") && says(&mut client, b"2"));
        client.write_all(&u16_frame(b"move")).expect("written");
        assert!(says(&mut client, b"4") && says(&mut client, b"5") && says(&mut client, b"6"));
        // One may have come back meanwhile, or two on a slow machine; not all of them.
        let more = (0..5).take_while(|_| says(&mut client, b"more")).count();
        assert!(more < 4, "{more} more");
        assert_eq!(server.metrics().too_fast, 1);
        drop(client);
        server.settle();
        server.stop();
    });
}

#[test]
fn the_address_that_a_proxy_said_goes_along_with_its_words() {
    deadline(|| {
        let trusted: skyring::limit::Network = "127.0.0.1".parse().expect("an address");
        let config = config().proxies([trusted]).connections_per_ip_max(2).frame_bytes_max(100);
        let server = start(config, |gate| gate.on_refusal(|refusal| refusal.to_string()));
        let connect = || {
            let mut client = server.connect();
            let head = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
            // The order to move comes with the header, and so does what follows.
            client
                .write_all(&[&head[..], &u16_frame(b"move"), &u16_frame(b"first")].concat())
                .expect("written");
            client
        };
        let mut clients = [connect(), connect()];
        for client in &mut clients {
            assert_eq!(read_u16(client).expect("answered"), b"first");
        }
        let full = read_u16(&mut connect()).expect("told");
        assert_eq!(full, b"too many connections from your address");
        let [mut first, second] = clients;
        first.write_all(b"\xff\xff").expect("written");
        assert!(read_u16(&mut first).expect("told").starts_with(b"malformed: "));
        drop((first, second));
        server.settle();
        let mut again = connect();
        assert_eq!(read_u16(&mut again).expect("answered"), b"first", "nothing was left");
        drop(again);
        server.settle();
        server.stop();
    });
}
