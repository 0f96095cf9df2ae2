//! Redirections over connections; their rules are tested beside the code.

use skyring::http::{Client, ClientError, ClientLimits, RedirectError};

use crate::support::{Act, BASE, Script, alone, ok, say, url, with_server};

fn moved(status: u16, to: &str) -> Act {
    say(&format!("HTTP/1.1 {status} x\r\nLocation: {to}\r\nContent-Length: 4\r\n\r\ngone"))
}

#[test]
fn a_way_of_redirections_is_followed_over_one_connection() {
    with_server(async |client| {
        let mut response = client.get(url("/moved/9")).await?;
        assert_eq!((response.status(), response.url().target()), (200, "/"));
        assert_eq!(response.text().await?, "Hello, World!");
        let error = client.get(url("/moved/10")).await.expect_err("one too many");
        assert!(matches!(error, ClientError::Redirect(RedirectError::TooMany { max: 10 })));
        let there = client.get(url("/moved/10")).redirects(11).await?;
        assert_eq!(there.status(), 200);
        let unfollowed = client.get(url("/moved/3")).redirects(0).await?;
        assert_eq!((unfollowed.status(), unfollowed.header("location")), (302, Some("/moved/2")));
        Ok(())
    });
}

#[test]
fn a_body_and_secrets_go_only_where_they_may() {
    alone(async {
        let near =
            Script::start(80, vec![moved(307, "/there"), moved(302, "http://127.0.0.1:81/far")])?;
        let far = Script::start(81, vec![ok("here")])?;
        let client = Client::new();
        let mut response = client
            .post(BASE)
            .header("authorization", "secret")
            .header("cookie", "a=b")
            .header("x-kept", "1")
            .json("body")
            .await?;
        assert_eq!(response.text().await?, "here");
        assert_eq!(response.url().to_string(), "http://127.0.0.1:81/far");
        // The script takes the body for the beginning of the next head.
        let heads = near.heads.borrow();
        assert!(heads[1].contains("POST /there") && heads[1].contains("authorization: secret"));
        assert!(heads[1].contains("content-length: 6"));
        let last = &far.heads.borrow()[0];
        assert!(last.starts_with("GET /far HTTP/1.1\r\nhost: 127.0.0.1:81\r\n"), "{last}");
        assert!(last.contains("x-kept: 1") && !last.contains("secret"), "{last}");
        assert!(!last.contains("cookie") && !last.contains("content-"), "{last}");
        Ok(())
    });
}

#[test]
fn a_stream_cannot_be_redirected_with_its_body() {
    alone(async {
        let _script = Script::start(80, vec![moved(308, "/x")])?;
        let client = Client::with(ClientLimits::default());
        let request = client.put(BASE).stream(async |out| out.write("x").await);
        let error = request.await.expect_err("it is gone");
        assert!(matches!(error, ClientError::Redirect(RedirectError::BodyIsGone)), "{error}");
        Ok(())
    });
}
