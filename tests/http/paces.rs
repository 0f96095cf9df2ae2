//! How fast a peer may ask, and how slow it may be, in virtual time.

use std::time::Duration;

use skyring::http::{Limits, Response};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::support::{limits, router};

const SECOND: Duration = Duration::from_secs(1);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Runs a client against the server, and returns the simulation for its counts.
fn against<F>(config: Config, limits: Limits, client: F) -> Simulation
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = Simulation::new(3);
    let make = move |_: &skyring::Core| router().limits(limits);
    sim.start(Engine::new(config).http("127.0.0.1:80", make)).expect("it starts");
    let ended = sim.run(client).unwrap_or_else(|stuck| panic!("{stuck}"));
    ended.unwrap_or_else(|error| panic!("{error}"));
    sim
}

async fn connect() -> Result<TcpStream> {
    Ok(TcpStream::connect("127.0.0.1:80").await?)
}

/// The status of the next answer, and its head.
async fn answer(stream: &TcpStream) -> Result<(u16, String)> {
    let head = stream.read_until(b"\r\n\r\n", 8192).await?.ok_or("it has closed")?;
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    stream.read_exact(len.parse().map_err(|_| "a length")?).await?;
    Ok((head[9..12].parse().map_err(|_| "a status")?, head))
}

#[test]
fn who_asks_too_fast_is_told_when_to_come_back() {
    let config = Config::new().cores(1).rate(1).burst(3);
    let sim = against(config, limits(), async {
        let stream = connect().await?;
        stream.write(GET.repeat(5))?;
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(answer(&stream).await?);
        }
        let seen: Vec<u16> = statuses.iter().map(|(status, _)| *status).collect();
        assert_eq!(seen, [200, 200, 200, 429, 429]);
        let head = &statuses[3].1;
        assert!(head.ends_with("retry-after: 1") && !head.contains("connection: close"), "{head}");
        sleep(SECOND).await;
        stream.write(GET.repeat(2))?;
        let seen = [answer(&stream).await?.0, answer(&stream).await?.0];
        assert_eq!(seen, [200, 429], "one has come back");
        // A body that is refused with its request is passed over.
        stream.write("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")?;
        assert_eq!(answer(&stream).await?.0, 429);
        // Another connection has a rate of its own.
        let other = connect().await?;
        other.write(GET)?;
        assert_eq!(answer(&other).await?.0, 200);
        Ok(())
    });
    assert_eq!((sim.metrics().http_too_fast, sim.metrics().http_refused), (4, 0));
    sim.stop().expect("a clean end");
}

#[test]
fn an_address_has_one_rate_over_all_its_connections() {
    let config = Config::new().cores(2).rate_per_ip(1).burst_per_ip(4);
    let sim = against(config, limits(), async {
        let mut good = 0;
        for _ in 0..10 {
            let stream = connect().await?;
            stream.write(GET)?;
            good += u32::from(answer(&stream).await?.0 == 200);
        }
        assert_eq!(good, 4);
        Ok(())
    });
    assert_eq!(sim.metrics().http_too_fast, 6);
    sim.stop().expect("a clean end");
}

/// Sends a body so many bytes a step, and returns the status and after how many seconds it came.
async fn upload(len: usize, step: usize, pause: Duration) -> Result<(u16, u64)> {
    let stream = connect().await?;
    let before = skyring::now();
    stream.write(format!("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"))?;
    for part in vec![b'x'; len].chunks(step) {
        let is_answered = stream.readable().within(pause).await;
        if is_answered.is_ok() || stream.write(part).is_err() {
            break;
        }
    }
    let (status, _) = answer(&stream).await?;
    Ok((status, skyring::now().since(before).as_secs()))
}

