//! Sessions over several connections.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use skyring::login::{Code, Event, LoginError, Logins, PUSH_BYTES_MAX, REPLIES_MAX, Requester};
use skyring::msgserver::MsgServer;
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::Simulation;
use skyring::spawn;

use super::support::*;

/// Runs a client's body against a server on two cores.
fn simulated<F>(
    set: impl FnOnce(MsgServer<Player>) -> MsgServer<Player>,
    body: impl FnOnce(MsgServer<Player>, Log) -> F,
) where
    F: Future<Output = Result<()>> + 'static,
{
    let log = Log::default();
    let games = set(games(&log));
    let mut sim = Simulation::new(3);
    sim.start(engine(&games, login_server(&games))).expect("it starts");
    sim.run(body(games, log)).expect("it does not hang").expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}

fn same(set: MsgServer<Player>) -> MsgServer<Player> {
    set
}

fn ok(text: &'static str) -> (Code, Bytes) {
    (Code::Ok, Bytes::from_static(text.as_bytes()))
}

#[test]
fn a_user_logs_in_asks_and_logs_out() {
    simulated(same, |_, log| async move {
        let (mut ann, stream) = enter("ann").await?;
        assert_eq!(ann.session().name.user(), "ann");
        assert_eq!(ask(&mut ann, &stream, "hello").await?, ok("hello"));
        assert_eq!(ask(&mut ann, &stream, "fail").await?, (Code::Failed, Bytes::new()));
        assert_eq!(ask(&mut ann, &stream, "large").await?, (Code::Failed, Bytes::new()));
        ann.request(b"push")?;
        send_all(&mut ann, &stream).await?;
        let events = [event(&mut ann, &stream).await?, event(&mut ann, &stream).await?];
        assert!(events.contains(&Event::Push(Bytes::from_static(b"news"))), "{events:?}");
        ann.request(b"long-push")?;
        send_all(&mut ann, &stream).await?;
        let pushed = event(&mut ann, &stream).await?;
        let replied = event(&mut ann, &stream).await?;
        let long = Event::Push(vec![1; PUSH_BYTES_MAX].into());
        assert!([pushed, replied].contains(&long), "the longest arrives");
        assert_eq!(ask(&mut ann, &stream, "logout").await?, ok("logout"));
        assert!(ends(&stream).await);
        let again = resume(&mut ann).await?.map(|_| ());
        assert_eq!(again, Err(LoginError::Refused(Code::NotFound)));
        let last = noted(&log);
        assert_eq!(last.last().map(String::as_str), Some("ann logged out"));
        Ok(())
    });
}

#[test]
fn a_lost_connection_loses_no_reply() {
    simulated(same, |_, log| async move {
        let (mut ann, stream) = enter("ann").await?;
        for text in ["a", "slow", "b"] {
            ann.request(text.as_bytes())?;
        }
        send_all(&mut ann, &stream).await?;
        let first = event(&mut ann, &stream).await?;
        assert_eq!(first, Event::Reply { number: 1, code: Code::Ok, payload: "a".into() });
        drop(stream); // while "slow" is being handled
        let stream = resume(&mut ann).await?.map_err(Error::from)?;
        send_all(&mut ann, &stream).await?;
        for (number, text) in [(2, "slow"), (3, "b")] {
            let event = event(&mut ann, &stream).await?;
            assert_eq!(event, Event::Reply { number, code: Code::Ok, payload: text.into() });
        }
        // What was answered while there was no connection is there for the next.
        ann.request(b"slow again")?;
        send_all(&mut ann, &stream).await?;
        drop(stream);
        sleep(Duration::from_secs(10)).await;
        let stream = resume(&mut ann).await?.map_err(Error::from)?;
        send_all(&mut ann, &stream).await?;
        assert!(matches!(event(&mut ann, &stream).await?, Event::Reply { number: 4, .. }));
        let heard = noted(&log);
        let requests = heard.iter().filter(|text| !["connected", "lost"].contains(&text.as_str()));
        assert_eq!(requests.collect::<Vec<_>>(), ["a", "slow", "b", "slow again"]);
        assert!(heard.contains(&"lost".into()));
        Ok(())
    });
}

