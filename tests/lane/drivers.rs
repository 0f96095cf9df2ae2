//! What runs on the lane: clients of tokio, and files.

use std::io::ErrorKind;
use std::path::PathBuf;

use skyring::lane::{self, tokio_uring};
use skyring::{Engine, LengthPrefix};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{Server, config, deadline, echo};

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("skyring-lane-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

#[test]
fn a_client_of_tokio_talks_to_a_gate_of_the_same_engine() {
    deadline(|| {
        let server = Server::start(config(), echo(LengthPrefix::U16));
        let address = server.address;
        let answer = server.handle.run_on(0, move || {
            lane::call(async move || {
                let mut stream = tokio::net::TcpStream::connect(address).await?;
                let mut answer = [0; 7];
                for _ in 0..100 {
                    stream.write_all(b"\0\x05hello").await?;
                    stream.read_exact(&mut answer).await?;
                }
                std::io::Result::Ok(answer)
            })
        });
        let answer = answer.expect("the task ran").expect("the lane answers").expect("it echoes");
        assert_eq!(&answer, b"\0\x05hello");
        assert_eq!(server.metrics().lane_calls, 1);
    });
}

#[test]
fn a_file_is_written_and_read_up_to_its_last_allowed_byte() {
    deadline(|| {
        let folder = folder("file");
        let path = folder.join("a");
        let bytes: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        let handle = Engine::new(config()).start().expect("the engine starts");
        let (file, content) = (path.clone(), bytes.clone());
        let read = handle.run_on(0, move || async move {
            lane::write(&file, content).await?;
            let fits = lane::read(&file, 200_000).await?;
            let beyond = lane::read(&file, 199_999).await.expect_err("one byte too many");
            let missing = lane::read(file.join("none"), 10).await.expect_err("no such file");
            Ok::<_, skyring::Error>((fits, beyond.to_string(), missing.to_string()))
        });
        let (fits, beyond, missing) = read.expect("the task ran").expect("files are read");
        assert_eq!(fits, bytes);
        assert!(beyond.contains("more than 199999 bytes"), "{beyond}");
        assert!(!missing.is_empty());
        for (length, max) in [(0, 0), (0, 1), (1, 1), (65_536, 65_536), (65_537, 65_537)] {
            let file = path.clone();
            std::fs::write(&file, &bytes[..length]).expect("a file");
            let read = handle.run_on(0, move || async move { lane::read(&file, max).await });
            assert_eq!(read.expect("it ran").expect("it fits"), &bytes[..length], "{length}");
        }
        std::fs::remove_dir_all(folder).expect("the folder is ours");
    });
}

#[test]
fn operations_of_the_ring_work_beside_timers_and_tasks_of_tokio() {
    deadline(|| {
        let folder = folder("ring");
        let path = folder.join("a");
        let handle = Engine::new(config()).start().expect("the engine starts");
        let outcome = handle.run_on(0, move || {
            lane::call(async move || {
                tokio_uring::fs::File::create(&path).await?.close().await?;
                let slept = tokio_uring::spawn(tokio::time::sleep(std::time::Duration::ZERO));
                slept.await.expect("it is no task that panics");
                let missing = tokio_uring::fs::File::open(path.join("x")).await;
                std::io::Result::Ok(missing.err().map(|error| error.kind()))
            })
        });
        let kind = outcome.expect("the task ran").expect("the lane answers").expect("it works");
        assert_eq!(kind, Some(ErrorKind::NotADirectory));
        std::fs::remove_dir_all(folder).expect("the folder is ours");
    });
}