#[test]
fn a_body_that_drips_is_refused_and_one_that_is_only_slow_is_not() {
    let sim = against(Config::new().cores(1), limits(), async {
        // A byte every 20 s holds its place for no longer than silence does.
        assert_eq!(upload(1000, 1, 20 * SECOND).await?, (408, 30));
        // 500 bytes a second are enough, for as long as it takes.
        let (status, took) = upload(60_000, 600, SECOND).await?;
        assert_eq!((status, took), (200, 100));
        // Below that the 30 seconds are used up by and by.
        let (status, took) = upload(100_000, 400, SECOND).await?;
        assert!(status == 408 && (140..160).contains(&took), "{status} after {took} s");
        Ok(())
    });
    assert_eq!(sim.metrics().http_refused, 2);
    sim.stop().expect("a clean end");
    let patient = Limits { rate_bytes_min: 0, ..limits() };
    let sim = against(Config::new().cores(1), patient, async {
        assert_eq!(upload(50, 1, 20 * SECOND).await?, (200, 1000));
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn time_in_which_nobody_reads_a_body_is_not_its_peers() {
    let limits = Limits { body_time: 5 * SECOND, answer_time: 600 * SECOND, ..limits() };
    let mut sim = Simulation::new(1);
    let make = move |_: &skyring::Core| {
        router().limits(limits).post("/late", async |mut request| {
            sleep(100 * SECOND).await;
            Ok(Response::text(request.bytes().await?.len().to_string()))
        })
    };
    sim.start(Engine::new(Config::new().cores(1)).http("127.0.0.1:80", make)).expect("it starts");
    let ended: Result<u16> = sim
        .run(async {
            let stream = connect().await?;
            stream.write("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh")?;
            sleep(103 * SECOND).await;
            stream.write("i")?;
            Ok(answer(&stream).await?.0)
        })
        .expect("nobody is stuck");
    assert_eq!(ended.expect("an answer"), 200);
    sim.stop().expect("a clean end");
}

/// Asks for 8 MiB and reads so much a second; how much came.
async fn download(bytes_a_second: usize) -> Result<usize> {
    let stream = connect().await?;
    stream.write("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut read = 0;
    loop {
        match stream.read_exact(bytes_a_second).await {
            Ok(part) => read += part.len(),
            Err(skyring::net::ReadError::Ended { leftover }) => return Ok(read + leftover.len()),
            Err(_) => return Ok(read),
        }
        sleep(SECOND).await;
    }
}

#[test]
fn a_reader_that_is_slow_gets_all_and_one_that_takes_nothing_is_reset() {
    let sim = against(Config::new().cores(1), limits(), async {
        // 8 MiB at 60 KB a second: minutes, and each 256 KiB longer than 4 seconds.
        assert!(download(60_000).await? > 8 << 20);
        assert!(download(100).await? < 4 << 20);
        Ok(())
    });
    sim.stop().expect("a clean end");
}

#[test]
fn the_last_answer_of_a_connection_has_as_much_time_as_all_others() {
    let mut sim =
        Simulation::new(3).weather(Faults { socket_bytes_max: 8192, ..Faults::default() });
    let config = Config::new().cores(1).receive_bytes_max(4096).pool_block_bytes(4096);
    sim.start(Engine::new(config).http("127.0.0.1:80", |_| {
        let body = async |_| Ok(Response::bytes("image/png", vec![b'x'; 200_000]));
        router().limits(limits()).get("/some", body)
    }))
    .expect("it starts");
    let ended: Result<(usize, usize)> = sim
        .run_on(0, async {
            let mut read = [0; 2];
            for (read, seconds) in read.iter_mut().zip([25, 35]) {
                let stream = connect().await?;
                stream.write("GET /some HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
                sleep(seconds * SECOND).await;
                *read = stream.read_to_end(1 << 20).await.map_or(0, |all| all.len());
            }
            Ok((read[0], read[1]))
        })
        .expect("nobody is stuck");
    let (late, too_late) = ended.expect("both are read");
    assert!(late > 200_000 && too_late == 0, "{late} {too_late}");
}

#[test]
fn a_handler_that_waits_no_longer_for_a_body_has_all_the_time_it_had() {
    let mut sim = Simulation::new(3);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", |_| {
        router().limits(limits()).post("/ticks", async |mut request| {
            Ok(Response::stream("text/plain", async move |out| {
                for _ in 0..3 {
                    let read = within(SECOND, request.body().read()).await;
                    assert!(read.is_err(), "nothing comes");
                    out.write("tick").await?;
                }
                sleep(60 * SECOND).await;
                out.write("end").await
            }))
        })
    });
    sim.start(engine).expect("it starts");
    let ended: Result<bool> = sim
        .run(async {
            let stream = connect().await?;
            stream.write("POST /ticks HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")?;
            Ok(stream.read_until(b"end\r\n0\r\n\r\n", 8192).await?.is_some())
        })
        .expect("nobody is stuck");
    assert!(ended.expect("whole"));
    // Who waits again and again waits no longer in all.
    let mut sim = Simulation::new(3);
    let engine = Engine::new(Config::new().cores(1)).http("127.0.0.1:80", |_| {
        let limits = Limits { answer_time: 600 * SECOND, ..limits() };
        router().limits(limits).post("/again", async |mut request| {
            loop {
                if let Ok(read) = within(SECOND, request.body().read()).await {
                    return Ok(Response::text(format!("{:?}", read?.is_some())));
                }
            }
        })
    });
    sim.start(engine).expect("it starts");
    let ended: Result<(u16, u64)> = sim
        .run(async {
            let stream = connect().await?;
            let before = skyring::now();
            stream.write("POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")?;
            let (status, _) = answer(&stream).await?;
            Ok((status, skyring::now().since(before).as_secs()))
        })
        .expect("nobody is stuck");
    assert_eq!(ended.expect("an answer"), (408, 30));
}
