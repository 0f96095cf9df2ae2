//! Every wait has its limit, in virtual time.

use std::time::Duration;

use skyring::http::{Client, ClientError, ClientLimits, Wait};
use skyring::net::TcpListener;
use skyring::prelude::*;
use skyring::sim::Simulation;

use crate::support::{Act, BASE, Script, alone, ok};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> ClientLimits {
    ClientLimits {
        connect_time: SECOND,
        head_time: 2 * SECOND,
        body_time: 3 * SECOND,
        write_time: 4 * SECOND,
        whole_time: 60 * SECOND,
        ..ClientLimits::default()
    }
}

fn expired(error: &ClientError) -> Option<Wait> {
    match error {
        ClientError::TimedOut { wait, .. } => Some(*wait),
        _ => None,
    }
}

/// How long a future took, to the second.
async fn timed<F: Future>(future: F) -> (F::Output, u64) {
    let before = skyring::now();
    let output = future.await;
    (output, (skyring::now().since(before).as_millis() as u64 + 10) / 1000)
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    alone(async {
        let dripping = Act::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), SECOND);
        let _script = Script::start(80, vec![Act::Wait, dripping])?;
        let client = Client::with(limits());
        for case in ["nothing", "byte by byte"] {
            let (error, took) = timed(client.get(BASE).send()).await;
            assert_eq!(expired(&error.expect_err(case)), Some(Wait::Head), "{case}");
            assert_eq!(took, 2, "{case}");
        }
        Ok(())
    });
}

#[test]
fn a_body_that_does_not_go_on_is_given_up() {
    alone(async {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody";
        let _script = Script::start(80, vec![Act::Say(head.into())])?;
        let mut response = Client::with(limits()).get(BASE).await?;
        let (error, took) = timed(response.bytes()).await;
        assert_eq!((expired(&error.expect_err("half")), took), (Some(Wait::Body), 3));
        let error = response.body().read().await.expect_err("it is given up");
        assert!(matches!(error, ClientError::Over), "{error:?}");
        Ok(())
    });
}

#[test]
fn a_request_is_over_in_its_time_however_it_goes_on() {
    alone(async {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
        let drip = Act::Drip([head.as_bytes(), &[b'x'; 100]].concat(), SECOND / 20);
        let _script = Script::start(80, vec![drip])?;
        let client = Client::with(limits());
        let whole = async {
            let mut response = client.get(BASE).timeout(4 * SECOND).await?;
            response.bytes().await
        };
        let (error, took) = timed(whole).await;
        assert_eq!((expired(&error.expect_err("too slow")), took), (Some(Wait::Whole), 4));
        Ok(())
    });
}

#[test]
fn who_waits_for_a_connection_waits_no_longer_than_he_may() {
    alone(async {
        let _script = Script::start(80, vec![Act::Wait, ok("later")])?;
        let client =
            Client::with(ClientLimits { connections_max: 1, head_time: 60 * SECOND, ..limits() });
        let first = spawn(client.get(BASE).send());
        sleep(SECOND / 10).await;
        let (error, took) = timed(client.get(BASE).send()).await;
        assert_eq!((expired(&error.expect_err("busy")), took), (Some(Wait::Connection), 1));
        first.abort();
        assert_eq!(client.get(BASE).await?.text().await?, "later", "its place came free");
        Ok(())
    });
}

/// Takes nothing of its first connection, and of the others a little each second.
async fn take_slowly(listener: TcpListener) -> Result<()> {
    let _silent = listener.accept().await?;
    let slow = listener.accept().await?;
    let head = slow.read_until(b"\r\n\r\n", 4096).await?.ok_or("a head")?;
    assert!(head.starts_with(b"POST"));
    let mut left = 400_000;
    while left > 0 {
        sleep(SECOND).await;
        left -= slow.read_exact(left.min(40_000)).await?.len();
    }
    slow.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    slow.close().await?;
    Ok(())
}

#[test]
fn a_server_that_takes_no_body_is_given_up_and_one_that_takes_it_slowly_is_not() {
    let mut sim = Simulation::new(1);
    let config = Config::new().cores(1).receive_bytes_max(16 * 1024).pool_block_bytes(4096);
    let server = Engine::new(config).setup(|_| {
        spawn(take_slowly(TcpListener::bind("127.0.0.1:80")?));
        Ok(())
    });
    sim.start(server).expect("it starts");
    let asked: Result<()> = sim
        .run(async {
            let client = Client::with(ClientLimits { head_time: 5 * SECOND, ..limits() });
            let body = vec![b'x'; 400_000];
            let (error, took) = timed(client.post(BASE).body(body.clone()).send()).await;
            assert_eq!((expired(&error.expect_err("silent")), took), (Some(Wait::Write), 4));
            let (answer, took) = timed(client.post(BASE).body(body).send()).await;
            assert_eq!(answer?.status(), 200);
            assert_eq!(took, 10, "longer than a head may take");
            Ok(())
        })
        .expect("nobody is stuck");
    asked.unwrap_or_else(|error| panic!("{error}"));
    sim.stop().expect("a clean end");
}

#[test]
fn who_never_says_continue_gets_the_body_after_a_second() {
    alone(async {
        let listener = TcpListener::bind("127.0.0.1:80")?;
        spawn(async move {
            let Ok(stream) = listener.accept().await else { return };
            let _head = stream.read_until(b"\r\n\r\n", 4096).await;
            let _body = stream.read_exact(4).await;
            let _ = stream.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            std::future::pending::<()>().await;
        });
        let client = Client::with(limits());
        let (answer, took) = timed(client.post(BASE).body("body").expect_continue().send()).await;
        assert_eq!((&*answer?.text().await?, took), ("ok", 1));
        Ok(())
    });
}

#[test]
fn a_body_that_is_answered_before_it_was_let_go_is_kept_back() {
    alone(async {
        let listener = TcpListener::bind("127.0.0.1:80")?;
        let server = spawn(async move {
            let stream = listener.accept().await?;
            stream.read_until(b"\r\n\r\n", 4096).await?;
            stream.write("HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\n")?;
            let is_kept_back = stream.readable().within(3 * SECOND).await.is_err();
            stream.write("large")?;
            Ok::<_, Error>((stream, is_kept_back))
        });
        let client = Client::new();
        let mut response = client.post(BASE).body("a body").expect_continue().await?;
        assert_eq!((response.status(), &*response.text().await?), (413, "large"));
        assert!(server.await??.1, "none of it came");
        Ok(())
    });
}
