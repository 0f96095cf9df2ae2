//! Clients that others wrote: curl, openssl s_client, and Python's ssl.

use skyring::prelude::*;

use crate::common::{Server, config, deadline};
use crate::support::{Folder, both, has, router, run};

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