#[test]
fn a_session_without_a_connection_ends_at_its_time_and_its_owner_hears() {
    let keep = |games: MsgServer<Player>| games.keep(Duration::from_secs(5));
    simulated(keep, |_, log| async move {
        let (mut ann, stream) = enter("ann").await?;
        sleep(Duration::from_secs(20)).await; // with a connection it lives on
        assert_eq!(ask(&mut ann, &stream, "here").await?, ok("here"));
        drop(stream);
        sleep(Duration::from_millis(4900)).await;
        let stream = resume(&mut ann).await?.map_err(Error::from)?;
        drop(stream);
        sleep(Duration::from_millis(5100)).await;
        let over = resume(&mut ann).await?.map(|_| ());
        assert_eq!(over, Err(LoginError::Refused(Code::NotFound)));
        assert_eq!(
            noted(&log).last().map(String::as_str),
            Some("ann had no connection for too long")
        );
        // One that never comes ends, too.
        let bob = login("bob:secret").await??;
        sleep(Duration::from_millis(5100)).await;
        let over = resume(&mut Requester::new(bob)).await?.map(|_| ());
        assert_eq!(over, Err(LoginError::Refused(Code::NotFound)));
        Ok(())
    });
}

#[test]
fn stolen_and_repeated_resumes_are_refused_and_disturb_nobody() {
    simulated(same, |_, _| async move {
        let session = login("ann:secret").await??;
        let mut ann = Requester::new(session.clone());
        let stream = resume(&mut ann).await?.map_err(Error::from)?;
        // A repeated index: the same session from the beginning.
        let old = resume(&mut Requester::new(session.clone())).await?.map(|_| ());
        assert_eq!(old, Err(LoginError::Refused(Code::Forbidden)));
        // A stolen one: the next index, without the secret.
        let mut thief = session;
        thief.secret = [0; 32].into();
        let mut thief = Requester::new(thief);
        thief.resume()?;
        let stolen = resume(&mut thief).await?.map(|_| ());
        assert_eq!(stolen, Err(LoginError::Refused(Code::Unauthorized)));
        assert_eq!(ask(&mut ann, &stream, "still here").await?, ok("still here"));
        Ok(())
    });
}

#[test]
fn of_two_connections_that_race_one_has_the_session() {
    for seed in 0..20 {
        let log = Log::default();
        let games = games(&log);
        let mut sim = Simulation::new(seed);
        sim.start(engine(&games, login_server(&games))).expect("it starts");
        let race: Result<()> = sim
            .run(async move {
                let session = login("ann:secret").await??;
                // The same index twice, and a higher one, at once.
                let racers: Vec<_> = [0, 0, 1]
                    .into_iter()
                    .map(|skipped| {
                        let mut client = Requester::new(session.clone());
                        spawn(async move {
                            (0..skipped).for_each(|_| _ = client.resume());
                            let resumed = resume(&mut client).await?;
                            let Ok(stream) = resumed else { return Ok(None) };
                            sleep(Duration::from_secs(1)).await;
                            Ok(ask(&mut client, &stream, "mine").await.ok())
                        })
                    })
                    .collect();
                let mut winners = 0;
                for racer in racers {
                    let outcome: Result<_> = racer.await.expect("no panic");
                    winners += usize::from(outcome?.is_some());
                }
                assert_eq!(winners, 1, "one has it at last");
                Ok(())
            })
            .expect("it does not hang");
        race.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(noted(&log).iter().filter(|text| *text == "mine").count(), 1);
        sim.stop().expect("clean");
    }
}

#[test]
fn a_second_login_replaces_the_first_session() {
    simulated(same, |games, log| async move {
        let (mut first, stream) = enter("ann").await?;
        let (mut second, other) = enter("ann").await?;
        assert!(ends(&stream).await, "its connection closes");
        let over = resume(&mut first).await?.map(|_| ());
        assert_eq!(over, Err(LoginError::Refused(Code::NotFound)));
        assert_eq!(ask(&mut second, &other, "here").await?, ok("here"));
        assert!(noted(&log).contains(&"ann replaced by another login".into()));
        drop(games);
        Ok(())
    });
}

#[test]
fn a_second_login_is_refused_while_there_is_a_session() {
    let refuse = |games: MsgServer<Player>| games.logins(Logins::Refuse).sessions_max(2);
    simulated(refuse, |_, _| async move {
        let (mut ann, stream) = enter("ann").await?;
        let refused = login("ann:secret").await?.map(|_| ());
        assert_eq!(refused, Err(LoginError::Refused(Code::NotAcceptable)));
        login("bob:secret").await??;
        let full = login("eve:secret").await?.map(|_| ());
        assert_eq!(full, Err(LoginError::Refused(Code::Busy)));
        assert_eq!(ask(&mut ann, &stream, "logout").await?, ok("logout"));
        assert!(ends(&stream).await);
        login("ann:secret").await??;
        Ok(())
    });
}

