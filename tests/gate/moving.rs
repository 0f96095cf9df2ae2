//! Clients that are handed to a service of another core, with all that is on its way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::service::ForwardError;
use skyring::sim::{Faults, Simulation};

use super::support::{ADDRESS, Log, hear, say, simulated, text, weathered};

/// Answers with its core's number. "N>" hands the client to the service of core N.
struct Stage {
    log: Log,
    ids: Ids,
}

/// The clients that came, in order.
type Ids = Arc<Mutex<Vec<ClientId>>>;

/// The stage of a core.
struct Stages;

impl Stages {
    fn of(core: usize) -> Result<Address<()>> {
        Ok(service::find(&format!("stage {core}")).expect("each core has one"))
    }
}

impl Service for Stage {
    type Message = ();

    async fn handle(&mut self, (): (), _: &Context<Self>) -> Result<()> {
        Ok(())
    }

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        Ok(service::bind(&format!("stage {}", cx.id().core()), cx.address()).await?)
    }

    async fn connected(&mut self, client: &Client, _: &Context<Self>) -> Result<()> {
        client.open();
        self.ids.lock().expect("no panic under it").push(client.id());
        Ok(())
    }

    async fn frames(
        &mut self,
        client: &Client,
        mut frames: Frames,
        cx: &Context<Self>,
    ) -> Result<()> {
        let core = cx.id().core();
        while let Some(frame) = frames.next().await {
            let word = text(&frame);
            if let Some(to) = word.strip_suffix('>') {
                let to = to.parse().expect("a core");
                // What is queued goes along.
                client.send(format!("from {core}"))?;
                if core != to {
                    client.forward(Stages::of(to)?)?;
                    assert_eq!(client.forward(cx.id()), Err(ForwardError::Gone(client.id())));
                    assert!(client.send("late").is_err(), "this core has no use of it any more");
                }
            } else if word == "flood" {
                (0..40).try_for_each(|_| client.send(&[b'x'; 50_000]))?;
            } else {
                client.send(format!("{core}: {word}"))?;
            }
        }
        Ok(())
    }

    async fn disconnected(
        &mut self,
        client: &Client,
        why: Disconnect,
        cx: &Context<Self>,
    ) -> Result<()> {
        self.log.add(format!("{} at {}: {why}", client.id().core(), cx.id().core()));
        Ok(())
    }

    async fn gone(&mut self, client: ClientId, why: Disconnect, cx: &Context<Self>) -> Result<()> {
        self.log.add(format!("{} gone, says {}: {why}", client.core(), cx.id().core()));
        Ok(())
    }
}

fn engine(log: &Log, cores: usize) -> Engine {
    engine_with(log, cores, Ids::default())
}

fn engine_with(log: &Log, cores: usize, ids: Ids) -> Engine {
    let log = log.clone();
    let stage = move |_: &_| Stage { log: log.clone(), ids: ids.clone() };
    let gate = Gate::framed(LengthPrefix::U16).service(stage);
    Engine::new(Config::new().cores(cores)).gate(ADDRESS, gate)
}

/// Sends numbered frames, with orders to move between them; every answer must come, in order.
async fn wander(words: usize, every: usize, cores: usize) -> Result<()> {
    let stream = TcpStream::connect(ADDRESS).await?;
    let mut order = Vec::new();
    for n in 0..words {
        if n % every == every - 1 {
            let to = skyring::random() as usize % cores;
            say(&stream, &format!("{to}>"))?;
            order.push(format!("from >{to}"));
        }
        say(&stream, &format!("word {n}"))?;
        order.push(format!("word {n}"));
        if n % 7 == 0 {
            sleep(Duration::from_micros(skyring::random() % 500)).await;
        }
    }
    let mut at = None;
    for expected in order {
        let heard = hear(&stream).await?.expect("an answer to each");
        match expected.strip_prefix("from >") {
            Some(to) => {
                assert!(heard.starts_with("from "), "{heard}");
                assert!(at.is_none_or(|at: usize| heard == format!("from {at}")), "{heard}");
                at = Some(to.parse().expect("a core"));
            }
            None => {
                let (core, word) = heard.split_once(": ").expect("a core and a word");
                assert_eq!(word, expected);
                assert!(at.is_none_or(|at| core == at.to_string()), "{heard} at {at:?}");
            }
        }
    }
    stream.finish();
    assert_eq!(hear(&stream).await?, None, "the server ends after us");
    Ok(())
}

#[test]
fn a_client_moves_with_what_nobody_has_read_and_nothing_is_lost_or_reordered() {
    let log = Log::default();
    simulated(engine(&log, 2), || async move {
        sleep(Duration::from_millis(1)).await;
        wander(200, 10, 2).await?;
        sleep(Duration::from_secs(3)).await;
        let told = log.take();
        assert!(
            told.iter().any(|line| line.ends_with("the client ended the connection")),
            "{told:?}"
        );
        Ok(())
    });
}

