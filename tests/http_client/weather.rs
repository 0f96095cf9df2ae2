//! A client and skyring's server in bad weather and in storms, by seed.

use std::time::Duration;

use skyring::http::Client;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::support::{BASE, router, url};

async fn conversation(client: &Client, round: usize) -> Result<()> {
    assert_eq!(client.get(BASE).await?.text().await?, "Hello, World!");
    let body: Vec<u8> = (0..100_000).map(|n: usize| (n * 31 + round) as u8).collect();
    let mut echo = client.post(url("/echo")).body(body.clone()).await?;
    assert!(echo.bytes().await?[..] == body[..], "the body came back changed");
    let mut lines = client.get(url("/lines")).await?;
    assert_eq!(lines.text().await?.lines().count(), 1000);
    assert_eq!(lines.body().trailer("x-lines").as_deref(), Some("1000"));
    let mut text = client.get(url("/text")).await?;
    assert_eq!(text.bytes().await?.len(), 7_200);
    let mut both = client
        .post(url("/both"))
        .stream(async |out| {
            for n in 0..50 {
                out.write(vec![n; 3000]).await?;
            }
            Ok(())
        })
        .await?;
    assert_eq!(both.bytes().await?.len(), 150_000);
    if round.is_multiple_of(2) {
        drop(client.get(url("/large")).await?); // given up
    }
    assert_eq!(client.get(url("/moved/2")).await?.text().await?, "Hello, World!");
    Ok(())
}

#[test]
fn nothing_is_lost_in_bad_weather() {
    for seed in 0..15 {
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        let config = Config::new().cores(2);
        sim.start(Engine::new(config).http("127.0.0.1:80", |_| router())).expect("it starts");
        let ended: Result<()> = sim
            .run(async {
                let client = Client::new();
                let tasks: Vec<_> = (0..3)
                    .map(|task| {
                        let client = client.clone();
                        spawn(async move {
                            for round in 0..2 {
                                conversation(&client, task + round).await?;
                            }
                            Ok::<(), Error>(())
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await??;
                }
                Ok(())
            })
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_storm_ends_requests_but_mixes_up_none() {
    let mut answered = 0;
    for seed in 0..30 {
        let mut sim = Simulation::new(seed).weather(Faults::storm());
        let config = Config::new().cores(1);
        sim.start(Engine::new(config).http("127.0.0.1:80", |_| router())).expect("it starts");
        let good: u32 = sim
            .run(async move {
                let client = Client::new();
                let tasks: Vec<_> = (0..8_u64)
                    .map(|task| {
                        let client = client.clone();
                        spawn(async move {
                            let mut good = 0;
                            for round in 0..20_u64 {
                                let id = format!("{seed}-{task}-{round}");
                                let request = client.post(url("/echo")).body(id.clone());
                                let limit = Duration::from_millis(skyring::random() % 200);
                                let answer = async {
                                    let mut response = request.await?;
                                    let is_dropped = skyring::random().is_multiple_of(5);
                                    if is_dropped {
                                        Ok(None)
                                    } else {
                                        response.text().await.map(Some)
                                    }
                                };
                                if let Ok(Ok(Some(text))) = answer.within(limit).await {
                                    assert_eq!(text, id, "another's answer");
                                    good += 1;
                                }
                            }
                            good
                        })
                    })
                    .collect();
                let mut good = 0;
                for task in tasks {
                    good += task.await.expect("no panic");
                }
                good
            })
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        answered += good;
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(answered > 1000, "{answered} were answered");
}
