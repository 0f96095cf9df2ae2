//! Clients that others wrote: curl, openssl s_client, and Python's ssl.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use skyring::prelude::*;
use skyring::tls;

use crate::common::{Echo, Server, config, deadline};
use crate::support::{Authority, Folder, both, has, router, run};

#[test]
fn curl_gets_and_posts_by_both_versions() {
    if !has("curl") {
        return;
    }
    deadline(|| {
        let (authority, tls, _) = both();
        let folder = Folder::new();
        let ca = folder.file("ca.pem", &authority.pem);
        let server = Server::of(Engine::new(config()).https("127.0.0.1:0", &tls, |_| router()));
        let port = server.address.port();
        let curl = |arguments: &[&str], path: &str, input: &[u8]| {
            let url = format!("https://localhost:{port}{path}");
            let mut all = vec!["-sS", "--max-time", "20", "--cacert", &ca, "-4"];
            all.extend_from_slice(arguments);
            all.push(&url);
            let (passed, text, errors) = run("curl", &all, input);
            assert!(passed, "{arguments:?}: {errors}");
            text
        };
        for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
            let with = |more: &[&'static str]| [version, more].concat();
            assert_eq!(curl(&with(&[]), "/", b""), "Hello, World!");
            assert_eq!(curl(&with(&[]), "/large", b"").len(), 8 << 20);
            // All of it, and the end behind it, waits when the server closes.
            let close = with(&["-H", "Connection: close"]);
            assert_eq!(curl(&close, "/large", b"").len(), 8 << 20);
            let sent = vec![b'y'; 700_000];
            let echoed = curl(&with(&["--data-binary", "@-"]), "/echo", &sent);
            assert_eq!(echoed.as_bytes(), sent);
        }
        assert_eq!(curl(&["--tlsv1.3"], "/tls", b""), "TLS 1.3 localhost - 0 full");
        assert_eq!(curl(&["--tls-max", "1.2"], "/tls", b""), "TLS 1.2 localhost - 0 full");
        assert!(server.metrics().tls_handshakes >= 8);
        server.stop();
    });
}

/// Arguments of `openssl s_client` for a server at `port`, whose certificate is checked.
fn s_client<'a>(port: &'a str, ca: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["s_client", "-connect", port, "-CAfile", ca, "-verify_return_error"];
    all.extend_from_slice(&["-servername", "localhost", "-verify_hostname", "localhost"]);
    all.extend_from_slice(more);
    all
}

const ASK: &[u8] = b"GET /tls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn openssl_verifies_resumes_and_agrees_on_a_protocol() {
    if !has("openssl") {
        return;
    }
    deadline(|| {
        let authority = Authority::new("a");
        let (certificate, key) = authority.issue(&["localhost"]).pair();
        let tls = tls::Server::builder().certificate(certificate, key).alpn(["http/1.1"]);
        let tls = tls.build().expect("a server");
        let folder = Folder::new();
        let ca = folder.file("ca.pem", &authority.pem);
        let session = folder.path().join("session").to_str().expect("UTF-8").to_owned();
        let server = Server::of(Engine::new(config()).https("127.0.0.1:0", &tls, |_| router()));
        let port = server.address.to_string();
        for (flag, version) in [("-tls1_2", "TLS 1.2"), ("-tls1_3", "TLS 1.3")] {
            let first = [flag, "-ign_eof", "-alpn", "h2,http/1.1", "-sess_out", &session];
            let (passed, text, errors) = run("openssl", &s_client(&port, &ca, &first), ASK);
            assert!(passed && text.contains("Verification: OK"), "{text}\n{errors}");
            assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
            assert!(text.contains(&format!("{version} localhost http/1.1 0 full")), "{text}");
            let again = [flag, "-ign_eof", "-alpn", "http/1.1", "-sess_in", &session];
            let (passed, text, errors) = run("openssl", &s_client(&port, &ca, &again), ASK);
            assert!(passed && text.contains("Reused, "), "{text}\n{errors}");
            assert!(text.contains(&format!("{version} localhost http/1.1 0 resumed")), "{text}");
            std::fs::remove_file(&session).expect("it was written");
        }
        // Five more connections, one after the other.
        let reconnect = ["-tls1_2", "-reconnect"];
        let (_, text, errors) = run("openssl", &s_client(&port, &ca, &reconnect), b"");
        assert_eq!(text.matches("Reused, ").count(), 5, "{text}\n{errors}");
        assert!(server.metrics().tls_resumed >= 7);
        let other = ["-alpn", "h2", "-ign_eof"];
        let (passed, _, errors) = run("openssl", &s_client(&port, &ca, &other), ASK);
        assert!(!passed && errors.contains("no application protocol"), "{errors}");
        let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
        let (passed, _, _) = run("openssl", &s_client(&port, &ca, &old), ASK);
        assert!(!passed, "TLS 1.1 is not spoken");
        server.settle();
        server.stop();
    });
}

#[test]
fn openssl_gets_the_certificate_of_the_host_that_it_asks_for() {
    if !has("openssl") {
        return;
    }
    deadline(|| {
        let authority = Authority::new("a");
        let mut tls = tls::Server::builder();
        for names in [&["one.example"][..], &["two.example", "*.three.example"]] {
            let (certificate, key) = authority.issue(names).pair();
            tls = tls.certificate(certificate, key);
        }
        let tls = tls.build().expect("a server");
        let folder = Folder::new();
        let ca = folder.file("ca.pem", &authority.pem);
        let server = Server::of(Engine::new(config()).https("127.0.0.1:0", &tls, |_| router()));
        let port = server.address.to_string();
        for (asked, shown) in [
            ("one.example", "one.example"),
            ("two.example", "two.example"),
            ("TWO.example", "two.example"),
            ("www.three.example", "www.three.example"),
            ("elsewhere.example", "one.example"),
        ] {
            let all = ["s_client", "-connect", &port, "-CAfile", &ca, "-verify_return_error"];
            let more = ["-servername", asked, "-verify_hostname", shown, "-ign_eof"];
            let (passed, text, errors) = run("openssl", &[&all[..], &more].concat(), ASK);
            assert!(passed, "{asked}: {errors}");
            assert!(text.contains(&format!(" {} - 0 full", asked.to_lowercase())), "{text}");
        }
        server.stop();
    });
}