#[test]
fn moves_in_bad_weather_lose_nothing_on_any_seed() {
    for seed in 0..30 {
        let log = Log::default();
        weathered(seed, Faults::bad_weather(), engine(&log, 3), || async move {
            sleep(Duration::from_millis(50)).await;
            let clients: Vec<_> = (0..4).map(|_| spawn(wander(120, 5, 3))).collect();
            for client in clients {
                client.await.expect("no client panics")?;
            }
            Ok(())
        });
    }
}

#[test]
fn what_is_queued_for_the_client_goes_along() {
    let log = Log::default();
    simulated(engine(&log, 2), || async move {
        sleep(Duration::from_millis(1)).await;
        for to in [1, 0] {
            let stream = TcpStream::connect(ADDRESS).await?;
            ["flood", &format!("{to}>"), "there"].iter().try_for_each(|word| say(&stream, word))?;
            sleep(Duration::from_millis(100)).await;
            for _ in 0..40 {
                assert_eq!(stream.read_exact(50_002).await?[2..], [b'x'; 50_000]);
            }
            assert!(hear(&stream).await?.expect("an answer").starts_with("from "));
            assert_eq!(hear(&stream).await?.as_deref(), Some(&format!("{to}: there")[..]));
        }
        Ok(())
    });
}

#[test]
fn a_name_finds_its_client_wherever_it_went() {
    let (log, ids) = (Log::default(), Ids::default());
    simulated(engine_with(&log, 2, ids.clone()), || async move {
        sleep(Duration::from_millis(1)).await;
        for how in ["kick", "close", "forward"] {
            let (stage, told) = (Stages::of(0)?, Stages::of(1)?);
            let stream = TcpStream::connect(ADDRESS).await?;
            say(&stream, "where")?;
            let core =
                hear(&stream).await?.expect("an answer")[..1].parse::<usize>().expect("a core");
            let other = 1 - core;
            say(&stream, &format!("{other}>"))?;
            hear(&stream).await?;
            say(&stream, "a")?;
            assert_eq!(hear(&stream).await?, Some(format!("{other}: a")));
            let id = *ids.lock().expect("no panic under it").last().expect("it came by");
            assert_eq!(id.core(), core);
            match how {
                "kick" => {
                    id.kick();
                    assert!(hear(&stream).await.is_err(), "a reset");
                }
                "close" => {
                    id.close();
                    assert_eq!(hear(&stream).await?, None);
                }
                _ => {
                    id.forward(if core == 0 { stage } else { told });
                    sleep(Duration::from_millis(10)).await;
                    say(&stream, "home")?;
                    assert_eq!(hear(&stream).await?, Some(format!("{core}: home")));
                    stream.close().await?;
                }
            }
            if how != "forward" {
                stream.close().await.ok();
                log.until(&format!(
                    "{core} gone, says {core}: the connection was closed from this side"
                ))
                .await;
            }
            log.take();
        }
        Ok(())
    });
}

#[test]
fn moves_race_with_ends_and_everything_comes_home() {
    for seed in 0..60 {
        let log = Log::default();
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        sim.start(engine(&log, 2)).expect("it starts");
        let ran: Result<()> = sim
            .run_on(0, async move {
                sleep(Duration::from_millis(50)).await;
                for n in 0..6 {
                    let Ok(stream) = TcpStream::connect(ADDRESS).await else { continue };
                    for to in [1, 0, 1] {
                        let _ = say(&stream, &format!("{to}>"));
                        let _ = say(&stream, "word");
                    }
                    sleep(Duration::from_micros(skyring::random() % 2000)).await;
                    match n % 3 {
                        0 => stream.shutdown(),
                        1 => drop(stream),
                        _ => stream.finish(),
                    }
                }
                sleep(Duration::from_millis(skyring::random() % 20)).await;
                Ok(())
            })
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn orders_by_name_reach_a_client_that_is_always_on_its_way() {
    for seed in 0..30 {
        let (log, ids) = (Log::default(), Ids::default());
        let engine = engine_with(&log, 3, ids.clone());
        weathered(seed, Faults::bad_weather(), engine, || async move {
            sleep(Duration::from_millis(50)).await;
            let stream = TcpStream::connect(ADDRESS).await?;
            say(&stream, "first")?;
            hear(&stream).await?;
            let id = ids.lock().expect("no panic under it")[0];
            for n in 0..60 {
                id.forward(Stages::of(skyring::random() as usize % 3)?);
                if n % 3 == 0 {
                    say(&stream, &format!("word {n}"))?;
                }
                sleep(Duration::from_micros(skyring::random() % 400)).await;
            }
            for n in (0..60).step_by(3) {
                let heard = hear(&stream).await?.expect("an answer to each");
                assert!(heard.ends_with(&format!(": word {n}")), "{heard}");
            }
            // The last one holds, wherever the others have led.
            id.forward(Stages::of(2)?);
            sleep(Duration::from_millis(50)).await;
            say(&stream, "where")?;
            assert_eq!(hear(&stream).await?.as_deref(), Some("2: where"));
            id.forward(Stages::of(1)?);
            id.close();
            assert_eq!(hear(&stream).await?, None, "the close comes behind the move");
            stream.close().await?;
            log.until(&format!(
                "{0} gone, says {0}: the connection was closed from this side",
                id.core()
            ))
            .await;
            Ok(())
        });
    }
}
