//! Logins over real sockets: passwords are checked on threads, which the simulated kernel has not.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use skyring::LengthPrefix;
use skyring::limit::Limit;
use skyring::servers::accounts::{Accounts, CHECKS_MAX};
use skyring::servers::agent::{self, FAILURES_MAX};

use super::common::{Server, config, deadline, read_end, read_u16, u16_frame};
use super::error;

/// The hash of a password, at these costs.
fn hash(password: &str, memory: u32, passes: u32, lanes: u32) -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(memory, passes, lanes, None).expect("valid");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = hasher.hash_password_with_salt(password.as_bytes(), b"saltsaltsalt");
    hash.expect("hashed").to_string()
}

pub(crate) fn accounts(name: &str, text: &str) -> Accounts {
    let path = std::env::temp_dir().join(format!("skyring-{name}-{}", std::process::id()));
    std::fs::write(&path, text).expect("written");
    let accounts = Accounts::load(&path).expect("well-formed");
    std::fs::remove_file(&path).expect("removed");
    accounts
}

fn two(name: &str) -> Accounts {
    let hashes = [hash("secret", 8, 1, 1), hash("geheim", 16, 2, 2)];
    accounts(name, &format!("admin:{}\nberta:{}\n", hashes[0], hashes[1]))
}

fn serve(accounts: Accounts, logins: Limit) -> Server {
    Server::of(agent::engine(config(), "127.0.0.1:0", LengthPrefix::U16.into(), accounts, logins))
}

fn connect(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    assert_eq!(read(&mut stream)["message"], "Welcome to server");
    stream
}

fn read(stream: &mut TcpStream) -> Value {
    serde_json::from_slice(&read_u16(stream).expect("answered")).expect("JSON")
}

fn write(stream: &mut TcpStream, request: &Value) {
    stream.write_all(&u16_frame(request.to_string().as_bytes())).expect("written");
}

fn login(name: &str, password: &str) -> Value {
    json!({ "cmd": "login", "data": { "username": name, "password": password } })
}

fn ask(stream: &mut TcpStream, request: &Value) -> Value {
    write(stream, request);
    read(stream)
}

fn is_welcome(answer: &Value) -> bool {
    *answer == json!({ "status": "ok", "message": "Login successful" })
}

#[test]
fn the_right_password_and_no_other_logs_in() {
    deadline(|| {
        let server = serve(two("right"), Limit::UNLIMITED);
        for (name, password) in [("admin", "secret"), ("berta", "geheim")] {
            let mut stream = connect(&server);
            assert!(is_welcome(&ask(&mut stream, &login(name, password))));
            // A second login, and an answer in between, as the tutorial's server has it.
            let echo = json!({ "cmd": "echo", "data": { "text": "hi" } });
            assert_eq!(ask(&mut stream, &echo), json!({ "status": "ok", "echo": "hi" }));
            assert!(is_welcome(&ask(&mut stream, &login(name, password))));
        }
        let long = "x".repeat(2000);
        let wrong = [
            ("admin", "geheim"), // somebody else's
            ("admin", "Secret"),
            ("admin", ""),
            ("Admin", "secret"),
            ("", "secret"),
            ("nobody", "secret"),
            ("nobody", "geheim"),
        ];
        for (name, password) in wrong {
            let answer = ask(&mut connect(&server), &login(name, password));
            assert_eq!(answer, error("Invalid credentials"), "{name} {password}");
        }
        let answer = ask(&mut connect(&server), &login("admin", &long));
        assert_eq!(answer, error("Password too long"));
        server.stop();
    });
}

#[test]
fn without_accounts_nobody_logs_in() {
    deadline(|| {
        let server = serve(Accounts::none(), Limit::UNLIMITED);
        let mut stream = connect(&server);
        for (name, password) in [("admin", "secret"), ("", "")] {
            let answer = ask(&mut stream, &login(name, password));
            assert_eq!(answer, error("Invalid credentials"));
        }
        server.stop();
    });
}

#[test]
fn the_connection_ends_behind_the_last_failure_allowed() {
    deadline(|| {
        let server = serve(two("failures"), Limit::UNLIMITED);
        let mut stream = connect(&server);
        let fail = |stream: &mut TcpStream, times| {
            for _ in 0..times {
                let answer = ask(stream, &login("admin", "wrong"));
                assert_eq!(answer, error("Invalid credentials"));
            }
        };
        fail(&mut stream, FAILURES_MAX - 1);
        assert!(is_welcome(&ask(&mut stream, &login("admin", "secret"))), "and begins anew");
        fail(&mut stream, FAILURES_MAX - 1);
        fail(&mut stream, 1);
        assert_eq!(read_end(&mut stream).expect("an orderly end"), b"");
        assert!(is_welcome(&ask(&mut connect(&server), &login("admin", "secret"))));
        server.stop();
    });
}

#[test]
fn an_address_tries_as_often_as_its_bucket_says() {
    deadline(|| {
        let server = serve(two("rate"), Limit::new(1, Duration::from_secs(3600), 3));
        for _ in 0..3 {
            assert!(is_welcome(&ask(&mut connect(&server), &login("admin", "secret"))));
        }
        let mut stream = connect(&server);
        // Not a failure, however often: the password is not looked at.
        for _ in 0..2 * FAILURES_MAX {
            let answer = ask(&mut stream, &login("admin", "secret"));
            let message = answer["message"].as_str().expect("text");
            assert!(message.starts_with("Too many logins, try again in "), "{message}");
        }
        let echo = json!({ "cmd": "echo", "data": { "text": "hi" } });
        assert_eq!(ask(&mut stream, &echo)["echo"], "hi");
        server.stop();
    });
}

#[test]
fn a_flood_of_logins_is_answered_and_others_are_served_meanwhile() {
    deadline(|| {
        // Each check takes milliseconds: far more come at once than may wait.
        let dear = format!("admin:{}", hash("secret", 4096, 1, 1));
        let server = serve(accounts("flood", &dear), Limit::UNLIMITED);
        let mut flood: Vec<TcpStream> = (0..4 * CHECKS_MAX).map(|_| connect(&server)).collect();
        let mut innocent = connect(&server);
        flood.iter_mut().for_each(|stream| write(stream, &login("admin", "wrong")));
        let echo = json!({ "cmd": "echo", "data": { "text": "hi" } });
        for _ in 0..50 {
            assert_eq!(ask(&mut innocent, &echo)["echo"], "hi");
        }
        let (mut invalid, mut busy) = (0, 0);
        for stream in &mut flood {
            match read(stream)["message"].as_str() {
                Some("Invalid credentials") => invalid += 1,
                Some("Server busy") => busy += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(invalid + busy, 4 * CHECKS_MAX);
        assert!(invalid >= CHECKS_MAX && busy > 0, "{invalid} invalid, {busy} busy");
        assert!(is_welcome(&ask(&mut innocent, &login("admin", "secret"))), "room again");
        server.stop();
    });
}

#[test]
fn a_client_that_leaves_gives_its_check_back_when_it_is_done() {
    deadline(|| {
        let dear = format!("admin:{}", hash("secret", 1024, 1, 1));
        let server = serve(accounts("leave", &dear), Limit::UNLIMITED);
        for _ in 0..3 {
            let mut gone: Vec<TcpStream> = (0..CHECKS_MAX).map(|_| connect(&server)).collect();
            gone.iter_mut().for_each(|stream| write(stream, &login("admin", "secret")));
            gone.into_iter().for_each(super::common::reset);
        }
        super::common::eventually("there is room for another", || {
            is_welcome(&ask(&mut connect(&server), &login("admin", "secret")))
        });
        server.stop();
    });
}