/// Talks to s_client on its pipes, as somebody at a terminal would.
fn at_terminal(arguments: &[&str], lines: &[&str], until: &str) -> (String, bool) {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    let mut waits_for = lines.iter();
    let mut expected = "---";
    loop {
        if String::from_utf8_lossy(&heard).contains(expected) {
            match waits_for.next() {
                Some(line) => {
                    let _ = input.write_all(line.as_bytes());
                    // s_client looks for commands at the beginning of what one read brings.
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    continue;
                }
                None if expected == until => break,
                None => expected = until,
            }
            continue;
        }
        match output.read(&mut buffer) {
            Ok(count) if count > 0 => heard.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    drop(input);
    let found = String::from_utf8_lossy(&heard).contains(until);
    drop(output);
    let _ = child.wait();
    (String::from_utf8_lossy(&heard).into_owned(), found)
}

#[test]
fn openssl_renews_keys_and_is_refused_a_renegotiation() {
    if !has("openssl") {
        return;
    }
    deadline(|| {
        let (authority, tls, _) = both();
        let folder = Folder::new();
        let ca = folder.file("ca.pem", &authority.pem);
        let server = Server::start(config(), Gate::line().tls(&tls).agent(|_| Shout));
        let port = server.address.to_string();
        let lines = ["K\n", "hello\n", "k\n", "world\n"];
        let (heard, found) = at_terminal(&s_client(&port, &ca, &["-tls1_3"]), &lines, "WORLD");
        assert!(found && heard.contains("HELLO"), "{heard}");
        let lines = ["hello\n", "R\n", "world\n"];
        let arguments = s_client(&port, &ca, &["-tls1_2"]);
        let (heard, found) = at_terminal(&arguments, &lines, "WORLD");
        assert!(!found && heard.contains("HELLO"), "{heard}");
        let (_, found) = at_terminal(&arguments, &["hello\n"], "HELLO");
        assert!(found, "the next one is served");
        server.settle();
        server.stop();
    });
}

/// Answers in capitals.
struct Shout;

impl Agent for Shout {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        client.send(frame.to_ascii_uppercase())
    }
}

const PYTHON: &str = r#"
import socket, ssl, sys
port, ca, cert, key = int(sys.argv[1]), *sys.argv[2:5]
def connect(context, name="localhost", session=None):
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    return context.wrap_socket(plain, server_hostname=name, session=session)
def exactly(s, count):
    got = b""
    while len(got) < count:
        piece = s.recv(count - len(got))
        assert piece, "the stream ended"
        got += piece
    return got
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(cert, key)
    with connect(context) as s:
        assert s.version() == version.name.replace("_", "."), s.version()
        for size in 1, 1000, 16384, 16385, 100000:
            sent = bytes(i * 7 % 251 for i in range(size))
            s.sendall(sent)
            assert exactly(s, size) == sent
        session = s.session
        plain = s.unwrap()  # fails unless the server ends by close_notify
        assert plain.recv(1) == b""
    with connect(context, session=session) as s:
        s.sendall(b"again")
        assert exactly(s, 5) == b"again"
        assert s.session_reused, version
    try:
        connect(context, "other.example")
        raise SystemExit("it is for another host")
    except ssl.SSLCertVerificationError as e:
        assert "mismatch" in str(e), e
    without = ssl.create_default_context(cafile=ca)
    without.minimum_version = without.maximum_version = version
    try:
        s = connect(without)
        s.recv(1)
        raise SystemExit("a certificate is required")
    except ssl.SSLError as e:
        assert "CERTIFICATE_REQUIRED" in str(e).upper().replace(" ", "_") or "HANDSHAKE" in str(e), e
try:
    connect(ssl.create_default_context())
    raise SystemExit("its authority is not trusted")
except ssl.SSLCertVerificationError:
    pass
print("passed")
"#;

#[test]
fn pythons_ssl_shows_certificates_resumes_and_ends_in_order() {
    if !has("python3") {
        return;
    }
    deadline(|| {
        let authority = Authority::new("a");
        let (certificate, key) = authority.issue(&["localhost"]).pair();
        let clients = Authority::new("clients");
        let guest = clients.issue(&["guest"]);
        let tls = tls::Server::builder()
            .certificate(certificate, key)
            .require_clients(tls::Pem::bytes(clients.pem.as_str()))
            .build()
            .expect("a server");
        let folder = Folder::new();
        let ca = folder.file("ca.pem", &authority.pem);
        let shown = folder.file("guest.pem", &guest.certificate);
        let shown_key = folder.file("guest.key", &guest.key);
        let server = Server::start(config(), Gate::raw().tls(&tls).agent(|_| Echo));
        let port = server.address.port().to_string();
        let arguments = ["-c", PYTHON, &port, &ca, &shown, &shown_key];
        let (passed, text, errors) = run("python3", &arguments, b"");
        assert!(passed && text == "passed\n", "{text}{errors}");
        assert_eq!(server.metrics().tls_resumed, 2);
        server.settle();
        server.stop();
    });
}
