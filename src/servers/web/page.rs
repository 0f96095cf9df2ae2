//! The page, its style and its script: in the program, so that it needs no folder beside it.

use crate::http::{Request, Response, write_date};
use crate::prelude::*;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Where the page has the time.
const TIME: &str = "{{time}}";

/// The page may load what came with it, and nothing from elsewhere.
const POLICY: &str = "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'";

/// The tutorial's page: it says the time.
pub(super) async fn page(_: Request) -> Result<Response> {
    let time = write_date(crate::unix_time().as_secs());
    let time = std::str::from_utf8(&time).expect("a date is ASCII");
    let page = Response::html(PAGE.replacen(TIME, time, 1));
    Ok(page.header("content-security-policy", POLICY)?.header("cache-control", "no-store")?)
}

pub(super) async fn style(_: Request) -> Result<Response> {
    part("text/css; charset=utf-8", STYLE)
}

pub(super) async fn script(_: Request) -> Result<Response> {
    part("text/javascript; charset=utf-8", SCRIPT)
}

/// Asked for anew with each page: a new program brings a new one.
fn part(content_type: &'static str, text: &'static str) -> Result<Response> {
    let part = Response::bytes(content_type, text);
    Ok(part.header("cache-control", "no-cache")?.header("x-content-type-options", "nosniff")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_place_for_the_time_and_nothing_from_elsewhere() {
        assert_eq!(PAGE.matches(TIME).count(), 1);
        for part in [PAGE, STYLE, SCRIPT] {
            assert!(!part.contains("https://") && !part.contains("http://"));
        }
        assert!(!PAGE.contains("style=") && !PAGE.contains("onclick"), "the policy forbids it");
    }
}
