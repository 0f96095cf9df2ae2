//! The sockets in the simulated kernel: seeds decide what goes wrong, and when a read is dropped.

use std::cell::Cell;
use std::time::Duration;

use skyring::net::{ReadError, TcpListener, TcpStream, UdpSocket};
use skyring::sim::{Faults, Simulation};
use skyring::{Config, Engine, Within, sleep, spawn};

const AT: &str = "127.0.0.1:80";

/// Numbers from a seed (a Lehmer generator).
struct Dice(Cell<u64>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(Cell::new(seed + 1))
    }

    fn below(&self, bound: u64) -> u64 {
        self.0.set(self.0.get() * 48_271 % 0x7fff_ffff);
        self.0.get() % bound
    }

    fn wait(&self) -> Duration {
        Duration::from_millis(self.below(4))
    }
}

/// Answers each line with itself, and the end with a last word.
async fn serve(stream: TcpStream, dice: Dice) -> skyring::Result<()> {
    loop {
        // A read that is dropped in the middle of a line begins anew with all of it.
        let Ok(line) = stream.read_line(5000).within(dice.wait()).await else { continue };
        let Some(line) = line? else { break };
        stream.write_vectored([line.into(), "\n".into()])?;
        if dice.below(8) == 0 {
            stream.flush().await?;
        }
    }
    stream.write("bye")?;
    Ok(stream.close().await?)
}

fn server(seed: u64) -> Engine {
    Engine::new(Config::new().cores(1).pool_blocks(8).pool_block_bytes(1024)).setup(move |_| {
        let listener = TcpListener::bind(AT)?;
        spawn(async move {
            while let Ok(stream) = listener.accept().await {
                spawn(serve(stream, Dice::new(seed)));
            }
        });
        let socket = UdpSocket::bind(AT)?;
        spawn(async move {
            while let Ok((datagram, from)) = socket.receive_from().await {
                let _ = socket.send_to(datagram, from);
            }
        });
        Ok(())
    })
}

/// Sends lines, ends, and reads everything back in every way there is.
async fn client(seed: u64) -> skyring::Result<()> {
    let dice = Dice::new(seed);
    let stream = TcpStream::connect(AT).await?;
    let mut sent = Vec::new();
    for n in 0..30 {
        let line =
            format!("{n}{}\n", "x".repeat(dice.below(if n % 5 == 0 { 4000 } else { 40 }) as usize));
        stream.write(&line)?;
        sent.extend_from_slice(line.as_bytes());
        if dice.below(4) == 0 {
            sleep(dice.wait()).await;
        }
    }
    stream.finish();
    sent.extend_from_slice(b"bye");
    let mut got = Vec::new();
    loop {
        let left = sent.len() - got.len();
        let count = (1 + dice.below(3000) as usize).min(left);
        let (read, tail): (_, &[u8]) = match dice.below(3) {
            0 => (stream.read().within(dice.wait()).await, b""),
            1 if left > 0 => {
                (stream.read_exact(count).within(dice.wait()).await.map(|r| r.map(Some)), b"")
            }
            _ => (stream.read_until(b"\n", 5000).within(dice.wait()).await, b"\n"),
        };
        match read {
            Err(_elapsed) => {}
            Ok(Ok(Some(frame))) => {
                got.extend_from_slice(&frame);
                got.extend_from_slice(tail);
            }
            Ok(Ok(None)) => break,
            Ok(Err(ReadError::Ended { leftover })) => got.extend_from_slice(&leftover),
            Ok(Err(error)) => return Err(error.into()),
        }
        assert!(sent.starts_with(&got), "seed {seed}: bytes lost or out of order");
    }
    assert_eq!(got.len(), sent.len(), "seed {seed} {:?}", stream.flush().await);
    Ok(stream.close().await?)
}

/// Asks by datagrams until each is answered.
async fn ask() -> skyring::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for n in 0..10_u8 {
        loop {
            socket.send_to(&[n; 100], AT.parse().expect("an address"))?;
            // Lost, or the second answer to an earlier one: ask again.
            let answer = socket.receive_from().within(Duration::from_millis(20)).await;
            if let Ok(answer) = answer
                && answer?.0[..] == [n; 100]
            {
                break;
            }
        }
    }
    Ok(())
}

#[test]
fn no_byte_is_lost_in_bad_weather() {
    for seed in 0..60 {
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        sim.start(server(seed)).expect("it starts");
        let ran = sim.run(async move {
            let clients: Vec<_> = (0..4).map(|n| spawn(client(seed * 4 + n))).collect();
            for client in clients {
                client.await.expect("no panic").expect("no reset");
            }
            ask().await
        });
        ran.unwrap_or_else(|stuck| panic!("{stuck}")).expect("every datagram is answered");
        let counts = sim.counts();
        assert!(counts.short_receives > 0 && counts.sends_waited + counts.short_sends > 0);
        sim.stop().expect("nothing is left");
    }
}

#[test]
fn a_storm_breaks_connections_and_nothing_else() {
    let mut broken = 0;
    for seed in 0..60 {
        let mut sim = Simulation::new(seed).weather(Faults::storm());
        sim.start(server(seed)).expect("it starts");
        let ran = sim.run(async move {
            let mut broken = 0;
            for n in 0..4 {
                broken += u32::from(client(seed * 4 + n).await.is_err());
                // A connect that is dropped half way, at whatever moment.
                let short = Duration::from_millis(n % 3);
                let _ = TcpStream::connect(AT).within(short).await;
            }
            broken
        });
        broken += ran.unwrap_or_else(|stuck| panic!("{stuck}"));
        sim.stop().expect("nothing is left");
    }
    assert!(broken > 0, "it was a storm");
}