#[test]
fn a_panic_ends_its_session_alone() {
    simulated(same, |_, _| async move {
        let (mut ann, ann_stream) = enter("ann").await?;
        let (mut bob, bob_stream) = enter("bob").await?;
        assert!(ask(&mut ann, &ann_stream, "panic").await.is_err());
        let over = resume(&mut ann).await?.map(|_| ());
        assert_eq!(over, Err(LoginError::Refused(Code::NotFound)));
        assert_eq!(ask(&mut bob, &bob_stream, "here").await?, ok("here"));
        Ok(())
    });
}

#[test]
fn a_request_that_hangs_is_given_up() {
    let soon = |games: MsgServer<Player>| games.request_time(Duration::from_secs(5));
    simulated(soon, |_, _| async move {
        let (mut ann, stream) = enter("ann").await?;
        assert_eq!(ask(&mut ann, &stream, "hang").await?, (Code::Failed, Bytes::new()));
        assert_eq!(ask(&mut ann, &stream, "on").await?, ok("on"));
        Ok(())
    });
}

#[test]
fn as_many_requests_as_may_be_open_are_taken_at_once_however_large() {
    simulated(same, |_, log| async move {
        let (mut ann, stream) = enter("ann").await?;
        let stream = Rc::new(stream);
        let payload = "x".repeat(20_000);
        for _ in 0..REPLIES_MAX {
            ann.request(payload.as_bytes())?;
        }
        let frames: Vec<_> = std::iter::from_fn(|| ann.poll_send()).collect();
        let writer = stream.clone();
        spawn(async move {
            for frame in frames {
                write(&writer, &frame).await?;
                writer.flush().await?;
            }
            Ok::<(), Error>(())
        });
        for number in 1..=REPLIES_MAX as u32 {
            let Event::Reply { number: got, code: Code::Ok, payload } =
                event(&mut ann, &stream).await?
            else {
                return Err("no reply".into());
            };
            assert_eq!((got, payload.len()), (number, 20_000));
        }
        assert_eq!(noted(&log).len(), 1 + REPLIES_MAX);
        Ok(())
    });
}

#[test]
fn misuse_closes_the_connection_and_not_the_session() {
    simulated(same, |_, _| async move {
        let (mut ann, mut stream) = enter("ann").await?;
        for bad in [&b"\0\0\0\x05gap"[..], b"abc", b""] {
            write(&stream, bad).await?;
            assert!(ends(&stream).await, "{bad:?}");
            stream = resume(&mut ann).await?.map_err(Error::from)?;
            send_all(&mut ann, &stream).await?;
        }
        assert_eq!(ask(&mut ann, &stream, "on").await?, ok("on"));
        Ok(())
    });
}

#[test]
fn a_stop_in_the_middle_of_a_request_lets_it_end_and_tells_the_owner() {
    let log = Log::default();
    let games = games(&log);
    let mut sim = Simulation::new(3);
    sim.start(engine(&games, login_server(&games))).expect("it starts");
    let asked: Result<()> = sim
        .run(async {
            let (mut ann, stream) = enter("ann").await?;
            ann.request(b"slow")?;
            send_all(&mut ann, &stream).await?;
            sleep(Duration::from_millis(100)).await; // it is being handled
            Ok(())
        })
        .expect("it does not hang");
    asked.expect("it was asked");
    sim.stop().expect("everything was cleaned up");
    assert_eq!(noted(&log).last().map(String::as_str), Some("ann the server stops"));
}

#[test]
fn a_resume_that_is_broken_off_anywhere_harms_nothing() {
    simulated(same, |_, _| async move {
        let mut ann = Requester::new(login("ann:secret").await??);
        for cut in 0..=90 {
            let stream = TcpStream::connect(GAMES).await?;
            let frame = ann.resume()?;
            let mut bytes = (frame.len() as u16).to_be_bytes().to_vec();
            bytes.extend_from_slice(&frame);
            stream.write(&bytes[..cut.min(bytes.len())])?;
            stream.flush().await?;
            drop(stream); // the answer, if there is one, is lost
        }
        let stream = resume(&mut ann).await?.map_err(Error::from)?;
        assert_eq!(ask(&mut ann, &stream, "here").await?, ok("here"));
        Ok(())
    });
}
